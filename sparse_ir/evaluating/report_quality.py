"""Who is better, by how much, and whether that can be told from chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sparse_ir.evaluating.report_words import score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sparse_ir.evaluating.published import PublishedRow
    from sparse_ir.evaluating.results import Results
    from sparse_ir.evaluating.significance import Comparison

LEVEL = 0.05  # below it a difference gets its mark


# The values of the baseline and of the others, query by query -> what is to be said of each other.
Significance: TypeAlias = (
    "Callable[[Mapping[str, float], Mapping[str, Mapping[str, float]]], Mapping[str, Comparison]]"
)
# (metric, dataset) -> system -> how it compares with the baseline.
Comparisons: TypeAlias = "dict[tuple[str, str], Mapping[str, Comparison]]"


class Score(NamedTuple):
    """A system's value on a dataset, or its mean over datasets."""

    value: float | None
    best: bool = False
    mark: str = ""  # "▲" better than the baseline, "▼" worse


class QualityRow(NamedTuple):
    """One system: a score a dataset, then the mean where there is more than one dataset."""

    system: str
    scores: list[Score]
    source: int = 0  # the number of its source, from 1; 0 where it was measured here


class QualityTable(NamedTuple):
    """All systems by one metric."""

    metric: str
    columns: list[str]
    rows: list[QualityRow]
    published: list[QualityRow]
    sources: list[str]


def compare_all(results: Results, significance: Significance | None) -> Comparisons:
    """Compare every system with the baseline on every dataset, by every metric.

    A system is left out where it was judged by other queries than the baseline.
    """
    compared: Comparisons = {}
    if significance is None:
        return compared
    for dataset in results.datasets:
        outcomes = results.of(dataset.name)
        base = outcomes.pop(results.baseline, None)
        for metric in results.metrics:
            baseline = base.per_query.get(metric, {}) if base else {}
            others = {
                name: values
                for name, outcome in outcomes.items()
                if (values := outcome.per_query.get(metric, {})).keys() == baseline.keys()
            }
            if baseline and others:
                compared[metric, dataset.name] = significance(baseline, others)
    return compared


def quality_tables(
    results: Results, compared: Comparisons, published: Iterable[PublishedRow] = ()
) -> list[QualityTable]:
    """One table a metric: systems below one another, datasets side by side."""
    rows = list(published)
    return [_table(results, metric, compared, rows) for metric in results.metrics]


def _table(
    results: Results, metric: str, compared: Comparisons, published: Sequence[PublishedRow]
) -> QualityTable:
    datasets = [facts.name for facts in results.datasets]
    outcomes = {name: results.of(name) for name in datasets}
    values = {
        system: _with_mean(
            [
                outcomes[name][system].mean.get(metric) if system in outcomes[name] else None
                for name in datasets
            ]
        )
        for system in results.systems
    }
    best = [_best(column) for column in zip(*values.values(), strict=True)]
    marks = {
        system: [_mark(compared.get((metric, name), {}).get(system)) for name in datasets] + [""]
        for system in values
    }
    numbers, sources = _published(published, metric, datasets)
    return QualityTable(
        metric=metric,
        columns=[*datasets, "Mean"] if len(datasets) > 1 else datasets,
        rows=[
            QualityRow(
                system,
                [
                    Score(value, score(value) == top, mark)
                    for value, top, mark in zip(row, best, marks[system], strict=False)
                ],
            )
            for system, row in values.items()
        ],
        published=numbers,
        sources=sources,
    )


def _with_mean(values: list[float | None]) -> list[float | None]:
    """Values and, of more than one, their mean; none where one is missing, as it would mislead."""
    if len(values) < 2:
        return values
    known = [value for value in values if value is not None]
    return [*values, sum(known) / len(known) if len(known) == len(values) else None]


def _best(column: Sequence[float | None]) -> str | None:
    """The best value as it is shown: who looks equal is equally bold. None of a single system."""
    known = [value for value in column if value is not None]
    return score(max(known)) if len(known) > 1 else None


def _mark(comparison: Comparison | None) -> str:
    if comparison is None or comparison.corrected >= LEVEL:
        return ""
    return "▲" if comparison.difference > 0 else "▼"


def _published(
    published: Sequence[PublishedRow], metric: str, datasets: Sequence[str]
) -> tuple[list[QualityRow], list[str]]:
    """The published numbers of a metric on the datasets measured, a row a system and source."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in published:
        if row.metric == metric and row.dataset in datasets:
            found.setdefault((row.system, row.source), {})[row.dataset] = row.value
    sources = list(dict.fromkeys(source for _, source in found))
    rows = [
        QualityRow(
            system,
            [Score(value) for value in _with_mean([values.get(name) for name in datasets])],
            sources.index(source) + 1,
        )
        for (system, source), values in found.items()
    ]
    return rows, sources
