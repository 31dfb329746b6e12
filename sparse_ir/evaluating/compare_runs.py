"""Runs side by side: which is better, is that more than chance, and on which queries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.corpora import read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.trec import read_qrels, read_run
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.metrics import DEFAULT_METRICS, check_metrics, score_run
from sparse_ir.evaluating.overlap import require_overlap
from sparse_ir.evaluating.significance import Comparison, compare_systems, holm, require_test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.evaluating.metrics import Evaluation


@dataclass(frozen=True)
class CompareRunsSettings:
    """What is compared, and by what.

    Attributes:
        runs: TREC runs, at least two; the first is the baseline.
        qrels: As ``read_qrels`` takes it.
        dataset: A benchmark's name or a BEIR folder, in the place of qrels and queries.
        split: The dataset's judgements to use.
        queries: As ``read_queries`` takes it, to show texts and not ids alone.
        metrics: As ``score_run`` takes them; the first decides which queries are listed.
        min_grade: The lowest grade that is relevant to all metrics but ndcg; None for what the
            dataset says, else 1.
        test: As ``compare_systems`` takes it.
        worst: How many queries are listed each way.
    """

    runs: tuple[str, ...]
    qrels: str | None = None
    dataset: str | None = None
    split: str = "test"
    queries: str | None = None
    metrics: tuple[str, ...] = DEFAULT_METRICS
    min_grade: int | None = None
    test: str = "randomisation"
    worst: int = 5


class QueryGain(NamedTuple):
    """One query with both runs.

    Attributes:
        query_id: Its id.
        text: The query; empty where no queries were given.
        baseline: The first metric's value of the baseline.
        value: That of the run.
    """

    query_id: str
    text: str
    baseline: float
    value: float


class RunComparison(NamedTuple):
    """A run beside the baseline.

    Attributes:
        mean: Metric -> mean over the judged queries.
        metrics: Metric -> difference, p-values, wins, ties and losses. The corrected p-values
            allow for all runs and metrics together.
        gained: The queries that are better than the baseline's, the most first.
        lost: The queries that are worse, the most first.
        unanswered: Judged queries without a hit. Each counts as 0.
    """

    mean: dict[str, float]
    metrics: dict[str, Comparison]
    gained: tuple[QueryGain, ...]
    lost: tuple[QueryGain, ...]
    unanswered: int


class RunsComparison(NamedTuple):
    """Runs beside a baseline.

    Attributes:
        baseline: Name of the first run.
        mean: Its means.
        unanswered: Its judged queries without a hit.
        runs: Name of each other run -> what it changes.
        queries: How many queries are judged.
        test: The test that was made.
        min_grade: The lowest grade that is relevant.
    """

    baseline: str
    mean: dict[str, float]
    unanswered: int
    runs: dict[str, RunComparison]
    queries: int
    test: str
    min_grade: int


def compare_runs(settings: CompareRunsSettings) -> RunsComparison:
    """Compare runs with the first of them, metric by metric and query by query.

    Raises:
        ConfigError: fewer than two runs, one given twice, no judgements, an unknown metric or test.
        InputError: a file cannot be read, or the qrels do not fit a run.
    """
    check_metrics(settings.metrics)
    require_test(settings.test)
    names = _names(settings.runs)
    if not settings.metrics:
        raise ConfigError("compare needs a metric, such as ndcg@10.")
    qrels_source, queries_source, min_grade = _sources(settings)
    qrels = read_qrels(qrels_source)
    scored: dict[str, Evaluation] = {}
    for name, path in zip(names, settings.runs, strict=True):
        run = read_run(path)
        require_overlap(run, qrels, names=(path, qrels_source))
        scored[name] = score_run(run, qrels, settings.metrics, min_grade=min_grade)
    found = _compare(scored, settings)
    texts = {} if queries_source is None else _texts(queries_source)
    baseline = scored[names[0]]
    first = settings.metrics[0]
    return RunsComparison(
        baseline=names[0],
        mean=baseline.mean,
        unanswered=baseline.unanswered,
        runs={
            name: RunComparison(
                mean=scored[name].mean,
                metrics=found[name],
                gained=_changed(baseline, scored[name], first, texts, settings.worst, sign=1),
                lost=_changed(baseline, scored[name], first, texts, settings.worst, sign=-1),
                unanswered=scored[name].unanswered,
            )
            for name in names[1:]
        },
        queries=baseline.queries,
        test=settings.test,
        min_grade=min_grade,
    )


def _names(paths: Sequence[str]) -> list[str]:
    """What the runs are called: by file where that is enough to tell them apart."""
    if len(paths) < 2:
        raise ConfigError("compare needs two runs or more; the first is the baseline.")
    for path in paths:
        if sum(Path(other) == Path(path) for other in paths) > 1:
            raise ConfigError(f"{path} is given twice. Compare it with another run.")
    files = [Path(path).name for path in paths]
    return files if len(set(files)) == len(files) else list(paths)


def _sources(settings: CompareRunsSettings) -> tuple[str, str | None, int]:
    qrels, queries, min_grade = settings.qrels, settings.queries, 1
    if settings.dataset is not None:
        dataset = open_dataset(settings.dataset, split=settings.split)
        qrels, min_grade = qrels or dataset.qrels, dataset.min_grade
        queries = queries or dataset.queries
    if qrels is None:
        raise ConfigError("to compare runs, compare needs qrels, or a dataset.")
    return qrels, queries, min_grade if settings.min_grade is None else settings.min_grade


def _compare(
    scored: Mapping[str, Evaluation], settings: CompareRunsSettings
) -> dict[str, dict[str, Comparison]]:
    """Run -> metric -> comparison with the first run, corrected for all of them together."""
    baseline, *others = scored
    by_metric = {
        metric: compare_systems(
            scored[baseline].per_query[metric],
            {name: scored[name].per_query[metric] for name in others},
            test=settings.test,
        )
        for metric in settings.metrics
    }
    corrected = holm(
        {(name, metric): by_metric[metric][name].p_value for name in others for metric in by_metric}
    )
    return {
        name: {
            metric: found[name]._replace(corrected=corrected[name, metric])
            for metric, found in by_metric.items()
        }
        for name in others
    }


def _texts(source: str) -> dict[str, str]:
    return {query.query_id: query.text for query in read_queries(source, vectors=True)}


def _changed(
    baseline: Evaluation,
    other: Evaluation,
    metric: str,
    texts: Mapping[str, str],
    most: int,
    *,
    sign: int,
) -> tuple[QueryGain, ...]:
    """The queries that changed most in one direction; of equal changes the lower id first."""
    before, after = baseline.per_query[metric], other.per_query[metric]
    gains = {query_id: sign * (after[query_id] - before[query_id]) for query_id in before}
    changed = sorted((q for q in gains if gains[q] > 0), key=lambda q: (-gains[q], q))
    return tuple(QueryGain(q, texts.get(q, ""), before[q], after[q]) for q in changed[:most])
