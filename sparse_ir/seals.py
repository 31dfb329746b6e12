"""A checksum within a JSON object, so that a changed byte of its file is noticed.

The entry ``sha256`` is the SHA-256, hex, of all other entries, written as JSON with sorted names,
no blanks and ASCII only.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SEAL = "sha256"


def sealed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The entries, as JSON gives them back, and their checksum.

    Raises:
        TypeError: a value is not JSON.
    """
    plain = json.loads(json.dumps({n: v for n, v in entries.items() if n != SEAL}))
    return {**plain, SEAL: _digest(plain)}


def unsealed(stored: Mapping[str, Any]) -> dict[str, Any] | None:
    """The entries without their checksum, or None where it is that of others.

    What was written before there were checksums has none, and is taken as it is.
    """
    entries = {name: value for name, value in stored.items() if name != SEAL}
    if SEAL in stored and stored[SEAL] != _digest(entries):
        return None
    return entries


def _digest(entries: Mapping[str, Any]) -> str:
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
