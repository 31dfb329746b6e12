"""The folder of all downloads and data, and locks in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def cache() -> Path:
    """The folder of everything here: ``$SPARSE_IR_CLUSTERS``, or one in the user's cache."""
    named = os.environ.get("SPARSE_IR_CLUSTERS")
    return Path(named) if named else Path.home() / ".cache" / "sparse-ir-clusters"


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Wait until no other process holds this name, and hold it."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
