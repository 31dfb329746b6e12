"""What quality costs: terms, bytes, seconds; and everything measured as rows of a CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sparse_ir.evaluating.report_words import DASH, count, figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.evaluating.report_quality import Comparisons
    from sparse_ir.evaluating.results import Latency, Outcome, Results
    from sparse_ir.evaluating.significance import Comparison

STAGES = {"total": "In all", "encode": "Encode", "search": "Search"}
QUANTILES = ("mean", "p50", "p95", "p99")
Value: TypeAlias = "str | float | int | None"


class Column(NamedTuple):
    """A figure of an outcome: its heading on the page, its name in the CSV, and itself."""

    heading: str
    name: str
    value: Callable[[Outcome], float | None]
    shown: Callable[[float | None], str]


class LatencyRow(NamedTuple):
    """A system asked by so many clients at once: milliseconds a query, by stage and quantile."""

    system: str
    clients: str
    queries: str
    milliseconds: list[str]
    per_second: str


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def _megabytes(value: float | None) -> str:
    return figure(None if value is None else value / 1e6)


def _count(value: float | None) -> str:
    return count(None if value is None else int(value))


def _flops(outcome: Outcome) -> float | None:
    """Products a document, unknown where no terms were counted."""
    return outcome.flops if outcome.query_terms and outcome.document_terms else None


COLUMNS = (
    Column("Terms per query", "query_terms", lambda o: mean(o.query_terms), figure),
    Column("Terms per document", "document_terms", lambda o: mean(o.document_terms), figure),
    Column("FLOPS", "flops", _flops, figure),
    Column("Index, MB", "index_bytes", lambda o: o.index_bytes, _megabytes),
    Column("Index, s", "index_seconds", lambda o: o.index_seconds, figure),
    Column("Encode, s", "encode_seconds", lambda o: o.encode_seconds, figure),
    Column("Peak memory, MB", "peak_bytes", lambda o: o.peak_bytes, _megabytes),
    Column("Unanswered queries", "unanswered", lambda o: o.unanswered, _count),
)


def cost_cells(outcome: Outcome) -> list[str]:
    """The figures of COLUMNS, as they are shown."""
    return [column.shown(column.value(outcome)) for column in COLUMNS]


def latency_rows(outcomes: Sequence[Outcome]) -> list[LatencyRow]:
    """How long queries took: a row a system and number of clients, a dash where it is unknown."""
    rows = []
    for outcome in outcomes:
        for latency in sorted(outcome.latency, key=lambda entry: entry.clients):
            rows.append(
                LatencyRow(
                    outcome.system,
                    count(latency.clients),
                    count(latency.queries),
                    [figure(value) for value in _milliseconds(latency)],
                    figure(latency.per_second),
                )
            )
        if not outcome.latency:
            dashes = [DASH] * (len(STAGES) * len(QUANTILES))
            rows.append(LatencyRow(outcome.system, DASH, DASH, dashes, DASH))
    return rows


def csv_rows(results: Results, compared: Comparisons) -> list[list[Value]]:
    """Everything that is a number: a heading, then a row a dataset, system and metric.

    The figures that belong to dataset and system repeat in the rows of all metrics. A latency's
    column names the number of clients; what was not measured is empty.
    """
    clients = sorted({entry.clients for outcome in results.outcomes for entry in outcome.latency})
    heading = [
        *("dataset", "system", "model", "engine", "field", "metric", "value", "queries"),
        *("baseline", "difference", "p_value", "p_corrected", "wins", "ties", "losses"),
        *(column.name for column in COLUMNS),
        *(name for asked in clients for name in _latency_names(asked)),
    ]
    rows: list[list[Value]] = [list(heading)]
    for outcome in results.outcomes:
        figures: list[Value] = [column.value(outcome) for column in COLUMNS]
        for asked in clients:
            figures += _latency_values(outcome, asked)
        for metric in results.metrics:
            versus = compared.get((metric, outcome.dataset), {}).get(outcome.system)
            rows.append(
                [
                    *(outcome.dataset, outcome.system, outcome.model, outcome.engine),
                    *(outcome.field, metric, outcome.mean.get(metric)),
                    *(len(outcome.per_query.get(metric, {})), results.baseline),
                    *_comparison_values(versus),
                    *figures,
                ]
            )
    return rows


def _milliseconds(latency: Latency) -> list[float]:
    return [
        getattr(getattr(latency, stage), quantile) for stage in STAGES for quantile in QUANTILES
    ]


def _latency_names(clients: int) -> list[str]:
    names = [f"{stage}_{quantile}_ms" for stage in STAGES for quantile in QUANTILES]
    return [f"clients{clients}_{name}" for name in [*names, "per_second"]]


def _latency_values(outcome: Outcome, clients: int) -> list[Value]:
    for latency in outcome.latency:
        if latency.clients == clients:
            return [*_milliseconds(latency), latency.per_second]
    return [None] * len(_latency_names(clients))


def _comparison_values(versus: Comparison | None) -> list[Value]:
    if versus is None:
        return [None] * 6
    counts = (versus.wins, versus.ties, versus.losses)
    return [versus.difference, versus.p_value, versus.corrected, *counts]
