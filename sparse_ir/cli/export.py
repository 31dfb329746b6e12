"""``sparse-ir export``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from sparse_ir.cli.options import engine_option, query_encoder_option, where_used
from sparse_ir.cli.output import note, progress

if TYPE_CHECKING:
    from collections.abc import Callable

_MODELS = ("onnx", "opensearch-ml", "eland")
_PACKED_FOR_ANSERINI = (".json", ".jsonl", ".gz")


@click.command(short_help="Write vectors, or a model, for other tools.")
@click.option("--index", help="Export the vectors of this index; of --queries: as it is asked.")
@click.option("--vectors", help="Export this folder of vector shards.")
@click.option("--queries", help="Export these queries, weighed by the model, or by the index's.")
@engine_option
@click.option(
    "--model",
    help="The model to export; with --queries: the one that weighs them. Default: bundled.",
)
@query_encoder_option
@click.option(
    "--out", required=True, help="File to write (.gz and .zst compress); of a model: a new folder."
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["terms", "anserini", *_MODELS]),
    default="terms",
    show_default=True,
    help="terms: JSONL with the weights as they are. anserini: whole numbers, round(weight * "
    "scale), as impact indexes want them; queries as TSV. A model: onnx (runs without torch), "
    "opensearch-ml (a zip for ML Commons), eland (for Elasticsearch).",
)
@click.option(
    "--scale",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --format anserini: what weights are multiplied by. Default: 100.",
)
@click.option(
    "--query-side", is_flag=True, help="With opensearch-ml and eland: as it weighs queries."
)
@click.option("--replace", is_flag=True, help="Of a model: replace an earlier export.")
def export(
    index: str | None,
    vectors: str | None,
    queries: str | None,
    engine: str,
    model: str | None,
    query_encoder: str,
    out: str,
    layout: str,
    scale: int | None,
    query_side: bool,
    replace: bool,
) -> None:
    """Write vectors of documents or queries for other tools, or a model that others run.

    An exported model is compared with the original: one whose vectors differ is not left.
    """
    from sparse_ir.data.impacts import SCALE

    if scale is not None and layout != "anserini":
        raise click.UsageError("--scale goes with --format anserini.")
    index = where_used("index", index, used=vectors is None and layout not in _MODELS)
    query_encoder = where_used(
        "query_encoder", query_encoder, used=queries is not None, default="model"
    )
    if layout in _MODELS:
        if (index, vectors, queries, query_encoder) != (None, None, None, "model"):
            raise click.UsageError(f"--format {layout} exports a model: --model M --out FOLDER.")
        _model(layout, model, out, query_side=query_side, replace=replace)
        return
    factor = (scale or SCALE) if layout == "anserini" else None
    with progress("export") as advance:
        if queries is not None:
            if vectors is not None:
                raise click.UsageError("Give --queries or --vectors, not both.")
            _queries(queries, index, engine, model, query_encoder, out, factor, advance)
            return
        if (index is None) == (vectors is None):
            raise click.UsageError("Give --index NAME, --vectors FOLDER or --queries FILE.")
        if model is not None or query_encoder != "model":
            raise click.UsageError("--model and --query-encoder go with --queries.")
        if factor is not None and not out.endswith(_PACKED_FOR_ANSERINI):
            raise click.UsageError("Anserini reads files that end with .json, .jsonl or .gz.")
        _documents(index, vectors, engine, out, factor, advance)


def _model(layout: str, model: str | None, out: str, *, query_side: bool, replace: bool) -> None:
    if layout == "onnx":
        if query_side:
            raise click.UsageError("an ONNX folder holds both sides: choose when it is searched.")
        from sparse_ir.models.onnx_export import export_onnx

        made = export_onnx(model, out, replace=replace)
        click.echo(
            f"{made.folder}: opset {made.opset}, {made.bytes / 1e6:,.1f} MB. Largest difference of "
            f"a weight from the model's own: {made.difference:.2g} ({made.texts} texts)."
        )
        return
    from sparse_ir.models.torchscript_export import export_eland, export_opensearch

    write = export_opensearch if layout == "opensearch-ml" else export_eland
    report = write(model, out, queries=query_side, replace=replace)
    click.echo(f"{report.folder}: {', '.join(report.files)}.")
    if report.difference is not None:
        click.echo(
            f"Largest difference of a weight from the model's own: {report.difference:.2g} "
            f"({report.texts} texts)."
        )


def _documents(
    index: str | None,
    vectors: str | None,
    engine: str,
    out: str,
    factor: int | None,
    advance: Callable[[int], None],
) -> None:
    from sparse_ir.data.exports import export_jsonl
    from sparse_ir.engines.opening import open_engine
    from sparse_ir.indexing.vectors import read_entries

    if index is None:
        count = export_jsonl(read_entries(str(vectors)), out, quantize=factor, advance=advance)
    else:
        with closing(open_engine(engine)) as opened:
            count = export_jsonl(opened.scan(index), out, quantize=factor, advance=advance)
    click.echo(f"{out}: {count:,} vectors.")


def _queries(
    queries: str,
    index: str | None,
    engine: str,
    model: str | None,
    query_encoder: str,
    out: str,
    factor: int | None,
    advance: Callable[[int], None],
) -> None:
    from sparse_ir.data.exports import export_jsonl
    from sparse_ir.data.impacts import export_queries
    from sparse_ir.searching.ready import weighed_queries
    from sparse_ir.types import Document, Entry

    weighed = weighed_queries(
        queries, index=index, engine=engine, model=model, queries=query_encoder
    )
    if factor is None:
        rows = (Entry(Document(query.query_id, query.text), vector) for query, vector in weighed)
        count = export_jsonl(rows, out, advance=advance)
    else:
        count, empty = export_queries(weighed, out, scale=factor, advance=advance)
        if empty:
            note(f"{empty:,} queries without a term of weight 1 or more were left out.")
    click.echo(f"{out}: {count:,} queries.")
