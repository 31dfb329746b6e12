"""Encoders in processes of their own: the vectors of one, in order, whatever dies."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from sparse_ir.encoding.devices import read_devices, threads_each
from sparse_ir.encoding.pool import EncoderPool
from sparse_ir.encoding.worker import Task, WorkerSettings
from sparse_ir.errors import ConfigError, ModelError, WorkerDiedError
from sparse_ir.models.bm25 import Bm25Encoder

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


def test_the_reader_is_only_a_few_chunks_ahead(model):
    read = []

    def tasks():
        for task in TASKS:
            read.append(task.number)
            yield task

    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool:
        for done in pool.encode(tasks()):
            assert len(read) - done.number <= 9


def test_a_worker_that_dies_is_started_again_and_nothing_is_lost_or_told_twice(model, caplog):
    told = []
    with EncoderPool([WorkerSettings(model, "cpu")] * 2) as pool:
        results = pool.encode(TASKS, advance=told.append)
        first = next(results)
        os.kill(pool.pids[0], signal.SIGKILL)
        assert_whole([first, *results], model)
    assert sum(told) == 90
    assert "died (signal 9); it is started again" in caplog.text


def test_a_chunk_that_kills_two_workers_ends_the_run(model):
    long = Task(0, ("a",), ("apple tree " * 5_000_000,))  # encoding it takes seconds
    with EncoderPool([WorkerSettings(model, "cpu")]) as pool:

        def kill():
            for dead in (None, pool.pids[0]):
                while pool.pids[0] == dead:
                    time.sleep(0.01)
                os.kill(pool.pids[0], signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        with pytest.raises(WorkerDiedError, match=r"cpu died .*signal 9.*--resume"):
            list(pool.encode([long]))


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
