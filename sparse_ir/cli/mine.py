"""``sparse-ir mine``."""

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
from sparse_ir.cli.options import device_options, engine_option, json_option, resume_option
from sparse_ir.cli.output import format_seconds, note, print_json, progress
from sparse_ir.cli.stopping import resumable


@click.command(short_help="Find hard negatives in your own indexes.")
@examples_options
@click.option("--out", required=True, help="File to write (JSONL; .gz, .zst).")
@click.option(
    "--index", "indexes", multiple=True, help="Index to search; repeat for several. [default]"
)
@engine_option
@click.option("--model", help="Another query encoder that fits the index.")
@click.option("--negatives", type=int, default=8, show_default=True, help="Wanted per query.")
@click.option("--depth", type=int, default=100, show_default=True, help="Ranks looked at.")
@click.option("--skip-top", type=int, default=0, show_default=True, help="Ranks passed over.")
@click.option(
    "--choose",
    type=click.Choice(["random", "top"]),
    default="random",
    show_default=True,
    help="Draw among what is left, or take the first.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="What chance decides.")
@teacher_option(multiple=False)
@click.option(
    "--max-share",
    type=float,
    help="Drop what the teacher scores above this share of the positive's score, such as 0.95.",
)
@click.option(
    "--max-margin",
    type=float,
    help="Drop what the teacher scores above the positive's score less this.",
)
@click.option("--texts/--no-texts", default=True, help="Write texts, or ids alone.")
@click.option(
    "--part-queries",
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
def mine(
    as_json: bool,
    indexes: tuple[str, ...],
    engine: str,
    model: str | None,
    teachers: tuple[str, ...],
    **options: Any,
) -> None:
    """Find hard negatives: what a search finds for a query and is not relevant to it.

    What is known to be relevant is never taken, by id or by text; with --teacher and --max-share
    or --max-margin, nor is what a teacher finds nearly as good as the positive.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.training.mine import MineSettings
    from sparse_ir.training.mine import mine as run

    if len(teachers) > 1:
        raise click.UsageError("Give one --teacher.")
    examples = examples_values(options)
    teacher = next(iter(teacher_values(teachers, options)), None)
    named = [{"index": name, "engine": engine, "model": model} for name in indexes or ("default",)]
    values = {**options, "examples": examples, "teacher": teacher, "indexes": named}
    settings = load_settings(MineSettings, values, where="mine")
    with resumable(), progress("mine") as advance:
        report = run(settings, advance)
    if as_json:
        print_json(report._asdict())
    elif not report.queries:
        click.echo(f"{report.out} is there already.")
    else:
        if report.few:
            note(f"{report.few:,} queries have fewer negatives than wanted, {report.none:,} none.")
        click.echo(
            f"{report.out} holds {report.negatives:,} negatives of {report.queries:,} queries; "
            f"left out {report.relevant:,} known to be relevant and {report.false:,} likely false "
            f"negatives; {format_seconds(report.seconds)}."
        )
