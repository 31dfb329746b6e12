"""What examples are compiled with: Arrow files written in batches, texts numbered by id, pairs."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.data.examples_raw import Text

_BATCH_ROWS = 4096
_BATCH_CHARACTERS = 1 << 22
_PAIRS = 1 << 20


class ArrowFile:
    """An Arrow file written a batch at a time."""

    def __init__(self, path: Path, **types: Any) -> None:
        import pyarrow as pa

        self._schema = pa.schema(list(types.items()))
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._columns: tuple[list[Any], ...] = tuple([] for _ in types)
        self._characters = 0

    def add(self, *row: Any, characters: int = 0) -> None:
        """Add a row; batches end after some rows or characters, so that little is held."""
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self._characters += characters
        if len(self._columns[0]) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
            self._flush()

    def add_batch(self, batch: Any) -> None:
        """Write a record batch as it is."""
        self._flush()
        self._writer.write_batch(batch)

    def _flush(self) -> None:
        import pyarrow as pa

        if self._columns[0]:
            self._writer.write_batch(pa.record_batch(list(self._columns), schema=self._schema))
            for column in self._columns:
                column.clear()
        self._characters = 0

    def close(self, *, whole: bool) -> None:
        """Close the file; what is still held is written only when all went well."""
        if whole:
            self._flush()
        self._writer.close()
        self._sink.close()


class TextFile:
    """The texts of one side: a number for each id, a row on disk for each text."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.file = ArrowFile(path, id=pa.string(), text=pa.string())
        self._numbers: dict[str, int] = {}
        self._rows = array("q")  # row on disk, -1 while there is no text
        self._digests = array("q")
        self._lines = array("q")  # where it was first needed, 0 while it is not
        self._files = array("q")
        self._stored = 0

    def number(self, text_id: str) -> int:
        """The number of an id; noting it does not ask for its text."""
        number = self._numbers.setdefault(text_id, len(self._numbers))
        if number == len(self._rows):
            self._rows.append(-1)
            for held in (self._digests, self._lines, self._files):
                held.append(0)
        return number

    def known(self, text_id: str) -> int | None:
        """The number of an id, if it has one."""
        return self._numbers.get(text_id)

    def need(self, text: Text, line: int, file: int) -> int:
        """The number of a text that an example uses.

        Raises:
            ValueError: the id stood for another text before; the message is the id.
        """
        number = self.number(text.id)
        if not self._lines[number]:
            self._lines[number] = line or -1
            self._files[number] = file
        if text.text is not None:
            if self._rows[number] < 0:
                self._store(number, text.id, text.text)
            elif self._digests[number] != hash(text.text):
                raise ValueError(text.id)
        return number

    def _store(self, number: int, text_id: str, text: str) -> None:
        self.file.add(text_id, text, characters=len(text))
        self._digests[number] = hash(text)
        self._rows[number] = self._stored
        self._stored += 1

    def look_up(self, records: Iterator[tuple[str, str]], missing: int) -> None:
        """Store what is needed of a stream of ids and texts; stops once nothing is missing."""
        for text_id, text in records:
            number = self._numbers.get(text_id)
            if number is not None and self._lines[number] and self._rows[number] < 0:
                self._store(number, text_id, text)
                missing -= 1
                if not missing:
                    return

    def missing(self) -> NDArray[np.int64]:
        """Numbers that are needed and have no text, by the line that needs them first."""
        lines = np.array(self._lines, np.int64)
        return np.flatnonzero((np.array(self._rows, np.int64) < 0) & (lines != 0))

    def place(self, number: int) -> tuple[str, int | None, int]:
        """Id, line and file of the first example that needs it."""
        text_id = next(i for i, n in self._numbers.items() if n == number)
        line = self._lines[number]
        return text_id, line if line > 0 else None, self._files[number]

    def rows(self) -> NDArray[np.int64]:
        """The row on disk for every number, -1 for what no example needs."""
        return np.array(self._rows, np.int64)

    def __len__(self) -> int:
        return self._stored


class Pairs:
    """Pairs of numbers without doubles, 8 bytes each."""

    def __init__(self) -> None:
        self._new = array("Q")
        self._known = np.zeros(0, np.uint64)

    def add(self, query: int, document: int) -> None:
        """Note a pair of numbers below 2**32."""
        self._new.append(query << 32 | document)
        if len(self._new) >= max(_PAIRS, len(self._known)):
            self._merge()

    def _merge(self) -> None:
        self._known = np.unique(np.concatenate([self._known, np.array(self._new, np.uint64)]))
        self._new = array("Q")

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Queries and documents of all pairs, sorted."""
        self._merge()
        low = np.uint64((1 << 32) - 1)
        return (self._known >> np.uint64(32)).astype(np.int64), (self._known & low).astype(np.int64)
