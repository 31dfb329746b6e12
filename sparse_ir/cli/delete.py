"""``sparse-ir delete``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from sparse_ir.cli.options import engine_option, index_option
from sparse_ir.cli.output import note

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine


@click.command(short_help="Delete documents, or a whole build.")
@click.argument("doc_ids", nargs=-1)
@index_option
@engine_option
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="COND",
    help="Delete what satisfies every condition: field=value, field=a|b, field>=number.",
)
@click.option("--build", help="Delete this build (NAME@STAMP) with all its documents.")
@click.option("--everything", is_flag=True, help="Delete the index itself with all its builds.")
@click.option("--yes", is_flag=True, help="Do not ask before a build or an index is deleted.")
def delete(
    doc_ids: tuple[str, ...],
    index: str,
    engine: str,
    filters: tuple[str, ...],
    build: str | None,
    everything: bool,
    yes: bool,
) -> None:
    """Delete documents of an index by id or by filter, or a build that is not needed any more."""
    from sparse_ir.encoding.passages import EACH, PARENT, parse_passages
    from sparse_ir.engines.filters import AnyOf, parse_filter
    from sparse_ir.engines.opening import open_engine

    if sum((bool(doc_ids), bool(filters), build is not None, everything)) != 1:
        raise click.UsageError("Give document ids, or --filter, --build NAME@STAMP, --everything.")
    conditions = parse_filter(filters)
    with closing(open_engine(engine)) as opened:
        if build is not None:
            _drop(opened, build, yes=yes)
            return
        if everything:
            _drop_index(opened, index, yes=yes)
            return
        if doc_ids and parse_passages(opened.describe(index).passages).kind == EACH:
            deleted = opened.delete_matching(index, (AnyOf(PARENT, doc_ids),))
        elif doc_ids:
            deleted = opened.delete(index, doc_ids)
            missing = len(set(doc_ids)) - deleted
            if missing:
                note(f"{missing:,} of the ids given are not in index {index!r}.")
        else:
            deleted = opened.delete_matching(index, conditions)
        opened.refresh(index)
    click.echo(f"{deleted:,} documents deleted from index {index!r}.")


def _drop_index(opened: Engine, index: str, *, yes: bool) -> None:
    unfinished = [] if opened.exists(index) else opened.builds(index)
    if unfinished:
        what = f"{len(unfinished)} unfinished builds"
    else:
        what = f"{opened.stats(index).documents:,} documents"
    if not yes:
        click.confirm(f"Delete index {index!r} with its {what}?", abort=True)
    for name in unfinished or [index]:
        opened.drop(name)
    click.echo(f"Deleted index {index!r}.")


def _drop(opened: Engine, build: str, *, yes: bool) -> None:
    from sparse_ir.errors import ConfigError

    if "@" not in build:
        raise ConfigError(
            f"{build!r} names no build. A build is NAME@STAMP; see: sparse-ir inspect"
        )
    name = build.partition("@")[0]
    if opened.exists(name) and opened.resolve(name) == build:
        raise ConfigError(
            f"{build} is what index {name!r} stands for. Swap to another "
            "one first, or delete the index: --everything"
        )
    physical = opened.resolve(build)
    if not yes:
        click.confirm(f"Delete {physical} with all its documents?", abort=True)
    opened.drop(physical)
    click.echo(f"Deleted {physical}.")
