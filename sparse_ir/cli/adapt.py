"""``sparse-ir adapt``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import corpus_option, device_options, json_option
from sparse_ir.cli.output import note, print_json, print_table, progress
from sparse_ir.cli.stopping import resumable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.recipe import Recipe
    from sparse_ir.training.settings import TrainSettings

_SCALES = {"dense": 20.0, "sparse": 1.0}


@click.command(short_help="Adapt a model to a collection of documents alone.")
@corpus_option
@click.option("--out", required=True, help="Folder for the adapted model.")
@click.option("--model", default="default", show_default=True, help="Model to start from.")
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps. [400]")
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="KIND:MODEL",
    help="A teacher beside BM25 and the model itself: dense or sparse, and a folder or hub id; "
    "=SCALE behind it multiplies its scores (dense: 20). Repeat for more.",
)
@click.option(
    "--target-terms",
    metavar="QUERY,DOCUMENT",
    help="Terms of a query and a document on average. [as many as the model has]",
)
@click.option(
    "--dataset",
    help="Benchmark or BEIR folder to measure before and after; nothing is learned from it.",
)
@click.option("--split", default="test", show_default=True, help="Judgements of the dataset.")
@device_options
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="STAGE.SETTING=VALUE",
    help="Change a setting of pipelines/adapt.yaml; repeat for more.",
)
@json_option
def adapt(as_json: bool, **options: Any) -> None:
    """Adapt a model to a collection of which there is nothing but its documents.

    Parts of documents stand for queries; BM25, the model itself as it was and what --teacher names
    teach how documents are to be ranked. Run the same command again to go on with a stopped run.
    """
    from sparse_ir.recipe import run_recipe

    plan, evaluation = _plan(options)
    outcomes = {}
    with resumable(""):
        for recipe in (plan, evaluation):
            for outcome in () if recipe is None else run_recipe(recipe, progress=progress):
                outcomes[outcome.stage] = outcome
                note(f"{outcome.stage}: {outcome.summary}")
    measured = {name: outcomes[name].result["mean"] for name in ("before", "after")
                if name in outcomes}  # fmt: skip
    if as_json:
        print_json({"out": options["out"], **measured})
        return
    if measured:
        print_table(
            ["metric", "before", "after"],
            [[name, f"{value:.4f}", f"{measured['after'][name]:.4f}"]
             for name, value in measured["before"].items()],
            title=f"{options['dataset']} ({options['split']})",
        )  # fmt: skip
    click.echo(f"{options['out']} holds the adapted model.")


def _plan(options: Mapping[str, Any]) -> tuple[Recipe, Recipe | None]:
    """The recipes of this call, every setting checked."""
    from sparse_ir.data.datasets import open_dataset
    from sparse_ir.recipe import find_recipe, read_recipe

    folder = _folder(options)
    key = f"adapt-{folder.name}"
    path = find_recipe(Path("adapt"))
    settings = _settings(
        options, folder, read_recipe(path, options["assignments"]).steps[-1].settings
    )
    plan = read_recipe(path, [*_lines(settings), *options["assignments"]])._replace(name=key)
    if options["dataset"] is None:
        return plan, None
    corpus = open_dataset(options["dataset"], split=options["split"]).corpus
    settings = {
        "index.corpus": corpus,
        "index.devices": options["device"],
        "index.precision": options["precision"],
        "index.engine": _engine(folder),
        "before index.model": options["model"],
        "after index.model": options["out"],
        "evaluate.dataset": options["dataset"],
        "evaluate.split": options["split"],
        "evaluate.engine": _engine(folder),
    }
    evaluation = read_recipe(find_recipe(Path("before-after")), _lines(settings))
    return plan, evaluation._replace(name=f"{key}-evaluation")


def _folder(options: Mapping[str, Any]) -> Path:
    """Where the files between lie: a folder for each model that is made."""
    from sparse_ir.errors import ConfigError
    from sparse_ir.resources import home

    if options["corpus"] == "-":
        raise ConfigError("adapt reads the corpus several times. Give a file or folder, not -.")
    out = Path(options["out"]).resolve()
    digest = hashlib.sha256(str(out).encode()).hexdigest()[:8]
    folder = home() / "adapt" / f"{out.name}-{digest}"
    if out.exists() and any(out.iterdir()) and not folder.exists():
        raise ConfigError(f"{options['out']} is not empty. Name another folder for the model.")
    return folder


def _settings(options: Mapping[str, Any], folder: Path, training: TrainSettings) -> dict[str, Any]:
    """Settings of pipelines/adapt.yaml by stage; ``training`` are those of its last one."""
    from sparse_ir.training.starting import start_settings

    model, engine = options["model"], _engine(folder)
    corpus = options["corpus"]
    if Path(corpus).exists():
        corpus = str(Path(corpus).resolve())
    own = [
        {**vars(teacher), "model": model if teacher.kind == "sparse" else teacher.model}
        for teacher in training.teachers
    ]
    settings: dict[str, Any] = {
        "pseudo_queries.corpus": corpus,
        "pseudo_queries.out": str(folder / "queries.jsonl.gz"),
        "index.corpus": corpus,
        "index.engine": engine,
        "start.model": model,
        "mine.examples.source": str(folder / "queries.jsonl.gz"),
        "mine.out": str(folder / "mined.jsonl.gz"),
        "mine.teacher.model": model,
        "train.examples.0.source": str(folder / "mined.jsonl.gz"),
        "train.out": str(options["out"]),
        "train.teachers": own + [_teacher(text) for text in options["teachers"]],
        **{f"train.model.{name}": value for name, value in start_settings(model).items()},
    }
    for i in range(2):  # the two indexes that are mined
        settings[f"mine.indexes.{i}.engine"] = engine
    for stage in ("index", "train", "mine.teacher"):
        settings[f"{stage}.{'devices' if stage == 'index' else 'device'}"] = options["device"]
        settings[f"{stage}.precision"] = options["precision"]
    if options["steps"] is not None:
        settings["train.optimizer.steps"] = options["steps"]
        settings["train.optimizer.warm_up_steps"] = options["steps"] // 10
        settings["pseudo_queries.max_queries"] = options["steps"] * training.batch.queries
    if options["target_terms"] is not None:
        from sparse_ir.cli.train import read_target

        settings["train.sparsity.target_terms"] = read_target(options["target_terms"])
    return settings


def _engine(folder: Path) -> str:
    return f"embedded:{folder / 'indexes'}"


def _teacher(text: str) -> dict[str, Any]:
    """Read ``KIND:MODEL`` or ``KIND:MODEL=SCALE``."""
    from sparse_ir.errors import ConfigError
    from sparse_ir.training.scorers import read_teacher

    kind, model, scale = read_teacher(text)
    if kind not in _SCALES or not model:
        raise ConfigError(
            f"--teacher is {text!r}. Write dense:MODEL or sparse:MODEL; BM25 and the model itself "
            "teach anyway, and a cross-encoder cannot score whole batches."
        )
    return {"kind": kind, "model": model, "scale": _SCALES[kind] if scale is None else scale}


def _lines(settings: Mapping[str, Any]) -> list[str]:
    """Assignments as ``--set`` takes them; JSON is YAML."""
    return [f"{name}={json.dumps(value)}" for name, value in settings.items()]
