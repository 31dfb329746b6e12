"""Jobs that wait while the thread works are done together."""

from __future__ import annotations

import threading

import pytest

from sparse_ir.engines.connection import ServerError
from sparse_ir.errors import EngineError
from sparse_ir.serving.batching import Batcher, BusyError


@pytest.fixture
def sizes():
    return []


@pytest.fixture
def batcher(sizes):
    made = Batcher("test", most=3, waiting=5, observe=lambda jobs, seconds: sizes.append(jobs))
    yield made
    made.close()


@pytest.fixture
def occupied(batcher):
    """The thread works until the event is set."""
    go, began = threading.Event(), threading.Event()

    def wait(arguments):
        began.set()
        go.wait(30)
        return arguments

    batcher.submit(wait)
    assert began.wait(30)
    yield go
    go.set()


def doubled(numbers):
    return [2 * number for number in numbers]


def test_what_waits_is_done_together_up_to_the_limit_and_in_order(batcher, occupied, sizes):
    futures = [batcher.submit(doubled, n, kind="double") for n in range(5)]
    occupied.set()
    assert [f.result(30) for f in futures] == [0, 2, 4, 6, 8]
    batcher.submit(doubled, 1).result(30)  # what was observed before is in
    assert sizes[:3] == [1, 3, 2]


def test_jobs_of_other_kinds_and_of_none_are_not_mixed(batcher, occupied, sizes):
    kinds = ["a", "b", "a", None, None]
    futures = [batcher.submit(doubled, 1, kind=kind) for kind in kinds]
    occupied.set()
    assert [f.result(30) for f in futures] == [2] * 5
    batcher.submit(doubled, 1).result(30)
    assert sizes[:5] == [1, 2, 1, 1, 1]


def test_one_that_fails_fails_alone(batcher, occupied):
    def halves(numbers):
        return [1 // number for number in numbers]

    good, bad, other = (batcher.submit(halves, n, kind="half") for n in (1, 0, 1))
    occupied.set()
    assert good.result(30) == other.result(30) == 1
    with pytest.raises(ZeroDivisionError):
        bad.result(30)


class Panic(BaseException):
    """As a Rust library raises it: no Exception."""


@pytest.mark.parametrize(
    ("raised", "seen"), [(Panic("at 3"), "Panic: at 3"), (StopIteration(), "StopIteration")]
)
def test_a_panic_goes_to_who_waits_and_the_thread_lives_on(batcher, raised, seen):
    def panics(arguments):
        raise raised

    with pytest.raises(RuntimeError, match=seen):
        batcher.submit(panics).result(30)
    assert batcher.submit(doubled, 21).result(30) == 42


def test_too_few_results_and_a_figure_that_fails_end_no_thread():
    def fails(jobs, seconds):
        raise OSError("no figures")

    batcher = Batcher("test", observe=fails)
    with pytest.raises(ValueError, match="shorter"):
        batcher.submit(lambda _: []).result(30)
    assert batcher.submit(doubled, 21).result(30) == 42
    batcher.close()


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (EngineError("no answer"), 1),
        (ServerError("no", status=500, kind="", reason=""), 1),
        (ServerError("wrong", status=400, kind="", reason=""), 4),
    ],
)
def test_an_engine_that_fails_as_a_whole_is_asked_once(batcher, occupied, error, calls):
    asked = []

    def search(arguments):
        asked.append(len(arguments))
        raise error

    futures = [batcher.submit(search, n, kind="search") for n in range(3)]
    occupied.set()
    for future in futures:
        with pytest.raises(EngineError, match=str(error)):
            future.result(30)
    assert len(asked) == calls


def test_a_cancelled_job_takes_no_place(batcher, occupied):
    waiting = [batcher.submit(doubled, n) for n in range(5)]
    waiting[2].cancel()
    last = batcher.submit(doubled, 6)
    with pytest.raises(BusyError):
        batcher.submit(doubled, 7)
    occupied.set()
    assert last.result(30) == 12


def test_more_than_may_wait_is_refused(batcher, occupied):
    futures = [batcher.submit(doubled, n) for n in range(5)]
    assert batcher.waiting == 5
    with pytest.raises(BusyError, match="too many requests are waiting"):
        batcher.submit(doubled, 6)
    occupied.set()
    assert futures[-1].result(30) == 8


def test_what_is_cancelled_while_it_waits_is_never_done(batcher, occupied):
    done = []
    batcher.submit(lambda _: [done.append("cancelled")], kind="x").cancel()
    last = batcher.submit(lambda _: [done.append("last")], kind="y")
    occupied.set()
    last.result(30)
    assert done == ["last"]


def test_closing_finishes_what_waits_and_takes_no_more():
    batcher = Batcher("test")
    future = batcher.submit(doubled, 21)
    batcher.close()
    assert future.result(0) == 42
    with pytest.raises(BusyError):
        batcher.submit(doubled, 1)
