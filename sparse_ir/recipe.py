"""Run the stages of a recipe; skip what is done already.

A recipe is a YAML file in ``pipelines/``, or anywhere: a ``name`` and a list of ``stages``, each a
command's name with that command's settings. A stage counts as done when it was finished with the
same settings, input and sparse-ir, and what it made is still there.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir import __version__
from sparse_ir.config import assign, load_settings, nearest, parse_set, read_yaml
from sparse_ir.data.files import writing
from sparse_ir.errors import ConfigError
from sparse_ir.resources import home, resource
from sparse_ir.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sparse_ir.stages import Stage


_LONGEST_NAME = 60  # characters; a file system counts bytes, and takes 255


class Step(NamedTuple):
    """One stage of a recipe with its settings.

    Attributes:
        name: Unique within the recipe.
        stage: What it does.
        settings: The stage's settings.
    """

    name: str
    stage: Stage
    settings: Any


class Recipe(NamedTuple):
    """A recipe, checked."""

    name: str
    steps: tuple[Step, ...]


class Outcome(NamedTuple):
    """What became of a stage.

    Attributes:
        stage: Its name.
        skipped: It was done already.
        summary: One line for people.
        result: JSON values, the same whether it ran now or before.
    """

    stage: str
    skipped: bool
    summary: str
    result: Mapping[str, Any]


def find_recipe(recipe: Path) -> Path:
    """Find a recipe by path, or a bundled one by name.

    Raises:
        ConfigError: there is none.
    """
    if recipe.is_file():
        return recipe
    bundled = resource("pipelines")
    candidate = bundled / f"{recipe.name}.yaml"
    if recipe.parent == Path() and candidate.is_file():
        return candidate
    names = sorted(path.stem for path in bundled.glob("*.yaml"))
    raise ConfigError(
        f"{recipe}: no such recipe. Give a path, or one of: {', '.join(names)}."
        f"{nearest(recipe.name, names)}"
    )


def read_recipe(path: Path, assignments: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check every setting before anything runs.

    Args:
        path: A YAML file.
        assignments: "STAGE.SETTING=VALUE"; STAGE is a stage's name, or its kind for all of a kind.

    Raises:
        ConfigError: naming the file, the stage and the setting.
    """
    values = read_yaml(path)
    for name in values:
        if name not in ("name", "stages"):
            raise ConfigError(f"{path}: {name} is not known.{nearest(name, ['name', 'stages'])}")
    stages = values.get("stages")
    if not isinstance(stages, list) or not stages:
        raise ConfigError(f"{path}: stages is missing. List at least one stage.")
    rows = [_row(row, path, number) for number, row in enumerate(stages, start=1)]
    _assign(rows, assignments, path)
    steps = tuple(
        Step(
            name,
            STAGES[kind],
            load_settings(STAGES[kind].settings, settings, where=f"{path}, {name}"),
        )
        for name, kind, settings in rows
    )
    if len({step.name for step in steps}) != len(steps):
        raise ConfigError(f"{path}: two stages have the same name. Give each a name of its own.")
    return Recipe(str(values.get("name", path.stem)), steps)


def _row(row: Any, path: Path, number: int) -> tuple[str, str, dict[str, Any]]:
    if not isinstance(row, dict) or len(row) != 1:
        raise ConfigError(f"{path}, stage {number}: write one stage, such as index: {{…}}.")
    kind, settings = next(iter(row.items()))
    if kind not in STAGES:
        raise ConfigError(
            f"{path}, stage {number}: {kind} is not a stage.{nearest(str(kind), STAGES)}"
        )
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}, stage {number} ({kind}): settings are missing.")
    named = copy.deepcopy(settings)  # YAML lets two stages share a part; --set changes one
    name = str(named.get("name", f"{number}-{kind}"))
    if "name" not in {field.name for field in fields(STAGES[kind].settings)}:
        named.pop("name", None)
    return name, kind, named


def _assign(
    rows: Sequence[tuple[str, str, dict[str, Any]]], assignments: Sequence[str], path: Path
) -> None:
    for keys, value in parse_set(assignments):
        stage, path_within = keys[0], keys[1:]
        chosen = [settings for name, kind, settings in rows if stage in (name, kind)]
        if not chosen or not path_within:
            names = [name for name, _, _ in rows]
            raise ConfigError(
                f"{path}: --set {'.'.join(keys)} names no stage's setting. Stages: "
                f"{', '.join(names)}.{nearest(stage, names)}"
            )
        for settings in chosen:
            try:
                assign(settings, path_within, value)
            except KeyError as error:
                raise ConfigError(
                    f"{path}: --set {'.'.join(keys)}: there is no {error.args[0]} to set."
                ) from None


def run_recipe(
    recipe: Recipe,
    *,
    again: bool = False,
    progress: Callable[..., AbstractContextManager[Callable[[int], None]]],
) -> Iterator[Outcome]:
    """Run the stages in order and yield each one's outcome.

    A stopped run goes on where it was when it is started again.

    Args:
        recipe: What to run.
        again: Also run what is done.
        progress: Opens a progress display: ``progress(name, total=N or None)``.
    """
    for step in recipe.steps:
        path = home() / "recipes" / _file_name(recipe.name) / f"{_file_name(step.name)}.json"
        done = None if again else _done(path, step)
        if done is not None:
            yield Outcome(step.name, True, f"done already ({done['summary']})", done["result"])
            continue
        key = _key(step)  # of what is read now, whatever becomes of it meanwhile
        with progress(step.name, total=step.stage.total(step.settings)) as advance:
            made = step.stage.run(step.settings, advance)
        stored = {"key": key, "summary": made.summary, "result": dict(made.result)}
        with writing(path) as stream:
            json.dump(stored, stream, indent=1, default=str)
        yield Outcome(step.name, False, made.summary, made.result)


def _done(path: Path, step: Step) -> dict[str, Any] | None:
    try:
        stored = json.loads(path.read_text("utf-8"))
        same = stored["key"] == _key(step)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    there = same and step.stage.there(step.settings)
    return stored if there and step.stage.same(step.settings, stored["result"]) else None


def _key(step: Step) -> str:
    what = [asdict(step.settings), step.stage.input_key(step.settings), __version__]
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()


def _file_name(name: str) -> str:
    """A file name for any name; what a character had to be replaced in has a checksum too."""
    fit = "".join(c if c.isalnum() or c in "-_" else "-" for c in name[:_LONGEST_NAME])
    if fit == name and name:
        return name
    return f"{fit}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:12]}"
