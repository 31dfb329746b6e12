"""How a BM25 encoder lies on disk: one JSON file, written whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError
from sparse_ir.models import analysis
from sparse_ir.models.saved_files import put_whole

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
    stored = {"format": FORMAT, "analysis": analysis.VERSION, **content}
    written = json.dumps(stored, ensure_ascii=False, separators=(",", ":")) + "\n"
    put_whole(folder / FILE_NAME, written.encode())


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
