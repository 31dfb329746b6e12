"""``sparse-ir restamp``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import engine_option, index_option, json_option
from sparse_ir.cli.output import print_json, say


@click.command(short_help="Let an index accept a query side made after it.")
@index_option
@click.option(
    "--model",
    required=True,
    help="Folder of the query side, as sparse-ir idf writes it, or of the index's own model.",
)
@engine_option
@json_option
def restamp(index: str, model: str, engine: str, as_json: bool) -> None:
    """Let an index accept a query side that was made after it.

    One that was made for other documents is refused. The documents stay as they are.
    """
    from sparse_ir.indexing.restamp import restamp as add_queries

    report = add_queries(index, model, engine=engine)
    if as_json:
        print_json(report._asdict())
    elif report.added:
        say(f"Index {index!r} accepts queries of {model} now.")
    else:
        say(f"Index {index!r} accepted queries of {model} already.")
