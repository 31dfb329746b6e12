"""``sparse-ir distill``."""

from __future__ import annotations

from typing import Any

import click

from sparse_ir.cli.examples_options import (
    batch_tokens_option,
    examples_options,
    examples_values,
    teacher_option,
    teacher_values,
)
from sparse_ir.cli.options import device_options, json_option, resume_option
from sparse_ir.cli.output import format_seconds, print_json, progress
from sparse_ir.cli.stopping import resumable


@click.command(short_help="Give examples the scores of teachers.")
@examples_options
@click.option("--out", required=True, help="File to write (JSONL; .gz, .zst).")
@teacher_option(multiple=True)
@click.option(
    "--normalize",
    type=click.Choice(["auto", "none", "minmax", "zscore", "global"]),
    default="auto",
    show_default=True,
    help="Each teacher's scores first: over a query's documents (minmax, zscore), or over all "
    "pairs (global). auto: none for one teacher, zscore for several.",
)
@click.option("--texts/--no-texts", default=True, help="Write texts, or ids alone.")
@click.option(
    "--part-examples",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Queries between two points where a stopped run can go on.",
)
@device_options
@batch_tokens_option
@resume_option
@click.option("--replace", is_flag=True, help="Throw away what is there and start again.")
@json_option
def distill(as_json: bool, teachers: tuple[str, ...], **options: Any) -> None:
    """Give every document of every example a teacher's score.

    Scores are kept by teacher and texts: the same pairs cost nothing another time.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.training.distill import DistillSettings
    from sparse_ir.training.distill import distill as run

    examples = examples_values(options)
    chosen = teacher_values(teachers, options)
    values = {**options, "examples": examples, "teachers": chosen}
    settings = load_settings(DistillSettings, values, where="distill")
    with resumable(), progress("distill") as advance:
        report = run(settings, advance)
    if as_json:
        print_json(report._asdict())
    elif not report.examples:
        click.echo(f"{report.out} is there already.")
    else:
        click.echo(
            f"{report.out} holds {report.examples:,} examples with {report.pairs:,} scores; "
            f"{report.asked:,} asked for in {format_seconds(report.seconds)}, the rest was known."
        )
