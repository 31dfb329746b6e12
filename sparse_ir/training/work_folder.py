"""The folder beside a model that is being made: ours by a mark, or not to be touched."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from sparse_ir.data.files import unwritable, writing
from sparse_ir.data.locks import writing_alone
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_MARK = "run.json"
_CHECKPOINTS = "checkpoint-*"


def work_folder(out: Path) -> Path:
    """Where the checkpoints and logs of a run lie: beside the model, as ``NAME-training``."""
    out = out if out.name not in ("", "..") else out.resolve()
    return out.with_name(f"{out.name}-training")


def training_alone(out: Path) -> AbstractContextManager[None]:
    """Keep other runs on this machine from training the same model for the block.

    Under torchrun, which starts a process for each device, the first one holds the lock for all.

    Raises:
        ConfigError: another run trains it.
        StorageError: the cache, where the lock lies, cannot be written.
    """
    first = os.environ.get("RANK", "0") == "0"
    return writing_alone(out) if first else nullcontext()


def require_ours(folder: Path, command: str) -> None:
    """Refuse a folder that is not a run's of this command.

    Raises:
        ConfigError: naming the folder and what is in it.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    made_by = _made_by(folder)
    if made_by != command:
        what = f"a run of sparse-ir {made_by}" if made_by else "something that is no training run"
        raise ConfigError(f"{folder} holds {what}. Name another --out, or move it away.")


def take(folder: Path, command: str) -> None:
    """Make the folder and mark it as a run's of this command.

    Raises:
        ConfigError: it holds something else.
        StorageError: it cannot be written.
    """
    require_ours(folder, command)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from None
    if not (folder / _MARK).is_file():
        with writing(folder / _MARK) as stream:
            json.dump({"made by": f"sparse-ir {command}"}, stream)


def clear(folder: Path, names: tuple[str, ...]) -> None:
    """Delete the checkpoints and the files and folders of these names, and nothing else."""
    for path in folder.glob(_CHECKPOINTS):
        shutil.rmtree(path)
    for name in names:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _made_by(folder: Path) -> str | None:
    try:
        stored = json.loads((folder / _MARK).read_text(encoding="utf-8"))["made by"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(stored).removeprefix("sparse-ir ")
