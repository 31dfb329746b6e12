"""How ``sparse-ir compare`` shows runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.evaluating.compare_runs import QueryGain, RunComparison, RunsComparison

_LONGEST_QUERY = 60
_IN_WORDS = {"randomisation": "paired randomisation test", "t-test": "paired t-test"}


def show_runs(runs: Sequence[str], options: dict[str, Any], *, as_json: bool) -> None:
    """Compare runs and print what was found."""
    from sparse_ir.config import load_settings
    from sparse_ir.evaluating.compare_runs import CompareRunsSettings, compare_runs

    values = {**options, "runs": tuple(runs)}
    found = compare_runs(load_settings(CompareRunsSettings, values, where="compare"))
    if as_json:
        print_json(_as_json(found))
        return
    for name, run in found.runs.items():
        _print_run(name, run, found)
    comparisons = sum(len(run.metrics) for run in found.runs.values())
    note(
        f"{found.queries:,} queries, relevant from grade {found.min_grade} on. p: "
        f"{_IN_WORDS[found.test]}; corrected: after Holm, for {comparisons} comparisons."
    )
    for name, unanswered in _unanswered(found).items():
        note(f"{name}: {unanswered} judged queries have no answer and count as 0.")


def _print_run(name: str, run: RunComparison, found: RunsComparison) -> None:
    headers = [found.baseline, name, "difference", "p", "corrected", "won", "tied", "lost"]
    rows = [
        [
            metric,
            f"{found.mean[metric]:.4f}",
            f"{run.mean[metric]:.4f}",
            f"{compared.difference:+.4f}",
            _p(compared.p_value),
            _p(compared.corrected),
            *map(str, (compared.wins, compared.ties, compared.losses)),
        ]
        for metric, compared in run.metrics.items()
    ]
    print_table(["", *headers], rows)
    first = next(iter(run.metrics))
    listed = (("gained", run.gained), ("lost", run.lost))
    for direction, queries in listed:
        if queries:
            title = f"{direction} most in {first}"
            print_table([title, found.baseline, name], [_query(query) for query in queries])
    if not run.metrics[first].wins and not run.metrics[first].losses:
        note(f"{name}: no query differs in {first}.")


def _query(query: QueryGain) -> list[str]:
    shown = f"{query.query_id}: {query.text}" if query.text else query.query_id
    return [shown[:_LONGEST_QUERY], f"{query.baseline:.4f}", f"{query.value:.4f}"]


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 or value == 0 else f"{value:.0e}"


def _unanswered(found: RunsComparison) -> dict[str, int]:
    counts = {found.baseline: found.unanswered}
    counts.update({name: run.unanswered for name, run in found.runs.items()})
    return {name: count for name, count in counts.items() if count}


def _as_json(found: RunsComparison) -> dict[str, Any]:
    runs = {
        name: {
            **run._asdict(),
            "metrics": {metric: compared._asdict() for metric, compared in run.metrics.items()},
            "gained": [query._asdict() for query in run.gained],
            "lost": [query._asdict() for query in run.lost],
        }
        for name, run in found.runs.items()
    }
    return {**found._asdict(), "runs": runs}
