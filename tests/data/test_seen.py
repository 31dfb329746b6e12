from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.data.seen import SeenIds


@settings(deadline=None)
@given(st.lists(st.text(max_size=3)))
def test_an_id_is_new_once_and_then_known_by_its_first_place(ids):
    seen = SeenIds()
    first: dict[str, int] = {}
    for place, one in enumerate(ids):
        assert seen.add(one, place) == first.get(one)
        first.setdefault(one, place)
    assert len(seen) == len(first)


class SameHash(str):
    """Ids that all have the last cell as their home."""

    __slots__ = ()

    def __hash__(self) -> int:
        return -1 - int(self)


def test_ids_of_neighbouring_hashes_are_told_apart():
    assert sys.hash_info.width == 64
    seen = SeenIds()
    for number in range(1, 500):
        assert seen.add(SameHash(number), number) is None
    for number in range(1, 500):
        assert seen.add(SameHash(number), 0) == number


def test_growing_forgets_nothing_and_an_id_takes_at_most_40_bytes():
    seen = SeenIds()
    for number in range(200_000):
        assert seen.add(f"a rather long document id with the number {number}", number) is None
    for number in range(200_000):
        assert seen.add(f"a rather long document id with the number {number}", 0) == number
    assert len(seen) == 200_000
    held = sum(table.itemsize * len(table) for table in (seen._cells, seen._places))
    assert held / len(seen) <= 40
