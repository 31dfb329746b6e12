"""Which rankings to fuse, and how: tried on judged queries, chosen by a metric."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.encoding.passages import EACH, parse_passages
from sparse_ir.engines.addresses import is_cluster
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset  # noqa: TC001 - pydantic reads it
from sparse_ir.evaluating.compiling import compiled
from sparse_ir.evaluating.evaluate_index import deepest
from sparse_ir.evaluating.judged import read_judged
from sparse_ir.evaluating.metrics import check_metrics, score_run
from sparse_ir.evaluating.overlap import require_overlap
from sparse_ir.models.loading import MODEL
from sparse_ir.searching.fusion import (
    CONVEX,
    DENSE,
    LARGEST_DEPTH,
    RRF,
    SIDES,
    SPARSE,
    WORDS,
    Fusion,
)
from sparse_ir.searching.grouping import parent_of
from sparse_ir.searching.search import Searcher, SearchSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparse_ir.evaluating.judged import Judged
    from sparse_ir.types import ScoredDoc

_TOGETHER = 64


@dataclass(frozen=True)
class TuneHybridSettings:
    """What is tried, and what decides.

    Attributes:
        index: The index; its sides are its terms, its dense vectors where it has some, and words:
            the cluster's BM25, or ``words_index``.
        dataset: Judged queries to tune on; not those that will be reported.
        out: Folder for the settings found and the table.
        engine: As ``open_engine`` takes it.
        words_index: As in ``SearchSettings``.
        model: With query_encoder and dense, as in ``SearchSettings``.
        metric: Quality, as ``score_run`` takes it.
        depth: Hits taken of each side, at least as many as the metric looks at.
        step: Shares are tried in steps of this size.
        constants: Of reciprocal rank fusion, tried in turn.
        queries: Look at the first so many judged queries; None for all.
    """

    index: str
    dataset: BenchmarkDataset
    out: str
    engine: str = "embedded"
    words_index: str | None = None
    model: str | None = None
    query_encoder: str = MODEL
    dense: str | None = None
    metric: str = "ndcg@10"
    depth: int = 100
    step: float = 0.1
    constants: tuple[int, ...] = (10, 60)
    queries: int | None = None

    def __post_init__(self) -> None:
        check_metrics((self.metric,))
        queries = 1 if self.queries is None else self.queries
        if min((self.depth, queries, *self.constants)) < 1:
            raise ConfigError("depth, queries and constants must be at least 1.")
        if self.deep > LARGEST_DEPTH:
            raise ConfigError(f"depth is {self.deep}. At most {LARGEST_DEPTH:,} hits are fused.")
        if not 0.01 <= self.step <= 0.5:
            raise ConfigError(f"step is {self.step}. It lies between 0.01 and 0.5.")

    @property
    def deep(self) -> int:
        """Hits of each side that are fused: at least as many as the metric looks at."""
        return max(self.depth, deepest((self.metric,)))


class Trial(NamedTuple):
    """A fusion, scored.

    Attributes:
        fusion: What was tried; one of a single side is that side alone.
        value: The metric's mean over the judged queries.
    """

    fusion: Fusion
    value: float

    @property
    def single(self) -> bool:
        """Whether it is one side alone."""
        return len(self.fusion.sides) == 1


class TunedHybrid(NamedTuple):
    """What was found.

    Attributes:
        trials: Everything that was tried, best first.
        chosen: The best; of equals the simplest.
        best_single: The best side alone.
        queries: Judged queries looked at.
    """

    trials: tuple[Trial, ...]
    chosen: Trial
    best_single: Trial
    queries: int

    @property
    def best_fusion(self) -> Trial:
        """The best of several sides, even where one alone is better."""
        return next((trial for trial in self.trials if not trial.single), self.best_single)


def tune_hybrid(
    settings: TuneHybridSettings, *, advance: Callable[[int], None] = lambda n: None
) -> TunedHybrid:
    """Search every side once for each judged query, and score every way to fuse what was found.

    Args:
        settings: Index, judged queries, what is tried.
        advance: Called with the number of queries answered.

    Raises:
        ConfigError: the index has one side only.
        InputError: a file cannot be read, or the qrels know no document of the index.
        IndexNotFoundError: there is no such index.
    """
    dataset = settings.dataset.open()
    judged = read_judged(dataset.queries, dataset.qrels)
    if settings.queries is not None:
        kept = judged.queries[: settings.queries]
        judged = judged._replace(
            queries=kept, qrels={query.query_id: judged.qrels[query.query_id] for query in kept}
        )
    sides = _sides(settings)
    every = Fusion(RRF, tuple((side, 1.0) for side in sides))
    search = SearchSettings(
        index=settings.index,
        engine=settings.engine,
        model=settings.model,
        query_encoder=settings.query_encoder,
        hybrid=str(every),
        words_index=settings.words_index,
        dense=settings.dense,
    )
    with compiled((settings.metric,)), Searcher(search) as searcher:
        found = _Found(searcher, judged, settings, dataset.min_grade)
        found.search(advance)
        trials = [Trial(fusion, found.score(fusion)) for fusion in fusions(sides, settings)]
    ranked = sorted(trials, key=lambda trial: -trial.value)  # stable: of equals the simplest first
    best_single = next(trial for trial in ranked if trial.single)
    return TunedHybrid(tuple(ranked), ranked[0], best_single, len(judged.queries))


def fusions(sides: Sequence[str], settings: TuneHybridSettings) -> Iterator[Fusion]:
    """What is tried, the simplest first: each side alone, then by ranks, then by shares."""
    for side in sides:
        yield Fusion(CONVEX, ((side, 1.0),))
    several = [some for size in range(2, len(sides) + 1) for some in combinations(sides, size)]
    for some in several:
        for constant in settings.constants:
            shares = tuple((side, 1.0) for side in some)
            yield Fusion(RRF, shares, depth=settings.deep, constant=constant)
    steps = round(1 / settings.step)
    for some in several:
        for parts in product(range(1, steps), repeat=len(some)):
            if sum(parts) == steps:
                shares = tuple(zip(some, (part / steps for part in parts), strict=True))
                yield Fusion(CONVEX, shares, depth=settings.deep)


def _sides(settings: TuneHybridSettings) -> list[str]:
    with closing(open_engine(settings.engine)) as engine:
        stamp = engine.describe(settings.index)
    there = {
        SPARSE: True,
        DENSE: stamp.dense is not None,
        WORDS: settings.words_index is not None or is_cluster(settings.engine),
    }
    sides = [side for side in SIDES if there[side]]
    if len(sides) < 2:
        raise ConfigError(
            f"index {settings.index!r} has nothing to fuse its terms with. Index with --dense "
            "MODEL, or give an index made with --model bm25 as --words-index."
        )
    return sides


class _Found:
    """The hits of every side for every query."""

    def __init__(
        self, searcher: Searcher, judged: Judged, settings: TuneHybridSettings, min_grade: int
    ) -> None:
        self._searcher, self._judged, self._settings = searcher, judged, settings
        self._min_grade = min_grade
        self._k = deepest((settings.metric,))
        self._depth = settings.deep
        self._lists: dict[str, dict[str, list[ScoredDoc]]] = {}
        self._in_passages = parse_passages(searcher.stamp.passages).kind == EACH

    def search(self, advance: Callable[[int], None]) -> None:
        for start in range(0, len(self._judged.queries), _TOGETHER):
            part = self._judged.queries[start : start + _TOGETHER]
            for query, lists in zip(part, self._searcher.lists(part, k=self._depth), strict=True):
                self._lists[query.query_id] = lists
            advance(len(part))

    def score(self, fusion: Fusion) -> float:
        run = {
            query_id: self._hits(self._searcher.fuse(lists, fusion))
            for query_id, lists in self._lists.items()
        }
        metric, qrels = self._settings.metric, self._judged.qrels
        require_overlap(run, qrels, names=(f"index {self._settings.index!r}", "the qrels"))
        return score_run(run, qrels, (metric,), min_grade=self._min_grade).mean[metric]

    def _hits(self, fused: Sequence[ScoredDoc]) -> dict[str, float]:
        found: dict[str, float] = {}
        for hit in fused:
            found.setdefault(parent_of(hit.doc_id) if self._in_passages else hit.doc_id, hit.score)
            if len(found) == self._k:
                break
        return found
