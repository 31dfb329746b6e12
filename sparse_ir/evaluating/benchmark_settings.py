"""Which systems are measured on which datasets, and how."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sparse_ir import __version__
from sparse_ir.data.corpora import files_stamp
from sparse_ir.data.datasets import Dataset, open_dataset
from sparse_ir.encoding.passages import parse_passages
from sparse_ir.engines.addresses import is_cluster
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.metrics import DEFAULT_METRICS, check_metrics
from sparse_ir.models.loading import MODEL
from sparse_ir.pruning import parse_pruning
from sparse_ir.searching.fusion import DENSE, WORDS, parse_fusion
from sparse_ir.searching.query import parse_two_step
from sparse_ir.searching.search import SearchSettings


@dataclass(frozen=True)
class System:
    """A way to search: a model, an engine and what is done to documents and queries.

    Attributes:
        name: What the report calls it.
        model: As ``load_encoder`` takes it, "bm25", or None for the bundled model.
        precision: Of the documents' encoding, as ``load_encoder`` takes it.
        passages: As ``parse_passages`` takes it.
        engine: As ``open_engine`` takes it.
        field: The engine's field type.
        document_pruning: As ``parse_pruning`` takes it.
        query_encoder: Which query side, as ``load_encoder`` takes ``queries``.
        query_pruning: With two_step, hybrid, dense_only, server_pruning and group, as in
            ``SearchSettings``; words of a hybrid search are the cluster's BM25, or an index of
            words that is made beside the system's own.
        dense: A dense model whose vectors are indexed beside the terms.
    """

    name: str
    model: str | None = None
    precision: str = "fp32"
    passages: str = ""
    engine: str = "embedded"
    field: str = ""
    document_pruning: str = ""
    query_encoder: str = MODEL
    query_pruning: str = ""
    two_step: str = ""
    hybrid: str = ""
    server_pruning: bool = False
    group: str = "best"
    dense: str | None = None
    dense_only: bool = False

    def vectors_key(self) -> str:
        """Equal for systems that search the same vectors; another once the model's files change."""
        return key_of(_model_stamp(self.model), self.precision, self.passages)

    def index_key(self) -> str:
        """Equal for systems that search the same index."""
        own = (self.vectors_key(), self.engine, self.field, self.document_pruning)
        return key_of(*own, *([_model_stamp(self.dense)] if self.dense else ()))

    def words(self) -> System | None:
        """The BM25 whose index gives it words; None where the engine has its own, or it needs none.

        The index is that of a BM25 system with the same passages on the same engine.
        """
        fusion = parse_fusion(self.hybrid)
        if fusion is None or WORDS not in fusion.sides or is_cluster(self.engine):
            return None
        return System("words", model="bm25", passages=self.passages, engine=self.engine)

    def index_keys(self) -> list[str]:
        """Of every index that it searches, its own first."""
        words = self.words()
        return [self.index_key(), *([] if words is None else [words.index_key()])]


@dataclass(frozen=True)
class BenchmarkDataset:
    """A dataset of a benchmark.

    Attributes:
        source: As ``open_dataset`` takes it: a benchmark's name or a BEIR folder.
        split: Its judgements.
        name: What the report calls it; by default the source's last part.
        min_grade: The lowest grade that is relevant to all metrics but nDCG; the dataset's own
            by default.
    """

    source: str
    split: str = "test"
    name: str = ""
    min_grade: int | None = None

    @property
    def called(self) -> str:
        """Its name in the report."""
        return self.name or self.source.rstrip("/").rsplit("/", 1)[-1]

    def open(self) -> Dataset:
        """Find its files.

        Raises:
            ConfigError: there is no such dataset or split.
            InputError: a file is missing.
        """
        dataset = open_dataset(self.source, split=self.split)
        grade = dataset.min_grade if self.min_grade is None else self.min_grade
        return dataset._replace(name=self.called, min_grade=grade)

    @property
    def file_name(self) -> str:
        """Its name in letters, digits and hyphens, unlike that of any other dataset."""
        plain = "".join(c if c.isalnum() and c.isascii() else "-" for c in self.called).lower()
        return f"{plain}-{key_of(self.source, self.split, self.called)[:6]}"


@dataclass(frozen=True)
class BenchmarkSettings:
    """A benchmark.

    Attributes:
        out: Folder for the report, and for vectors and answers while it is being made.
        datasets: What is searched.
        systems: What searches.
        name: The report's title.
        metrics: As ``score_run`` takes them; the first decides.
        baseline: The system that the others are compared with; the first by default.
        clients: How many ask at once when latency is measured, once for each number.
        latency_queries: Queries timed with each number of clients.
        warm_up: Queries asked before that.
        k: Hits a query, for quality and latency alike; None for as many as the metrics look at.
        devices: Where documents are encoded, as ``read_devices`` takes it.
        keep_indexes: Leave the indexes where they are; by default each is removed after its last
            system was measured.
        left_out: Lines about systems that are not measured, for the report.
    """

    out: str
    datasets: tuple[BenchmarkDataset, ...]
    systems: tuple[System, ...]
    name: str = "benchmark"
    metrics: tuple[str, ...] = DEFAULT_METRICS
    baseline: str = ""
    clients: tuple[int, ...] = (1, 4)
    latency_queries: int = 200
    warm_up: int = 20
    k: int | None = None
    devices: str = "auto"
    keep_indexes: bool = False
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.datasets or not self.systems or not self.metrics:
            raise ConfigError("a benchmark needs at least one dataset, system and metric.")
        check_metrics(self.metrics)
        _require_unique([s.name for s in self.systems], "system")
        _require_unique([d.called for d in self.datasets], "dataset")
        if self.baseline and self.baseline not in [s.name for s in self.systems]:
            names = ", ".join(s.name for s in self.systems)
            raise ConfigError(f"the baseline {self.baseline!r} is none of the systems: {names}.")
        k = 1 if self.k is None else self.k
        if min((*self.clients, self.latency_queries, k)) < 1 or self.warm_up < 0:
            raise ConfigError("clients, latency_queries and k must be at least 1, warm_up 0.")
        for system in self.systems:
            _check(system)

    @property
    def compared_with(self) -> str:
        """The baseline's name."""
        return self.baseline or self.systems[0].name


def _check(system: System) -> None:
    """Refuse a mistyped setting before the first document is encoded."""
    try:
        parse_pruning(system.document_pruning)
        parse_pruning(system.query_pruning)
        parse_two_step(system.two_step)
        parse_passages(system.passages)
        SearchSettings(group=system.group, hybrid=system.hybrid, dense_only=system.dense_only)
        fusion = parse_fusion(system.hybrid)
        by_dense = system.dense_only or (fusion is not None and DENSE in fusion.sides)
        if by_dense and system.dense is None:
            raise ConfigError("it searches dense vectors, and dense names no model.")
    except ConfigError as error:
        raise ConfigError(f"system {system.name!r}: {error}") from None


def _require_unique(names: list[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            way = ": NAME=FOLDER" if what == "dataset" else ""
            raise ConfigError(f"two {what}s are called {name!r}. Give each a name of its own{way}.")


def system_key(system: System, settings: BenchmarkSettings, dataset: Dataset) -> str:
    """Changes with everything that decides what is measured, names aside."""
    values = {**asdict(system), "name": "", "model": system.vectors_key()}
    values["dense"] = _model_stamp(system.dense) if system.dense else None
    measured = (settings.metrics, settings.clients, settings.latency_queries, settings.warm_up)
    return key_of(values, measured, settings.k, dataset_key(dataset), __version__)


def dataset_key(dataset: Dataset) -> str:
    """Changes with the dataset's files."""
    files = (dataset.corpus, dataset.queries, dataset.qrels)
    return key_of([files_stamp(source) for source in files], dataset.min_grade)


def _model_stamp(model: str | None) -> object:
    return files_stamp(model) if model and Path(model).is_dir() else [model, __version__]


def key_of(*parts: object) -> str:
    """Twelve hexadecimal digits that tell JSON values apart."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
