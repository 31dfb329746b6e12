from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.seals import sealed, unsealed

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_checksum_is_that_of_the_sorted_entries_without_blanks():
    text = '{"a":[1,2],"b":"\\u00e9"}'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert sealed({"b": "é", "a": (1, 2)}) == {"a": [1, 2], "b": "é", "sha256": expected}


@settings(deadline=None)
@given(st.dictionaries(st.text().filter(lambda name: name != "sha256"), json_values, max_size=4))
def test_what_was_sealed_and_written_comes_back(entries):
    stored = json.loads(json.dumps(sealed(entries)))
    assert unsealed(stored) == json.loads(json.dumps(entries))


@settings(deadline=None)
@given(st.data())
def test_no_changed_byte_gives_other_entries(data):
    entries = {"model": "default", "shards": {"vectors-0": {"documents": 20}}, "limit": None}
    content = bytearray(json.dumps(sealed(entries)).encode())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    try:
        stored = json.loads(bytes(content))
    except ValueError:
        return
    if isinstance(stored, dict) and "sha256" in stored:
        assert unsealed(stored) in (None, entries)


def test_what_has_no_checksum_is_taken_as_it_is():
    assert unsealed({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("seal", ["", None, 0, "0" * 64])
def test_another_checksum_is_damage(seal):
    assert unsealed({"a": 1, "sha256": seal}) is None
