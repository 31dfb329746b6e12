"""Several processes encode one corpus into one folder, each the shards of its number."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sparse_ir.data.locks import writing_alone
from sparse_ir.data.shards import read_shards, shard_paths
from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.errors import ConfigError, CorpusChangedError
from sparse_ir.models.ranks import Ranks

ROWS = [{"_id": f"d{i}", "text": f"apple tree number{i % 7} of {i}"} for i in range(230)]


def rows_of(out):
    return [
        (doc_id, *(part.tolist() for part in shard.row(i)))
        for shard in read_shards(out)
        for i, doc_id in enumerate(shard.ids)
    ]


@pytest.fixture
def corpus(write_jsonl):
    return write_jsonl("c.jsonl", ROWS)


@pytest.fixture
def whole(corpus, tmp_path):
    settings = EncodeSettings(
        corpus=str(corpus), out=str(tmp_path / "whole"), model="bm25", shard_documents=2
    )
    encode(settings)
    return settings


def start(corpus, out, *more, processes=2, environment=None):
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [
        sys.executable, "-m", *(torchrun if processes > 1 else []), "sparse_ir", "encode",
        "--corpus", str(corpus), "--out", str(out), "--model", "bm25", "--shard-documents", "2",
        *more,
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def rows_of_any(out):
    return list(out.glob("vectors-*.parquet"))


def writers(out):
    """Whatever writes into the folder: torchrun's processes have sessions of their own."""
    found = []
    for pid in (path.name for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(OSError):
            if str(out) in Path("/proc", pid, "cmdline").read_text():
                found.append(int(pid))
    return found


def kill_all(out):
    for pid in writers(out):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def test_two_processes_write_the_shards_of_one_and_the_first_reports(whole, corpus, tmp_path):
    said = finish(start(corpus, tmp_path / "two"))
    assert rows_of(tmp_path / "two") == rows_of(whole.out)
    assert len(shard_paths(tmp_path / "two")) == 115
    assert said.count("holds 230 vectors in 115 shards; 230 encoded") == 1
    assert not list((tmp_path / "two").glob("ledger*"))


def test_killed_processes_go_on_in_the_same_number_alone(whole, corpus, tmp_path):
    out = tmp_path / "cut"
    process = start(corpus, out)
    while not all(
        path.exists() and path.read_text().count("\n") > 2
        for path in (out / "ledger-0-of-2.jsonl", out / "ledger-1-of-2.jsonl")
    ):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    kill_all(out)
    process.communicate()
    with pytest.raises(ConfigError, match="unfinished run"):
        encode(EncodeSettings(**{**vars(whole), "out": str(out)}))
    with pytest.raises(ConfigError, match="started with 2 processes, and these are 1"):
        encode(EncodeSettings(**{**vars(whole), "out": str(out), "resume": True}))
    finish(start(corpus, out, "--resume"))
    assert rows_of(out) == rows_of(whole.out)


@pytest.mark.parametrize("seed", range(5))
def test_a_run_on_two_workers_killed_at_any_moment_ends_the_same(whole, corpus, tmp_path, seed):
    out = tmp_path / "cut"
    process = start(corpus, out, "--devices", "cpu,cpu", processes=1)
    ledger = out / "ledger.jsonl"
    after = random.Random(seed).randrange(1, 60)
    while not (ledger.exists() and ledger.read_text().count("\n") >= after):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.kill()  # the parent alone: its workers notice and end
    process.communicate(timeout=60)
    finish(start(corpus, out, "--resume", "--devices", "cpu,cpu", processes=1))
    assert rows_of(out) == rows_of(whole.out)


def test_fewer_shards_than_processes_are_fine(corpus, tmp_path):
    finish(start(corpus, tmp_path / "few", "--limit", "15", processes=3))
    assert len(rows_of(tmp_path / "few")) == 15


@pytest.mark.parametrize(
    "more", [["--limit", "15"], ["--model", "other"], ["--shard-documents", "3"]]
)
def test_processes_that_were_not_started_alike_are_refused(corpus, tmp_path, more):
    from sparse_ir.models.bm25 import Bm25Encoder

    Bm25Encoder.fit(["other words"]).save(tmp_path / "other")
    more = [str(tmp_path / "other") if m == "other" else m for m in more]
    port = free_port()
    processes = [
        start(corpus, tmp_path / "out", *(more if rank else []), processes=1, environment={
            "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        })
        for rank in (0, 1)
    ]  # fmt: skip
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert all(process.returncode for process in processes)
    assert any("process 1 of this run was started with" in one for one in said), said
    assert not (tmp_path / "out").exists() or not rows_of_any(tmp_path / "out")


def test_two_runs_do_not_write_into_one_folder(corpus, tmp_path):
    with writing_alone(tmp_path / "out"):
        process = start(corpus, tmp_path / "out", processes=1)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"another run is writing {tmp_path / 'out'}. Wait for it" in err
    finish(start(corpus, tmp_path / "out", processes=1))


def test_processes_end_when_torchrun_is_killed(corpus, tmp_path):
    out = tmp_path / "cut"
    torchrun = start(corpus, out)
    while not (out / "ledger-0-of-2.jsonl").exists():
        assert torchrun.poll() is None, torchrun.communicate()
        time.sleep(0.002)
    torchrun.kill()
    torchrun.communicate(timeout=60)  # returns once nobody holds its pipes any more
    assert not writers(out)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"corpus": "another.jsonl"}, "corpus was"),
        ({"model": "other"}, "model was"),
        ({"limit": 5}, "limit was None, not 5"),
        ({"passages": "max"}, "passages was ''"),
    ],
)
def test_a_finished_folder_of_another_run_is_refused(whole, write_jsonl, tmp_path, change, named):
    from sparse_ir.models.bm25 import Bm25Encoder

    write_jsonl("another.jsonl", ROWS[:9])
    Bm25Encoder.fit(["other words"]).save(tmp_path / "other")
    changed = {k: str(tmp_path / v) if k in ("corpus", "model") else v for k, v in change.items()}
    with pytest.raises(ConfigError, match=named):
        encode(EncodeSettings(**{**vars(whole), **changed, "resume": True}))
    assert encode(EncodeSettings(**{**vars(whole), "resume": True})).encoded == 0


def test_a_corpus_that_has_grown_is_not_gone_on_with(corpus, tmp_path):
    out = tmp_path / "cut"
    process = start(corpus, out, processes=1)
    while not ((out / "ledger.jsonl").exists() and (out / "ledger.jsonl").stat().st_size > 2000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    process.kill()
    process.communicate()
    with corpus.open("a") as stream:
        stream.write('{"_id": "more", "text": "apple"}\n')
    settings = EncodeSettings(
        corpus=str(corpus), out=str(out), model="bm25", shard_documents=2, resume=True
    )
    with pytest.raises(CorpusChangedError, match=r"it had [\d,]+ bytes and has [\d,]+\)"):
        encode(settings)


@pytest.mark.parametrize(("rank", "world"), [("2", "2"), ("-1", "1"), ("one", "2")])
def test_ranks_that_do_not_go_together_are_refused(monkeypatch, rank, world):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(ConfigError, match="Start the processes with torchrun"):
        Ranks.of_environment()


def test_ranks_without_a_place_to_meet_are_refused(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(ConfigError, match="process 0 of 2 cannot meet the others"),
        Ranks(0, 2).joined(),
    ):
        pass


def test_index_writes_from_one_process(sparse_ir, corpus, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = sparse_ir("index", "--corpus", corpus, "--model", "bm25")
    assert outcome.exit_code == 2
    assert "index writes from one process" in outcome.err


def test_processes_that_kubernetes_starts_meet_and_go_on_after_a_kill(whole, corpus, tmp_path):
    out = tmp_path / "out"

    def pods():
        port = str(free_port())
        return [
            start(
                corpus, out, "--resume", processes=1,
                environment={
                    "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": port,
                },
            )
            for rank in range(2)
        ]  # fmt: skip

    first = pods()
    while len(rows_of_any(out)) < 5 and first[0].poll() is None:
        time.sleep(0.01)
    first[1].kill()
    for pod in first:
        pod.communicate(timeout=120)
    assert first[0].returncode != 0  # it waits for nobody who is gone
    second = pods()
    for pod in second:
        assert pod.communicate(timeout=120) is not None
        assert pod.returncode == 0
    assert rows_of(out) == rows_of(whole.out)
