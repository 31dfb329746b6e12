"""How a BM25 encoder lies on disk: one JSON file, written whole or not at all."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError, StorageError
from sparse_ir.models import analysis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_NAME = "bm25.json"
"""A folder that holds this file holds a BM25 encoder."""

FORMAT = 1


def write_bm25(folder: Path, content: Mapping[str, Any]) -> None:
    """Write settings and statistics; a file that is there is replaced.

    Raises:
        StorageError: the folder cannot be written.
    """
    path = folder / FILE_NAME
    temporary = folder / f".{FILE_NAME}.{os.getpid()}.tmp"
    stored = {"format": FORMAT, "analysis": analysis.VERSION, **content}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(stored, ensure_ascii=False, separators=(",", ":")) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror}). Make room there, or name another "
            "folder."
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def read_bm25(folder: Path) -> dict[str, Any]:
    """Read what ``write_bm25`` wrote.

    Raises:
        ModelError: there is no such file, or it is damaged or of another format.
    """
    path = folder / FILE_NAME
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}). Name a folder that a BM25 encoder was "
            "saved in."
        ) from None
    except ValueError as error:
        raise damaged(folder, error) from None
    found = (stored.get("format"), stored.get("analysis")) if isinstance(stored, dict) else None
    if found != (FORMAT, analysis.VERSION):
        raise ModelError(
            f"{path}: not of the format that this sparse-ir reads. Fit BM25 on the corpus again."
        )
    return dict(stored)


def damaged(folder: Path, reason: Exception) -> ModelError:
    """Say that the file does not hold together, and what to do."""
    return ModelError(f"{folder / FILE_NAME}: damaged ({reason}). Fit BM25 on the corpus again.")
