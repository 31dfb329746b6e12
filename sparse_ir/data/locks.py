"""One process at a time: a lock that ends with the process that holds it."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sparse_ir.data.files import unwritable
from sparse_ir.errors import ConfigError
from sparse_ir.resources import cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 2  # seconds; the processes of a killed run end within one


@contextmanager
def locked_by(path: Path, *, taken: str) -> Iterator[None]:
    """Hold a lock for the block.

    Args:
        path: Of the lock's file; it is made, and stays.
        taken: What to say where another process holds it.

    Raises:
        ConfigError: another process holds it.
        StorageError: the file cannot be written.
    """
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise ConfigError(taken) from None
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing_alone(out: Path, *, process: int = 0) -> Iterator[None]:
    """Keep other runs on this machine from writing the same file or folder for the block.

    Args:
        out: What the run writes.
        process: The number of this one, where several belong to one run.

    Raises:
        ConfigError: another run is writing it.
        StorageError: the cache, where the lock lies, cannot be written.
    """
    name = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:32]
    taken = f"another run is writing {out}. Wait for it, end it, or write elsewhere."
    with locked_by(cache() / "locks" / f"{name}-{process}.lock", taken=taken):
        yield
