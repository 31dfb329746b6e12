"""``sparse-ir inspect``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import engine_option, json_option
from sparse_ir.cli.output import print_json, print_table


@click.command(short_help="Show what an index, model or shard is.")
@click.argument("target", default="")
@engine_option
@json_option
def inspect(target: str, engine: str, as_json: bool) -> None:
    """Show what an index, a model folder or a folder of vector shards is.

    TARGET is an index name or a path; without it, all indexes are listed.
    """
    from sparse_ir.inspecting.inspect import inspect_target, list_indexes

    if not target:
        rows = list_indexes(engine)
        if as_json:
            print_json(rows)
        elif not rows:
            click.echo("No index yet. Make one with: sparse-ir index --corpus …, or sparse-ir demo")
        else:
            print_table(list(rows[0]), [[str(v) for v in row.values()] for row in rows])
        return
    found = inspect_target(target, engine)
    if as_json:
        print_json(found)
        return
    print_table(["", target], [[name, _cell(value)] for name, value in found.items()])


def _cell(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
