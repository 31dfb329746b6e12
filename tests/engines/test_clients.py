"""What every client library's transport does with good and bad answers."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from contextlib import closing

import pytest

from sparse_ir.engines.credentials import Credentials
from sparse_ir.engines.elasticsearch import elasticsearch_transport
from sparse_ir.engines.nodes import Rotation
from sparse_ir.engines.opensearch import opensearch_transport
from sparse_ir.engines.transport import NDJSON, Answer, ConnectionLostError

CLIENTS = {
    "opensearch": opensearch_transport,
    "elasticsearch": elasticsearch_transport,
    "elasticsearch8": lambda urls, c, **k: elasticsearch_transport(urls, c, major=8, **k),
    "elasticsearch7": lambda urls, c, **k: elasticsearch_transport(urls, c, major=7, **k),
}
# what an OpenSSL, a proxy or a shell may have left in the environment
PITFALLS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY")


def answer(body=b"{}", status="200 OK", kind="application/json", length=None, more=""):
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n{more}\r\n"
    return head.encode() + body


JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


class Server:
    """Answers each request with the bytes that ``reply(head, body)`` returns; None hangs up."""

    def __init__(self, reply):
        self.reply = reply
        self.seen = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with closing(connection), connection.makefile("rb") as lines:
            while (request := lines.readline()) != b"":
                head = {}
                while (line := lines.readline().strip()) != b"":
                    name, _, value = line.decode().partition(": ")
                    head[name.lower()] = value
                body = lines.read(int(head.get("content-length", 0)))
                method, target, _ = request.decode().split(" ")
                self.seen.append((method, target, head, body))
                reply = self.reply(method, target)
                if reply is None:
                    return
                connection.sendall(reply)
                if b"Content-Length: " not in reply or head.get("connection") == "close":
                    return
                if b"X-Hang-Up" in reply:
                    return

    def close(self):
        self.socket.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def serve():
    servers = []

    def start(reply):
        servers.append(Server(reply if callable(reply) else lambda method, target: reply))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(params=CLIENTS)
def client(request, monkeypatch):
    for name in PITFALLS:
        monkeypatch.setenv(name, "/nowhere/at/all")
    transports = []

    def open_client(*urls, credentials=None, **settings):
        transport = CLIENTS[request.param](urls, credentials or Credentials(), **settings)
        transports.append(transport)
        return transport

    open_client.kind = request.param
    yield open_client
    for transport in transports:
        transport.close()


def test_a_request_arrives_as_it_was_sent(client, serve):
    server = serve(answer(b'{"a": [1, 2.5, "\xc3\xa9"]}'))
    body = b'{"index":{}}\n{"text":"\xc3\xa9"}\n'
    got = client(server.url + "/prefix").send(
        "POST",
        "/my%20index/_bulk",
        params={"a b": "x,y+z", "c": "é"},
        body=body,
        content_type=NDJSON,
    )
    assert got == Answer(200, {"a": [1, 2.5, "é"]})
    method, target, head, received = server.seen[0]
    assert (method, target) == ("POST", "/prefix/my%20index/_bulk?a%20b=x%2Cy%2Bz&c=%C3%A9")
    assert received == body
    assert "x-ndjson" in head["content-type"]
    assert "content-encoding" not in head
    assert "authorization" not in head


def test_a_server_8_or_9_is_asked_to_speak_as_an_8(serve):
    server = serve(answer())
    with closing(CLIENTS["elasticsearch8"]([server.url], Credentials())) as transport:
        transport.send("POST", "/_bulk", body=b"{}", content_type=NDJSON)
    head = server.seen[0][2]
    assert head["accept"] == "application/vnd.elasticsearch+json; compatible-with=8"
    assert head["content-type"] == "application/vnd.elasticsearch+x-ndjson; compatible-with=8"


@pytest.mark.parametrize(
    "status",
    [
        "201 A",
        "301 A",
        "400 A",
        "403 A",
        "404 A",
        "405 A",
        "409 A",
        "413 A",
        "429 A",
        "500 A",
        "503 A",
    ],
)
def test_every_status_is_an_answer(client, serve, status):
    server = serve(answer(b'{"error": "why"}', status, more="Location: /other\r\n"))
    assert client(server.url).send("GET", "/x") == Answer(int(status[:3]), {"error": "why"})
    assert len(server.seen) == 1


def test_head_and_empty_bodies_are_none_and_other_types_are_text(client, serve):
    replies = {
        "/empty": answer(b""),
        "/text": answer(b"green\n", kind="text/plain; charset=UTF-8"),
        "/vendor": answer(b"[1]", kind="application/vnd.elasticsearch+json;compatible-with=8"),
        "/head": answer(b"", "404 Not Found", length=20),
    }
    server = serve(lambda method, target: replies[target])
    transport = client(server.url)
    assert transport.send("HEAD", "/head") == Answer(404, None)
    assert transport.send("GET", "/empty") == Answer(200, None)
    assert transport.send("GET", "/text") == Answer(200, "green\n")
    assert transport.send("GET", "/vendor") == Answer(200, [1])


def test_a_whole_document_needs_no_length_and_an_error_no_document(client, serve):
    replies = {
        "/a": JSON_HEAD + b'\r\n{"a": 1}',
        "/b": b"HTTP/1.0 403 Forbidden\r\n\r\n",
        "/c": b"HTTP/1.1 204 No Content\r\n\r\n",
    }
    server = serve(lambda method, target: replies[target])
    transport = client(server.url)
    assert transport.send("GET", "/a") == Answer(200, {"a": 1})
    assert transport.send("GET", "/b") == Answer(403, None)
    assert transport.send("GET", "/c") == Answer(204, None)


def test_a_document_may_hold_what_strict_parsers_refuse(client, serve):
    server = serve(answer(b'{"text": "\\ud800"}'))
    assert client(server.url).send("GET", "/").body == {"text": "\ud800"}


@pytest.mark.parametrize(
    "reply",
    [
        None,
        b"",
        b"\x00\x01garbage\r\n\r\n",
        b"HTTP/1.1 200",
        b"HTTP/1.1 abc OK\r\n\r\n",
        answer(b'{"took": 1', length=50, more="X-Hang-Up: 1\r\n"),
        answer(b'{"took": 1'),
        answer(b"<html>no JSON</html>"),
        answer(b'{"a": "\xff"}'),
        answer(b"no gzip", more="Content-Encoding: gzip\r\n"),
        JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{",
        JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        JSON_HEAD + b'\r\n{"took": 1',
        JSON_HEAD + b"Content-Le",
    ],
    ids=["hang up", "nothing", "garbage", "half a status", "no status", "cut short", "half JSON",
         "HTML as JSON", "no UTF-8", "no gzip", "chunk cut", "no chunk", "no length, cut",
         "half a head"],
)  # fmt: skip
def test_anything_but_a_whole_answer_is_a_lost_connection(client, serve, reply, caplog, recwarn):
    server = serve(reply)
    with caplog.at_level(logging.WARNING), pytest.raises(ConnectionLostError) as caught:
        client(server.url).send("GET", "/x")
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert " object at 0x" not in str(caught.value)
    assert len(server.seen) == 1
    # urllib3 itself speaks of half a head
    assert not [r for r in caplog.records if r.name != "urllib3.connection"]
    assert not recwarn.list


def test_a_late_answer_is_a_lost_connection(client, serve):
    server = serve(lambda method, target: time.sleep(2) or answer())
    began = time.monotonic()
    with pytest.raises(ConnectionLostError, match="in time"):
        client(server.url).send("GET", "/", timeout=0.2)
    with pytest.raises(ConnectionLostError, match="in time"):
        client(server.url, timeout=0.2).send("GET", "/")
    assert time.monotonic() - began < 1.9


def test_a_refused_connection_says_so(client):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionLostError, match="refused"):
        client(f"http://127.0.0.1:{port}").send("GET", "/")


def test_an_unknown_host_says_so(client):
    with pytest.raises(ConnectionLostError, match="resolved"):
        client("http://nowhere.invalid:9200").send("GET", "/")


def test_a_connection_that_the_server_closed_in_between_is_opened_again(client, serve):
    server = serve(answer(more="X-Hang-Up: 1\r\n"))
    transport = client(server.url)
    for _ in range(3):
        assert transport.send("GET", "/").status == 200
        time.sleep(0.05)


def test_nothing_of_the_servers_warnings_reaches_the_user(client, serve, caplog, recwarn):
    server = serve(answer(more='Warning: 299 Elasticsearch-7.17 "deprecated"\r\n'))
    with caplog.at_level(logging.INFO):
        client(server.url).send("GET", "/")
    assert not caplog.records
    assert not recwarn.list


def test_nodes_take_turns_and_a_dead_one_is_passed_over(client, serve):
    a, b = serve(answer(b'"a"')), serve(answer(b'"b"'))
    dead = serve(None)
    transport = client(a.url, dead.url, b.url)
    got = []
    for _ in range(9):
        try:
            got.append(transport.send("GET", "/").body)
        except ConnectionLostError:
            got.append("lost")
    assert got == ["a", "lost", "b", "a", "b", "a", "b", "a", "b"]


def test_many_threads_share_a_transport(client, serve, caplog):
    server = serve(lambda method, target: answer(json.dumps(target).encode()))
    transport = client(server.url)
    got = []

    def ask(name):
        got.extend(transport.send("GET", f"/{name}/{i}").body for i in range(20))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(24)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(got) == sorted(f"/{n}/{i}" for n in range(24) for i in range(20))
    assert len(server.open) <= 24
    assert not caplog.records


class FakeNode:
    compress = False

    def __init__(self, url):
        self.url = url


def test_the_pause_of_a_failing_node_grows_and_ends_when_it_answers():
    now = [0.0]
    a, b = FakeNode("a"), FakeNode("b")
    rotation = Rotation([a, b], clock=lambda: now[0])

    def pause_of_a():
        began = now[0]
        rotation.failed(a)
        rotation.failed(a)  # a second request that met the same failure
        while all(rotation.next() is b for _ in range(2)):
            now[0] += 0.5
        return now[0] - began

    assert [pause_of_a() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    rotation.answered(a)
    assert pause_of_a() == 1


def test_where_every_node_failed_the_one_that_rested_longest_is_tried():
    now = [0.0]
    a, b = FakeNode("a"), FakeNode("b")
    rotation = Rotation([a, b], clock=lambda: now[0])
    rotation.failed(b)
    now[0] = 0.1
    rotation.failed(a)
    assert rotation.next() is b
