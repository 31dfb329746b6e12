"""An hour of changes and searches against a model of what must be there.

    python tests/campaign/soak.py --engine embedded:FOLDER --minutes 60
    python tests/campaign/soak.py --engine http://127.0.0.1:9210 --minutes 60

New, changed and deleted documents, searches with and without filters, reading back, closing and
opening again, in random order. What each search must answer is computed here from what was written.
The memory of this process and the size of the index are noted every minute.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import psutil  # noqa: E402 (after the path)

from sparse_ir.engines.base import SearchRequest  # noqa: E402
from sparse_ir.engines.filters import parse_filter  # noqa: E402
from sparse_ir.engines.opening import open_engine  # noqa: E402
from sparse_ir.engines.stamp import Stamp  # noqa: E402
from sparse_ir.types import Document, Entry  # noqa: E402
from sparse_ir.vectors import vocabulary_hash  # noqa: E402

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine

VOCABULARY = tuple(f"term{i}" for i in range(2000))
INDEX = "soak"
MOST = 5000
RELATIVE = 1e-5


class Soak:
    """The engine, and what it must hold."""

    def __init__(self, address: str, seed: int) -> None:
        self.address = address
        self.dice = random.Random(seed)
        self.engine: Engine = open_engine(address)
        self.wanted: dict[str, tuple[dict[str, float], int]] = {}
        self.counts = dict.fromkeys(
            ("written", "deleted", "searches", "filtered", "read", "opened"), 0
        )
        stamp = Stamp(
            "soak", "f" * 64, ("q" * 64,), vocabulary_hash(VOCABULARY), len(VOCABULARY), "",
            "soak", "2026-01-01T00:00:00+00:00", "0",
        )  # fmt: skip
        if self.engine.exists(INDEX):
            self.engine.drop(INDEX)
        physical = self.engine.create(INDEX, stamp, VOCABULARY)
        self.engine.publish(INDEX, physical)

    def step(self) -> None:
        """Do one thing; at most ``MOST`` documents are kept."""
        write, delete = (6, 2) if len(self.wanted) < MOST else (3, 5)
        chosen = self.dice.choices(
            (self.write, self.delete, self.search, self.filter, self.read, self.open),
            (write, delete, 8, 3, 2, 0.05),
        )[0]
        chosen()

    def write(self) -> None:
        """New documents and changed ones."""
        entries = []
        for _ in range(self.dice.randrange(1, 60)):
            doc_id = f"d{self.dice.randrange(2 * MOST)}"
            terms = self.dice.sample(VOCABULARY, self.dice.randrange(0, 80))
            vector = {t: float(f"{self.dice.lognormvariate(-0.5, 0.8):.4g}") for t in terms}
            group = self.dice.randrange(20)
            text = " ".join(terms[:20])
            entries.append(Entry(Document(doc_id, text, "", {"group": group}), vector))
        last = {entry.document.doc_id: entry for entry in entries}
        failures = list(self.engine.add(INDEX, last.values()))
        assert not failures, failures[:3]
        self.engine.refresh(INDEX)
        for doc_id, entry in last.items():
            kept = dict(self.engine.kept(entry.vector))
            self.wanted[doc_id] = (kept, int(entry.document.metadata["group"]))
        self.counts["written"] += len(last)

    def delete(self) -> None:
        """Some that are there, and some that are not."""
        there = self.dice.sample(sorted(self.wanted), min(len(self.wanted), 40))
        gone = self.engine.delete(INDEX, [*there, "never-there"])
        assert gone == len(there), (gone, len(there))
        self.engine.refresh(INDEX)
        for doc_id in there:
            del self.wanted[doc_id]
        self.counts["deleted"] += len(there)

    def search(self) -> None:
        """A query, whose answer is known."""
        self._ask(None)
        self.counts["searches"] += 1

    def filter(self) -> None:
        """The same among the documents of a group."""
        self._ask(self.dice.randrange(20))
        self.counts["filtered"] += 1

    def read(self) -> None:
        """The number of documents, and some of them."""
        assert self.engine.stats(INDEX).documents == len(self.wanted)
        some = self.dice.sample(sorted(self.wanted), min(len(self.wanted), 20))
        for doc_id, entry in zip(some, self.engine.get(INDEX, some, vectors=False), strict=True):
            assert entry is not None, doc_id
            assert entry.document.metadata["group"] == self.wanted[doc_id][1]
        self.counts["read"] += 1

    def open(self) -> None:
        """Close the engine and open it again."""
        self.engine.close()
        self.engine = open_engine(self.address)
        self.counts["opened"] += 1

    def _ask(self, group: int | None) -> None:
        terms = self.dice.sample(VOCABULARY, self.dice.randrange(1, 40))
        query = {term: float(f"{self.dice.uniform(0.1, 3):.4g}") for term in terms}
        k = self.dice.choice((1, 10, 100))
        only = () if group is None else parse_filter([f"group={group}"])
        request = SearchRequest(query, k=k, filter=only, documents=False)
        found = self.engine.search(INDEX, [request])[0]
        scores = {
            doc_id: sum(w * vector[t] for t, w in query.items() if t in vector)
            for doc_id, (vector, own) in self.wanted.items()
            if group is None or own == group
        }
        best = sorted((s for s in scores.values() if s > 0), reverse=True)[:k]
        assert len(found) == len(best), (len(found), len(best))
        for hit, score in zip(found, best, strict=True):
            assert abs(hit.score - score) <= RELATIVE * score, (hit.doc_id, hit.score, score)
            own_score = scores[hit.doc_id]
            assert abs(hit.score - own_score) <= RELATIVE * own_score


def main() -> int:
    """Run for so many minutes and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    soak = Soak(args.engine, args.seed)
    process = psutil.Process()
    print("| minute | documents | steps | memory, MB | index, MB |\n|---:|---:|---:|---:|---:|")
    start, minute, steps = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - start) < 60 * args.minutes:
        soak.step()
        steps += 1
        if elapsed >= 60 * minute:
            gc.collect()
            size = soak.engine.stats(INDEX).bytes / 1e6
            memory = process.memory_info().rss / 1e6
            print(f"| {minute} | {len(soak.wanted):,} | {steps:,} | {memory:.0f} | {size:.0f} |",
                  flush=True)  # fmt: skip
            minute += 1
    counted: dict[str, Any] = soak.counts
    print("\n" + ", ".join(f"{name} {number:,}" for name, number in counted.items()))
    soak.engine.drop(INDEX)
    soak.engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
