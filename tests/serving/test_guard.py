"""Who may ask and how much."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.errors import ConfigError
from sparse_ir.serving.settings import ServeSettings, is_loopback

KEY = "a-key-of-twenty-three-c"


@pytest.fixture
def held():
    """Keeps a server's encoder busy until the test lets go."""
    go = threading.Event()

    def hold(server):
        began = threading.Event()

        def wait(arguments):
            began.set()
            go.wait(60)
            return arguments

        server.service._encoder.submit(wait)
        assert began.wait(30)
        return go

    yield hold
    go.set()


def until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def raw(server, data):
    """Send bytes and read until the server ends the connection, in whatever way."""
    got = b""
    address = ("127.0.0.1", server.port)
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(address, timeout=60) as connection,
    ):
        connection.sendall(data)
        while part := connection.recv(65536):
            got += part
    return got


def test_a_key_is_asked_for_where_there_is_one(start):
    server = start(key=KEY)
    for headers in ({}, {"X-API-Key": KEY[:-1]}, {"Authorization": "Bearer "},
                    {"Authorization": f"Basic {KEY}"}, {"X-API-Key": "ключ".encode().decode("latin-1")}):  # fmt: skip # noqa: E501
        answer = server.get("/search", q="pear", headers=headers)
        assert answer.status == 401
        assert "key is missing or wrong" in answer.json["error"]
        assert KEY not in answer.text
        assert answer.headers["www-authenticate"] == "Bearer"
    for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
        assert server.get("/search", q="pear", headers=headers).status == 200
    for path in ("/encode", "/explain", "/indexes", "/metrics", "/anything"):
        assert server.get(path).status == 401
    for path in ("/", "/health", "/docs"):
        assert server.get(path).status == 200
    inside = server.request(
        "POST", "/internal/engine/stats", body=b"{}", headers={"X-API-Key": KEY}
    )
    assert inside.status == 401


def test_without_a_key_only_known_names_are_answered(start):
    server = start(allowed_hosts=("search.example",))
    for host in ("evil.example", "evil.example:80", "localhost.evil.example"):
        answer = server.get("/search", q="pear", headers={"Host": host})
        assert answer.status == 421
        assert "--allowed-host" in answer.json["error"]
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80", "[::1]", "search.example"):
        assert server.get("/search", q="pear", headers={"Host": host}).status == 200


def test_without_a_key_an_address_that_others_reach_is_no_reason_to_answer_to_any_name(start):
    server = start(host="0.0.0.0", no_key=True)
    for host in ("evil.example", "evil.example:80", "192.0.2.7.evil.example", ""):
        assert server.get("/search", q="pear", headers={"Host": host}).status == 421
    own = socket.gethostname()
    for host in ("localhost:1", "127.0.0.2", "192.0.2.7:80", "[2001:db8::7]:80", own, f"{own}:80"):
        assert server.get("/search", q="pear", headers={"Host": host}).status == 200


@pytest.mark.parametrize("more", [{"key": KEY}, {"host": "0.0.0.0", "no_key": True}])
def test_a_name_given_shuts_out_no_loopback(start, more):
    server = start(allowed_hosts=("search.example",), **more)
    for host in ("localhost", "127.0.0.1:80", "[::1]:80", "search.example"):
        answer = server.get("/search", q="pear", headers={"Host": host, "X-API-Key": KEY})
        assert answer.status == 200
    refused = server.get("/search", q="pear", headers={"Host": "evil.example", "X-API-Key": KEY})
    assert refused.status == 421


def test_who_has_no_key_takes_no_place(start, held):
    server = start(key=KEY, max_concurrent=1)
    with ThreadPoolExecutor(1) as pool:
        go = held(server)
        waits = pool.submit(server.get, "/search", q="pear", headers={"X-API-Key": KEY})
        until(lambda: server.service.in_flight == 1)
        assert server.get("/search", q="pear").status == 401  # not 503
        assert server.service.in_flight == 1
        go.set()
        assert waits.result().status == 200


def test_queries_that_wait_are_weighed_together(start, held):
    server = start()
    asked = ["pear", "apple", "plum", "car"]
    alone = [server.get("/search", q=q).json["hits"] for q in asked]
    count, total = (f'sparse_ir_batch_queries_{n}{{stage="encode"}}' for n in ("count", "sum"))
    go = held(server)
    batches, queries = server.figure(count), server.figure(total)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(server.get, "/search", q=q) for q in asked]
        until(lambda: server.figure('sparse_ir_queue_length{stage="encode"}') == 4)
        go.set()
        found = [answer.result().json["hits"] for answer in answers]
    assert server.figure(count) == batches + 2  # that which held the thread, and all four
    assert server.figure(total) == queries + 5
    assert [[h["doc_id"] for h in hits] for hits in found] == [
        [h["doc_id"] for h in hits] for hits in alone
    ]


def test_with_batching_off_each_query_is_weighed_alone(start, held):
    server = start(max_batch=1)
    go = held(server)
    count = 'sparse_ir_batch_queries_count{stage="encode"}'
    before = server.figure(count)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(server.get, "/search", q="pear") for _ in range(3)]
        until(lambda: server.figure('sparse_ir_queue_length{stage="encode"}') == 3)
        go.set()
        assert [a.result().status for a in answers] == [200] * 3
    assert server.figure(count) == before + 4


def test_more_requests_than_may_be_are_told_to_come_again(start, held):
    server = start(max_concurrent=2)
    go = held(server)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(server.get, "/search", q="pear") for _ in range(2)]
        until(lambda: server.service.in_flight == 2)
        refused = server.get("/search", q="apple")
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert "too many requests" in refused.json["error"]
        assert server.get("/health").status == 200
        go.set()
        assert [a.result().status for a in answers] == [200, 200]


def test_a_request_that_takes_too_long_is_given_up_and_its_work_is_not_done(start, held):
    server = start(timeout=0.2)
    go = held(server)
    answer = server.get("/search", q="pear")
    assert answer.status == 504
    assert "no answer within 0.2 seconds" in answer.json["error"]
    total = 'sparse_ir_batch_queries_sum{stage="encode"}'
    before = server.figure(total)
    go.set()
    until(lambda: server.get("/search", q="pear").status == 200)
    assert server.figure(total) == before + 2  # that which held the thread, and the last


def test_work_for_a_client_that_left_is_not_done(start, held):
    server = start()
    go = held(server)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /search?q=pear HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: server.figure('sparse_ir_queue_length{stage="encode"}') == 1)
    until(lambda: server.service.in_flight == 0)
    assert server.figure('sparse_ir_requests_total{route="/search",status="499"}') == 1
    go.set()
    until(lambda: server.figure('sparse_ir_queue_length{stage="encode"}') == 0)
    assert server.figure('sparse_ir_batch_queries_sum{stage="search"}') == 0


def test_a_body_is_refused(server):
    for method in ("GET", "POST"):
        answer = server.request(method, "/search?q=pear", body=b"x" * 10)
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
    chunked = b"GET /search?q=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(server, chunked).startswith(b"HTTP/1.1 413")
    huge = (
        b"POST /internal/engine/get HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    )
    assert raw(server, huge).startswith(b"HTTP/1.1 413")


def test_a_url_and_headers_have_limits(start):
    server = start(max_query_chars=100)
    assert server.settings.max_url_bytes == 8192 + 2400
    assert server.get("/search", q="a" * 10_600).status == 414
    assert server.get("/search", q="a" * 101).status == 413
    assert server.get("/search", q="pear", headers={"X-Long": "a" * 20_000}).status == 200
    # never complete, and more than is kept of it
    endless = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000
    assert raw(server, endless)[:12] in (b"HTTP/1.1 400", b"")
    until(lambda: not server.server.server_state.connections)


def test_nonsense_is_refused_and_other_methods_too(server):
    assert raw(server, b"\x16\x03\x01\x00\x05 hello\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert server.request("DELETE", "/search?q=pear").status == 405


def test_a_client_that_sends_too_slowly_is_cut_off(start):
    server = start(read_timeout=0.3)
    assert raw(server, b"").startswith(b"HTTP/1.1 408")
    assert raw(server, b"GET /search?q=pear HTTP/1.1\r\nHost: loc").startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as drip:
        drip.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r".*"):  # noqa: PT012 - a byte now and then
            for _ in range(200):
                drip.sendall(b"x")
                time.sleep(0.02)
                drip.setblocking(False)
                try:
                    if drip.recv(1000):
                        raise OSError("answered")
                except BlockingIOError:
                    drip.setblocking(True)
    assert server.figure('sparse_ir_connections_cut_total{reason="slow to send"}') == 3
    assert server.get("/search", q="pear").status == 200


def test_a_client_that_does_not_read_is_cut_off(start):
    server = start(write_timeout=0.3)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", server.port))
        target = "/search?q=" + "a" * 9000 + "&k=100"
        ask = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        cut = 'sparse_ir_connections_cut_total{reason="slow to read"}'
        with pytest.raises(OSError, match=r".*"):  # noqa: PT012 - until nothing goes any more
            for _ in range(3000):
                deaf.sendall(ask)
        until(lambda: server.figure(cut) == 1)
    until(lambda: not server.server.server_state.connections)


def test_one_connection_too_many_is_cut_off(start):
    server = start(max_connections=2)
    first, second = (socket.create_connection(("127.0.0.1", server.port)) for _ in range(2))
    with first, second:
        until(lambda: len(server.server.server_state.connections) == 2)
        assert raw(server, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        assert server.figure('sparse_ir_connections_cut_total{reason="too many"}') == 1
    until(lambda: not server.server.server_state.connections)
    assert server.get("/health").status == 200


def test_a_failure_inside_is_one_line_without_details(start, caplog):
    server = start()
    caplog.set_level("CRITICAL")

    def broken(*_):
        raise RuntimeError("secret details")

    server.service.indexes["fruit"].ask = broken
    answer = server.get("/search", q="pear")
    assert answer.status == 500
    assert answer.json == {"error": "the server failed; its log says how."}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_beyond_this_machine_a_key_or_a_word_is_needed(host):
    assert not is_loopback(host)
    with pytest.raises(ConfigError, match="--no-key"):
        ServeSettings(host=host)
    assert ServeSettings(host=host, no_key=True).host == host
    assert ServeSettings(host=host, key=KEY).host == host


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]"])
def test_this_machine_needs_none(host):
    assert is_loopback(host)
    assert ServeSettings(host=host).key == ""


@pytest.mark.parametrize("key", ["short", "with a blank in the middle", "ключключключключ"])
def test_a_weak_key_is_refused_and_not_repeated(key):
    with pytest.raises(ConfigError, match="16 to 512 characters") as refused:
        ServeSettings(key=key)
    assert key not in str(refused.value)
