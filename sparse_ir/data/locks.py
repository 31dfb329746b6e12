"""One process at a time: a lock that ends with the process that holds it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from sparse_ir.data.files import unwritable
from sparse_ir.errors import ConfigError

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
