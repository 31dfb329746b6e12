"""Several processes encode one corpus into one folder, each the shards of its number."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from sparse_ir.data.shards import read_shards, shard_paths
from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.errors import ConfigError
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


def start(corpus, out, *more, processes=2):
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [
        sys.executable, "-m", *(torchrun if processes > 1 else []), "sparse_ir", "encode",
        "--corpus", str(corpus), "--out", str(out), "--model", "bm25", "--shard-documents", "2",
        *more,
    ]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill_all(out):
    """Kill whatever writes into the folder: torchrun's processes have sessions of their own."""
    for pid in (path.name for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(OSError):
            if str(out) in Path("/proc", pid, "cmdline").read_text():
                os.kill(int(pid), signal.SIGKILL)


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
