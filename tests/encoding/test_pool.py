"""Encoders in processes of their own: the vectors of one, in order, whatever dies."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from sparse_ir.encoding import chunks
from sparse_ir.encoding import pool as pool_module
from sparse_ir.encoding.devices import read_devices, threads_each
from sparse_ir.encoding.pool import EncoderPool
from sparse_ir.encoding.worker import Task, WorkerSettings
from sparse_ir.errors import (
    ConfigError,
    EncodingError,
    InputError,
    ModelError,
    WorkerDiedError,
)
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.types import Document

TEXTS = [f"apple tree number{i % 7} of {i}" for i in range(90)]
TASKS = [
    Task(n, tuple(map(str, range(s, s + 10))), tuple(TEXTS[s : s + 10]))
    for n, s in enumerate(range(0, 90, 10))
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "bm25"
    Bm25Encoder.fit(TEXTS).save(folder)
    return str(folder)


def assert_whole(done, model):
    encoder = Bm25Encoder.load(model)
    assert [one.number for one in done] == list(range(9))
    for one, task in zip(done, TASKS, strict=True):
        expected = encoder.encode_documents(task.texts, ids=task.ids)
        assert one.batch.ids == expected.ids
        np.testing.assert_array_equal(one.batch.weights.toarray(), expected.weights.toarray())


def test_two_workers_give_the_vectors_of_one_in_order(model):
    told = []
    with EncoderPool([WorkerSettings(model, "cpu", threads=1)] * 2) as pool:
        assert pool.fingerprint == Bm25Encoder.load(model).fingerprint
        assert pool.vocabulary == tuple(Bm25Encoder.load(model).vocabulary)
        assert_whole(list(pool.encode(TASKS, advance=told.append)), model)
    assert sum(told) == 90


def many(n, words=("apple", "tree")):
    return [Task(i, (str(i),), (" ".join((*words, f"number{i}")),)) for i in range(n)]


def test_the_reader_is_only_a_few_chunks_ahead_of_the_slowest_worker(model):
    read = []

    def tasks():
        for task in many(60):
            read.append(task.number)
            yield task

    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool:
        os.kill(pool.pids[0], signal.SIGSTOP)
        threading.Timer(2.0, os.kill, (pool.pids[0], signal.SIGCONT)).start()
        results = pool.encode(tasks())
        first = next(results)
        ahead = len(read)
        assert [first.number, *(done.number for done in results)] == list(range(60))
    assert 4 <= ahead <= 8


def test_a_worker_that_dies_is_started_again_and_nothing_is_lost_or_told_twice(model, caplog):
    told = []
    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool:
        results = pool.encode(many(60), advance=told.append)
        first = next(results)
        os.kill(pool.pids[0], signal.SIGKILL)
        numbers = [first.number, *(done.number for done in results)]
    assert numbers == list(range(60))
    assert sum(told) == 60
    assert "died (signal 9); it is started again" in caplog.text


def test_a_chunk_that_kills_two_workers_ends_the_run_after_those_before_it(model):
    long = "apple tree " * 3_000_000  # encoding it takes seconds
    with EncoderPool([WorkerSettings(model, "cpu")]) as pool:
        results = pool.encode([*many(2), Task(2, ("a",), (long,)), *many(5)[3:]])
        killed = []

        def kill():
            while len(killed) < 2:
                (worker,) = pool._workers
                at_it = worker.facts and worker.tasks and worker.tasks[0].number == 2
                if at_it and worker.process.pid not in killed:
                    killed.append(worker.process.pid)
                    os.kill(worker.process.pid, signal.SIGKILL)
                time.sleep(0.01)

        assert next(results).number == 0
        threading.Thread(target=kill, daemon=True).start()
        assert next(results).number == 1
        with pytest.raises(WorkerDiedError, match=r"died on the same .*signal 9.*--resume"):
            next(results)
        assert len(killed) == 2


def test_a_worker_killed_in_the_middle_of_a_message_is_one_that_died(model, monkeypatch, caplog):
    whole, heard = pickle.load, []

    def load(stream):
        heard.append(stream)
        if len(heard) != 3:
            return whole(stream)
        os.kill(pool.pids[0], signal.SIGKILL)
        return whole(io.BytesIO(stream.read(50)))

    with EncoderPool([WorkerSettings(model, "cpu")]) as pool:
        monkeypatch.setattr(pool_module.pickle, "load", load)
        assert_whole(list(pool.encode(TASKS)), model)
    assert "died (signal 9); it is started again" in caplog.text


def test_what_was_read_before_a_bad_row_is_encoded(model):
    def tasks():
        yield from many(7)
        raise InputError("not JSON.", path="corpus.jsonl", line=8)

    found = []
    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool, pytest.raises(InputError) as told:
        found += (done.number for done in pool.encode(tasks()))
    assert "corpus.jsonl" in str(told.value)
    assert found == list(range(7))


def test_an_idle_worker_that_dies_ends_nothing(model):
    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool:
        os.kill(pool.pids[1], signal.SIGKILL)
        assert_whole(list(pool.encode(TASKS)), model)


def test_an_error_of_a_library_is_told_in_one_line(model):
    with EncoderPool([WorkerSettings(model, "cpu")]) as pool:
        bad = Task(0, ("a",), (None,))
        with pytest.raises(EncodingError, match=r"encoder on cpu failed: \w+Error: .*--resume"):
            list(pool.encode([bad]))


def test_a_worker_that_goes_after_its_error_is_not_started_again_for_nothing(model, caplog):
    long = "apple tree " * 3_000_000  # encoding it takes seconds
    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool:
        pids = pool.pids
        results = pool.encode([Task(0, ("a",), (long,)), Task(1, ("b",), (None,))])
        assert next(results).number == 0
        with pytest.raises(EncodingError, match="encoder on cpu failed"):
            next(results)
        assert pool.pids == pids
        assert "started again" not in caplog.text
        assert_whole(list(pool.encode(TASKS)), model)  # all workers are there for another call


def test_a_script_without_a_main_guard_encodes_on_several_devices(model, write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", [{"_id": str(i), "text": t} for i, t in enumerate(TEXTS)])
    script = (
        "from sparse_ir.encoding.encode import EncodeSettings, encode\n"
        f"print(encode(EncodeSettings({str(corpus)!r}, {str(tmp_path / 'out')!r}, "
        f"model={model!r}, devices='cpu,cpu')).encoded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "90\n", done.stderr


def test_a_model_that_cannot_be_loaded_is_the_workers_own_error(tmp_path):
    with pytest.raises(ModelError, match="no such model"):
        EncoderPool([WorkerSettings(str(tmp_path / "none"), "cpu")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu,", "Write names with commas"),
        ("auto,cpu", "Name every device"),
        ("cpu,gpu0", "'gpu0', which torch cannot use here"),
        ("cuda:99", "'cuda:99', which torch cannot use here"),
    ],
)
def test_devices_that_cannot_be_used_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        read_devices(text)


def test_devices_may_be_named_twice_and_share_the_cores():
    assert read_devices("cpu, cpu") == ("cpu", "cpu")
    assert read_devices("auto")
    cores = os.cpu_count() or 1
    assert threads_each(("cpu",)) == 0
    assert 1 <= threads_each(("cpu", "cpu")) <= max(1, cores // 2)
    assert threads_each(("cuda:0", "cuda:1")) == 0


def test_the_parent_returns_the_memory_of_its_dense_model_after_every_chunk(model, monkeypatch):
    returned = []
    monkeypatch.setattr(chunks, "return_free_memory", lambda: returned.append(1))

    class Dense:
        """A number a text, its length."""

        def encode_documents(self, texts, rows, count):
            assert (rows, count) == (None, len(texts))
            return np.array([[len(text)] for text in texts], np.float32)

    documents = [Document(str(i), text) for i, text in enumerate(TEXTS[:6])]
    with EncoderPool([WorkerSettings(model, "cpu", threads=1)]) as pool:
        done = list(chunks.encode_corpus(documents, pool, chunk_documents=2, dense=Dense()))
    assert [chunk.dense.shape for chunk in done] == [(2, 1)] * 3
    assert len(returned) == 3
