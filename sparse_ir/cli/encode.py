"""``sparse-ir encode``."""

from __future__ import annotations

import os

import click

from sparse_ir.cli.options import (
    corpus_option,
    devices_options,
    document_pruning_option,
    json_option,
    limit_option,
    passages_option,
    resume_option,
    skip_bad_option,
)
from sparse_ir.cli.output import format_seconds, note, print_json, progress
from sparse_ir.cli.stopping import resumable


@click.command(short_help="Encode a corpus into vector shards.")
@corpus_option
@click.option("--out", required=True, help="Folder for the vector shards.")
@click.option("--model", help="Folder or hub id of the model, or bm25. Default: the bundled one.")
@click.option("--dense", hidden=True, help="Not here: give it to index.")
@resume_option
@click.option("--replace", is_flag=True, help="Throw away what the folder holds and start again.")
@limit_option
@skip_bad_option
@document_pruning_option
@passages_option
@devices_options
@click.option(
    "--shard-documents",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    help="Documents per shard.",
)
@json_option
def encode(as_json: bool, dense: str | None, **options: object) -> None:
    """Encode a corpus into vector shards (Parquet).

    index --vectors takes the folder; pandas, DuckDB and datasets read it. On several machines that
    share the folder: torchrun ... -m sparse_ir encode ...
    """
    if dense is not None:
        raise click.UsageError(
            "vector shards hold terms alone. Encode without --dense, then give it to index: "
            f"index --vectors FOLDER --dense {dense}."
        )
    from sparse_ir.config import load_settings
    from sparse_ir.data.counting import count_rows
    from sparse_ir.encoding.encode import EncodeSettings
    from sparse_ir.encoding.encode import encode as encode_corpus

    settings = load_settings(EncodeSettings, options, where="encode")
    total = count_rows(settings.corpus, limit=settings.limit)
    first = os.environ.get("RANK", "0") == "0"  # torchrun starts several processes
    with resumable(), progress("encode", total=total, shown=first) as advance:
        report = encode_corpus(settings, advance=advance)
    if not first:
        return
    if as_json:
        print_json(report._asdict())
        return
    for row in report.skipped[:20]:
        note(f"Skipped: {row.path}, line {row.line}: {row.reason}")
    if report.skipped:
        note(f"{len(report.skipped):,} unusable rows were skipped.")
    if report.texts_cut:
        note(f"{report.texts_cut:,} texts were longer than the model reads and were cut.")
    click.echo(
        f"{report.out} holds {report.documents:,} vectors in {report.shards:,} shards; "
        f"{report.encoded:,} encoded in {format_seconds(report.seconds)}."
    )
