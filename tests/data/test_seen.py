from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.data.seen import SeenIds


@given(st.lists(st.text(max_size=3)))
def test_an_id_is_new_once_and_then_known_by_its_first_place(ids):
    seen = SeenIds()
    first: dict[str, int] = {}
    for place, one in enumerate(ids):
        assert seen.add(one, place) == first.get(one)
        first.setdefault(one, place)
    assert len(seen) == len(first)


def test_growing_forgets_nothing():
    seen = SeenIds()
    for number in range(50_000):
        assert seen.add(f"doc{number}", number) is None
    for number in range(50_000):
        assert seen.add(f"doc{number}", 0) == number
    assert len(seen) == 50_000


class SameHash(str):
    """Ids that all begin in the last cell, where the table ends soonest."""

    __slots__ = ()

    def __hash__(self) -> int:
        return -1 - int(self)


def test_the_table_grows_when_its_last_cells_overflow():
    assert sys.hash_info.width == 64
    seen = SeenIds()
    for number in range(1, 500):
        assert seen.add(SameHash(number), number) is None
    for number in range(1, 500):
        assert seen.add(SameHash(number), 0) == number


def test_an_id_takes_at_most_50_bytes_whatever_its_length():
    seen = SeenIds()
    for number in range(200_000):
        seen.add(f"a rather long document id with the number {number}", number)
    held = seen._cells.itemsize * len(seen._cells) + seen._places.itemsize * len(seen._places)
    assert held / len(seen) <= 50
