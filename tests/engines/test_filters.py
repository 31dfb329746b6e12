"""Filters: how they are read, what they mean, and that the embedded engine means the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.embedded import EmbeddedEngine
from sparse_ir.engines.embedded_filters import field_key
from sparse_ir.engines.filters import AnyOf, Range, matches, parse_filter
from sparse_ir.engines.stamp import Stamp
from sparse_ir.errors import ConfigError
from sparse_ir.types import Document, Entry


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("lang=en", AnyOf("lang", ("en",))),
        ("lang=en|de", AnyOf("lang", ("en", "de"))),
        (r"name=a\|b", AnyOf("name", ("a|b",))),
        ("lang=", AnyOf("lang", ("",))),
        ("a.b[0]=x=y", AnyOf("a.b[0]", ("x=y",))),
        ("year>=2020", Range("year", gte=2020.0)),
        ("year>2020", Range("year", gt=2020.0)),
        ("year<=-1.5", Range("year", lte=-1.5)),
        (" year < 1e3 ", Range("year", lt=1000.0)),
    ],
)
def test_a_filter_is_read_as_a_person_writes_it(text, condition):
    assert parse_filter([text]) == (condition,)


@pytest.mark.parametrize("text", ["lang", "=en", "year>x", "year>", "year<nan", "", ">3"])
def test_what_is_no_filter_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match="filter") as caught:
        parse_filter([text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text", "holds"),
    [
        ("en", "x=en", True),
        ("EN", "x=en", False),
        (2020, "x=2020", True),
        (2020.0, "x=2020", True),
        ("2020", "x=2020", True),
        ("2020", "x>=2020", False),
        (True, "x=true", True),
        (True, "x=1", False),
        (True, "x>0", False),
        ("true", "x=true", True),
        (["a", ["b", 3]], "x=3", True),
        ([1, 5], "x>=4", True),
        ([], "x=", False),
        (None, "x=None", False),
        ({"y": 1}, "x=1", False),
        (9007199254740993, "x=9007199254740992", False),
        (9007199254740992, "x=9007199254740993", False),
        (9007199254740993, "x=9007199254740993", True),
        (-9007199254740993, "x= -9007199254740993", True),
        (1099511627776, "x=1.099511627776e12", True),
        (10**400, f"x={10**400}", True),
        (9007199254740993, "x>9007199254740992", True),
        (math.nan, "x>0", False),
    ],
)
def test_a_condition_means(value, text, holds):
    assert matches({"x": value}, parse_filter([text])) is holds


def test_every_condition_must_hold():
    conditions = parse_filter(["lang=en", "year>=2020"])
    assert matches({"lang": "en", "year": 2021}, conditions)
    assert not matches({"lang": "en", "year": 2019}, conditions)
    assert not matches({"year": 2021}, conditions)


def test_a_range_with_two_bounds_asks_one_element_to_be_within_both():
    assert not matches({"x": [1, 9]}, (Range("x", gt=2, lt=8),))
    assert matches({"x": [1, 5]}, (Range("x", gt=2, lt=8),))


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_field_keys_never_merge_two_fields(fields):
    first, second = (field_key(field) for field in fields)
    assert first != second
    assert first.isalnum()


# The embedded engine against ``matches``

NUMBERS = [0, -0.0, 1, 1.0, -1, 0.1, 0.30000000000000004, 5e-324, 1e22, 2**53, 2**53 + 1]
NUMBERS += [-(2**53) - 1, 2**63, 2**64 + 1, 1.7976931348623157e308, 10**400, -(10**400)]
NUMBERS += [math.inf, -math.inf, math.nan]
numbers = st.one_of(st.sampled_from(NUMBERS), st.floats(), st.integers())
texts = st.one_of(
    st.sampled_from(["", "a", "A", "1", "1.0", "true", "True", "0.1", "1e22", "ü", "x" * 200]),
    st.text(max_size=3),
)
scalars = st.one_of(texts, numbers, st.booleans(), st.none())
values = st.one_of(
    scalars,
    st.recursive(st.lists(scalars, max_size=3), lambda inner: st.lists(inner, max_size=2)),
    st.dictionaries(st.sampled_from(["a", "b"]), scalars, max_size=1),
)
fields = st.sampled_from(["a", "a.b", "a[]", "a[0].b", "", "ü", '"', "f", "n", "long " * 20])
metadata = st.dictionaries(fields, values, max_size=3)
bounds = st.one_of(
    st.none(), st.sampled_from([float(n) for n in NUMBERS if abs(n) < 10**300]), st.floats()
)
wild = st.one_of(
    st.builds(AnyOf, fields, st.lists(st.one_of(texts, numbers.map(str)), max_size=3).map(tuple)),
    st.builds(Range, fields, bounds, bounds, bounds, bounds),
)


def elements(value):
    if not isinstance(value, list):
        return [value]
    return [element for part in value for element in elements(part)]


@st.composite
def aimed(draw, rows):
    """A condition on a value that is there, or next to it."""
    known = [(f, e) for row in rows for f, value in row.items() for e in elements(value)]
    field, value = draw(st.sampled_from(known))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or abs(value) > 10**300 or draw(st.booleans()):
        return AnyOf(field, (str(value), draw(texts)))
    near = [float(value), math.nextafter(value, -math.inf), math.nextafter(value, math.inf)]
    low, high = draw(st.sampled_from(near)), draw(st.sampled_from([*near, None]))
    ranges = [Range(field, gt=low), Range(field, gte=low), Range(field, lte=low)]
    ranges += [Range(field, gt=high, lt=low), Range(field, gte=low, lte=high)]
    return draw(st.sampled_from(ranges))


@st.composite
def rows_and_conditions(draw):
    rows = draw(st.lists(metadata, min_size=1, max_size=6))
    some = any(elements(value) for row in rows for value in row.values())
    condition = st.one_of(wild, aimed(rows), aimed(rows)) if some else wild
    return rows, tuple(draw(st.lists(condition, max_size=2)))


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    stamp = Stamp("m", "f", ("q",), "", 1, "", "c", "now", "0")
    with EmbeddedEngine(tmp_path_factory.mktemp("filters")) as opened:
        opened.publish("docs", opened.create("docs", stamp, ["t"]))
        yield opened


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows_and_conditions())
def test_the_embedded_engine_finds_what_matches(engine, drawn):
    rows, condition = drawn
    engine.delete("docs", [str(i) for i in range(6)])
    entries = [Entry(Document(str(i), "", "", row), {"t": 1.0}) for i, row in enumerate(rows)]
    assert list(engine.add("docs", entries)) == []
    request = SearchRequest({"t": 1.0}, k=10, filter=condition, documents=False)
    expected = [str(i) for i, row in enumerate(rows) if matches(row, condition)]
    assert [hit.doc_id for hit in engine.search("docs", [request])[0]] == expected
    assert engine.delete_matching("docs", condition) == len(expected)
    assert engine.stats("docs").documents == len(rows) - len(expected)
