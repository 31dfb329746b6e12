"""``sparse-ir plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparse_ir.cli.options import (
    corpus_option,
    devices_options,
    document_pruning_option,
    json_option,
    passages_option,
    skip_bad_option,
)
from sparse_ir.cli.output import format_bytes, format_seconds, print_json, progress

if TYPE_CHECKING:
    from sparse_ir.inspecting.plan import Plan, Terms

_CLAUSES = 1024  # of a query, where nobody raised the limit


@click.command(short_help="Predict terms, hours and bytes of a corpus.")
@corpus_option
@click.option("--model", help="Folder or hub id of the model, or bm25. Default: the bundled one.")
@click.option("--queries", help="A file of queries: how many clauses will they have?")
@click.option(
    "--documents",
    type=click.IntRange(min=1),
    default=500,
    show_default=True,
    help="Documents encoded.",
)
@click.option(
    "--documents-in-all",
    type=click.IntRange(min=1),
    help="The corpus given is a part of one with so many documents.",
)
@skip_bad_option
@document_pruning_option
@passages_option
@devices_options
@click.option(
    "--on",
    type=click.IntRange(min=1),
    metavar="N",
    help="How long on N such devices?",
)
@json_option
def plan(as_json: bool, **options: object) -> None:
    """Encode a sample of a corpus and predict what all of it will cost."""
    from sparse_ir.config import load_settings
    from sparse_ir.data.counting import count_rows
    from sparse_ir.inspecting.plan import PlanSettings
    from sparse_ir.inspecting.plan import plan as make_plan

    settings = load_settings(PlanSettings, options, where="plan")
    total = count_rows(settings.corpus, limit=settings.documents) or settings.documents
    with progress("plan", total=total) as advance:
        found = make_plan(settings, advance=advance)
    if as_json:
        print_json(
            {
                **found._asdict(),
                "terms": found.terms._asdict(),
                "query_terms": found.query_terms and found.query_terms._asdict(),
                "sizes": [size._asdict() for size in found.sizes],
            }
        )
        return
    _print(found)


def _print(found: Plan) -> None:
    where = ", ".join(found.devices)
    click.echo(f"{found.documents:,} documents; {found.sampled:,} of them were encoded.")
    if found.vectors != found.documents:
        click.echo(f"{found.vectors:,} passages.")
    click.echo(f"Terms of a document: {_shown(found.terms)}.")
    if found.cut:
        click.echo(
            f"{found.cut:.1%} of the texts are longer than the model reads (--passages reads on)."
        )
    click.echo(f"Encoding: {found.rate:.0f}/s on {where}; the corpus takes", nl=False)
    more = f" on {found.on} such" if found.on != len(found.devices) else ""
    click.echo(f" {format_seconds(found.seconds)}{more}.")
    for size in found.sizes:
        name = f"{size.engine}, {size.field}" if size.field else size.engine
        whole = format_bytes(size.vectors + size.texts)
        click.echo(
            f"Index in {name}: about {whole}, of it {format_bytes(size.vectors)} for vectors."
        )
    if found.query_terms is not None:
        click.echo(f"Clauses of a query: {_shown(found.query_terms)}.")
        if found.query_terms.most > _CLAUSES:
            click.echo(
                f"Servers take {_CLAUSES:,} clauses where nobody raised the limit: search with "
                "--query-pruning top_k=N."
            )


def _shown(terms: Terms) -> str:
    return f"{terms.mean:.0f} on average, 99 of 100 up to {terms.p99:.0f}, at most {terms.most}"
