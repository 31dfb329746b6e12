"""Checkpoints that are whole or do not count.

The Trainer writes a checkpoint file by file. Ours counts once ``sparse_ir.json`` lies in it, which
is written last: it holds what the Trainer does not know of, the settings that must not change when
a run is resumed, and the checksum of each file.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from sparse_ir.data.files import sha256_file, sha256_text, sync, writing
from sparse_ir.errors import ConfigError, InputError, StorageError
from sparse_ir.models.fingerprint import content_digest
from sparse_ir.models.loading import find_model
from sparse_ir.seals import sealed, unsealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparse_ir.data.examples_table import ExampleTable
    from sparse_ir.training.settings import TrainSettings

STATE_NAME = "sparse_ir.json"
FINISHED_NAME = "finished.json"
_CANNOT_WRITE = (
    "No space left",
    "Disk quota",
    "PytorchStreamWriter",
    "inline_container",  # torch's zip archive, which finds itself at another place than it wrote to
    "iostream error",
    "I/O error",
    "File too large",
)
_MODEL_FILES = (".safetensors", ".bin", ".json", ".txt", ".model")

_MAY_CHANGE = {
    "out", "resume", "replace", "device", "precision", "save_every", "keep", "log_every",
    "tensorboard", "validation", "optimizer", "card",
}  # fmt: skip
_MAY_CHANGE_WITHIN = (  # memory, not results
    "batch.chunk_texts", "model.gradient_checkpointing", "model.checkpoint_every",
)  # fmt: skip


@contextmanager
def written(trainer: Any, state: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """Mark the checkpoint of this step as whole once every process has written its part.

    Args:
        trainer: Writes the checkpoint within the block, in every process.
        state: Gives what the mark holds, as JSON values.

    Raises:
        StorageError: the disk is full.
    """
    training = Path(str(trainer.args.output_dir))
    folder = training / f"checkpoint-{trainer.state.global_step}"
    first = trainer.is_world_process_zero()
    if first:  # it may have been written once before
        (folder / STATE_NAME).unlink(missing_ok=True)
    trainer.accelerator.wait_for_everyone()
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if not any(sign in str(error) for sign in _CANNOT_WRITE):
            raise
        raise StorageError(
            f"{folder} cannot be written: the disk is full, or broken. Make room and go on with "
            f"--resume. {last_good(training)}"
        ) from error
    trainer.accelerator.wait_for_everyone()
    if first:
        sync(folder)
        whole = sealed({**state(), "files": _checksums(folder)})
        with writing(folder / STATE_NAME) as stream:
            json.dump(whole, stream, indent=1)


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def last_good(training: Path) -> str:
    """A sentence about the last whole checkpoint of a run."""
    last = last_whole(training)
    return f"The last good checkpoint is kept: {last}." if last else "No checkpoint was due yet."


def read_state(folder: Path) -> dict[str, Any]:
    """Read what lies in the mark of a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        stored = json.loads((folder / STATE_NAME).read_bytes())
    except ValueError:
        stored = None
    state = unsealed(stored) if isinstance(stored, dict) else None
    if state is None:
        raise _damaged(folder / STATE_NAME)
    return state


def require_undamaged(folder: Path) -> None:
    """Refuse a checkpoint of which a file is not what was written; earlier ones do not tell.

    Raises:
        InputError: naming the file.
    """
    for name, digest in read_state(folder).get("files", {}).items():
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            raise _damaged(folder / name)


def _damaged(path: Path) -> InputError:
    return InputError(
        "the checkpoint is damaged. Delete its folder to go on from the one before it, if there "
        "is one, or start again with --replace.",
        path=path,
    )


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
    with writing(training / FINISHED_NAME) as stream:
        json.dump({"finished": True}, stream)


def is_finished(training: Path) -> bool:
    """Whether the model of the run in this folder was saved."""
    return (training / FINISHED_NAME).is_file()


def contents(tables: Sequence[ExampleTable], settings: TrainSettings) -> dict[str, str]:
    """What a run learns from and starts from: its name -> SHA-256, hex."""
    chosen = [settings.model.backbone, *(t.model for t in settings.teachers if t.model)]
    models = {
        f"model ({name})": _of_model(
            find_model(name, trust_remote_code=settings.model.trust_remote_code)[1]
        )
        for name in chosen
    }
    learnt = {
        f"examples and texts {i} ({table.name})": _of_table(table)
        for i, table in enumerate(tables, 1)
    }
    return learnt | models


def _of_model(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.suffix in _MODEL_FILES and p.is_file())
    return sha256_text(*(content_digest(path) for path in files))


def _of_table(table: ExampleTable) -> str:
    """The same wherever it lies and whenever it was made: texts, examples and what is relevant."""
    files = sorted(table.folder.glob("*.arrow"))
    return sha256_text(*(f"{path.name} {content_digest(path)}" for path in files))


def is_same_run(folder: Path, settings: TrainSettings, content: Mapping[str, str]) -> bool:
    """Whether ``require_same_run`` would let a run go on."""
    try:
        require_same_run(folder, settings, content)
    except (ConfigError, InputError):
        return False
    return True


def require_same_run(folder: Path, settings: TrainSettings, content: Mapping[str, str]) -> None:
    """Refuse to go on with settings or examples that would make it another run.

    Raises:
        ConfigError: naming the first setting that differs.
        InputError: it is damaged.
    """
    require_undamaged(folder)
    state = read_state(folder)
    before, now = state["settings"], fixed_settings(settings)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"{folder} was made with another {name} ({_short(before.get(name))}; now "
                f"{_short(now.get(name))}). Resume with the settings it was started with, or "
                "--replace to start again."
            )
    for name, digest in content.items():
        if state["content"].get(name, digest) != digest:
            raise ConfigError(
                f"{folder} was made with other {name}: what that holds has changed since. Put it "
                "back, or --replace to start again."
            )


def fixed_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that decide a run, as JSON values, nested names joined by dots."""
    flat: dict[str, Any] = {}
    values = {k: v for k, v in asdict(settings).items() if k not in _MAY_CHANGE}
    _flatten("", json.loads(json.dumps(values, default=str)), flat)
    flat["optimizer.steps"] = settings.optimizer.steps
    return {name: value for name, value in flat.items() if name not in _MAY_CHANGE_WITHIN}


def _flatten(prefix: str, values: Mapping[str, Any], flat: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict):
            _flatten(f"{prefix}{name}.", value, flat)
        else:
            flat[f"{prefix}{name}"] = value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
