"""``sparse-ir compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import engine_option, index_option, json_option, query_encoder_option
from sparse_ir.cli.output import note, print_json, print_table, progress

if TYPE_CHECKING:
    from sparse_ir.evaluating.compare_indexes import Comparison

_LONGEST_QUERY = 40


@click.command(short_help="Compare the answers of two indexes.")
@index_option
@click.option("--candidate", required=True, help="The index or build that may take its place.")
@click.option("--queries", required=True, help="Real queries: JSONL, TSV or a BEIR folder.")
@click.option("--qrels", help="Judgements, to score both.")
@engine_option
@click.option("--candidate-engine", metavar="ENGINE", help="Where the candidate is, if elsewhere.")
@query_encoder_option
@click.option(
    "--candidate-query-encoder",
    type=click.Choice(["model", "inference-free"]),
    help="The candidate's, if another.",
)
@click.option("-k", "k", default=10, show_default=True, help="Hits compared.")
@click.option("--limit", type=click.IntRange(min=1), help="Ask at most so many queries.")
@click.option("--worst", default=10, show_default=True, help="Most different queries to list.")
@json_option
def compare(as_json: bool, **options: Any) -> None:
    """Ask two indexes the same queries and show how their answers differ.

    Before an upgrade: index with the new model --aside, compare, then swap.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.evaluating.compare_indexes import CompareSettings, compare_indexes

    settings = load_settings(CompareSettings, options, where="compare")
    with progress("search") as advance:
        found = compare_indexes(settings, advance=advance)
    if as_json:
        print_json({**found._asdict(), "worst": [change._asdict() for change in found.worst]})
    else:
        _print(settings.index, settings.candidate, found)


def _print(index: str, candidate: str, found: Comparison) -> None:
    rows = [
        ["model", found.models[0], found.models[1]],
        ["queries without a hit", *map(str, found.unanswered)],
        *([name, f"{old:.4f}", f"{new:.4f}"] for name, (old, new) in found.metrics.items()),
    ]
    print_table(["", index, candidate], rows)
    print_table(
        ["queries", f"overlap@{found.k}", "same list", "mean rank shift", "median score ratio"],
        [
            [
                f"{found.queries:,}",
                f"{found.overlap:.3f}",
                f"{found.same:,}",
                f"{found.rank_shift:.2f}",
                f"{found.score_ratio:.3f}",
            ]
        ],
    )
    changed = [change for change in found.worst if change.overlap < 1 or change.rank_shift]
    if not changed:
        note("No query's list differs.")
        return
    print_table(
        ["most different", "overlap", "rank shift", "score ratio", "left", "entered"],
        [
            [
                change.text[:_LONGEST_QUERY],
                f"{change.overlap:.2f}",
                f"{change.rank_shift:.1f}",
                f"{change.score_ratio:.2f}",
                ", ".join(change.left[:2]),
                ", ".join(change.entered[:2]),
            ]
            for change in changed
        ],
    )
