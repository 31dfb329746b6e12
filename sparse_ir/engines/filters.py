"""Filters on metadata: what ``--filter`` says, parsed once for all engines.

A filter is a tuple of conditions that must all hold. A text names a value as a person writes it:
``year=2020`` holds for the number 2020 and for the text "2020"; ``draft=true`` for true and "true".
Whole numbers are told apart to the last digit by ``=``; bounds are floats, exact to 2^53.
A list in the metadata satisfies a condition when one of its elements does.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AnyOf(NamedTuple):
    """The field equals one of the values (one value: plain equality)."""

    field: str
    values: tuple[str, ...]


class Range(NamedTuple):
    """The field is a number within the bounds; a bound that is None does not bind."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


Condition: TypeAlias = AnyOf | Range
Filter: TypeAlias = tuple[Condition, ...]

_CONDITION = re.compile(r"^\s*([^\s=<>!]+)\s*(>=|<=|>|<|=)(.*)$", re.DOTALL)
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,1000}\s*", re.ASCII)
_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def parse_filter(texts: Sequence[str]) -> Filter:
    r"""Read conditions such as ``lang=en``, ``lang=en|de``, ``year>=2020``.

    ``|`` separates alternatives; ``\|`` is a bar within a value.

    >>> parse_filter(["lang=en|de", "year>=2020"])
    (AnyOf(field='lang', values=('en', 'de')), Range(field='year', gt=None, gte=2020.0, lt=None, lte=None))

    Raises:
        ConfigError: a text is no condition, or a bound is no number.
    """  # noqa: E501
    return tuple(_parse_condition(text) for text in texts)


def _parse_condition(text: str) -> Condition:
    match = _CONDITION.match(text)
    if match is None:
        raise ConfigError(
            f"filter {text!r} is not understood. Write field=value, field=a|b, field>=number."
        )
    field, operator, value = match.groups()
    if operator == "=":
        parts = re.split(r"(?<!\\)\|", value)
        return AnyOf(field, tuple(p.replace("\\|", "|").strip() for p in parts))
    number = as_number(value.strip())
    if number is None:
        raise ConfigError(f"filter {text!r} compares with {value!r}, which is not a number.")
    return Range(field, **{_BOUNDS[operator]: number})


def as_number(text: str) -> float | None:
    """The finite number a text writes, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def exact_number(text: str) -> float | None:
    """The number a text writes; an int where no float equals it, as beyond 2^53 or 1e308."""
    if _INTEGER.fullmatch(text):
        whole = int(text)
        return whole if as_number(text) != whole else float(whole)
    return as_number(text)


def matches(metadata: Mapping[str, Any], conditions: Filter) -> bool:
    """Whether metadata satisfies every condition: the meaning that all engines share."""
    return all(_holds(metadata.get(c.field), c) for c in conditions)


def _holds(value: Any, condition: Condition) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds(element, condition) for element in value)
    if isinstance(condition, AnyOf):
        return any(_equals(value, text) for text in condition.values)
    return _within(value, condition)


def _equals(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return value == text
    if isinstance(value, bool):
        return text.lower() == str(value).lower()
    if isinstance(value, int | float):
        return exact_number(text) == value
    return False


def _within(value: Any, bounds: Range) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )
