"""``sparse-ir pseudo-queries``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import (
    corpus_option,
    json_option,
    limit_option,
    skip_bad_option,
    split_names,
)
from sparse_ir.cli.output import note, print_json, progress


@click.command("pseudo-queries", short_help="Make training examples of documents alone.")
@corpus_option
@click.option("--out", required=True, help="File of examples to write (JSONL; .gz, .zst).")
@click.option(
    "--kinds",
    default="title,heading,lead,sentence,crop",
    show_default=True,
    metavar="KINDS",
    help="What becomes a query, comma-separated.",
)
@click.option("--headings", type=click.IntRange(min=0), default=2, show_default=True)
@click.option("--sentences", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--crops",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Headings, sentences and crops of a document, at most.",
)
@click.option("--crop-words-min", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--crop-words-max", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--query-words-min", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--query-words-max", type=click.IntRange(min=1), default=32, show_default=True)
@click.option(
    "--document-words-min",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    help="What a query leaves of its document must have so many words.",
)
@click.option(
    "--keep-span",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of queries whose document keeps the words they are cut from.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="What chance decides.")
@click.option(
    "--max-queries", type=click.IntRange(min=1), help="Keep at most so many, drawn at random."
)
@limit_option
@skip_bad_option
@json_option
def pseudo_queries(as_json: bool, kinds: str, **options: object) -> None:
    """Make training examples of documents alone.

    Titles, headings, sentences and crops stand for queries; each one's document, without those
    words, is its positive. Then mine adds negatives and distill a teacher's scores.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.data.counting import count_rows
    from sparse_ir.training.pseudo_queries import PseudoQuerySettings, made
    from sparse_ir.training.pseudo_queries import pseudo_queries as make

    values = {**options, "kinds": split_names(kinds)}
    settings = load_settings(PseudoQuerySettings, values, where="pseudo-queries")
    total = count_rows(settings.corpus, limit=settings.limit)
    with progress("pseudo-queries", total=total) as advance:
        report = make(settings, advance)
    if as_json:
        print_json(made(report))
        return
    for row in report.skipped[:20]:
        note(f"Skipped: {row.path}, line {row.line}: {row.reason}")
    if report.skipped:
        note(f"{len(report.skipped):,} unusable rows were skipped.")
    by_kind = ", ".join(f"{count:,} {kind}" for kind, count in report.kinds.items())
    click.echo(
        f"{report.out} holds {report.examples:,} examples of {report.documents:,} documents "
        f"({by_kind}); {report.ambiguous:,} ambiguous queries left out, {report.barren:,} documents"
        " too short."
    )
