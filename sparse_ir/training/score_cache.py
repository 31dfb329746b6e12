"""What teachers said before: scores of pairs, kept for good, and vectors of texts, for one run.

Both are SQLite files: what is written is there whole or not at all, whenever the process ends.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparse_ir.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_KEYS_AT_ONCE = 500
_PATIENCE_SECONDS = 60.0


def text_key(text: str, *, query: bool = False) -> bytes:
    """16 bytes that stand for a text and its side."""
    side = b"q" if query else b"d"
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=16, person=side
    ).digest()


def pair_key(query: bytes, document: bytes) -> bytes:
    """16 bytes that stand for a pair of texts."""
    return hashlib.blake2b(query + document, digest_size=16).digest()


class Kept:
    """Key -> value on disk; close it, or use it in a ``with`` statement."""

    def __init__(self, path: Path, kind: str) -> None:
        """Open or make the file.

        Args:
            path: Where; missing folders are made.
            kind: SQL type of the values, REAL or BLOB.

        Raises:
            StorageError: it cannot be read or written.
        """
        self._path = path
        with self._telling():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
            self._file.execute(
                f"CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value {kind}) "
                + ("WITHOUT ROWID" if kind == "REAL" else "")
            )

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, float | bytes]:
        """Look up keys; what is not there is left out."""
        found: dict[bytes, float | bytes] = {}
        with self._telling():
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                part = keys[start : start + _KEYS_AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, value FROM kept WHERE key IN ({marks})"  # noqa: S608 - marks
                found.update(self._file.execute(query, part))
        return found

    def add(self, values: Mapping[bytes, float | bytes]) -> None:
        """Keep values, all of them or, when the process ends, none."""
        with self._telling():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", values.items())
                self._file.execute("COMMIT")
            except BaseException:
                self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                f"{self._path}: cannot be used ({error}). Make room, or delete the file, and run "
                "the same command again."
            ) from None
