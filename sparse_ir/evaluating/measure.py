"""One system on one dataset: index it, ask every judged query, time some, look at the terms."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.engines.addresses import is_cluster
from sparse_ir.engines.fields import SEISMIC
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import EngineError
from sparse_ir.evaluating.diagnosis import Answered, expected_products, term_uses
from sparse_ir.evaluating.evaluate_index import deepest
from sparse_ir.evaluating.latency import measure_latency
from sparse_ir.evaluating.measured import Measured
from sparse_ir.evaluating.memory import PeakMemory
from sparse_ir.evaluating.metrics import Evaluation, score_run
from sparse_ir.evaluating.overlap import require_overlap
from sparse_ir.evaluating.pruned_vectors import PrunedVectors, TermCounts
from sparse_ir.evaluating.results import Hit, Outcome, TermUse
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.pruning import parse_pruning
from sparse_ir.searching.search import Searcher, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparse_ir.data.datasets import Dataset
    from sparse_ir.evaluating.benchmark_settings import BenchmarkSettings, System
    from sparse_ir.evaluating.encoded import Vectors
    from sparse_ir.evaluating.judged import Judged
    from sparse_ir.searching.search import SearchResult
    from sparse_ir.types import Document, Run, SparseVector

_LISTED = 10  # hits that the results list
_DEPTH = 100  # hits kept, and ranked again without a term
_LENGTHS = 10_000  # documents whose number of terms is kept
_TITLE = 80  # characters
_EXPLAINED = 2_000  # queries whose terms are weighed one by one
_BATCH = 256


class Indexed(NamedTuple):
    """An index of it.

    Attributes:
        name: The index.
        seconds: To write the vectors into the engine.
        counts: Of its terms.
        vectors: What was written.
    """

    name: str
    seconds: float
    counts: TermCounts
    vectors: Vectors


def build(system: System, name: str, corpus: str, vectors: Vectors) -> Indexed:
    """Index encoded documents as a system wants them, or find that they are."""
    report = index_corpus(
        IndexSettings(
            corpus=corpus,
            index=name,
            engine=system.engine,
            model=system.model,
            vectors=str(vectors.folder),
            document_pruning=system.document_pruning,
            field=system.field,
            dense=system.dense,
            replicas=0 if is_cluster(system.engine) else None,
            force_merge=is_cluster(system.engine),
            skip_bad=True,
            resume=True,
            replace=True,
        )
    )
    if report.rejected:
        raise EngineError(
            f"{system.engine} refused {report.rejected:,} documents, so figures would not be those "
            f"of the collection. {report.rejects} names them."
        )
    return Indexed(name, report.seconds, stored(system, vectors.folder).count_terms(), vectors)


def stored(system: System, folder: Path) -> PrunedVectors:
    """Encoded documents as a system's index holds them."""
    return PrunedVectors(folder, parse_pruning(system.document_pruning))


def measure(
    system: System,
    indexed: Indexed,
    dataset: Dataset,
    judged: Judged,
    settings: BenchmarkSettings,
    *,
    words: Indexed | None = None,
) -> Measured:
    """Ask an index every judged query; score, time and explain the answers.

    With an index of words beside it, sizes and seconds are those of both.
    """
    search = SearchSettings(
        index=indexed.name,
        engine=system.engine,
        query_encoder=system.query_encoder,
        query_pruning=system.query_pruning,
        two_step=system.two_step,
        hybrid=system.hybrid,
        words_index=None if words is None else words.name,
        dense_only=system.dense_only,
        server_pruning=system.server_pruning,
        group=system.group,
    )
    searched = {one.name: one for one in (indexed, words) if one is not None}
    depth = deepest(settings.metrics) if settings.k is None else settings.k
    with Searcher(search) as searcher:
        with PeakMemory() as memory:
            results = list(searcher.stream(judged.queries, k=depth))
            latency = [
                measure_latency(
                    searcher,
                    judged.queries,
                    clients=clients,
                    count=settings.latency_queries,
                    warm_up=settings.warm_up,
                    k=depth,
                )
                for clients in sorted(settings.clients)
            ]
        run = {r.query.query_id: {hit.doc_id: hit.score for hit in r.hits} for r in results}
        require_overlap(run, judged.qrels, names=(f"{dataset.name}, {system.name}", dataset.qrels))
        scored = score_run(run, judged.qrels, settings.metrics, min_grade=dataset.min_grade)
        index_bytes = sum(searcher.engine.stats(name).bytes for name in searched)
        details = searcher.engine.details(indexed.name)
        kept = {query_id: _best(hits, _DEPTH) for query_id, hits in run.items()}
        titles = _titles(searcher, indexed.name, _relevant(kept, judged, dataset.min_grade))
    queries = [r.terms for r in results]
    outcome = Outcome(
        system=system.name,
        dataset=dataset.name,
        model=searcher.encoder.name,
        engine=str(details.get("server") or searcher.engine.address.partition(":")[0]),
        field=str(details.get("field", "")),
        mean=scored.mean,
        per_query=scored.per_query,
        unanswered=scored.unanswered,
        hits={q: [Hit(d, s) for d, s in _best(h, _LISTED).items()] for q, h in run.items()},
        latency=latency,
        query_terms=[len(terms) for terms in queries],
        document_terms=_spread(indexed.counts.lengths),
        flops=expected_products(queries, indexed.counts.shares),
        index_bytes=index_bytes,
        index_seconds=sum(one.seconds for one in searched.values()),
        encode_seconds=sum(one.vectors.seconds for one in searched.values()),
        peak_bytes=memory.bytes,
        terms=_terms(system, indexed, judged, results, kept, scored),
    )
    asked = {r.query.query_id: r.terms for r in results}
    return Measured(outcome, kept, asked, titles, len(indexed.counts.lengths))


def _terms(
    system: System,
    indexed: Indexed,
    judged: Judged,
    results: Sequence[SearchResult],
    kept: Run,
    scored: Evaluation,
) -> list[TermUse]:
    if not explained(system):
        return []
    # From all over the queries; more would fill the memory with their hits' vectors.
    sample = results[:: -(-len(results) // _EXPLAINED) or 1]
    looked_at = {r.query.query_id: kept[r.query.query_id] for r in sample}
    answered = Answered(
        queries={r.query.query_id: r.terms for r in sample},
        run=looked_at,
        vectors=stored(system, indexed.vectors.folder).gather(
            {doc_id for hits in looked_at.values() for doc_id in hits}
        ),
        values=next(iter(scored.per_query.values())),
    )
    texts = {query.query_id: query.text for query in judged.queries}
    return term_uses(answered, texts, judged.qrels, indexed.counts.shares)


def explained(system: System) -> bool:
    """Whether a score is the sum over the terms of query and document, as they are stored."""
    inexact = system.hybrid or system.dense_only or system.passages or system.server_pruning
    return not inexact and system.field != SEISMIC


def drop_index(system: System, name: str) -> None:
    """Remove an index that a benchmark made, if it is there."""
    with closing(open_engine(system.engine)) as engine:
        if engine.exists(name):
            engine.drop(name)


def _best(hits: dict[str, float], k: int) -> dict[str, float]:
    return dict(sorted(hits.items(), key=lambda hit: (-hit[1], hit[0]))[:k])


def _relevant(run: Run, judged: Judged, min_grade: int) -> list[str]:
    """The relevant documents of the queries that were asked."""
    return sorted({d for q in run for d, g in judged.qrels[q].items() if g >= min_grade})


def _titles(searcher: Searcher, index: str, doc_ids: Sequence[str]) -> dict[str, str]:
    titles = {}
    for start in range(0, len(doc_ids), _BATCH):
        part = doc_ids[start : start + _BATCH]
        for entry in searcher.engine.get(index, part, vectors=False):
            if entry is not None:
                titles[entry.document.doc_id] = _title(entry.document)
    return titles


def _title(document: Document) -> str:
    text = document.title or " ".join(document.text.split())
    return text if len(text) <= _TITLE else text[: _TITLE - 1].rstrip() + "…"


def _spread(lengths: list[int]) -> list[int]:
    """At most so many, from all over the corpus."""
    step = -(-len(lengths) // _LENGTHS) or 1
    return lengths[::step]


def answered(measured: Measured, vectors: dict[str, SparseVector], metric: str) -> Answered:
    """What was measured, with the vectors that explain it."""
    values = measured.outcome.per_query[metric]
    return Answered(measured.queries, measured.run, vectors, values)
