"""``sparse-ir compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.compare_runs import show_runs
from sparse_ir.cli.options import (
    engine_option,
    index_option,
    json_option,
    min_grade_option,
    query_encoder_option,
    refuse,
    split_names,
)
from sparse_ir.cli.output import note, print_json, print_table, progress
from sparse_ir.errors import ConfigError, InputError

if TYPE_CHECKING:
    from sparse_ir.evaluating.compare_indexes import Comparison

_LONGEST_QUERY = 40
_OF_INDEXES = (
    *("index", "candidate", "engine", "url", "candidate_engine", "query_encoder"),
    *("candidate_query_encoder", "k", "limit"),
)
_RUN_ENDINGS = (".trec", ".run", ".txt", ".tsv", ".gz", ".zst")
_OF_RUNS = ("dataset", "split", "metrics", "min_grade", "test")


@click.command(short_help="Compare runs, or the answers of two indexes.")
@click.argument("names", nargs=-1, metavar="[RUN RUN...]")
@index_option
@click.option("--candidate", help="The index or build that may take its place.")
@click.option("--queries", help="Queries: JSONL, TSV or a BEIR folder. For indexes: real ones.")
@click.option("--qrels", help="Judgements: TREC, BEIR TSV, or a BEIR folder.")
@click.option("--dataset", help="Of runs: a BEIR folder or benchmark name instead of qrels.")
@click.option("--split", default="test", show_default=True, help="The dataset's judgements.")
@click.option(
    "--metrics",
    default="ndcg@10,mrr@10,recall@100",
    show_default=True,
    help="Of runs: comma-separated; the first decides which queries are listed.",
)
@min_grade_option
@click.option(
    "--test",
    type=click.Choice(["randomisation", "t-test"]),
    default="randomisation",
    show_default=True,
    help="Of runs: the paired test of every difference.",
)
@engine_option
@click.option("--candidate-engine", metavar="ENGINE", help="Where the candidate is, if elsewhere.")
@query_encoder_option
@click.option(
    "--candidate-query-encoder",
    type=click.Choice(["model", "inference-free"]),
    help="The candidate's, if another.",
)
@click.option("-k", "--k", "k", default=10, show_default=True, help="Of indexes: hits compared.")
@click.option("--limit", type=click.IntRange(min=1), help="Ask at most so many queries.")
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    help="Most different queries to list. Default: 10, of runs 5 each way.",
)
@json_option
def compare(names: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Compare TREC runs by their metrics, or two indexes by their answers.

    Runs: compare BASELINE.trec OTHER.trec --qrels qrels.tsv scores them and tests whether the
    difference is more than chance.

    Indexes: compare --index NAME --candidate NAME --queries FILE asks both the same queries.
    Before an upgrade: index with the new model --aside, compare, then swap.
    """
    if options["worst"] is None:
        del options["worst"]
    if _are_runs(names, options):
        refuse(_OF_INDEXES, "is for indexes, and these are runs")
        kept = {name: value for name, value in options.items() if name not in _OF_INDEXES}
        show_runs(names, {**kept, "metrics": split_names(kept["metrics"])}, as_json=as_json)
        return
    refuse(_OF_RUNS, "is for runs: name two run files")
    if names:
        refuse(("index", "candidate"), f"names an index, and so do {' and '.join(names)}")
        options["index"], options["candidate"] = names
    if options["candidate"] is None:
        raise ConfigError("Give two runs, or the --candidate to compare --index with.")
    if options["queries"] is None:
        raise ConfigError("Comparing indexes needs --queries FILE.")
    kept = {name: value for name, value in options.items() if name not in _OF_RUNS}
    _compare_indexes(kept, as_json=as_json)


def _are_runs(names: tuple[str, ...], options: dict[str, Any]) -> bool:
    """Whether the arguments are run files rather than indexes; a mixture is an error."""
    files = [name for name in names if Path(name).is_file()]
    others = [name for name in names if name not in files]
    if files and others:
        raise ConfigError(
            f"{files[0]} is a file, {others[0]} is not. Compare two run files, or two indexes."
        )
    if len(names) == 1 or (len(names) > 2 and others):
        raise ConfigError("Give two runs or more, or two indexes.")
    if others and (options["queries"] is None or others[0].endswith(_RUN_ENDINGS)):
        from sparse_ir.data.files import missing

        raise InputError(
            f"{missing(others[0])} To compare two indexes, give their names and --queries."
        )
    return bool(files)


def _compare_indexes(options: dict[str, Any], *, as_json: bool) -> None:
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
    if found.same == found.queries:
        note("No query's list differs.")
        return
    changed = [change for change in found.worst if change.overlap < 1 or change.rank_shift]
    if not changed:  # none was to be listed
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
