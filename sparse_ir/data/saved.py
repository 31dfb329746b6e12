"""Datasets that Hugging Face ``datasets`` has saved to disk, read without that library.

A saved dataset is a folder of Arrow stream files that ``state.json`` lists in order. Reading them
directly costs no import of ``datasets`` and does not depend on which version of it wrote them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import unreadable
from sparse_ir.data.parquet import arrow_rows
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparse_ir.data.rows import Row


def saved_rows(folder: Path) -> Iterator[Row]:
    """Read a folder made by ``save_to_disk``.

    Raises:
        InputError: the folder holds several splits, is damaged, or cannot be read.
    """
    if (folder / "dataset_dict.json").is_file():
        folder = _only_split(folder)
    state = _read_json(folder / "state.json")
    try:
        files = [folder / entry["filename"] for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise InputError("does not list its data files. Save it again.", path=folder) from None
    return arrow_rows(files, str(folder))


def _only_split(folder: Path) -> Path:
    splits = _read_json(folder / "dataset_dict.json").get("splits")
    if not isinstance(splits, list) or not splits:
        raise InputError("holds no splits. Save it again.", path=folder)
    if len(splits) > 1:
        choices = ", ".join(str(folder / str(split)) for split in splits)
        raise InputError(f"holds several splits. Give one of {choices}.", path=folder)
    return folder / str(splits[0])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        raise InputError(f"is not JSON ({error}).", path=path) from None
    if not isinstance(values, dict):
        raise InputError("is not a JSON object.", path=path)
    return values
