"""A run that is stopped, however rudely, goes on and ends like one that was not."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError, EngineError, InputError
from sparse_ir.indexing.build import written_alone
from sparse_ir.indexing.changes import update_index
from sparse_ir.indexing.index import IndexSettings, index_corpus

DOCUMENTS = 600
CHUNK = 20


@pytest.fixture
def corpus(write_jsonl):
    words = ["apple", "pear", "plum", "cherry", "grape", "melon", "fig", "date", "lime", "kiwi"]
    rows = [
        {"_id": f"d{i}", "text": " ".join(words[j] for j in range(10) if i >> j & 1) or "none"}
        for i in range(DOCUMENTS)
    ]
    return write_jsonl("corpus.jsonl", rows)


def settings(corpus, index="default", **changes):
    base = {"corpus": str(corpus), "index": index, "model": "bm25", "chunk_documents": CHUNK}
    return IndexSettings(**base | changes)


def content(index):
    engine = open_engine("embedded")
    try:
        return {e.document.doc_id: (e.document, e.vector) for e in engine.scan(index)}
    finally:
        engine.close()


class StopError(Exception):
    """Stands for whatever ends a run."""


def stop_after(documents):
    seen = [0]

    def advance(n):
        seen[0] += n
        if seen[0] >= documents:
            raise StopError

    return advance


def test_a_stopped_run_goes_on_without_encoding_again(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    report = index_corpus(settings(corpus, resume=True))
    assert report.documents == DOCUMENTS
    assert 0 < report.encoded < DOCUMENTS
    index_corpus(settings(corpus, index="whole"))
    assert content("default") == content("whole")


def test_a_stopped_run_is_not_started_over_by_accident(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    with pytest.raises(ConfigError, match="--resume"):
        index_corpus(settings(corpus))


def test_a_corpus_that_cannot_be_read_costs_no_model_and_leaves_nothing(sparse_ir, write_jsonl):
    bad = write_jsonl("bad.jsonl", [{"_id": "a"}, {"_id": "b", "text": "plum"}])
    for corpus in ("missing.jsonl", bad):
        outcome = sparse_ir("index", "--corpus", corpus, "--index", "x", "--model", "no/model")
        assert outcome.exit_code == 3, outcome.err  # 4 were the model's
    with open_engine("embedded") as engine:
        assert engine.builds("x") == []


def test_a_build_that_holds_nothing_yet_is_started_over_by_the_same_command(sparse_ir, write_jsonl):
    rows = [{"_id": "a", "text": "apple"}, {"_id": "b"}]
    command = ("index", "--index", "x", "--model", "default", "--corpus")
    assert sparse_ir(*command, write_jsonl("x.jsonl", rows)).exit_code == 3
    for asked in (("search", "--index", "x", "apple"), ("inspect", "x")):
        outcome = sparse_ir(*asked)
        assert outcome.exit_code == 5
        assert "index 'x' in" in outcome.err
        assert "is not finished" in outcome.err
    rows[1]["text"] = "plum"
    assert sparse_ir(*command, write_jsonl("x.jsonl", rows)).exit_code == 0


def test_an_index_that_was_never_finished_can_be_deleted(corpus, sparse_ir):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    outcome = sparse_ir("delete", "--everything", "--yes")
    assert (outcome.exit_code, outcome.out) == (0, "Deleted index 'default'.\n")
    assert index_corpus(settings(corpus)).encoded == DOCUMENTS


def test_replace_throws_a_stopped_run_away(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    assert index_corpus(settings(corpus, replace=True)).encoded == DOCUMENTS


@pytest.mark.parametrize("resume", [False, True])
def test_replace_gets_past_a_damaged_ledger(corpus, own_home, resume):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    (ledger,) = (own_home / "state").rglob("default.jsonl")
    ledger.write_bytes(b"{broken\n" + ledger.read_bytes())
    with pytest.raises(InputError, match="start the run again with --replace"):
        index_corpus(settings(corpus, resume=True))
    assert index_corpus(settings(corpus, resume=resume, replace=True)).encoded == DOCUMENTS


def test_resume_with_other_settings_is_refused(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    with pytest.raises(ConfigError, match="document_pruning"):
        index_corpus(settings(corpus, resume=True, document_pruning="top_k=2"))


def test_resume_with_another_corpus_is_refused(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    rows = corpus.read_text().splitlines()
    rows[3] = json.dumps({"_id": "d3", "text": "changed meanwhile"})
    corpus.write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match="not the one this run was started with"):
        index_corpus(settings(corpus, resume=True))


def test_resume_and_replace_start_again_where_the_corpus_has_changed(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(200))
    rows = corpus.read_text().splitlines()
    rows[3] = json.dumps({"_id": "d3", "text": "changed meanwhile"})
    corpus.write_text("\n".join(rows) + "\n")
    report = index_corpus(settings(corpus, resume=True, replace=True))
    assert report.encoded == report.documents == DOCUMENTS
    index_corpus(settings(corpus, index="whole"))
    assert content("default") == content("whole")


def test_resume_of_a_finished_index_does_nothing(corpus):
    index_corpus(settings(corpus))
    assert index_corpus(settings(corpus, resume=True)).encoded == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"corpus": "python-docs"}, "its corpus was"),
        ({"model": "default"}, "its model was"),
        ({"document_pruning": "top_k=1"}, "its document_pruning was '', not 'top_k=1'"),
        ({"passages": "max"}, "its passages was ''"),
    ],
)
def test_resume_of_an_index_that_was_finished_with_other_settings_is_refused(corpus, changed, said):
    index_corpus(settings(corpus))
    with pytest.raises(ConfigError, match=said):
        index_corpus(replace(settings(corpus, resume=True), **changed))


def test_resume_of_nothing_starts(corpus):
    assert index_corpus(settings(corpus, resume=True)).encoded == DOCUMENTS


def test_the_old_index_serves_until_the_new_one_is_whole(corpus, write_jsonl):
    index_corpus(settings(corpus))
    other = write_jsonl("other.jsonl", [{"_id": f"x{i}", "text": "apple"} for i in range(100)])
    with pytest.raises(StopError):
        index_corpus(settings(other, replace=True), advance=stop_after(50))
    assert len(content("default")) == DOCUMENTS
    index_corpus(settings(other, resume=True))
    assert set(content("default")) == {f"x{i}" for i in range(100)}


def test_an_index_is_not_replaced_by_one_for_which_nothing_was_read(corpus, monkeypatch):
    index_corpus(settings(corpus))
    monkeypatch.setattr("sparse_ir.indexing.index.read_documents", lambda *a, **o: iter(()))
    with pytest.raises(EngineError, match="no document was read"):
        index_corpus(settings(corpus, replace=True))
    assert len(content("default")) == DOCUMENTS


def test_two_runs_of_one_index_are_kept_apart(corpus):
    index_corpus(settings(corpus))
    with open_engine("embedded") as engine, written_alone(engine, "default"):
        with pytest.raises(ConfigError, match="another run is writing index 'default'"):
            index_corpus(settings(corpus, replace=True))
        with pytest.raises(ConfigError, match="another run is writing index 'default'"):
            update_index(settings(corpus))
        assert index_corpus(settings(corpus, index="other")).documents == DOCUMENTS
    assert update_index(settings(corpus)).unchanged == DOCUMENTS


def start(corpus, home, *options):
    command = [
        sys.executable, "-m", "sparse_ir", "index", "--corpus", str(corpus), "--model", "bm25",
        "--chunk-documents", str(CHUNK), *options,
    ]  # fmt: skip
    environment = {**os.environ, "SPARSE_IR_HOME": str(home)}
    return subprocess.Popen(
        command,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background job ignores Ctrl-C, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_chunks(home, process, count):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        ledgers = list((home / "state").rglob("*.jsonl")) if (home / "state").exists() else []
        if any(ledger.read_bytes().count(b"\n") > count for ledger in ledgers):
            return
        time.sleep(0.005)
    pytest.fail(f"no {count} chunks in time (exit code {process.poll()})")


@pytest.mark.parametrize("chunks", [1, 7])
def test_kill_9_in_the_middle_then_resume_equals_an_uninterrupted_run(corpus, own_home, chunks):
    process = start(corpus, own_home)
    wait_for_chunks(own_home, process, chunks)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    report = index_corpus(settings(corpus, resume=True))
    assert report.documents == DOCUMENTS
    assert report.encoded <= DOCUMENTS - chunks * CHUNK
    index_corpus(settings(corpus, index="whole"))
    assert content("default") == content("whole")


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(corpus, own_home, number, exit_code):
    process = start(corpus, own_home)
    wait_for_chunks(own_home, process, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == exit_code
    last = err.strip().splitlines()[-1]
    assert "What is in is kept. Go on with: sparse-ir index --corpus" in last
    assert last.endswith("--resume")
    resumed = start(corpus, own_home, "--resume")
    resumed.communicate(timeout=60)
    assert resumed.returncode == 0
    assert len(content("default")) == DOCUMENTS


@pytest.mark.parametrize("stopped", ["limit", "shorter"])
def test_bm25_of_a_stopped_run_is_not_taken_for_more_documents(corpus, write_jsonl, stopped):
    """With --resume and --replace, as recipes say it, words of the rest are known as well."""
    lines = corpus.read_text().splitlines()
    extra = json.dumps({"_id": "last", "text": "quince"})
    first = settings(corpus, resume=True, replace=True)
    if stopped == "limit":
        corpus.write_text("\n".join([*lines, extra]) + "\n")
        first = settings(corpus, resume=True, replace=True, limit=DOCUMENTS)
    with pytest.raises(StopError):
        index_corpus(first, advance=stop_after(100))
    corpus.write_text("\n".join([*lines, extra]) + "\n")
    index_corpus(settings(corpus, resume=True, replace=True))
    assert set(content("default")["last"][1]) == {"quinc"}


def test_a_corpus_that_has_grown_is_not_gone_on_with(corpus):
    with pytest.raises(StopError):
        index_corpus(settings(corpus), advance=stop_after(100))
    with corpus.open("a") as stream:
        stream.write(json.dumps({"_id": "last", "text": "quince"}) + "\n")
    with pytest.raises(InputError, match=r"it had [\d,]+ bytes and has [\d,]+\)"):
        index_corpus(settings(corpus, resume=True))


def _bad_line(lines):
    return "".join([*lines[:6], '{"_id": "d6"\n', *lines[7:]]).encode()


def _cut_gzip(lines):
    whole = gzip.compress("".join(lines).encode())
    return whole[: len(whole) * 7 // 10]  # of eight lines: in the sixth


@pytest.mark.parametrize(
    ("name", "damaged", "said"),
    [
        ("c.jsonl", _bad_line, r"c\.jsonl, line 7"),
        ("c.jsonl.gz", _cut_gzip, r"c\.jsonl\.gz, line 6: its gzip data is cut short"),
    ],
)
def test_a_corpus_that_was_damaged_in_the_middle_is_mended_and_gone_on_with(
    tmp_path, name, damaged, said
):
    draw = random.Random(3)
    texts = ["".join(draw.choices("abcdefghij ", k=100_000)) for _ in range(8)]
    lines = [json.dumps({"_id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(texts)]
    path = tmp_path / name
    path.write_bytes(damaged(lines))
    first = settings(path, model=None, chunk_documents=2)
    with pytest.raises(InputError, match=said):
        index_corpus(first)
    mended = "".join(lines).encode()
    path.write_bytes(gzip.compress(mended) if name.endswith("gz") else mended)
    report = index_corpus(replace(first, resume=True))
    assert report.documents == 8
    assert 0 < report.encoded < 8  # what came before the damage was kept
    with open_engine("embedded") as engine:
        held = [entry.document.doc_id for entry in engine.scan("default")]
    assert sorted(held) == [f"d{i}" for i in range(8)]
    index_corpus(replace(first, index="whole"))
    assert content("default") == content("whole")
