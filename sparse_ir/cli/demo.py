"""``sparse-ir demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparse_ir.cli.output import console, format_seconds, note, print_table, progress
from sparse_ir.cli.stopping import resumable

if TYPE_CHECKING:
    from sparse_ir.recipe import Outcome

_QUESTIONS = (
    "how do I know if two files are identical",
    "send an e-mail",
    "find close matches of a misspelled word",
)
_HITS = 3


@click.command(short_help="Index, search and evaluate Python's own docs.")
@click.option("--again", is_flag=True, help="Build and evaluate again, also what is there.")
@click.option(
    "--serve", "served", is_flag=True, help="Serve the indexes at the end, with a page to search."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="With --serve: the port; 0 takes a free one.",
)
@click.option("--open", "browser", is_flag=True, help="With --serve: open a browser there.")
def demo(again: bool, served: bool, port: int, browser: bool) -> None:
    """Index Python's own documentation, search it, explain the hits, evaluate against BM25.

    Everything comes from this machine: the documentation is read from the source files of the
    Python that runs this. A second run reuses what is there.
    """
    from sparse_ir.recipe import find_recipe, read_recipe, run_recipe

    if served:
        from sparse_ir.serving.serve import require_extra

        require_extra()  # rather now than after the work
    recipe = read_recipe(find_recipe(Path("demo")))
    out = console()
    out.print(
        "Indexing the documentation of Python's standard library with a SPLADE model, and with "
        "BM25 beside it."
    )
    outcomes: dict[str, Outcome] = {}
    with resumable(flag=""):
        for outcome in run_recipe(recipe, again=again, progress=progress):
            outcomes[outcome.stage] = outcome
            note(f"{outcome.stage}: {outcome.summary}{_seconds(outcome)}")
    out.print()
    _search()
    _table(outcomes)
    if served:
        _serve(port, browser=browser)
    else:
        _onward()


def _seconds(outcome: Outcome) -> str:
    seconds = outcome.result.get("seconds")
    return "" if outcome.skipped or seconds is None else f" ({format_seconds(float(seconds))})"


def _search() -> None:
    from sparse_ir.cli.search import print_result
    from sparse_ir.searching.search import Searcher, SearchSettings
    from sparse_ir.types import Query

    with Searcher(SearchSettings(index="demo", k=_HITS)) as searcher:
        queries = [Query(str(i), text) for i, text in enumerate(_QUESTIONS, start=1)]
        for result in searcher.search(queries, vectors=True):
            print_result(result, searcher, explain=True, first=1)
            console().print()


def _table(outcomes: dict[str, Outcome]) -> None:
    systems = {name: o.result for name, o in outcomes.items() if "mean" in o.result}
    metrics = list(next(iter(systems.values()))["mean"])
    rows = [
        [name, *(f"{result['mean'][metric]:.3f}" for metric in metrics)]
        for name, result in systems.items()
    ]
    questions = next(iter(systems.values()))["queries"]
    print_table(
        ["", *metrics],
        rows,
        title=f"{questions} questions about Python with graded judgements",
    )


def _serve(port: int, *, browser: bool) -> None:
    from sparse_ir.cli.serve import run_server
    from sparse_ir.serving.settings import ServeSettings

    run_server(ServeSettings(index=("demo", "demo-bm25"), port=port), browser=browser)


def _onward() -> None:
    click.echo(
        "Go on with:\n"
        '  sparse-ir search --index demo --explain "read a file line by line"\n'
        '  sparse-ir search --index demo --filter kind=function "make a temporary folder"\n'
        '  sparse-ir explain "how do I stop my car" "vehicle brakes" --model default --model bm25\n'
        "  sparse-ir demo --serve\n"
        "  sparse-ir index --corpus YOUR.jsonl --index mine\n"
        "  sparse-ir --help"
    )
