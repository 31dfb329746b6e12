"""Jobs that wait while the thread works are done together."""

from __future__ import annotations

import threading

import pytest

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
