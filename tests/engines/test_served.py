"""Who answers for an index that this process cannot open."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sparse_ir.engines import served
from sparse_ir.engines.base import SearchRequest, TwoStep
from sparse_ir.engines.filters import parse_filter
from sparse_ir.errors import EngineError, IndexLockedError
from sparse_ir.types import Document, Entry, ScoredDoc


@pytest.fixture
def of_another(tmp_path):
    """A note by a process that lives: the one that started this one."""

    def write(**changes):
        values = {"url": "http://127.0.0.1:9", "token": "t", "label": "docs",
                  "pid": os.getppid(), "started": served._started(os.getppid())}  # fmt: skip
        path = tmp_path / served.FILE
        path.write_text(json.dumps(values | changes))
        path.chmod(0o600)
        return path

    return write


def test_a_note_says_who_holds_an_index(tmp_path, of_another):
    assert served.holder(tmp_path) is None
    of_another()
    held = served.holder(tmp_path)
    assert held is not None
    assert (held.url, held.label) == ("http://127.0.0.1:9", "docs")


def test_a_process_does_not_ask_itself_and_takes_only_its_own_note_away(tmp_path, of_another):
    held = served.announce(tmp_path, url="http://127.0.0.1:9", token="t", label="docs")
    assert (tmp_path / served.FILE).stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [served.FILE]
    assert served.holder(tmp_path) is None
    path = of_another()
    served.withdraw(tmp_path, held)
    assert path.exists()
    held = served.announce(tmp_path, url="http://127.0.0.1:9", token="t", label="docs")
    served.withdraw(tmp_path, held)
    assert not path.exists()


@pytest.mark.parametrize("changes", [{"started": 1.0}, {"pid": 2**30}, {"pid": "x"}, {"url": None}])
def test_a_note_of_a_process_that_is_gone_is_not_heeded(tmp_path, of_another, changes):
    of_another(**changes)
    held = served.holder(tmp_path)
    assert held is None or held.url == "None"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"x"', "\xff"])
def test_a_damaged_note_is_not_heeded(tmp_path, of_another, text):
    of_another().write_text(text, encoding="latin-1")
    assert served.holder(tmp_path) is None


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_note_that_others_may_read_or_that_is_a_link_is_not_heeded(tmp_path, of_another):
    path = of_another()
    path.chmod(0o644)
    assert served.holder(tmp_path) is None
    path.chmod(0o600)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert served.holder(tmp_path) is None


def test_one_that_does_not_answer_is_named(tmp_path, of_another):
    of_another()
    index = served.HeldIndex("docs", served.holder(tmp_path))
    with pytest.raises(IndexLockedError, match=r"at http://127.0.0.1:9, which does not answer"):
        index.stats()


def test_a_clock_that_was_set_a_little_changes_no_process(tmp_path, of_another):
    began = served._started(os.getppid())
    of_another(started=began + 1.5)
    assert served.holder(tmp_path) is not None
    of_another(started=began - 3)
    assert served.holder(tmp_path) is None


@pytest.mark.parametrize(("busy", "fails"), [(2, False), (9, True)])
def test_a_busy_server_is_asked_again_a_few_times(tmp_path, of_another, monkeypatch, busy, fails):
    monkeypatch.setattr(served, "_BUSY_WAITS", (0.0, 0.0, 0.0))
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            good = len(asked) > busy
            body = b'{"result": [4, 100]}' if good else b'{"error": "too many requests"}'
            self.send_response(200 if good else 503)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        of_another(url=f"http://127.0.0.1:{server.server_port}")
        index = served.HeldIndex("docs", served.holder(tmp_path))
        try:
            if fails:
                with pytest.raises(EngineError, match="which says: too many requests"):
                    index.stats()
            else:
                assert index.stats() == (4, 100)
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/internal/engine/stats"] * (4 if fails else 3)


@pytest.mark.parametrize(
    "request_",
    [
        SearchRequest({"a": 1.5}),
        SearchRequest({"a": 0.1, "b\ud800": 2.0}, k=3, offset=2, vectors=True, documents=False),
        SearchRequest({"a": 1.0}, filter=parse_filter(["lang=en|de", "year>=2020"])),
        SearchRequest({"a": 1.0}, two_step=TwoStep(0.5, 3.0, 20), text="x", server_pruning=True),
    ],
)
def test_requests_come_through_as_they_are(request_):
    sent = json.loads(json.dumps(served.request_to_json(request_)))
    assert served.request_from_json(sent) == request_


@pytest.mark.parametrize("values", [{}, {"filter": [["no", "x"]]}, {"filter": [], "what": 1}])
def test_what_is_no_request_is_refused(values):
    with pytest.raises(ValueError, match="no search request"):
        served.request_from_json(values)


def test_hits_and_documents_come_through_as_they_are():
    document = Document("d\ud83d", "text", "title", {"year": 2001, "tags": ["a", 1.5, None]})
    hits = [ScoredDoc("d", 0.1 + 0.2, document, {"a": 1 / 3}), ScoredDoc("e", 1.0)]
    sent = json.loads(json.dumps([served.hit_to_json(h) for h in hits]))
    assert [served.hit_from_json(h) for h in sent] == hits
    entry = Entry(document, {"a": 0.5})
    sent = json.loads(json.dumps(served.entry_to_json(entry)))
    assert served.entry_from_json(sent) == entry
