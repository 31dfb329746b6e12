"""The clients against real servers with TLS and authentication."""

from __future__ import annotations

import base64
import hashlib
import logging
import ssl
import threading
from contextlib import closing

import pytest
import trustme
from https_server import KEY_ID, REGION, SECRET, TOKEN, HttpsServer, signature_is_right

from sparse_ir.engines.addresses import parse_cluster_address
from sparse_ir.engines.connecting import connect
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.transport import NDJSON, ConnectionLostError
from sparse_ir.errors import EngineError

USER, PASSWORD = "operator", "hunter2 pä☃"
SERVICE_TOKEN = "hunter2" + "t" * 15


def hashed(secret):
    """As the server keeps passwords in its files: PBKDF2 with HMAC-SHA512, 32 bytes each."""
    salt = bytes(range(32))
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, 10000, 32)
    return f"{{PBKDF2}}10000${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def start_secured(own_cluster, tmp_path, monkeypatch, kind, **options):
    """A node with TLS and a user; its CA is in the environment."""
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    cluster = own_cluster(
        kind,
        settings={
            "xpack.security.enabled": True,
            "xpack.security.http.ssl.enabled": True,
            "xpack.security.http.ssl.key": "certs/http.key",
            "xpack.security.http.ssl.certificate": "certs/http.pem",
        },
        files={
            "certs/http.key": server.private_key_pem.bytes(),
            "certs/http.pem": b"".join(blob.bytes() for blob in server.cert_chain_pems),
            "users": f"{USER}:{hashed(PASSWORD)}\nlauncher:{hashed('launcher')}\n",
            "users_roles": f"superuser:{USER},launcher\n",
            "service_tokens": f"elastic/fleet-server/t1:{hashed(SERVICE_TOKEN)}\n",
        },
        auth="launcher:launcher",
        **options,
    )
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SPARSE_IR_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    monkeypatch.setenv("SPARSE_IR_CA_FILE", str(ca_file))
    return cluster.url


@pytest.fixture(params=["elasticsearch", "elasticsearch7"])
def secured(request, own_cluster, tmp_path, monkeypatch):
    return start_secured(own_cluster, tmp_path, monkeypatch, request.param)


@pytest.mark.slow
def test_an_api_key_may_do_what_it_was_made_for_until_it_is_invalidated(
    own_cluster, tmp_path, monkeypatch, sparse_ir, fruit
):
    url = start_secured(own_cluster, tmp_path, monkeypatch, "elasticsearch", api_keys=True)
    monkeypatch.setenv("SPARSE_IR_USERNAME", USER)
    monkeypatch.setenv("SPARSE_IR_PASSWORD", PASSWORD)
    where = ("--url", url, "--index", "keys")
    assert sparse_ir("index", *where, "--corpus", fruit, "--model", "bm25").exit_code == 0
    index = {"names": ["keys*"], "privileges": ["read", "view_index_metadata", "monitor"]}
    wanted = {
        "name": "reader",
        "role_descriptors": {"r": {"cluster": ["monitor"], "index": [index]}},
    }
    with open_engine(url) as engine:
        made = engine.connection.call("POST", "/_security/api_key", wanted)
        monkeypatch.delenv("SPARSE_IR_USERNAME")
        monkeypatch.delenv("SPARSE_IR_PASSWORD")
        monkeypatch.setenv("SPARSE_IR_API_KEY", made["encoded"])
        found = sparse_ir("search", *where, "sweet fruit")
        assert found.exit_code == 0, found.err
        assert "d1" in found.out
        refused = sparse_ir("index", *where, "--corpus", fruit, "--model", "bm25", "--replace")
        assert refused.exit_code == 5
        assert refused.err.count("\n") == 1
        assert "may not" in refused.err
        engine.connection.call("DELETE", "/_security/api_key", {"ids": [made["id"]]})
        outcome = sparse_ir("search", *where, "sweet fruit")
    assert outcome.exit_code == 5
    assert "SPARSE_IR_API_KEY" in outcome.err
    texts = (found.out, found.err, refused.err, outcome.err)
    assert not [text for text in texts if made["encoded"] in text or made["api_key"] in text]


@pytest.mark.slow
def test_right_credentials_work_and_wrong_ones_are_refused_in_one_line(
    secured, monkeypatch, tmp_path, caplog, capfd
):
    def attempt(**environ):
        for name in ("USERNAME", "PASSWORD", "BEARER_TOKEN", "API_KEY"):
            monkeypatch.delenv(f"SPARSE_IR_{name}", raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(f"SPARSE_IR_{name}", value)
        return connect(parse_cluster_address(secured))

    def refused(words, **environ):
        with pytest.raises(EngineError, match=words) as caught:
            attempt(**environ)
        assert not isinstance(caught.value, ConnectionLostError)
        assert secured in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    bearer = base64.b64encode(b"\0\1\0\1elastic/fleet-server/t1:" + SERVICE_TOKEN.encode()).decode()
    texts = []
    with caplog.at_level(logging.DEBUG):
        transport, server = attempt(USERNAME=USER, PASSWORD=PASSWORD)
        with closing(transport):
            assert server.flavour == "elasticsearch"
            body = b'{"index":{"_index":"secured"}}\n{"text":"a"}\n'
            answer = transport.send("POST", "/_bulk", body=body, content_type=NDJSON)
            assert (answer.status, answer.body["errors"]) == (200, False)
            texts.append(repr(transport))
        transport, _ = attempt(BEARER_TOKEN=bearer)
        with closing(transport):
            assert transport.send("PUT", "/forbidden").status == 403
        texts.append(refused("asks for credentials"))
        texts.append(refused("SPARSE_IR_PASSWORD", USERNAME=USER, PASSWORD=PASSWORD + "x"))
        texts.append(refused("SPARSE_IR_BEARER_TOKEN", BEARER_TOKEN=bearer[:-4]))
        texts.append(refused("SPARSE_IR_API_KEY", API_KEY="id:hunter2"))
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(other)
        refused("not trusted", USERNAME=USER, PASSWORD=PASSWORD, CA_FILE=str(other))
        monkeypatch.delenv("SPARSE_IR_CA_FILE")
        refused("not trusted", USERNAME=USER, PASSWORD=PASSWORD)
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    captured = capfd.readouterr()
    for text in (*texts, caplog.text, captured.out, captured.err):
        for secret in ("hunter2", basic, bearer):
            assert secret not in text


@pytest.mark.parametrize("kind", ["basic", "AWS signature"])
def test_opensearch_behind_a_proxy_with_tls_and_authentication(
    server_url, tmp_path, monkeypatch, kind
):
    basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    if kind == "basic":
        right, wrong = {"SPARSE_IR_USERNAME": USER, "SPARSE_IR_PASSWORD": PASSWORD}, 401
        secret = "SPARSE_IR_PASSWORD"
    else:
        keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SESSION_TOKEN": TOKEN}
        right, wrong = {**keys, "SPARSE_IR_AWS_REGION": REGION}, 403
        right["AWS_SECRET_ACCESS_KEY"] = SECRET
        secret = "AWS_SECRET_ACCESS_KEY"

    def check(request, body):
        if kind == "basic":
            return 200 if request.headers["authorization"] == basic else wrong
        return 200 if signature_is_right(request, body) else wrong

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SPARSE_IR_CA_FILE", str(tmp_path / "ca.pem"))
    for name, value in right.items():
        monkeypatch.setenv(name, value)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    proxy = HttpsServer(context, check, server_url("opensearch"))
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    try:
        transport, server = connect(parse_cluster_address(proxy.url))
        with closing(transport):
            assert server.flavour == "opensearch"
            body = b'{"index":{"_id":"a b/\xc3\xa9+"}}\n{"text":"pear"}\n'
            bulk = transport.send(
                "POST", "/behind-a-proxy/_bulk", params={"refresh": "true"}, body=body,
                content_type=NDJSON,
            )  # fmt: skip
            assert (bulk.status, bulk.body["errors"]) == (200, False)
            path = "/behind-a-proxy/_doc/a%20b%2F%C3%A9%2B"
            assert transport.send("HEAD", path).status == 200
            found = transport.send("GET", "/behind-a-proxy/_search", params={"q": "pear or plum"})
            assert found.body["hits"]["total"]["value"] == 1
            assert transport.send("DELETE", "/behind-a-proxy").status == 200
        monkeypatch.setenv(secret, "wrong")
        with pytest.raises(EngineError, match=str(wrong)):
            connect(parse_cluster_address(proxy.url))
    finally:
        proxy.shutdown()
        proxy.server_close()
