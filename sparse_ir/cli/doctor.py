"""``sparse-ir doctor``."""

from __future__ import annotations

import click

from sparse_ir.cli.options import json_option
from sparse_ir.cli.output import print_json, print_table


@click.command(short_help="Check that this machine can do it all.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check that this machine can do the whole road, and say what to do where it cannot."""
    from sparse_ir.inspecting.doctor import diagnose

    checks = diagnose()
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        rows = [[c.name, "ok" if c.ok else "FAILS", c.finding] for c in checks]
        print_table(["check", "", "finding"], rows)
    if not all(check.ok for check in checks):
        ctx.exit(1)
