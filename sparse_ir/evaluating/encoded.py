"""A corpus encoded once, for all that search the same vectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.files import writing
from sparse_ir.encoding.encode import EncodeSettings, encode

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.evaluating.benchmark_settings import System


class Vectors(NamedTuple):
    """A corpus that is encoded.

    Attributes:
        folder: Where its shards are.
        seconds: What the encoding took, over all runs of it that ended by themselves.
    """

    folder: Path
    seconds: float


def vectors_folder(system: System, folder: Path) -> Path:
    """Where the vectors lie that a system searches."""
    return folder / f"vectors-{system.vectors_key()}"


def encode_once(system: System, corpus: str, folder: Path, *, devices: str) -> Vectors:
    """Encode a corpus as a system wants it, or find that it is; a stopped run goes on."""
    shards = vectors_folder(system, folder)
    timing = shards.with_suffix(".json")
    before = json.loads(timing.read_text()) if timing.is_file() else 0.0
    report = encode(
        EncodeSettings(
            corpus=corpus,
            out=str(shards),
            model=system.model,
            precision=system.precision,
            passages=system.passages,
            devices=devices,
            skip_bad=True,
            resume=True,
        )
    )
    seconds = before + report.seconds if report.encoded else before
    with writing(timing) as stream:
        stream.write(json.dumps(seconds))
    return Vectors(shards, seconds)
