"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

from typing import Any

import click


def index_option(command: Any) -> Any:
    """``--index``: which index."""
    return click.option("--index", default="default", show_default=True, help="Name of the index.")(
        command
    )


def engine_option(command: Any) -> Any:
    """``--engine``: where it is."""
    return click.option(
        "--engine",
        default="embedded",
        show_default=True,
        help="Where the index lives: embedded, memory, or either with a folder (embedded:PATH).",
    )(command)


def corpus_option(command: Any) -> Any:
    """``--corpus``: what to read."""
    return click.option(
        "--corpus",
        required=True,
        help="BEIR folder, JSONL, TSV, CSV or Parquet (plain, gzip, zstd), Hub dataset id, "
        "irds:ID, python-docs, or - for standard input.",
    )(command)


def limit_option(command: Any) -> Any:
    """``--limit``: only the beginning."""
    return click.option(
        "--limit", type=click.IntRange(min=1), help="Read at most so many documents."
    )(command)


def skip_bad_option(command: Any) -> Any:
    """``--skip-bad``: pass over unusable rows."""
    return click.option(
        "--skip-bad", is_flag=True, help="Pass over unusable rows, count and list them."
    )(command)


def resume_option(command: Any) -> Any:
    """``--resume``: go on with a stopped run."""
    return click.option("--resume", is_flag=True, help="Go on where a stopped run was.")(command)


def device_options(command: Any) -> Any:
    """``--device`` and ``--precision``: what the model computes on, and how."""
    precision = click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16", "fp16"]),
        default="fp32",
        show_default=True,
        help="Arithmetic of the model's body; weights are pooled in fp32.",
    )
    device = click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps."
    )
    return device(precision(command))


def json_option(command: Any) -> Any:
    """``--json``: for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def document_pruning_option(command: Any) -> Any:
    """``--document-pruning``: fewer terms a document."""
    return click.option(
        "--document-pruning",
        default="",
        metavar="RULES",
        help="Keep fewer terms of every document: top_k=N, mass=0..1, ratio=0..1, comma-separated.",
    )(command)
