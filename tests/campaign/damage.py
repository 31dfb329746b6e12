"""Files, one byte of which is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from pathlib import Path

REGIONS = 16


def flip(path: Path, dice: random.Random, region: int | None = None) -> str:
    """Change one byte in one of sixteen regions of a file; says which."""
    content = bytearray(path.read_bytes())
    region = dice.randrange(REGIONS) if region is None else region % REGIONS
    size = len(content)
    first, last = region * size // REGIONS, max((region + 1) * size // REGIONS, 1)
    at = dice.randrange(min(first, size - 1), max(last, first + 1)) if size else 0
    content[at] ^= dice.randrange(1, 256)
    path.write_bytes(content)
    return f"byte {at:,} of {size:,} in {path.name}"
