"""``sparse-ir index``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparse_ir.cli.options import (
    cluster_options,
    devices_options,
    document_pruning_option,
    engine_option,
    index_option,
    json_option,
    limit_option,
    passages_option,
    refuse,
    resume_option,
    skip_bad_option,
    typed,
)
from sparse_ir.cli.output import (
    engine_flag,
    format_bytes,
    format_seconds,
    note,
    print_json,
    progress,
)
from sparse_ir.cli.stopping import resumable
from sparse_ir.errors import RejectedDocumentsError

if TYPE_CHECKING:
    from sparse_ir.indexing.changes import UpdateReport
    from sparse_ir.indexing.index import IndexReport, IndexSettings

_LISTED = 20
_OF_A_BUILD = ("resume", "replace", "aside", "vectors", "document_pruning", "passages")


@click.command()
@click.option(
    "--corpus",
    default="",
    help="BEIR folder, JSONL, TSV, CSV or Parquet (plain, gzip, zstd), Hub dataset id, irds:ID, "
    "python-docs, or - for standard input. Ready vectors bring their own texts.",
)
@index_option
@engine_option
@click.option("--model", help="Folder or hub id of the model, or bm25. Default: the bundled one.")
@click.option(
    "--vectors",
    help="Take the vectors from this folder, made by encode, or ready ones (Anserini's JSONL).",
)
@click.option(
    "--dense",
    metavar="MODEL",
    help="Folder or hub id of a dense model: its vectors are stored beside the terms, for "
    "search --hybrid.",
)
@click.option(
    "--dense-similarity",
    type=click.Choice(["cosine", "dot"]),
    help="How dense vectors are compared. Default: as the dense model says.",
)
@resume_option
@click.option("--replace", is_flag=True, help="Build anew; the old index serves until then.")
@click.option(
    "--aside",
    is_flag=True,
    help="Build beside the index and leave it out of sight: compare, then swap.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Write only what is new or changed into the index as it is, with the index's model.",
)
@click.option(
    "--delete-missing", is_flag=True, help="With --update: delete what the corpus does not hold."
)
@limit_option
@skip_bad_option
@document_pruning_option
@passages_option
@devices_options
@click.option(
    "--chunk-documents",
    type=click.IntRange(min=1),
    default=512,
    show_default=True,
    help="Documents encoded, written and acknowledged together.",
)
@cluster_options
@json_option
def index(as_json: bool, update: bool, delete_missing: bool, **options: object) -> None:
    """Encode a corpus and index it.

    A stopped run loses nothing: the same command with --resume goes on. The index can be searched
    once everything is in.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.data.counting import count_rows
    from sparse_ir.indexing.index import IndexSettings, index_corpus

    settings = load_settings(IndexSettings, options, where="index")
    if update:
        refuse(_OF_A_BUILD, "and --update do not go together: it keeps the index as it was made")
        _update(settings, delete_missing=delete_missing, as_json=as_json)
        return
    if delete_missing:
        raise click.UsageError("--delete-missing goes with --update.")
    total = count_rows(settings.corpus, limit=settings.limit)
    with resumable(), progress("index", total=total) as advance:
        report = index_corpus(settings, advance=advance)
    if as_json:
        print_json({**report._asdict(), "rejects": str(report.rejects or "")})
    else:
        _print(report)
    _refuse_if_rejected(report)


def _update(settings: IndexSettings, *, delete_missing: bool, as_json: bool) -> None:
    from sparse_ir.data.counting import count_rows
    from sparse_ir.indexing.changes import update_index

    total = count_rows(settings.corpus, limit=settings.limit)
    with progress("update", total=total) as advance:
        report = update_index(
            settings,
            delete_missing=delete_missing,
            precision=settings.precision if typed("precision") else None,
            advance=advance,
        )
    if as_json:
        print_json({**report._asdict(), "rejects": str(report.rejects or "")})
    else:
        _say_skipped(report)
        click.echo(
            f"Index {report.name!r} holds {report.documents:,} documents: {report.written:,} "
            f"written, {report.unchanged:,} unchanged, {report.deleted:,} deleted, in "
            f"{format_seconds(report.seconds)}."
        )
    _refuse_if_rejected(report)


def _refuse_if_rejected(report: IndexReport | UpdateReport) -> None:
    if report.rejected:
        raise RejectedDocumentsError(
            f"{report.rejected:,} documents were refused for good; {report.rejects} names them "
            "and why.",
            (),
        )


def _say_skipped(report: IndexReport | UpdateReport) -> None:
    for row in report.skipped[:_LISTED]:
        note(f"Skipped: {row.path}, line {row.line}: {row.reason}")
    if report.skipped:
        more = f" (the first {_LISTED} are listed)" if len(report.skipped) > _LISTED else ""
        note(f"{len(report.skipped):,} unusable rows were skipped{more}.")
    if report.texts_cut:
        note(f"{report.texts_cut:,} texts were longer than the model reads and were cut.")


def _print(report: IndexReport) -> None:
    _say_skipped(report)
    if report.details.get("server"):
        note(
            f"{report.details['server']}: vectors in field type {report.details['field']}, "
            f"physical index {report.details['physical']}."
        )
    if not report.encoded:
        click.echo(
            f"Index {report.name!r} was complete already: {report.documents:,} documents, "
            f"{format_bytes(report.bytes)}."
        )
        return
    rate = report.encoded / max(report.seconds, 1e-9)
    click.echo(
        f"Index {report.name!r} holds {report.documents:,} documents "
        f"({format_bytes(report.bytes)}); {report.encoded:,} encoded in "
        f"{format_seconds(report.seconds)}, {rate:.0f}/s."
    )
    where = engine_flag(report.engine)
    if "@" in report.name:
        index = report.name.partition("@")[0]
        chosen = f"{where} --index {index} --candidate {report.name}"
        click.echo(f"Next: sparse-ir compare{chosen} --queries FILE")
        click.echo(f"Then: sparse-ir swap{chosen}")
        return
    click.echo(f'Search it with: sparse-ir search{where} --index {report.name} "your question"')
