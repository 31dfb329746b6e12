"""``sparse-ir tune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import ENCODING_PRECISIONS, engine_option, json_option, min_grade_option
from sparse_ir.cli.output import note, print_json, print_table
from sparse_ir.cli.stopping import resumable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.evaluating.tune_settings import Point, Tuned

_SHOWN = 12


@click.command(short_help="Find pruning that is fast and loses nothing.")
@click.argument("dataset")
@click.option("--out", required=True, help="Folder for the settings found.")
@click.option("--split", default="dev", show_default=True, help="The dataset's judgements.")
@min_grade_option
@click.option("--confirm", help="Another dataset, to compare the setting found with no pruning.")
@click.option("--confirm-split", default="test", show_default=True, help="Its judgements.")
@click.option("--model", help="Folder or hub id of the model. Default: the bundled one.")
@click.option(
    "--precision",
    type=click.Choice(ENCODING_PRECISIONS),
    default="fp32",
    show_default=True,
    help="Arithmetic of the model's body.",
)
@click.option("--devices", default="auto", show_default=True, help="As for encode.")
@engine_option
@click.option("--field", default="", help="The engine's field type, as for index.")
@click.option("--metric", default="ndcg@10", show_default=True, help="What quality is.")
@click.option(
    "--within",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.01,
    show_default=True,
    help="Share of the best quality that may be given up.",
)
@click.option("--document-pruning", multiple=True, help="Try this; repeatedly. none is no pruning.")
@click.option("--query-pruning", multiple=True, help="Try this; repeatedly.")
@click.option(
    "--two-step",
    multiple=True,
    help="Try this, of ratio=R, window=N and expansion=E; repeatedly.",
)
@json_option
def tune(
    dataset: str,
    split: str,
    min_grade: int | None,
    confirm: str | None,
    confirm_split: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Sweep pruning and two-step search; choose the fastest that keeps the quality.

    DATASET is a name of evaluation/benchmarks.yaml or a folder in BEIR layout. The setting found is
    written to tuned.yaml, which index and search take with --config.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.evaluating.tune import tune as find
    from sparse_ir.evaluating.tune_files import write_tuned
    from sparse_ir.evaluating.tune_settings import TuneSettings

    swept = ("document_pruning", "query_pruning", "two_step")
    values = {name: value for name, value in options.items() if name not in swept}
    values |= {name: _choices(options[name]) for name in swept if options[name]}
    values["dataset"] = {"source": dataset, "split": split, "min_grade": min_grade}
    if confirm is not None:
        values["confirm"] = {"source": confirm, "split": confirm_split}
    settings = load_settings(TuneSettings, values, where="tune")
    with resumable(flag=""):
        tuned = find(settings, tell=note)
    written = write_tuned(settings, tuned)
    if as_json:
        print_json(_as_json(tuned) | {"files": [str(path) for path in written]})
        return
    _print(tuned, settings.metric)
    click.echo(f"Settings: {written[0]}")


def _choices(given: Sequence[str]) -> list[str]:
    """What was named, and nothing at all first: it is what the others are compared with."""
    named = ["" if text in ("none", "off") else text for text in given]
    return list(dict.fromkeys(["", *named]))


def _as_json(tuned: Tuned) -> dict[str, Any]:
    return {
        "chosen": _row(tuned.chosen),
        "unpruned": _row(tuned.unpruned),
        "confirmed": tuned.confirmed and [_row(point) for point in tuned.confirmed],
        "front": [_row(point) for point in tuned.front],
        "points": [_row(point) for point in tuned.points],
    }


def _row(point: Point) -> dict[str, Any]:
    return {**point._asdict(), "choice": point.choice._asdict()}


def _print(tuned: Tuned, metric: str) -> None:
    headers = ["", "documents", "queries", "two-step", metric, "ms", "terms", "MB"]
    rows = [["chosen", *_cells(tuned.chosen)], ["unpruned", *_cells(tuned.unpruned)]]
    rows += [["front", *_cells(point)] for point in tuned.front[:_SHOWN]]
    if tuned.confirmed is not None:
        rows += [
            [f"confirmed, {name}", *_cells(point)]
            for name, point in zip(("chosen", "unpruned"), tuned.confirmed, strict=True)
        ]
    print_table(headers, rows)


def _cells(point: Point) -> list[str]:
    return [
        *(part or "-" for part in point.choice),
        f"{point.value:.4f}",
        f"{point.milliseconds:.2f}",
        f"{point.query_terms:.1f}",
        f"{point.index_bytes / 1e6:.1f}",
    ]
