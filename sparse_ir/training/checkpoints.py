"""Checkpoints that are whole or do not count.

The Trainer writes a checkpoint file by file. Ours counts once ``sparse_ir.json`` lies in it, which
is written last: it holds what the Trainer does not know of, and the settings that must not change
when a run is resumed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparse_ir.data.examples_table import ExampleTable
    from sparse_ir.training.settings import TrainSettings

STATE_NAME = "sparse_ir.json"
_FINISHED_NAME = "finished.json"

_MAY_CHANGE = {
    "out", "resume", "replace", "device", "precision", "save_every", "keep", "log_every",
    "tensorboard", "validation", "optimizer", "card",
}  # fmt: skip


def begin(folder: Path) -> None:
    """Take the mark off a checkpoint that is about to be written (again)."""
    (folder / STATE_NAME).unlink(missing_ok=True)


def finish(
    folder: Path,
    settings: TrainSettings,
    *,
    content: Sequence[str],
    lambdas: Mapping[str, Any],
    conductor: Mapping[str, Any],
) -> None:
    """Mark a checkpoint as whole; ``content`` is that of each source of examples."""
    state = {
        "settings": fixed_settings(settings),
        "content": list(content),
        "lambdas": lambdas,
        "conductor": conductor,
    }
    with writing(folder / STATE_NAME) as stream:
        json.dump(state, stream, indent=1)


def read_state(folder: Path) -> dict[str, Any]:
    """Read what ``finish`` wrote."""
    state: dict[str, Any] = json.loads((folder / STATE_NAME).read_text(encoding="utf-8"))
    return state


def last_whole(training: Path) -> Path | None:
    """The latest whole checkpoint of a run, or None."""
    found = [
        (int(path.name.rpartition("-")[2]), path)
        for path in training.glob("checkpoint-*")
        if path.name.rpartition("-")[2].isdigit() and (path / STATE_NAME).is_file()
    ]
    return max(found)[1] if found else None


def remove_unfinished(training: Path) -> None:
    """Delete checkpoints that a killed run left half-written."""
    for path in training.glob("checkpoint-*"):
        if not (path / STATE_NAME).is_file():
            shutil.rmtree(path)


def mark_finished(training: Path) -> None:
    """Note that the model of a run is saved: there is nothing left to go on with."""
    with writing(training / _FINISHED_NAME) as stream:
        json.dump({"finished": True}, stream)


def is_finished(training: Path) -> bool:
    """Whether the model of the run in this folder was saved."""
    return (training / _FINISHED_NAME).is_file()


def content_of(table: ExampleTable) -> str:
    """SHA-256, hex, of compiled examples; the same wherever they lie and whenever they were made.

    Of the texts it sees the sizes alone, as they may be many gigabytes.
    """
    digest = hashlib.sha256()
    for name in ("queries", "documents"):
        digest.update(f"{(table.folder / f'{name}.arrow').stat().st_size}\n".encode())
    with (table.folder / "examples.arrow").open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def is_same_run(folder: Path, settings: TrainSettings, content: Sequence[str]) -> bool:
    """Whether ``require_same_run`` would let a run go on."""
    try:
        require_same_run(folder, settings, content)
    except ConfigError:
        return False
    return True


def require_same_run(folder: Path, settings: TrainSettings, content: Sequence[str]) -> None:
    """Refuse to go on with settings or examples that would make it another run.

    Raises:
        ConfigError: naming the first setting that differs.
    """
    state = read_state(folder)
    before, now = state["settings"], fixed_settings(settings)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"{folder} was made with another {name} ({_short(before.get(name))}; now "
                f"{_short(now.get(name))}). Resume with the settings it was started with, or "
                "--replace to start again."
            )
    if state.get("content", list(content)) != list(content):
        raise ConfigError(
            f"{folder} was made with other examples: what the sources hold has changed since. Put "
            "the examples back, or --replace to start again."
        )


def fixed_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that decide a run, as JSON values, nested names joined by dots."""
    flat: dict[str, Any] = {}
    values = {k: v for k, v in asdict(settings).items() if k not in _MAY_CHANGE}
    _flatten("", json.loads(json.dumps(values, default=str)), flat)
    flat["optimizer.steps"] = settings.optimizer.steps
    return flat


def _flatten(prefix: str, values: Mapping[str, Any], flat: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _flatten(f"{prefix}{name}.", value, flat)
        else:
            flat[f"{prefix}{name}"] = value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
