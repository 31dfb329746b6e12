"""Options that name examples and teachers, the same in every command that reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_EXAMPLES = ("layout", "corpus", "queries", "split", "limit", "qrels", "group")


examples_options = together(
    click.option(
        "--examples",
        required=True,
        help="Examples: triplets, scored JSONL, a BEIR folder, ... or hf:OWNER/NAME.",
    ),
    click.option(
        "--layout",
        default="auto",
        show_default=True,
        help="auto, triplets, scored, lightsplade, flagembedding, columns or beir.",
    ),
    click.option("--corpus", help="Where documents that are named by id are looked up."),
    click.option("--queries", help="The same for queries."),
    click.option("--qrels", help="Further judgements: what they call relevant is no negative."),
    click.option("--split", default="train", show_default=True, help="Part of a dataset."),
    click.option("--limit", type=click.IntRange(min=1), help="Read at most so many examples."),
    click.option("--group", is_flag=True, help="Join lines with the same query and positive."),
)
"""``--examples`` and how they are read."""


def examples_values(options: dict[str, Any]) -> dict[str, Any]:
    """Take what ``examples_options`` brought out of a command's options."""
    values = {name: options.pop(name) for name in _EXAMPLES}
    return {"source": options.pop("examples"), **values}


def teacher_values(texts: Sequence[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Read ``--teacher`` options; device and precision are those of the command, for all."""
    from dataclasses import asdict

    from sparse_ir.training.scorers import parse_teacher

    shared = {name: options.pop(name) for name in ("device", "precision", "batch_tokens")}
    return [{**asdict(parse_teacher(text)), **shared} for text in texts]


def teacher_option(*, multiple: bool) -> Callable[[Any], Any]:
    """``--teacher KIND:MODEL``."""
    more = " Repeat for several; =WEIGHT behind a model gives its share." if multiple else ""
    return click.option(
        "--teacher",
        "teachers",
        multiple=True,
        required=multiple,
        metavar="KIND:MODEL",
        help="cross-encoder, dense, colbert or sparse, and a folder or hub id (sparse: also "
        f"default or bm25).{more}",
    )


batch_tokens_option = click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    help="Texts times longest text in a batch of a teacher. Less needs less memory.",
)
