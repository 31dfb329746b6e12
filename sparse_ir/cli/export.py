"""``sparse-ir export``."""

from __future__ import annotations

from contextlib import ExitStack

import click

from sparse_ir.cli.options import engine_option
from sparse_ir.cli.output import progress


@click.command(short_help="Write vectors as JSONL term dicts.")
@click.option("--index", help="Export the vectors of this index.")
@click.option("--vectors", help="Export this folder of vector shards.")
@engine_option
@click.option("--out", required=True, help="File to write; .gz and .zst compress.")
@click.option(
    "--quantize",
    type=click.IntRange(min=1),
    metavar="Q",
    help="Whole-number weights, round(weight * Q), as impact indexes want them.",
)
def export(
    index: str | None, vectors: str | None, engine: str, out: str, quantize: int | None
) -> None:
    """Write vectors as JSONL term dicts, as Anserini and Pyserini read them."""
    from sparse_ir.data.exports import export_jsonl
    from sparse_ir.engines.opening import open_engine
    from sparse_ir.indexing.vectors import read_entries

    if (index is None) == (vectors is None):
        raise click.UsageError("Give --index NAME or --vectors FOLDER.")
    with ExitStack() as stack:
        if index is None:
            entries = read_entries(str(vectors))
        else:
            opened = open_engine(engine)
            stack.callback(opened.close)
            entries = opened.scan(index)
        advance = stack.enter_context(progress("export"))
        count = export_jsonl(entries, out, quantize=quantize, advance=advance)
    click.echo(f"{out}: {count:,} vectors.")
