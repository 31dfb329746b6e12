"""``sparse-ir run``."""

from __future__ import annotations

from pathlib import Path

import click

from sparse_ir.cli.output import note, progress
from sparse_ir.cli.stopping import resumable


@click.command(short_help="Run a recipe; done stages are skipped.")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="STAGE.SETTING=VALUE",
    help="Change a setting of the recipe; repeat for more.",
)
@click.option("--again", is_flag=True, help="Run every stage, also those already done.")
def run(recipe: Path, assignments: tuple[str, ...], again: bool) -> None:
    """Run the stages of a recipe (YAML); stages already done are skipped.

    RECIPE is a path, or the name of a bundled recipe such as demo.
    """
    from sparse_ir.models.memory import keep_memory_flat
    from sparse_ir.recipe import find_recipe, read_recipe, run_recipe

    keep_memory_flat()  # a stage before the first that encodes may load torch
    plan = read_recipe(find_recipe(recipe), assignments)
    with resumable(flag=""):
        for outcome in run_recipe(plan, again=again, progress=progress):
            note(f"{outcome.stage}: {outcome.summary}")
