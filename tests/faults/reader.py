"""Somebody who searches all the time while an index is replaced."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from faults.collection import RELATIVE, queries
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.opening import open_engine

if TYPE_CHECKING:
    from faults.collection import Collection

K = 25
REOPENED = 10  # searches with one engine; a new one resolves the name anew


class Reader(threading.Thread):
    """Searches an index until it is told to stop.

    Attributes:
        answers: Which collection answered each search: "old" or "new".
        counts: How many documents the name stood for, after each search.
        wrong: What was neither of the two, and every error.
    """

    def __init__(self, address: str, index: str, old: Collection, new: Collection) -> None:
        """Compute the right answers; ``start`` begins to search."""
        super().__init__(name="reader", daemon=True)
        self.answers: list[str] = []
        self.counts: list[int] = []
        self.wrong: list[str] = []
        self._address, self._index = address, index
        self._queries = queries(19, 4, 40)
        self._right = [
            {"old": [s for _, s in old.top(q, K)], "new": [s for _, s in new.top(q, K)]}
            for q in self._queries
        ]
        self._enough = threading.Event()

    def run(self) -> None:
        """Search, again and again."""
        while not self._enough.is_set():
            try:
                self._some()
            except Exception as error:  # noqa: BLE001 - any error is one that a user would see
                self.wrong.append(f"{type(error).__name__}: {error}")
                self._enough.wait(0.1)

    def stop(self) -> None:
        """End it, and raise what ended it before."""
        self._enough.set()
        self.join(60)

    def wait_for(self, searches: int, which: str = "", seconds: float = 60) -> None:
        """Wait until so many further searches were answered, by that collection."""
        end, start = time.monotonic() + seconds, len(self.answers)
        while time.monotonic() < end and self.is_alive():
            if sum(which in answer for answer in self.answers[start:]) >= searches:
                return
            time.sleep(0.02)
        pytest.fail(f"no {searches} {which} answers in time: {self.wrong[:3]}")

    def require_whole(self, old: int, new: int) -> None:
        """Nothing but whole answers came, first from the old index, then from the new one."""
        assert self.wrong == []
        assert self.answers == sorted(self.answers, reverse=True)
        assert set(self.answers) == {"old", "new"}
        assert set(self.counts) == {old, new}

    def _some(self) -> None:
        engine = open_engine(self._address)
        try:
            for _ in range(REOPENED):
                for query, right in zip(self._queries, self._right, strict=True):
                    hits = engine.search(self._index, [SearchRequest(query, k=K)])[0]
                    self._judge([hit.score for hit in hits], right)
                    if self._enough.is_set():
                        return
                self.counts.append(engine.stats(self._index).documents)
        finally:
            engine.close()

    def _judge(self, scores: list[float], right: dict[str, list[float]]) -> None:
        for name, expected in right.items():
            if scores == pytest.approx(expected, rel=RELATIVE):
                self.answers.append(name)
                return
        self.wrong.append(f"{len(scores)} hits: {scores[:3]}")
