"""Where the package's own files lie, and where it may write.

What a person edits (``mappings/``, ``pipelines/``, ``evaluation/``) lies beside the package in a
checkout and inside it in a wheel.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from sparse_ir.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


def resource(*parts: str) -> Path:
    """Find a file or folder of ``mappings/``, ``pipelines/`` or ``evaluation/``.

    Args:
        parts: Path below the project, as in ``resource("pipelines", "demo.yaml")``.

    Raises:
        ConfigError: there is no such file.
    """
    for root in (_PACKAGE / "bundled", _PACKAGE.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise ConfigError(f"{'/'.join(parts)} is not part of this installation. Reinstall sparse-ir.")


def default_model_folder() -> Path:
    """The bundled model as it is shipped: int8 weights, tokenizer, card."""
    return _PACKAGE / "default_model"


def home() -> Path:
    """The folder for indexes and running state: $SPARSE_IR_HOME, or the user's data folder."""
    chosen = os.environ.get("SPARSE_IR_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_data_dir("sparse-ir"))


def cache() -> Path:
    """The folder for what can be made again: below $SPARSE_IR_HOME, or the user's cache folder."""
    chosen = os.environ.get("SPARSE_IR_HOME")
    if chosen:
        return Path(chosen).expanduser() / "cache"
    return Path(platformdirs.user_cache_dir("sparse-ir"))


def find_upward(name: str, start: Path) -> Path | None:
    """Find a file in a folder or the nearest one above it."""
    for folder in (start, *start.parents):
        candidate = folder / name
        if candidate.is_file():
            return candidate
    return None
