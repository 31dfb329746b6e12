"""The command as a process: other commands ask it, and SIGTERM lets it finish."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import IndexLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


class Process:
    """``sparse-ir serve`` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sparse_ir", "serve", "--port", "0", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.lines: list[str] = []
        self._url = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._url.wait(120), self.lines
        (serving,) = (line for line in self.lines if line.startswith("Serving "))
        self.port = int(re.search(r":(\d+) ", serving)[1])

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)
            if line.startswith("Serving "):
                self._url.set()
        self._url.set()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, target: str) -> tuple[int, dict]:
        connection = self.connection()
        connection.request("GET", target)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body


@pytest.fixture
def own(engine: str, tmp_path: Path) -> str:
    """A copy of the others' engine: one process holds an index alone."""
    folder = tmp_path / "indexes"
    shutil.copytree(engine.partition(":")[2], folder)
    return f"embedded:{folder}"


@pytest.fixture
def served(own: str) -> Iterator[Process]:
    running = Process("--index", "fruit", "--engine", own)
    yield running
    if running.process.poll() is None:
        running.process.kill()
    running.process.wait(60)
    running.process.stderr.close()


@pytest.mark.slow
def test_other_commands_ask_the_server_and_sigterm_drains(
    served, sparse_ir, own, tmp_path, write_jsonl
):
    note = Path(own.partition(":")[2]) / "fruit" / "served.json"
    held = json.loads(note.read_bytes())
    assert note.stat().st_mode & 0o777 == 0o600
    assert held["pid"] == served.process.pid
    assert held["url"] == f"http://127.0.0.1:{served.port}"

    # the same lines and numbers as without a server
    asked = ("search", "sweet pear", "--engine", own, "--index")
    assert sparse_ir(*asked, "fruit").out == sparse_ir(*asked, "more").out
    for more in (("--explain", "--json"), ("--filter", "year>=2002", "--offset", "1", "--json")):
        through, direct = (json.loads(sparse_ir(*asked, i, *more).out) for i in ("fruit", "more"))
        assert through == direct
    nothing = sparse_ir(*asked, "fruit", "--filter", "year>=3000")
    assert (nothing.exit_code, nothing.out[:7]) == (0, "No hit:")
    queries = write_jsonl("q.jsonl", [{"_id": f"q{i}", "text": "pear"} for i in range(40)])
    run = tmp_path / "run.trec"
    given = ("--queries", queries, "--engine", own, "--index", "fruit", "--save-run", run)
    assert sparse_ir("search", *given).exit_code == 0
    assert len({line.split()[0] for line in run.read_text().splitlines()}) == 40
    wrong = sparse_ir(*asked, "fruit", "--hybrid", "rrf")
    assert wrong.exit_code == 2
    assert "no text index" in wrong.err

    # what changes the index is refused as ever
    refused = sparse_ir("delete", "d1", "--index", "fruit", "--engine", own)
    assert refused.exit_code == IndexLockedError.exit_code
    assert f"process {served.process.pid}" in refused.err

    # a request is in flight: its body is not whole yet
    body = json.dumps({"index": held["label"], "doc_ids": ["d1"]}).encode()
    slow = served.connection()
    slow.putrequest("POST", "/internal/engine/get")
    slow.putheader("Authorization", f"Bearer {held['token']}")
    slow.putheader("Content-Length", str(len(body)))
    slow.endheaders(body[:5])
    while "sparse_ir_requests_in_flight 1.0" not in figures(served):
        pass
    served.process.send_signal(signal.SIGTERM)
    while (state := served.get("/health"))[0] == 200:
        pass
    assert state == (503, {"status": "draining"})
    assert served.get("/search?q=pear") == (503, {"error": "the server is stopping."})
    slow.send(body[5:])
    answer = slow.getresponse()
    assert answer.status == 200
    assert json.loads(answer.read())["result"][0][0][0] == "d1"
    slow.close()
    assert served.process.wait(60) == 0
    assert not note.exists()
    assert sparse_ir(*asked, "fruit").exit_code == 0  # the lock is free again


def figures(served: Process) -> str:
    connection = served.connection()
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


@pytest.mark.slow
def test_a_server_that_was_killed_leaves_a_note_that_nobody_heeds(served, own):
    note = Path(own.partition(":")[2]) / "fruit" / "served.json"
    served.process.kill()
    served.process.wait(60)
    assert note.exists()
    with open_engine(own) as opened:
        assert opened.stats("fruit").documents == 4
    again = Process("--index", "fruit", "--engine", own)
    try:
        assert json.loads(note.read_bytes())["pid"] == again.process.pid
    finally:
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(60) == 0
        again.process.stderr.close()
    assert not note.exists()


def test_bad_starts_get_one_line(sparse_ir, engine, tmp_path, monkeypatch, server):
    def error(*arguments):
        done = sparse_ir("serve", "--engine", engine, *arguments)
        assert done.exit_code != 0
        assert len(done.err.strip().splitlines()) == 1, done.err
        return done.err

    assert "can be reached from other machines" in error("--host", "0.0.0.0")
    assert "there is no index 'nuts'" in error("--index", "nuts", "--port", "0")
    assert "given twice" in error("--index", "a", "--index", "a")
    taken = error("--index", "fruit", "--port", str(server.port))
    assert f"port {server.port} of 127.0.0.1 cannot be had" in taken
    key = tmp_path / "key"
    assert "does not exist (--api-key-file)" in error("--api-key-file", str(key))
    key.write_text("0123456789abcdef")
    key.chmod(0o644)
    assert "may be read by others" in error("--api-key-file", str(key))
    key.write_text("short")
    key.chmod(0o600)
    assert f"the key in {key} must have 16" in error("--api-key-file", str(key))
    monkeypatch.setenv("SPARSE_IR_SERVE_KEY", "short")
    assert "SPARSE_IR_SERVE_KEY must have 16" in error("--index", "fruit")


def test_an_index_may_be_named_in_the_settings_of_all_commands(
    sparse_ir, engine, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sparse-ir.yaml").write_text("index: nuts\n")
    done = sparse_ir("serve", "--engine", engine, "--port", "0")
    assert "there is no index 'nuts'" in done.err


def test_without_the_extra_the_command_says_how_to_get_it(sparse_ir, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "fastapi" else found(name, *a)
    )
    done = sparse_ir("serve")
    assert done.exit_code == 2
    assert done.err.strip() == (
        "Error: fastapi is not installed. Install it with: pip install 'sparse-ir[serve]'"
    )
