"""Filters for the embedded engine: what is stored beside a document, and what is asked of it.

The store's own conditions would bend the meaning that ``filters.matches`` gives: they read dots in
a field's name as nesting, keep numbers as text that is not read back to the last bit, and compare
integers as float64. So metadata is stored a second time, in a form that they cannot bend:

* every value that can be equal to something becomes a token, ``["year",2020.0]``, in one list;
* every number becomes its rank among all numbers, two integers below 2^53, under its field; several
  numbers of one field form a list elsewhere, since the store would mix their halves.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import TYPE_CHECKING, Any

from sparse_ir.engines.filters import AnyOf, Range, exact_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sparse_ir.engines.filters import Condition, Filter

TOKENS = "f"
NUMBER = "n"
NUMBERS = "m"
_LONGEST = 96
_LOW_BITS = 13
_LOW = (1 << _LOW_BITS) - 1
_MIDDLE = 1 << 64


def payload(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored beside a document to filter it by; fields without a value leave nothing."""
    tokens: dict[str, None] = {}
    single: dict[str, Any] = {}
    several: dict[str, Any] = {}
    for field, value in metadata.items():
        ranks = []
        for element in _elements(value):
            token = _value_token(field, element)
            if token is not None:
                tokens[token] = None
            rank = _rank(element)
            if rank is not None:
                ranks.append(_split(rank))
        if len(ranks) == 1:
            single[field_key(field)] = ranks[0]
        elif ranks:
            several[field_key(field)] = ranks
            tokens[_token(field)] = None
    stored = {TOKENS: list(tokens), NUMBER: single, NUMBERS: several}
    return {key: value for key, value in stored.items() if value}


def translate(conditions: Filter) -> dict[str, Any] | None:
    """Write a filter as the store's own, in the form of its JSON interface.

    Returns:
        A filter object, or None when no document can satisfy the conditions.
    """
    must = []
    for condition in conditions:
        clause = _translate(condition)
        if clause is None:
            return None
        must.append(clause)
    return {"must": must}


def indexed_numbers(stored: Mapping[str, Any]) -> Iterator[str]:
    """Paths in a document's payload that an index on integers makes quick to filter by."""
    return (f"{NUMBER}.{key}.h" for key in stored.get(NUMBER, ()))


def field_key(field: str) -> str:
    """A field's name as a payload key that holds no dot or bracket, one to one."""
    raw = field.encode("utf-8", "surrogatepass")
    if len(raw) > _LONGEST // 2:
        return "h" + hashlib.blake2b(raw, digest_size=16).hexdigest()
    return "x" + raw.hex()


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for element in value:
            yield from _elements(element)
    else:
        yield value


def _value_token(field: str, value: Any) -> str | None:
    if isinstance(value, str | bool):
        return _token(field, value)
    if isinstance(value, int | float):
        number = _exact(value)
        if number is not None:
            return _token(field, number)
        return _token(field, value) if isinstance(value, int) else None
    return None


def _text_tokens(field: str, text: str) -> Iterator[str]:
    yield _token(field, text)
    if text.lower() in ("true", "false"):
        yield _token(field, text.lower() == "true")
    number = exact_number(text)
    if number is not None:
        yield _token(field, number)


def _token(*parts: str | float) -> str:
    """A field and a value; a field alone says that it holds several numbers."""
    normal = [0.0 if part == 0 and isinstance(part, float) else part for part in parts]  # not -0.0
    token = json.dumps(normal, separators=(",", ":"))
    if len(token) <= _LONGEST:
        return token
    return "#" + hashlib.blake2b(token.encode(), digest_size=16).hexdigest()


def _exact(value: float) -> float | None:
    """The finite float that equals the number, or None."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number == value else None


def _translate(condition: Condition) -> dict[str, Any] | None:
    if isinstance(condition, AnyOf):
        tokens = [t for text in condition.values for t in _text_tokens(condition.field, text)]
        return {"key": TOKENS, "match": {"any": sorted(set(tokens))}} if tokens else None
    bounds = _interval(condition)
    if bounds is None:
        return None
    key = field_key(condition.field)
    one = _between(bounds, f"{NUMBER}.{key}.")
    # the token is looked up in an index, so that documents without such a list cost nothing
    has_several = {"key": TOKENS, "match": {"any": [_token(condition.field)]}}
    some = {"nested": {"key": f"{NUMBERS}.{key}", "filter": _between(bounds, "")}}
    return {"should": [one, {"must": [has_several, some]}]}


def _interval(bounds: Range) -> tuple[int, int] | None:
    """The lowest and the highest rank within the bounds, or None if there is none."""
    lowest, highest = _rank(-math.inf) or 0, _rank(math.inf) or 0
    for bound, step in ((bounds.gt, 1), (bounds.gte, 0)):
        if bound is not None:
            rank = _rank(bound)
            lowest = highest + 1 if rank is None else max(lowest, rank + step)
    for bound, step in ((bounds.lt, 1), (bounds.lte, 0)):
        if bound is not None:
            rank = _rank(bound)
            highest = lowest - 1 if rank is None else min(highest, rank - step)
    return (lowest, highest) if lowest <= highest else None


def _rank(value: Any) -> int | None:
    """The place of a number among all numbers: floats are even, what lies between two is odd.

    The bits of a positive float64, read as an integer, ascend with it. Integers beyond 2^53 that
    no float equals lie between two neighbours; bounds are floats, so they need no closer place.

    Returns:
        0 to 2^65, or None for what is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    below = _floor(value)
    if below == 0:
        below = 0.0  # -0.0 equals it
    bits: int = struct.unpack(">q", struct.pack(">d", below))[0]
    ordered = bits if bits >= 0 else -(bits & 0x7FFFFFFFFFFFFFFF)
    return _MIDDLE + 2 * ordered + (below != value)


def _floor(value: float) -> float:
    """The greatest float that is not above the number."""
    try:
        near = float(value)
    except OverflowError:
        return math.nextafter(math.inf, 0) if value > 0 else -math.inf
    return math.nextafter(near, -math.inf) if near > value else near


def _split(rank: int) -> dict[str, int]:
    return {"h": rank >> _LOW_BITS, "l": rank & _LOW}


def _between(bounds: tuple[int, int], path: str) -> dict[str, Any]:
    lowest, highest = (_split(bound) for bound in bounds)
    high, low = f"{path}h", f"{path}l"
    must = [{"key": high, "range": {"gte": lowest["h"], "lte": highest["h"]}}]
    if lowest["l"] > 0:
        must.append(_beyond(high, "gt", lowest["h"], low, "gte", lowest["l"]))
    if highest["l"] < _LOW:
        must.append(_beyond(high, "lt", highest["h"], low, "lte", highest["l"]))
    return {"must": must}


def _beyond(high: str, outer: str, h: int, low: str, inner: str, bound: int) -> dict[str, Any]:
    """Hold when the high part is beyond h, or is h and the low part is within its bound."""
    level = {"key": high, "range": {"gte": h, "lte": h}}
    within = {"key": low, "range": {inner: bound}}
    return {"should": [{"key": high, "range": {outer: h}}, {"must": [level, within]}]}
