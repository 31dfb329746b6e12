"""``sparse-ir rollback``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import engine_option, index_option, json_option
from sparse_ir.cli.swap import print_report


@click.command(short_help="Let an index's name stand for the build before.")
@index_option
@engine_option
@json_option
def rollback(index: str, engine: str, as_json: bool) -> None:
    """Undo the last swap or replacement of an index, in one step.

    Rolling back twice leads back to where you were.
    """
    from sparse_ir.indexing.swap import rollback as roll_back

    print_report(roll_back(index, engine=engine), as_json=as_json)
