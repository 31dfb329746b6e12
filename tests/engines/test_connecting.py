"""What answers at an address, and what is said where nothing fitting does."""

from __future__ import annotations

import builtins
import json
import socket
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sparse_ir.engines.addresses import parse_cluster_address
from sparse_ir.engines.connecting import Server, connect
from sparse_ir.engines.transport import NDJSON, ConnectionLostError
from sparse_ir.errors import ConfigError, EngineError, MissingExtraError

TAGLINE = {"tagline": "You Know, for Search"}
OPEN = {"version": {"distribution": "opensearch", "number": "3.8.0"}}


def elastic(number):
    return {"version": {"number": number, "build_flavor": "default"}, **TAGLINE}


def nodes(*versions, flavour=True):
    more = {"build_flavor": "default"} if flavour else {}
    return {"nodes": {str(i): {"version": v, **more} for i, v in enumerate(versions)}}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("API_KEY", "USERNAME", "PASSWORD", "BEARER_TOKEN", "AWS_REGION", "URL"):
        monkeypatch.delenv(f"SPARSE_IR_{name}", raising=False)


@pytest.fixture
def serve():
    servers = []

    def start(replies):
        """replies: path -> (status, JSON value or a text)."""
        seen = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.partition("?")[0]
                seen.append((path, self.headers["accept"]))
                status, value = replies.get(path, (404, {"error": "nothing here"}))
                text = isinstance(value, str)
                body = value.encode() if text else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if text else "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.seen = seen
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def detect(text):
    transport, server = connect(parse_cluster_address(text))
    transport.close()
    return server


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"/": (200, OPEN)}, Server("opensearch", (3, 8, 0), "3.8.0")),
        ({"/": (200, elastic("9.2.0"))}, Server("elasticsearch", (9, 2, 0), "9.2.0")),
        ({"/": (200, elastic("7.17.29"))}, Server("elasticsearch", (7, 17, 29), "7.17.29")),
        ({"/": (200, elastic("9.0.0-rc1"))}, Server("elasticsearch", (9, 0, 0), "9.0.0-rc1")),
        (
            {"/": (405, {}), "/_nodes": (200, nodes("8.19.4"))},
            Server("elasticsearch", (8, 19, 4), "8.19.4"),
        ),
        (
            {"/": (403, {}), "/_nodes": (200, nodes("2.11.1", flavour=False))},
            Server("opensearch", (2, 11, 1), "2.11.1"),
        ),
        (
            {"/": (405, {}), "/_nodes": (200, nodes("9.2.0", "8.19.4"))},
            Server("elasticsearch", (8, 19, 4), "8.19.4"),
        ),
    ],
)
def test_flavour_and_version_are_found_out(serve, replies, expected):
    assert detect(serve(replies).url) == expected


def test_an_opensearch_that_poses_as_an_older_server_is_asked_again(serve):
    posing = {"version": {"distribution": "opensearch", "number": "7.10.2"}}
    server = serve({"/": (200, posing), "/_nodes": (200, nodes("2.19.0", flavour=False))})
    assert detect(server.url).version == (2, 19, 0)


@pytest.mark.parametrize("prefix", ["", "elasticsearch:"])
@pytest.mark.parametrize(("number", "compatible"), [("8.19.4", True), ("7.17.29", False)])
def test_the_transport_speaks_as_the_server_wants(serve, prefix, number, compatible):
    server = serve({"/": (200, elastic(number)), "/x": (200, {})})
    transport, _ = connect(parse_cluster_address(prefix + server.url))
    with closing(transport):
        transport.send("GET", "/x")
    assert server.seen[0] == ("/", "application/json")
    assert ("compatible-with=8" in server.seen[-1][1]) == compatible


@pytest.mark.parametrize(
    ("prefix", "replies", "words"),
    [
        ("", {"/": (200, "<html>nginx</html>")}, "neither Elasticsearch nor OpenSearch"),
        ("", {"/": (200, {"version": {"number": "8.0"}})}, "neither Elasticsearch nor OpenSearch"),
        ("", {"/": (200, ["version"])}, "neither"),
        ("", {"/": (404, "no")}, "neither"),
        ("", {"/": (301, "moved")}, "redirects"),
        ("", {"/": (405, "no"), "/_nodes": (200, {"nodes": {}})}, "neither"),
        ("", {"/": (503, {"error": {"reason": "no master"}})}, "not ready .503: no master"),
        ("", {"/": (403, {}), "/_nodes": (403, {"error": "no\nright"})}, "no right.*monitor"),
        ("", {"/": (401, {})}, "asks for credentials .*SPARSE_IR_API_KEY"),
        ("", {"/": (200, elastic("7.16.3"))}, "needs 7.17 or later"),
        ("", {"/": (200, elastic("6.8.0"))}, "needs 7.17 or later"),
        (
            "",
            {"/": (200, {"version": {"distribution": "opensearch", "number": "1.3.0"}})},
            "needs 2.0 or later",
        ),
        ("opensearch:", {"/": (200, elastic("9.2.0"))}, "is Elasticsearch 9.2.0, not OpenSearch"),
        ("elasticsearch:", {"/": (200, OPEN)}, "is OpenSearch 3.8.0, not Elasticsearch"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line(serve, prefix, replies, words):
    server = serve(replies)
    with pytest.raises(EngineError, match=words) as caught:
        detect(prefix + server.url)
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "flavour", "major"),
    [
        ("opensearch", "opensearch", 3),
        ("elasticsearch", "elasticsearch", 9),
        ("elasticsearch8", "elasticsearch", 8),
        ("elasticsearch7", "elasticsearch", 7),
    ],
)
def test_a_real_server_is_found_out_and_spoken_to(server_url, kind, flavour, major):
    for prefix in ("", f"{flavour}:"):
        transport, server = connect(parse_cluster_address(prefix + server_url(kind)))
        with closing(transport):
            assert (server.flavour, server.version[0]) == (flavour, major)
            body = b'{"index":"nowhere-at-all","ignore_unavailable":true}\n{"size":0}\n'
            answer = transport.send("POST", "/_msearch", body=body, content_type=NDJSON)
            assert (answer.status, answer.body["responses"][0]["status"]) == (200, 200)
            assert transport.send("HEAD", "/nowhere-at-all").status == 404


def test_one_node_that_answers_is_enough(serve):
    with socket.create_server(("127.0.0.1", 0)) as free:
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert detect(f"{dead},{serve({'/': (200, OPEN)}).url}").flavour == "opensearch"
    with pytest.raises(ConnectionLostError, match="refused"):
        detect(dead)


def test_a_server_7_needs_its_extra(serve, monkeypatch):
    server = serve({"/": (200, elastic("7.17.29"))})
    really_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith(("elasticsearch7", "sparse_ir.engines.elasticsearch7")):
            raise ModuleNotFoundError("No module named 'elasticsearch7'", name="elasticsearch7")
        return really_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"sparse-ir\[elasticsearch7\]"):
        detect(server.url)


def test_an_aws_signature_is_for_opensearch(monkeypatch):
    monkeypatch.setenv("SPARSE_IR_AWS_REGION", "eu-west-1")
    with pytest.raises(ConfigError, match="OpenSearch"):
        detect("elasticsearch:http://127.0.0.1:1")
