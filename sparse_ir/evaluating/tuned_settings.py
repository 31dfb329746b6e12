"""What any tuning found, as a file of settings that commands take with ``--config``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sparse_ir.data.files import writing
from sparse_ir.models.loading import MODEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def write_settings(path: Path, lines: Sequence[str], sections: Mapping[str, Any]) -> Path:
    """Write settings by command, with lines of explanation above; returns the file.

    Args:
        path: The file.
        lines: Comments, each with its ``#``.
        sections: Command -> its settings; a command without any is left out.

    Raises:
        StorageError: it cannot be written.
    """
    said = {command: dict(settings) for command, settings in sections.items() if settings}
    with writing(path) as stream:
        stream.write("\n".join(lines) + "\n")
        if said:
            yaml.safe_dump(said, stream, sort_keys=False)
    return path


def given(**settings: str) -> dict[str, str]:
    """The settings that are not empty, which is their default."""
    return {name: value for name, value in settings.items() if value}


def as_named(model: str | None) -> str:
    """A model as a file names it that is read from elsewhere too: folders with their whole path.

    >>> as_named("bm25"), as_named(None)
    ('bm25', '')
    """
    if model is None:
        return ""
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def as_side(query_encoder: str) -> str:
    """A query side as a file names it; empty for the model's own, which is the default."""
    return "" if query_encoder == MODEL else query_encoder
