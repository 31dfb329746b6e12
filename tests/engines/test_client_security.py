"""TLS, credentials and AWS's signature of every client, against a real HTTPS server."""

from __future__ import annotations

import base64
import gzip
import logging
import socket
import ssl
import threading

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from https_server import INFO, KEY_ID, REGION, SECRET, TOKEN, HttpsServer, signature_is_right

from sparse_ir.engines import credentials as credentials_module
from sparse_ir.engines.addresses import parse_cluster_address
from sparse_ir.engines.connecting import connect
from sparse_ir.engines.credentials import VARIABLES, load_credentials
from sparse_ir.engines.elasticsearch import elasticsearch_transport
from sparse_ir.engines.opensearch import opensearch_transport
from sparse_ir.engines.transport import ConnectionLostError
from sparse_ir.errors import ConfigError, EngineError, MissingExtraError

CLIENTS = {
    "opensearch": opensearch_transport,
    "elasticsearch8": lambda urls, c: elasticsearch_transport(urls, c, major=8),
    "elasticsearch7": lambda urls, c: elasticsearch_transport(urls, c, major=7),
}
PITFALLS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
KINDS = {
    "basic": (
        {"username": "üser", "password": "hunter2 pä☃"},
        "Basic " + base64.b64encode("üser:hunter2 pä☃".encode()).decode(),
    ),
    "API key": (
        {"api_key": "id:hunter2key"},
        "ApiKey " + base64.b64encode(b"id:hunter2key").decode(),
    ),
    "bearer": ({"bearer_token": "hunter2token"}, "Bearer hunter2token"),
}


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")

    def write(name, *blobs):
        path = folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)

    client = authority.issue_cert("client@example.org")
    stranger = trustme.CA().issue_cert("client@example.org")
    return {
        "folder": folder,
        "ca": write("ca.pem", authority.cert_pem),
        "other ca": write("other.pem", trustme.CA().cert_pem),
        "cert": write("client.pem", *client.cert_chain_pems),
        "key": write("client.key", client.private_key_pem),
        "stranger cert": write("stranger.pem", *stranger.cert_chain_pems),
        "stranger key": write("stranger.key", stranger.private_key_pem),
    }


@pytest.fixture
def serve(authority):
    servers = []

    def start(check=lambda request, body: 200, *, names=("localhost",), client_ca=None, tls=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if context is not None:
            authority.issue_cert(*names).configure_cert(context)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            client_ca.configure_trust(context)
        servers.append(HttpsServer(context, check))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=CLIENTS)
def client(request, monkeypatch):
    credentials_module._warn_once.cache_clear()
    for name in PITFALLS:
        monkeypatch.setenv(name, "/nowhere/at/all")
    transports = []

    def open_client(url, **settings):
        environ = {VARIABLES[name]: value for name, value in settings.items()}
        transports.append(CLIENTS[request.param]([url], load_credentials([url], environ)))
        return transports[-1]

    yield open_client
    for transport in transports:
        transport.close()


def requires(header):
    def check(request, body):
        return 200 if request.headers["authorization"] == header else 401

    return check


def refused(call):
    """The one line of the error that no other try will cure."""
    with pytest.raises(EngineError) as caught:
        call()
    assert not isinstance(caught.value, ConnectionLostError)
    text = str(caught.value)
    assert "\n" not in text
    assert "hunter2" not in text
    return text


@pytest.mark.parametrize("kind", KINDS)
def test_right_credentials_pass_and_wrong_ones_are_one_line(client, serve, files, kind):
    settings, header = KINDS[kind]
    server = serve(requires(header))
    right = client(server.url, ca_file=files["ca"], **settings)
    assert right.send("POST", "/_bulk", body=b"{}").body == INFO
    wrong = {name: value + "x" for name, value in settings.items()}
    text = refused(lambda: client(server.url, ca_file=files["ca"], **wrong).send("GET", "/"))
    assert server.url in text
    assert "401" in text
    assert all(VARIABLES[name] in text for name in settings)
    text = refused(lambda: client(server.url, ca_file=files["ca"]).send("GET", "/"))
    assert "asks for credentials" in text


def test_an_authority_that_is_not_trusted_is_one_line(client, serve, files, monkeypatch):
    server = serve()
    for settings in ({}, {"ca_file": files["other ca"]}):
        text = refused(lambda: client(server.url, **settings).send("GET", "/"))  # noqa: B023
        assert "not trusted" in text
        assert "SPARSE_IR_CA_FILE" in text


def test_only_the_named_authority_is_trusted(client, serve, files, monkeypatch):
    server = serve()
    monkeypatch.setenv("SSL_CERT_FILE", files["ca"])
    assert client(server.url).send("GET", "/").status == 200
    text = refused(lambda: client(server.url, ca_file=files["other ca"]).send("GET", "/"))
    assert "not trusted" in text


def test_a_certificate_for_another_host_is_one_line(client, serve, files):
    server = serve(names=("other.example",))
    text = refused(lambda: client(server.url, ca_file=files["ca"]).send("GET", "/"))
    assert "another name" in text
    by_number = server.url.replace("localhost", "127.0.0.1")
    text = refused(lambda: client(by_number, ca_file=files["ca"]).send("GET", "/"))
    assert "another name" in text


def test_a_certificate_may_be_for_an_ip_address(client, serve, files):
    server = serve(names=("127.0.0.1",))
    by_number = server.url.replace("localhost", "127.0.0.1")
    assert client(by_number, ca_file=files["ca"]).send("GET", "/").status == 200


def test_verification_off_takes_any_certificate_with_one_warning(client, serve, caplog, recwarn):
    server = serve(names=("other.example",))
    with caplog.at_level(logging.WARNING):
        transport = client(server.url, verify_tls="false")
        assert [transport.send("GET", "/").status for _ in range(2)] == [200, 200]
    assert [r.name for r in caplog.records] == ["sparse_ir.engines.credentials"]
    assert not recwarn.list


def test_a_client_certificate_is_shown(client, serve, authority, files):
    server = serve(client_ca=authority)
    right = {"client_cert": files["cert"], "client_key": files["key"], "ca_file": files["ca"]}
    assert client(server.url, **right).send("GET", "/").status == 200
    wrong = {**right, "client_cert": files["stranger cert"], "client_key": files["stranger key"]}
    for settings in (wrong, {"ca_file": files["ca"]}):
        # TLS 1.3 lets the client send before the server refuses: the reason may be lost then
        with pytest.raises(EngineError, match="SPARSE_IR_CLIENT_CERT") as caught:
            client(server.url, **settings).send("GET", "/")
        assert "\n" not in str(caught.value)


def test_files_that_cannot_be_used_are_one_line(client, files):
    broken = files["folder"] / "broken.pem"
    broken.write_text("nothing")
    encrypted = files["folder"] / "encrypted.key"
    with open(files["key"], "rb") as file:  # noqa: PTH123
        key = serialization.load_pem_private_key(file.read(), None)
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hunter2"),
        )
    )
    for settings, words in [
        ({"ca_file": "/nowhere/ca.pem"}, "SPARSE_IR_CA_FILE"),
        ({"ca_file": str(broken)}, "SPARSE_IR_CA_FILE"),
        ({"client_cert": "/nowhere/client.pem"}, "SPARSE_IR_CLIENT_CERT"),
        ({"client_cert": files["cert"], "client_key": files["stranger key"]}, "belong together"),
        ({"client_cert": files["cert"], "client_key": str(encrypted)}, "encrypted"),
    ]:
        with pytest.raises(ConfigError, match=words) as caught:
            client("https://localhost:1", **settings)
        assert "\n" not in str(caught.value)


def test_tls_to_a_plain_server_and_the_other_way_are_one_line(client, serve, monkeypatch):
    plain = serve(tls=False)
    text = refused(lambda: client(plain.url.replace("http:", "https:")).send("GET", "/"))
    assert "http://" in text
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    secure = serve()
    with pytest.raises(ConnectionLostError, match="https://"):
        connect(parse_cluster_address(secure.url.replace("https:", "http:")))


def test_a_server_that_breaks_the_handshake_off_is_worth_another_try(client):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            connection, _ = listening.accept()
            connection.recv(1)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(ConnectionLostError):
            client(f"https://localhost:{listening.getsockname()[1]}").send("GET", "/")


@pytest.mark.parametrize("kind", KINDS)
def test_no_log_at_any_level_and_no_text_of_an_object_holds_a_secret(
    client, serve, files, kind, caplog, capfd
):
    settings, header = KINDS[kind]
    secret = header.split(" ")[1]
    server = serve(requires(header))
    for name in ("elastic_transport.node", "opensearchpy.trace", "elasticsearch.trace"):
        logging.getLogger(name).addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.DEBUG):
            for wrong in ("", "x"):
                values = {name: value + wrong for name, value in settings.items()}
                transport = client(server.url, ca_file=files["ca"], **values)
                texts = [repr(transport), repr(load_credentials([server.url], {}))]
                texts += [repr(node) for node in transport._rotation.nodes]
                try:
                    transport.send("POST", "/_bulk", body=b"{}")
                except EngineError as error:
                    texts += [str(error), repr(error)]
    finally:
        for name in ("elastic_transport.node", "opensearchpy.trace", "elasticsearch.trace"):
            logging.getLogger(name).removeHandler(caplog.handler)
    captured = capfd.readouterr()
    for text in (*texts, caplog.text, captured.out, captured.err):
        assert "hunter2" not in text
        assert secret not in text


@pytest.fixture
def aws(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)

    def open_client(url, ca_file, service="es"):
        environ = {"SPARSE_IR_AWS_REGION": REGION, "SPARSE_IR_AWS_SERVICE": service}
        environ["SPARSE_IR_CA_FILE"] = ca_file
        return opensearch_transport([url], load_credentials([url], environ))

    return open_client


@pytest.mark.parametrize("service", ["es", "aoss"])
def test_every_request_is_signed_as_aws_specifies(aws, serve, files, service):
    server = serve(lambda request, body: 200 if signature_is_right(request, body, service) else 403)
    transport = aws(server.url, files["ca"], service)
    body = b'{"index":{}}\n{"text":"\xc3\xa9"}\n'
    assert transport.send("GET", "/").status == 200
    assert transport.send("POST", "/a/_bulk", body=body).status == 200
    params = {"q": "a b+c", "filter_path": "items.*.error,errors", "é": "/~", "empty": ""}
    assert transport.send("POST", "/a/_search", params=params, body=body).status == 200
    assert transport.send("PUT", "/a/_doc/a%20b%2Fc%2B%C3%A9", body=body).status == 200
    transport.close()


def test_the_signature_covers_a_compressed_body(aws, serve, files):
    text = b"x" * 5000

    def check(request, body):
        whole = request.headers["content-encoding"] == "gzip" and gzip.decompress(body) == text
        return 200 if whole and signature_is_right(request, body) else 403

    transport = aws(serve(check).url, files["ca"])
    transport._rotation.nodes[0].compress = True
    assert transport.send("POST", "/_bulk", body=text).status == 200
    transport.close()


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_SECRET_ACCESS_KEY", "other"), ("AWS_ACCESS_KEY_ID", "OTHER")]
)
def test_wrong_aws_keys_are_refused_in_one_line(aws, serve, files, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    server = serve(lambda request, body: 200 if signature_is_right(request, body) else 403)
    transport = aws(server.url, files["ca"])
    assert transport.send("GET", "/x").status == 403
    transport.close()
    monkeypatch.setenv("SPARSE_IR_AWS_REGION", REGION)
    monkeypatch.setenv("SPARSE_IR_CA_FILE", files["ca"])
    assert "403: refused" in refused(lambda: connect(parse_cluster_address(server.url)))


def test_without_aws_keys_there_is_one_line(aws, monkeypatch, files):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigError, match="no AWS keys"):
        aws("https://localhost:1", files["ca"])


def test_without_botocore_the_extra_is_named(aws, monkeypatch, files):
    import sys

    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    with pytest.raises(MissingExtraError, match=r"sparse-ir\[aws\]"):
        aws("https://localhost:1", files["ca"])
