"""A bulk is written once in effect, whatever a server says to its parts."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sparse_ir.engines import connection as connection_module
from sparse_ir.engines.bulk import Action, BulkSettings, Gate, batches, write
from sparse_ir.engines.connection import Connection
from sparse_ir.engines.transport import Answer, ConnectionLostError
from sparse_ir.errors import EngineError

BLOCK = {"type": "cluster_block_exception", "reason": "disk usage exceeded flood-stage watermark"}
REJECTED = {"type": "es_rejected_execution_exception", "reason": "rejected execution"}
REFUSED = {"type": "mapper_parsing_exception", "reason": "no such field"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    monkeypatch.setattr(connection_module, "_FIRST_WAIT", 0.0005)
    monkeypatch.setattr(connection_module, "_LONGEST_WAIT", 0.002)


def action(doc_id, value, size=0):
    head = json.dumps({"index": {"_id": doc_id}})
    source = json.dumps({"value": value, "filler": "x" * size})
    return Action(doc_id, f"{head}\n{source}\n".encode())


class Server:
    """Holds documents by id, and answers by a script; after its end it takes everything.

    Attributes:
        documents: Id -> value.
        largest: Requests at the same time, at most.
        sent: Items of each request.
    """

    def __init__(self, script=(), *, refused=(), most_bytes=None, slow=0.0):
        self.documents = {}
        self.largest = 0
        self.sent = []
        self.bodies = []
        self._script = list(script)
        self._refused = frozenset(refused)
        self._most_bytes = most_bytes
        self._slow = slow
        self._under_way = 0
        self._lock = threading.Lock()

    def send(self, *_, body, **__):
        with self._lock:
            self._under_way += 1
            self.largest = max(self.largest, self._under_way)
            self.sent.append(body.count(b"\n") // 2)
            self.bodies.append(len(body))
            said = self._script.pop(0) if self._script else "take"
        if self._slow:
            threading.Event().wait(self._slow)
        try:
            return self._answer(said, body)
        finally:
            with self._lock:
                self._under_way -= 1

    def close(self):
        pass

    def _answer(self, said, body):
        if self._most_bytes is not None and len(body) > self._most_bytes:
            return Answer(413, None)
        if said == "lost before":
            raise ConnectionLostError("lost")
        if said in (429, 502, 503, 504):
            return Answer(said, {"error": REJECTED, "status": said})
        if said == "blocked":
            return Answer(403, {"error": BLOCK, "status": 403})
        items = self._items(said, body)
        if said == "lost after":
            raise ConnectionLostError("lost")
        if said == "fewer items":
            items = items[:-1]
        if said == "no JSON":
            return Answer(200, "<html>")
        return Answer(200, {"errors": any("error" in i["index"] for i in items), "items": items})

    def _items(self, said, body):
        lines = body.split(b"\n")[:-1]
        items = []
        for i, (head, source) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
            doc_id = json.loads(head)["index"]["_id"]
            if said == "some busy" and i % 2 == 0:
                items.append({"index": {"status": 429, "error": REJECTED}})
            elif said == "some red" and i % 3 == 0:
                items.append({"index": {"status": 503, "error": REJECTED}})
            elif said == "some blocked" and i % 2:
                items.append({"index": {"status": 403, "error": BLOCK}})
            elif doc_id in self._refused:
                items.append({"index": {"status": 400, "error": REFUSED}})
            else:
                with self._lock:
                    self.documents[doc_id] = json.loads(source)["value"]
                items.append({"index": {"status": 201, "result": "created"}})
        return items


ANSWERS = [
    429, 502, 503, 504, "blocked", "lost before", "lost after", "fewer items", "no JSON",
    "some busy", "some red", "some blocked", "take",
]  # fmt: skip


def bulk(server, actions, gate=None, **settings):
    """Write, and return every result and failure."""
    connection = Connection(server, "http://it")
    done = list(write(connection, "/i/_bulk", actions, BulkSettings(**settings), gate))
    results = [result for one in done for result in one.results]
    return results, [failure for one in done for failure in one.failures]


@hypothesis_settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    ids=st.lists(st.integers(0, 40).map(str), max_size=80),
    script=st.lists(st.sampled_from(ANSWERS), max_size=25),
    refused=st.sets(st.integers(0, 40).map(str), max_size=5),
    most_bytes=st.sampled_from([None, 60, 200, 1000]),
    documents=st.integers(1, 9),
    in_flight=st.integers(1, 5),
)
def test_every_document_is_in_once_and_the_later_write_wins(
    ids, script, refused, most_bytes, documents, in_flight
):
    server = Server(script, refused=refused, most_bytes=most_bytes)
    actions = [action(doc_id, value) for value, doc_id in enumerate(ids)]
    too_large = {a.doc_id for a in actions if most_bytes and len(a.body) > most_bytes}
    results, failures = bulk(server, actions, documents=documents, in_flight=in_flight)
    last = {doc_id: value for value, doc_id in enumerate(ids)}
    sizes = {a.doc_id: len(a.body) for a in actions}  # of the last write of each
    assert too_large >= {i for i, size in sizes.items() if most_bytes and size > most_bytes}
    for doc_id, value in last.items():
        if doc_id not in refused and doc_id not in too_large:
            assert server.documents[doc_id] == value
    assert server.documents.keys() <= last.keys() - refused
    assert {f.doc_id for f in failures} <= refused | too_large
    assert {f.doc_id for f in failures} >= (refused & last.keys()) - too_large
    assert len(results) + len(failures) >= len(last)
    assert server.largest <= in_flight


@pytest.mark.parametrize("answer", [a for a in ANSWERS if a != "take"])
def test_each_kind_of_trouble_is_tried_again(answer):
    server = Server([answer] * 3)
    results, failures = bulk(server, [action(str(i), i) for i in range(10)])
    assert (len(results), failures) == (10, [])
    assert server.documents == {str(i): i for i in range(10)}


def test_only_what_was_refused_for_now_is_sent_again():
    server = Server(["some busy", "some busy"])
    bulk(server, [action(str(i), i) for i in range(10)])
    assert server.sent == [10, 5, 3]


def test_a_failure_carries_the_servers_reason():
    _, failures = bulk(Server(refused={"b"}), [action("a", 1), action("b", 2)])
    assert failures == [("b", "mapper_parsing_exception: no such field")]


def test_a_request_too_large_is_halved_until_it_fits_and_one_document_is_refused():
    server = Server(most_bytes=400)
    actions = [action(str(i), i) for i in range(8)] + [action("big", 9, size=500)]
    _, failures = bulk(server, actions)
    assert [f.doc_id for f in failures] == ["big"]
    assert server.documents == {str(i): i for i in range(8)}
    assert max(size for size in server.bodies if size <= 400) > 0


def test_a_run_ends_with_one_clear_line_when_nothing_is_taken_for_long():
    server = Server(["blocked"] * 100_000)
    with pytest.raises(EngineError, match=r"took nothing for 0 s \(disk usage .*--resume"):
        bulk(server, [action("a", 1)], patience=0.05)


def test_patience_counts_from_the_last_document_taken():
    # one of ten gets in a time; together that takes longer than the patience
    server = Server(["some busy"] * 6, slow=0.03)
    results, _ = bulk(server, [action(str(i), i) for i in range(64)], patience=0.1)
    assert len(results) == 64


def test_a_request_refused_whole_ends_the_run_with_the_servers_words():
    class Forbidding(Server):
        def _answer(self, *_):
            error = {"type": "security_exception", "reason": "action is unauthorized"}
            return Answer(403, {"error": error, "status": 403})

    with pytest.raises(EngineError, match=r"403.*action is unauthorized"):
        bulk(Forbidding(), [action("a", 1)])


def test_no_more_is_read_than_is_in_flight_and_one_batch():
    read = []
    taken = threading.Semaphore(0)

    class Holding(Server):
        def _answer(self, said, body):
            taken.acquire(timeout=30)
            return super()._answer(said, body)

    def actions():
        for i in range(1000):
            read.append(i)
            yield action(str(i), i)

    server = Holding()
    settings = BulkSettings(documents=10, in_flight=3)
    done = write(Connection(server, "it"), "/i/_bulk", actions(), settings)
    ahead = []
    for _ in range(100):
        taken.release()
        next(done)
        ahead.append(len(read) - len(server.documents))
    assert max(ahead) <= 10 * (3 + 1)
    assert server.documents == {str(i): i for i in range(1000)}
    assert list(done) == []


def test_a_refusal_lowers_the_pressure_and_success_raises_it_again():
    gate = Gate(8)
    gate.enter()
    gate.leave(busy=True, progress=False)
    assert gate.allowed == 4
    for _ in range(16):
        gate.enter()
        gate.leave(busy=False, progress=True)
    assert gate.allowed == 8
    for _ in range(10):
        gate.enter()
        gate.leave(busy=True, progress=False)
    assert gate.allowed == 1


def test_writes_that_share_a_gate_share_its_limit():
    server = Server(slow=0.005)
    gate = Gate(2)
    threads = [
        threading.Thread(
            target=bulk,
            args=(server, [action(f"{n}-{i}", i) for i in range(20)], gate),
            kwargs={"documents": 2, "in_flight": 4},
        )
        for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.documents) == 60
    assert server.largest <= 2


def test_an_interruption_ends_a_write_that_waits():
    server = Server(["blocked"] * 100_000)
    connection = Connection(server, "http://it")
    threading.Timer(0.05, connection.interrupted.set).start()
    with pytest.raises(EngineError, match="interrupted"):
        list(write(connection, "/i/_bulk", [action("a", 1)], BulkSettings()))


def test_a_write_that_is_let_go_of_sends_nothing_more():
    server = Server()
    connection = Connection(server, "http://it")
    many = (action(str(i), i) for i in range(1000))
    done = write(connection, "/i/_bulk", many, BulkSettings(documents=1, in_flight=2))
    next(done)
    done.close()
    sent = len(server.sent)
    assert sent < 10
    assert len(server.sent) == sent


@given(sizes=st.lists(st.integers(0, 300), max_size=40), most=st.integers(50, 500))
def test_batches_keep_to_both_limits_unless_one_document_exceeds_them(sizes, most):
    actions = [action(str(i), i, size) for i, size in enumerate(sizes)]
    made = list(batches(actions, BulkSettings(documents=7, bytes=most)))
    assert [a for batch in made for a in batch] == actions
    for batch in made:
        assert len(batch) <= 7
        assert len(batch) == 1 or sum(len(a.body) for a in batch) <= most
