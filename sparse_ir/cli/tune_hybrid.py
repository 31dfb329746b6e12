"""``sparse-ir tune-hybrid``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import engine_option, index_option, json_option, min_grade_option
from sparse_ir.cli.output import print_json, print_table, progress

if TYPE_CHECKING:
    from sparse_ir.evaluating.tune_hybrid import Trial, TunedHybrid

_SHOWN = 10


@click.command(short_help="Find how to fuse sparse, dense and BM25.")
@click.argument("dataset")
@click.option("--out", required=True, help="Folder for the settings found.")
@click.option("--split", default="dev", show_default=True, help="The dataset's judgements.")
@min_grade_option
@index_option
@engine_option
@click.option("--words-index", metavar="NAME", help="An index made with --model bm25, for words.")
@click.option("--model", help="Another query encoder that fits the index.")
@click.option("--dense", metavar="MODEL", help="The index's dense model, where it has moved.")
@click.option("--metric", default="ndcg@10", show_default=True, help="What quality is.")
@click.option(
    "--depth", type=click.IntRange(min=1), default=100, show_default=True, help="Hits of each side."
)
@click.option(
    "--step",
    type=click.FloatRange(0.01, 0.5),
    default=0.1,
    show_default=True,
    help="Shares are tried in such steps.",
)
@click.option(
    "--first", "queries", type=click.IntRange(min=1), help="Only the first so many judged queries."
)
@json_option
def tune_hybrid(
    dataset: str, split: str, min_grade: int | None, as_json: bool, **options: Any
) -> None:
    """Try every way to fuse an index's sides on judged queries; choose the best.

    DATASET is a name of evaluation/benchmarks.yaml or a folder in BEIR layout. The setting found is
    written to hybrid.yaml, which search and evaluate take with --config.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.evaluating.tune_hybrid import TuneHybridSettings
    from sparse_ir.evaluating.tune_hybrid import tune_hybrid as find
    from sparse_ir.evaluating.tune_hybrid_files import write_tuned_hybrid

    asked = {"source": dataset, "split": split, "min_grade": min_grade}
    values = {**options, "dataset": asked}
    settings = load_settings(TuneHybridSettings, values, where="tune-hybrid")
    with progress("queries") as advance:
        tuned = find(settings, advance=advance)
    written = write_tuned_hybrid(settings, tuned)
    if as_json:
        print_json(_as_json(tuned) | {"files": [str(path) for path in written]})
        return
    rows = [["chosen", *_cells(tuned.chosen)], ["best side", *_cells(tuned.best_single)]]
    rows += [["", *_cells(trial)] for trial in tuned.trials[:_SHOWN]]
    print_table(["", "fusion", settings.metric], rows)
    click.echo(f"Settings: {written[0]}")


def _cells(trial: Trial) -> list[str]:
    return [str(trial.fusion), f"{trial.value:.4f}"]


def _as_json(tuned: TunedHybrid) -> dict[str, Any]:
    return {
        "chosen": _row(tuned.chosen),
        "best_single": _row(tuned.best_single),
        "queries": tuned.queries,
        "trials": [_row(trial) for trial in tuned.trials],
    }


def _row(trial: Trial) -> dict[str, Any]:
    return {"fusion": str(trial.fusion), "sides": trial.fusion.sides, "value": trial.value}
