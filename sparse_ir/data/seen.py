"""Which ids a source has shown already, in a few bytes each."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HASH = (1 << 64) - 1
_LAST_PLACE = (1 << 32) - 1
_SLACK = 64  # free cells behind the last home cell
_STRETCH = 1 << 16  # cells laid out anew at a time


class SeenIds:
    """The ids seen so far, each with the place where it stood.

    An id takes 8 bytes for its hash and 4 for its place, in a table that is at most two thirds
    full: 8.8 million ids take 200 MB (300 MB while the table grows), where a set of their hashes
    takes 650 MB. Two different ids of equal 64-bit hash are taken for one: among 10 million ids,
    with a probability of 3 in a million.

    An id's home cell is given by the leading bits of its hash; when that is taken, the id goes to
    the next free one. Sorted by hash, ids can so be laid out anew at double size all at once.
    """

    def __init__(self) -> None:
        self._count = 0
        self._bits = 12
        self._make_table(1 << self._bits)

    def _make_table(self, cells: int) -> None:
        self._cells = array("Q", [0]) * (cells + _SLACK)
        self._places = array("I", [0]) * (cells + _SLACK)

    def add(self, record_id: str, place: int) -> int | None:
        """Note an id; returns the place where it was seen before, or None.

        Args:
            record_id: Any text.
            place: A number of the caller's; beyond 2**32 - 1 it is taken for that.
        """
        key = (hash(record_id) & _HASH) or 1  # 0 marks a free cell
        cells = self._cells
        at = key >> (64 - self._bits)
        try:
            while held := cells[at]:
                if held == key:
                    return self._places[at]
                at += 1
        except IndexError:  # no free cell is left behind the last home cell
            self._cells.extend([0] * _SLACK)
            self._places.extend([0] * _SLACK)
        cells[at] = key
        self._places[at] = min(place, _LAST_PLACE)
        self._count += 1
        if self._count * 3 > 2 << self._bits:
            self._grow()
        return None

    def _grow(self) -> None:
        old_cells = np.frombuffer(self._cells, np.uint64)
        old_places = np.frombuffer(self._places, np.uint32)
        self._bits += 1
        shift = np.uint64(64 - self._bits)
        self._make_table(1 << self._bits)
        free = 0  # all cells before this one are done
        start = 0
        while start < len(old_cells):
            stop = _end_of_run(old_cells, start + _STRETCH)
            taken = start + np.flatnonzero(old_cells[start:stop])
            taken = taken[np.argsort(old_cells[taken])]
            home = (old_cells[taken] >> shift).astype(np.int64)
            step = np.arange(len(taken))
            at = np.maximum.accumulate(np.maximum(home, free) - step) + step
            free = self._put(at, old_cells[taken], old_places[taken], free)
            start = stop

    def _put(self, at: NDArray[Any], keys: NDArray[Any], places: NDArray[Any], free: int) -> int:
        """Fill cells, ascending; returns the first one behind them."""
        if not len(at):
            return free
        missing = int(at[-1]) + _SLACK - len(self._cells)
        if missing > 0:
            self._cells.extend([0] * missing)
            self._places.extend([0] * missing)
        np.frombuffer(self._cells, np.uint64)[at] = keys
        np.frombuffer(self._places, np.uint32)[at] = places
        return int(at[-1]) + 1

    def __len__(self) -> int:
        return self._count


def _end_of_run(cells: NDArray[Any], start: int) -> int:
    """Find a free cell from start on: ids before it and behind it have homes on their own side."""
    while start < len(cells):
        free = np.flatnonzero(cells[start : start + _STRETCH] == 0)
        if len(free):
            return start + int(free[0])
        start += _STRETCH
    return len(cells)
