"""What a benchmark measured: every system on every dataset, as a file that reports are made of."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1


@dataclass(frozen=True)
class Quantiles:
    """Milliseconds a query took."""

    mean: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Latency:
    """Queries answered one after the other by each of so many clients.

    Attributes:
        clients: How many asked at once, each waiting for its answer before the next query.
        queries: How many were timed, the warm-up aside.
        encode: Of the query side.
        search: Of the engine, over the wire where there is one.
        total: From text to hits.
        per_second: Queries answered by all clients together.
    """

    clients: int
    queries: int
    encode: Quantiles
    search: Quantiles
    total: Quantiles
    per_second: float


@dataclass(frozen=True)
class Hit:
    """A document that a system found."""

    doc_id: str
    score: float


@dataclass(frozen=True)
class TermUse:
    """What one term did in a system's answers to one dataset's queries.

    Attributes:
        term: The term.
        documents: Share of the documents that have it.
        queries: Share of the queries that have it.
        expanded: Of those queries, the share whose text does not hold it.
        gain: Mean over those queries of nDCG@10 with the term, less nDCG@10 without it.
        weight: Mean over those queries of its weight as a share of the heaviest term's.
    """

    term: str
    documents: float
    queries: float
    expanded: float
    gain: float
    weight: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """One system on one dataset.

    Attributes:
        system: Its name in the benchmark.
        dataset: The dataset's name.
        model: As ``load_encoder`` takes it.
        engine: The engine's kind and version.
        field: The engine's field type; empty where there is but one.
        mean: Metric -> mean over the judged queries.
        per_query: Metric -> query_id -> value.
        unanswered: Judged queries without a hit; each counts as 0.
        hits: query_id -> the ten best.
        latency: By number of clients, ascending.
        query_terms: Terms of each judged query, in the dataset's order, as they are searched for.
        document_terms: Terms of each document, as they are indexed; of 10,000 where there are more.
        flops: Expected products per query and document, sum over terms of the share of queries
            that have it times the share of documents that have it.
        index_bytes: On disk; None where the engine does not tell.
        index_seconds: To write the vectors into the engine, until they could be searched.
        encode_seconds: To encode the documents, once for all systems that search these vectors.
        peak_bytes: Largest resident memory of this process while it answered.
        terms: What terms did, the most used first.
    """

    system: str
    dataset: str
    model: str
    engine: str
    field: str
    mean: dict[str, float]
    per_query: dict[str, dict[str, float]]
    unanswered: int = 0
    hits: dict[str, list[Hit]] = dataclasses.field(default_factory=dict)
    latency: list[Latency] = dataclasses.field(default_factory=list)
    query_terms: list[int] = dataclasses.field(default_factory=list)
    document_terms: list[int] = dataclasses.field(default_factory=list)
    flops: float = 0.0
    index_bytes: int | None = None
    index_seconds: float | None = None
    encode_seconds: float | None = None
    peak_bytes: int | None = None
    terms: list[TermUse] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class TermShare:
    """A term's part of a document's score: its weight in the query times that in the document."""

    term: str
    query: float
    document: float


@dataclass(frozen=True)
class Difference:
    """A query that one system answers better than the other, and the relevant document that tells.

    Attributes:
        dataset: The dataset.
        query_id: The query.
        system: The system that is looked at.
        baseline: The system it is compared with.
        values: The metric's value of the system and of the baseline.
        doc_id: The relevant document whose rank differs most.
        title: Of that document; its first words where it has none.
        ranks: Of that document with the system and the baseline; None below the hits looked at.
        terms: What the system's score of that document is made of, the largest part first.
        baseline_terms: Likewise the baseline's.
    """

    dataset: str
    query_id: str
    system: str
    baseline: str
    values: tuple[float, float]
    doc_id: str
    title: str
    ranks: tuple[int | None, int | None]
    terms: list[TermShare]
    baseline_terms: list[TermShare]


@dataclass(frozen=True)
class Facts:
    """A dataset as it was searched.

    Attributes:
        name: Its name.
        documents: How many it has.
        queries: Judged query_id -> text, in order.
        min_grade: The lowest grade that is relevant to all metrics but nDCG.
        relevant: query_id -> number of relevant documents.
    """

    name: str
    documents: int
    queries: dict[str, str]
    min_grade: int
    relevant: dict[str, int]


@dataclass(frozen=True)
class Results:
    """A whole benchmark.

    Attributes:
        name: The benchmark's name.
        metrics: As they were asked for; the first is the one that decides.
        baseline: The system that the others are compared with.
        datasets: In the order of the benchmark.
        outcomes: Every system on every dataset, by dataset, then in the order of the systems.
        differences: The largest wins and losses against the baseline.
        made: Command, hardware, versions and revision, as ``manifest.provenance`` gives them.
        left_out: A line for each system that was not measured, with the reason.
    """

    name: str
    metrics: list[str]
    baseline: str
    datasets: list[Facts]
    outcomes: list[Outcome]
    differences: list[Difference] = dataclasses.field(default_factory=list)
    made: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: list[str] = dataclasses.field(default_factory=list)

    @property
    def systems(self) -> list[str]:
        """Names of the systems, in order."""
        return list(dict.fromkeys(outcome.system for outcome in self.outcomes))

    def of(self, dataset: str) -> dict[str, Outcome]:
        """Return the outcomes of one dataset by system."""
        return {o.system: o for o in self.outcomes if o.dataset == dataset}


def write_results(path: Path, results: Results) -> None:
    """Write results as JSON; the file appears whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    values = {"format": FORMAT, "kind": "benchmark", **dataclasses.asdict(results)}
    with writing(path) as stream:
        # ASCII: a lone surrogate may be in a text
        json.dump(values, stream, indent=1, allow_nan=False)
        stream.write("\n")
