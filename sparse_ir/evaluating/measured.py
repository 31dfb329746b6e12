"""What was measured of one system on one dataset, kept so that a stopped benchmark goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sparse_ir.config import load_settings
from sparse_ir.data.files import open_text, writing
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.results import Outcome  # noqa: TC001 - pydantic looks at the type

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """An outcome with the answers that it comes from.

    Attributes:
        outcome: The figures.
        run: query_id -> doc_id -> score, of the first hits.
        queries: query_id -> term -> weight: what was searched for.
        titles: doc_id -> title, or first words, of the first hits and the relevant documents.
        documents: How many the index holds.
    """

    outcome: Outcome
    run: dict[str, dict[str, float]]
    queries: dict[str, dict[str, float]]
    titles: dict[str, str]
    documents: int


def write_measured(path: Path, measured: Measured) -> None:
    """Keep it; the file appears whole or not at all."""
    with writing(path) as stream:
        json.dump(asdict(measured), stream)  # ASCII: a lone surrogate may be in a title


def read_measured(path: Path) -> Measured | None:
    """Read it back; None where it is not there, or of another version."""
    if not path.is_file():
        return None
    with open_text(path) as stream:
        try:
            return load_settings(Measured, json.load(stream), where=str(path))
        except (ValueError, ConfigError):
            return None
