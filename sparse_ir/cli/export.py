"""``sparse-ir export``."""

from __future__ import annotations

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
    from sparse_ir.indexing.export import export_index, export_shards

    if (index is None) == (vectors is None):
        raise click.UsageError("Give --index NAME or --vectors FOLDER.")
    with progress("export") as advance:
        if index is not None:
            count = export_index(index, out, engine=engine, quantize=quantize, advance=advance)
        else:
            count = export_shards(str(vectors), out, quantize=quantize, advance=advance)
    click.echo(f"{out}: {count:,} vectors.")
