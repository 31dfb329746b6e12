"""``sparse-ir idf``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import corpus_option, json_option, limit_option, skip_bad_option
from sparse_ir.cli.output import note, print_json, progress


@click.command(short_help="Weigh queries by a corpus's IDF, without a model.")
@corpus_option
@click.option("--model", help="The model of the documents. Default: the bundled one.")
@click.option(
    "--out",
    required=True,
    help="New folder for the query side; or the model's own, which then has the table beside it.",
)
@limit_option
@skip_bad_option
@click.option("--replace", is_flag=True, help="Replace one that was made before.")
@json_option
def idf(
    corpus: str,
    model: str | None,
    out: str,
    limit: int | None,
    skip_bad: bool,
    replace: bool,
    as_json: bool,
) -> None:
    """Count a corpus and make a query side that needs no model: a weight for each token.

    An index that is there already takes it after: sparse-ir restamp --index NAME --model OUT.
    """
    from sparse_ir.encoding.idf import make_idf

    bad: list[object] = []
    with progress("count") as advance:
        report = make_idf(
            corpus,
            out,
            model=model,
            limit=limit,
            on_bad=bad.append if skip_bad else None,
            replace=replace,
            advance=advance,
        )
    if bad:
        note(f"{len(bad):,} unusable rows were passed over; the first: {bad[0]}")
    if as_json:
        print_json({**report._asdict(), "folder": str(report.folder)})
        return
    click.echo(f"{report.folder}: {report.tokens:,} tokens by {report.documents:,} documents.")
    how = "--query-encoder inference-free" if report.beside else f"--model {out}"
    click.echo(f"Search with: {how}; an index that is there takes it after sparse-ir restamp.")
