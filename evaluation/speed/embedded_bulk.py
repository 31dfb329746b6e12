"""How much memory and time the embedded engine takes to load, open and search a large index.

    python evaluation/speed/embedded_bulk.py --documents 1000000

Each load and each search runs in a process of its own, whose peak resident memory (VmHWM, Linux)
is read at its end. The vectors are synthetic: terms drawn from a Zipf-like law over a vocabulary
of 30,000, 170 a document, weights from a gamma law, all from a fixed seed; each document also
holds 400 bytes of text and three metadata fields. The store's own way, without steps and merging
as it likes, is ``--segment-postings 1000000000000 --most-segments 0``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import qdrant_edge
from scipy import sparse

from sparse_ir.engines import embedded_settings, embedded_shard, embedded_store
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.embedded import EmbeddedEngine
from sparse_ir.engines.filters import parse_filter
from sparse_ir.engines.scoring import score_all
from sparse_ir.engines.stamp import Stamp
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

VOCABULARY = [f"term{i}" for i in range(30_000)]
TERMS = 170
QUERY_TERMS = 28
BATCH = 1000
FILTERS = {"10 % of the documents": "lang=l3", "2 % of the documents": "year>=2020.5"}


def probabilities() -> np.ndarray:
    weight = 1 / np.arange(1, len(VOCABULARY) + 1) ** 0.75
    return np.cumsum(weight / weight.sum())


CUMULATED = probabilities()


def vectors(first: int, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(first)
    drawn = np.searchsorted(CUMULATED, rng.random((count, 3 * TERMS // 2)))
    for row in drawn:
        columns = rng.permutation(np.unique(row))[:TERMS]
        weights = rng.gamma(2.0, 0.5, len(columns)).astype(np.float32) + np.float32(0.01)
        yield np.sort(columns), weights


def entries(documents: int) -> Iterator[Entry]:
    text = "a passage of some four hundred bytes " * 11
    for first in range(0, documents, BATCH):
        for i, (columns, weights) in enumerate(vectors(first, min(BATCH, documents - first))):
            number = first + i
            metadata = {"lang": f"l{number % 10}", "year": 1971 + number % 50, "file": f"{number}"}
            vector = {
                VOCABULARY[c]: w for c, w in zip(columns.tolist(), weights.tolist(), strict=True)
            }
            yield Entry(Document(f"doc-{number}", text, f"title {number}", metadata), vector)


def queries(count: int) -> list[list[tuple[int, float]]]:
    rng = np.random.default_rng(7)
    found = []
    for _ in range(count):
        columns = np.unique(np.searchsorted(CUMULATED, rng.random(QUERY_TERMS)))
        weights = rng.gamma(2.0, 0.5, len(columns)).astype(np.float32) + np.float32(0.01)
        found.append(list(zip(columns.tolist(), weights.tolist(), strict=True)))
    return found


def memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    parts = dict(line.split(":", 1) for line in lines)
    return {name: int(parts[name].split()[0]) // 1000 for name in ("VmHWM", "VmRSS", "RssAnon")}


def use_settings(arguments: argparse.Namespace) -> None:
    settings = embedded_settings.store_settings()
    if arguments.segment_postings:
        # the text counts as well, so that the number of terms alone decides
        settings = replace(
            settings, segment_postings=arguments.segment_postings, segment_bytes=1 << 60
        )
    if arguments.most_segments is not None:
        settings = replace(settings, most_segments=arguments.most_segments)
    embedded_shard.store_settings = lambda: settings
    embedded_store._config = lambda: qdrant_edge.EdgeConfig(
        sparse_vectors={
            embedded_store.VECTOR: qdrant_edge.EdgeSparseVectorParams(
                memory=getattr(qdrant_edge.Memory, arguments.memory)
            )
        },
        optimizers=qdrant_edge.EdgeOptimizersConfig(
            default_segment_number=settings.most_segments,
            max_segment_size=arguments.max_segment_kb,
            indexing_threshold=settings.smallest_indexed_kb,
        ),
    )


def load(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    use_settings(arguments)
    stamp = Stamp(
        "synthetic", "", (), vocabulary_hash(VOCABULARY), len(VOCABULARY), "", "", "", "0"
    )
    started = time.perf_counter()
    with EmbeddedEngine(folder) as engine:
        physical = engine.create("bulk", stamp, VOCABULARY)
        reader = entries(arguments.documents)
        for failure in engine.add(physical, flushing(reader, engine, physical, arguments.flush)):
            raise SystemExit(str(failure))
        added = time.perf_counter()
        engine.publish("bulk", physical)
        published = time.perf_counter()
        stats = engine.stats("bulk")
        segments = engine._shard("bulk")._store.info().segments_count
    return {
        "documents": stats.documents,
        "load_seconds": published - started,
        "load_cpu_seconds": time.process_time(),
        "publish_seconds": published - added,
        "disk_mb": stats.bytes / 1e6,
        "segments": segments,
        **memory(),
    }


def flushing(
    reader: Iterator[Entry], engine: EmbeddedEngine, physical: str, every: int
) -> Iterator[Entry]:
    """Flush now and then, as ``index`` does after each chunk."""
    for number, entry in enumerate(reader):
        if number and number % every == 0:
            engine.refresh(physical)
        if number and number % 50_000 == 0:
            print(number, memory(), file=sys.stderr, flush=True)
        yield entry


def search(folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    use_settings(arguments)
    started = time.perf_counter()
    with EmbeddedEngine(folder) as engine:
        asked = queries(120)
        engine.search("bulk", [request(asked[0], 10)])
        report: dict[str, object] = {"open_seconds": time.perf_counter() - started}
        for k in (10, 100, 1000):
            report[f"k={k}"] = times(engine, asked, k)
        for name, text in FILTERS.items():
            report[f"k=10, {name}"] = times(engine, asked[:40], 10, text)
        report |= memory()
        if arguments.check:
            report["check"] = check(engine, arguments)
    return report


def request(terms: list[tuple[int, float]], k: int, text: str = "") -> SearchRequest:
    named = {VOCABULARY[column]: weight for column, weight in terms}
    return SearchRequest(named, k=k, documents=k == 10, filter=parse_filter([text] if text else []))


def times(engine: EmbeddedEngine, asked: list, k: int, text: str = "") -> dict[str, float]:
    wall, used = [], []
    for terms in asked:
        one = request(terms, k, text)
        cpu, clock = time.process_time(), time.perf_counter()
        engine.search("bulk", [one])
        wall.append(time.perf_counter() - clock)
        used.append(time.process_time() - cpu)
    warm = slice(len(asked) // 6, None)
    return {
        "p50_ms": float(np.percentile(wall[warm], 50) * 1e3),
        "p95_ms": float(np.percentile(wall[warm], 95) * 1e3),
        "cpu_ms": float(np.mean(used[warm]) * 1e3),
    }


def check(engine: EmbeddedEngine, arguments: argparse.Namespace) -> dict[str, object]:
    """Compare with the memory engine's own scoring, streamed over all documents."""
    k = 100
    asked = queries(arguments.check)
    best: list[list[tuple[float, str]]] = [[] for _ in asked]
    for first in range(0, arguments.documents, BATCH):
        rows = list(vectors(first, min(BATCH, arguments.documents - first)))
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        csr = sparse.csr_array(
            (
                np.concatenate([weights for _, weights in rows]),
                np.concatenate([columns for columns, _ in rows]),
                starts,
            ),
            shape=(len(rows), len(VOCABULARY)),
        )
        by_term = sparse.csr_array(csr.T)
        for place, terms in enumerate(asked):
            matched, scores = score_all(terms, by_term)
            top = np.argsort(-scores, kind="stable")[: k + 20]
            found = [(-float(scores[i]), f"doc-{first + matched[i]}") for i in top]
            best[place] = sorted(best[place] + found)[:k]
    answers = engine.search("bulk", [request(terms, k) for terms in asked])
    worst, same = 0.0, 0
    for expected, hits in zip(best, answers, strict=True):
        same += [doc_id for _, doc_id in expected] == [hit.doc_id for hit in hits]
        for (score, _), hit in zip(expected, hits, strict=True):
            worst = max(worst, abs(hit.score + score) / -score)
    return {"queries": len(asked), "k": k, "same order": same, "worst relative error": worst}


def child(step: str, folder: Path, argv: list[str]) -> dict:
    command = [sys.executable, __file__, *argv, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--segment-postings", type=int, help="Instead of the engine's own.")
    parser.add_argument("--most-segments", type=int, help="Likewise; 0 is the store's default.")
    parser.add_argument("--max-segment-kb", type=int, help="The store merges up to this size.")
    parser.add_argument("--memory", choices=["Pinned", "Cached", "Cold"], default="Pinned")
    parser.add_argument("--flush", type=int, default=512, help="Documents from flush to flush.")
    parser.add_argument("--check", type=int, default=20, help="Queries compared with the oracle.")
    parser.add_argument("--step", choices=["load", "search"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    if arguments.step:
        run = load if arguments.step == "load" else search
        print(json.dumps(run(arguments.folder, arguments)))
        return
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="embedded-bulk-"))
    argv = [a for a in sys.argv[1:] if a != "--keep"]
    try:
        for step in ("load", "search"):
            for name, value in child(step, folder, argv).items():
                print(f"{step} {name}: {value}", flush=True)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
