"""``sparse-ir swap``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sparse_ir.cli.options import engine_option, index_option, json_option
from sparse_ir.cli.output import engine_flag, print_json

if TYPE_CHECKING:
    from sparse_ir.indexing.swap import SwapReport


@click.command(short_help="Let an index's name stand for another build.")
@index_option
@click.option(
    "--candidate", required=True, help="The build, as index --aside and inspect print it."
)
@engine_option
@json_option
def swap(index: str, candidate: str, engine: str, as_json: bool) -> None:
    """Let an index's name stand for another build, in one step.

    Readers see the old build or the new one, never none. The old one is kept: rollback.
    """
    from sparse_ir.indexing.swap import swap as swap_builds

    print_report(swap_builds(index, candidate, engine=engine), as_json=as_json)


def print_report(report: SwapReport, *, as_json: bool) -> None:
    """Say what the name stands for now, and how to go back."""
    if as_json:
        print_json(report._asdict())
        return
    click.echo(f"Index {report.name!r} is {report.now} now ({report.documents:,} documents).")
    if report.before:
        click.echo(
            f"Before it was {report.before}; go back with: "
            f"sparse-ir rollback{engine_flag(report.engine)} --index {report.name}"
        )
