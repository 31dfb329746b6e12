"""``sparse-ir train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from sparse_ir.cli.options import json_option
from sparse_ir.cli.output import format_seconds, note, print_json, print_table, progress
from sparse_ir.cli.stopping import resumable


@click.command(short_help="Train a SPLADE model.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--backbone", help="Folder or hub id of a masked LM, an encoder or a SPLADE model.")
@click.option(
    "--examples",
    multiple=True,
    metavar="SOURCE",
    help="File, folder or dataset of examples, in any known layout; repeat for more.",
)
@click.option("--out", help="Folder for the model; checkpoints and logs lie in FOLDER-training.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps.")
@click.option(
    "--target-terms",
    metavar="QUERY,DOCUMENT",
    help="Terms that a query and a document are to have on average, such as 24,120.",
)
@click.option("--validation", metavar="DATASET", help="Benchmark or BEIR folder to measure on.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Any setting, such as batch.queries=64; repeat for more.",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
@click.option("--replace", is_flag=True, help="Throw away what the folders hold and start again.")
@json_option
def train(as_json: bool, **options: Any) -> None:
    """Train a SPLADE model from examples.

    CONFIG is a YAML file of settings (docs/training.md lists them); options come after it, --set
    last. On several GPUs: torchrun --nproc-per-node 8 -m sparse_ir train CONFIG
    """
    from sparse_ir.config import load_settings
    from sparse_ir.training.settings import TrainSettings

    values, where = _values(options)
    settings = load_settings(TrainSettings, values, where=where)
    first = os.environ.get("RANK", "0") == "0"  # torchrun starts one process per device

    from sparse_ir.training.train import train as train_model

    steps = settings.optimizer.steps
    with resumable(), progress("train", total=steps, shown=first) as advance:
        report = train_model(settings, advance=advance, say=note if first else lambda line: None)
    if not first:
        return
    if as_json:
        print_json(report._asdict())
        return
    names = [name for name in report.metrics if name in report.start]
    if names:
        print_table(
            ["metric", "start", f"step {report.best_step:,}"],
            [[n, f"{report.start[n]:.4f}", f"{report.metrics[n]:.4f}"] for n in names],
        )
    click.echo(f"{report.out} holds the model; {report.steps:,} steps in "
               f"{format_seconds(report.seconds)}.")  # fmt: skip


def _values(options: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Settings from the file, then the options, then --set."""
    from sparse_ir.config import assign, parse_set, read_yaml
    from sparse_ir.errors import ConfigError

    config = options["config"]
    values = read_yaml(config) if config else {}
    if options["backbone"]:
        assign(values, ["model", "backbone"], options["backbone"])
    if options["examples"]:
        values["examples"] = [{"source": source} for source in options["examples"]]
    if options["out"]:
        values["out"] = options["out"]
    if options["steps"]:
        assign(values, ["optimizer", "steps"], options["steps"])
    if options["target_terms"]:
        assign(values, ["sparsity", "target_terms"], read_target(options["target_terms"]))
    if options["validation"]:
        assign(values, ["validation", "dataset"], options["validation"])
    for path, value in parse_set(options["assignments"]):
        try:
            assign(values, path, value)
        except KeyError as error:
            raise ConfigError(
                f"--set {'.'.join(path)}: there is no {error.args[0]} to set."
            ) from None
    values["resume"] = options["resume"] or values.get("resume", False)
    values["replace"] = options["replace"] or values.get("replace", False)
    return values, str(config) if config else "train"


def read_target(text: str) -> dict[str, float]:
    """Read ``QUERY,DOCUMENT`` terms.

    Raises:
        ConfigError: it is something else.
    """
    from sparse_ir.errors import ConfigError

    try:
        query, document = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--target-terms is {text!r}. Write two numbers, such as 24,120."
        ) from None
    return {"query": query, "document": document}
