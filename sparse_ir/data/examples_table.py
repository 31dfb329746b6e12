"""Compiled examples: Arrow files that are mapped into memory, not loaded.

A folder of compiled examples holds ``queries.arrow`` and ``documents.arrow`` (id, text; each text
once), ``examples.arrow`` (row of the query, rows of the documents with the positive first, scores),
``relevant.arrow`` (for each query the rows of its relevant documents) and ``about.json``.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from sparse_ir.data.files import unreadable
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ABOUT_NAME = "about.json"


class Example(NamedTuple):
    """A query with one positive and its negatives.

    Attributes:
        query: Row of ``ExampleTable.queries``.
        documents: Rows of ``ExampleTable.documents``: the positive first, then negatives, if any.
        scores: A teacher's score of each of the documents, NaN where it is not known; or None.
    """

    query: int
    documents: tuple[int, ...]
    scores: tuple[float, ...] | None


class _Batches:
    """The record batches of an Arrow file, and which of them holds a row."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        try:
            self._map = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._map)
            self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except OSError as error:
            raise unreadable(path, error) from None
        except pa.ArrowException:
            raise InputError(
                "is damaged. Delete its folder, and it is made again.", path=path
            ) from None
        self._starts = [0]
        for batch in self._batches:
            self._starts.append(self._starts[-1] + batch.num_rows)

    def __len__(self) -> int:
        return self._starts[-1]

    def value(self, column: int, row: int) -> Any:
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        at = bisect_right(self._starts, row) - 1
        return self._batches[at].column(column)[row - self._starts[at]].as_py()

    def numbers(self, column: int) -> NDArray[Any]:
        """A column of integers as a whole."""
        parts = [batch.column(column).to_numpy() for batch in self._batches]
        found: NDArray[Any] = np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
        return found


class TextIds(Sequence[str]):
    """The ids of a table of texts, in the order of its rows."""

    def __init__(self, batches: _Batches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, row: int, /) -> str: ...

    @overload
    def __getitem__(self, row: slice, /) -> list[str]: ...

    def __getitem__(self, row: int | slice, /) -> str | list[str]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        return str(self._batches.value(0, row))


class TextTable:
    """Texts on disk, each with an id.

    Attributes:
        ids: The ids; read from disk as they are asked for.
    """

    def __init__(self, path: Path) -> None:
        """Map a file of compiled texts.

        Raises:
            InputError: it cannot be read.
        """
        self._batches = _Batches(path)
        self.ids: Sequence[str] = TextIds(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def texts(self, rows: Sequence[int]) -> list[str]:
        """Read the texts of some rows, in the order asked for.

        Raises:
            IndexError: there is no such row.
        """
        return [str(self._batches.value(1, int(row))) for row in rows]


class ExampleTable:
    """Examples on disk; what is not asked for is not in memory. Can be pickled.

    Attributes:
        name: For tables and logs.
        folder: Where the compiled files lie.
        layout: The layout that was read: triplets, scored, ...
        taken: How the source was understood, for people.
        queries: The queries.
        documents: The documents.
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder of compiled examples.

        Raises:
            InputError: it is none, or damaged.
        """
        self.folder = Path(folder)
        about = _read_about(self.folder / ABOUT_NAME)
        self.name = str(about.get("name", ""))
        self.layout = str(about.get("layout", ""))
        self.taken = str(about.get("taken", ""))
        self.queries = TextTable(self.folder / "queries.arrow")
        self.documents = TextTable(self.folder / "documents.arrow")
        self._examples = _Batches(self.folder / "examples.arrow")
        self._relevant = _Batches(self.folder / "relevant.arrow")

    def __reduce__(self) -> tuple[type[ExampleTable], tuple[Path]]:
        return type(self), (self.folder,)

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, row: int) -> Example:
        scores = self._examples.value(2, row)
        return Example(
            self._examples.value(0, row),
            tuple(self._examples.value(1, row)),
            None if scores is None else tuple(scores),
        )

    def query_rows(self) -> NDArray[Any]:
        """The row of each example's query, int64, (n,)."""
        return self._examples.numbers(0)

    def relevant(self, query_row: int) -> frozenset[int]:
        """Rows of all documents known to be relevant to a query: its positives in any example.

        Raises:
            IndexError: there is no such query.
        """
        return frozenset(self._relevant.value(0, query_row))


def _read_about(path: Path) -> Mapping[str, Any]:
    try:
        about = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError:
        raise InputError(
            "is damaged. Delete its folder, and it is made again.", path=path
        ) from None
    return about if isinstance(about, dict) else {}
