"""A row becomes a document or a query, or says why it cannot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sparse_ir.data.rows import (
    DOC_ID_FIELDS,
    DOC_TEXT_FIELDS,
    QUERY_ID_FIELDS,
    QUERY_TEXT_FIELDS,
)
from sparse_ir.types import NO_METADATA, Document, Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.types import SparseVector

# Control characters, line and paragraph separators and the byte order mark would break the lines
# of runs and qrels; half a surrogate pair cannot be written at all.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_LARGEST = (2 - 2**-23) * 2.0**127  # of float32


class RowError(ValueError):
    """A row is no document or query; the message says why."""


def to_document(row: Mapping[str, Any]) -> Document:
    """Make a document of a row.

    Metadata is the object named ``metadata`` or, where there is none, all fields that are neither
    id nor title nor text.

    Raises:
        RowError: the id or the text is missing or unfit.
    """
    id_field = field_of(row, DOC_ID_FIELDS, "id field")
    text_field = field_of(row, DOC_TEXT_FIELDS, "text field")
    doc_id = row[id_field]
    if type(doc_id) is not str or not doc_id.isprintable() or not doc_id.strip():
        doc_id = to_id(doc_id)
    text = _text(row[text_field], text_field)
    title = _text(row.get("title"), "title")
    if not text.strip() and not title.strip():
        raise RowError("has no text")
    used = (id_field, text_field, "title")
    return Document(doc_id, text, title, _metadata(row, used) or NO_METADATA)


def _metadata(row: Mapping[str, Any], used: Sequence[str]) -> Mapping[str, Any]:
    metadata = row.get("metadata")
    if metadata and isinstance(metadata, dict):
        return metadata
    if len(row) == len(used) and "title" in row:
        return NO_METADATA
    return {n: v for n, v in row.items() if n not in used and (n != "metadata" or v)}


def to_query(row: Mapping[str, Any]) -> Query:
    """Make a query of a row.

    Raises:
        RowError: the id or the text is missing or unfit.
    """
    query_id = _query_id(row)
    text_field = field_of(row, QUERY_TEXT_FIELDS, "text field")
    text = _text(row[text_field], text_field)
    if not text.strip():
        raise RowError("has no text")
    return Query(query_id, text)


def to_weighed_query(row: Mapping[str, Any]) -> Query:
    """Make a query of a row that may bring its vector, an object of terms and weights.

    Raises:
        RowError: as ``to_query``; with a vector no text is needed, but its weights must be fit.
    """
    weights = row.get("vector")
    if not isinstance(weights, dict):
        return to_query(row)
    text = next((row[name] for name in (*QUERY_TEXT_FIELDS, "contents") if name in row), "")
    return Query(_query_id(row), _text(text, "text"), to_vector(weights))


def _query_id(row: Mapping[str, Any]) -> str:
    return to_id(row[field_of(row, QUERY_ID_FIELDS, "id field")])


def to_vector(weights: Mapping[str, Any]) -> SparseVector:
    """Make a vector of a JSON object; weights of 0 are dropped.

    Raises:
        RowError: a weight is no number, negative, or beyond what float32 holds.
    """
    vector = {}
    for term, weight in weights.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= _LARGEST:  # false for what is not a number, too
            raise RowError(
                f"gives the term {term!r:.60} the weight {weight!r:.60}; weights are numbers that "
                "are finite, not negative and within float32"
            )
        if weight:
            vector[term] = float(weight)
    return vector


def to_id(value: Any) -> str:
    """Make an id of a value: whole numbers become text.

    Raises:
        RowError: it is empty, holds a tab, line break or other control character, or is neither
            text nor whole number.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise RowError(f"has an id that is neither text nor a whole number ({_shown(value)})")
    if not value or value.isspace():
        raise RowError("has an empty id")
    if not value.isprintable() and _UNFIT.search(value):
        raise RowError(f"has an id with a tab, line break or control character ({_shown(value)})")
    return value


def field_of(row: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    """The first of some names that a row has.

    Raises:
        RowError: it has none of them.
    """
    for name in names:
        if name in row:
            return name
    raise RowError(f"has no {what} ({', '.join(names[:-1])} or {names[-1]})")


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise RowError(f"has a {field} that is not text ({_shown(value)})")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
