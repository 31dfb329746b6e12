"""Which ids a source has shown already, in a few bytes each."""

from __future__ import annotations

from array import array

import numpy as np

_HASH = (1 << 64) - 1
_SLACK = 64  # free cells behind the last home cell


class SeenIds:
    """The ids seen so far, each with the place where it stood.

    A set of 8.8 million ids takes a gigabyte; here an id takes 8 bytes for its hash and 8 for its
    place, in a table that is at most two thirds full. Two different ids of equal 64-bit hash are
    taken for one: among 10 million ids, with a probability of 3 in a million.

    An id's home cell is given by the leading bits of its hash; when that is taken, the id goes to
    the next free one. Sorted by hash, all ids can so be laid out anew at double size at once.
    """

    def __init__(self) -> None:
        self._count = 0
        self._bits = 12
        self._cells = _free((1 << self._bits) + _SLACK)
        self._places = _free(len(self._cells))

    def add(self, record_id: str, place: int) -> int | None:
        """Note an id; returns the place where it was seen before, or None.

        Args:
            record_id: Any text.
            place: A number of the caller's, 0 to 2**64 - 1.
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
            self._cells.extend(_free(_SLACK))
            self._places.extend(_free(_SLACK))
        cells[at] = key
        self._places[at] = place
        self._count += 1
        if self._count * 3 > 2 << self._bits:
            self._grow()
        return None

    def _grow(self) -> None:
        cells = np.frombuffer(self._cells, np.uint64)
        taken = np.flatnonzero(cells)
        taken = taken[np.argsort(cells[taken])]
        keys, places = cells[taken], np.frombuffer(self._places, np.uint64)[taken]
        self._bits += 1
        home = (keys >> np.uint64(64 - self._bits)).astype(np.int64)
        step = np.arange(len(keys))
        at = np.maximum.accumulate(home - step) + step  # the home cell or the next free one
        self._cells = _free(max(1 << self._bits, int(at[-1])) + _SLACK)
        self._places = _free(len(self._cells))
        np.frombuffer(self._cells, np.uint64)[at] = keys
        np.frombuffer(self._places, np.uint64)[at] = places

    def __len__(self) -> int:
        return self._count


def _free(cells: int) -> array[int]:
    return array("Q", bytes(8 * cells))
