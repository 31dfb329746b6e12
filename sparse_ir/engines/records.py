"""How an engine of this package stores a document: one JSON text, read back as it was given.

The text keeps what a column or payload store would bend: numbers beyond 2^53 or of 17 digits, keys
with dots, nested values, halves of surrogate pairs.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from sparse_ir.types import Document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.types import SparseVector

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT32_MIN = float(np.finfo(np.float32).smallest_subnormal)


def pack(document: Document) -> str:
    """Write title, text and metadata as one text.

    Raises:
        ValueError: the id is empty or not valid Unicode, a text is no string, or the metadata is
            not a JSON object.
    """
    for name in ("doc_id", "title", "text"):
        if not isinstance(getattr(document, name), str):
            raise ValueError(f"the {name} is a {type(getattr(document, name)).__name__}, no text")
    if not document.doc_id:
        raise ValueError("the doc_id is empty")
    if not _is_unicode(document.doc_id):
        raise ValueError("the doc_id holds half a surrogate pair and cannot be written")
    row = [document.title, document.text, _json_object(document.metadata)]
    try:
        packed = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the metadata is not JSON: {error}") from None
    return packed if _is_unicode(packed) else json.dumps(row, separators=(",", ":"))


def unpack(doc_id: str, packed: str) -> Document:
    """Read back what ``pack`` wrote."""
    title, text, metadata = json.loads(packed)
    return Document(doc_id, text, title, metadata)


def columns_and_weights(
    vector: SparseVector, columns: Mapping[str, int]
) -> tuple[list[int], list[float]]:
    """Turn term -> weight into ascending columns and their weights.

    Every rule that the stores below rely on is checked here, since a vector that breaks one may
    damage them.

    Raises:
        ValueError: a term is not in the vocabulary, or a weight is no finite float32 above 0.
    """
    pairs: list[tuple[int, float]] = []
    for term, weight in vector.items():
        column = columns.get(term)
        if column is None:
            raise ValueError(f"the term {term!r} is not in the vocabulary of the index")
        try:
            number = float(weight)
        except (TypeError, ValueError):
            number = math.nan
        # half the smallest subnormal rounds to 0, and a NaN fails every comparison
        if not _FLOAT32_MIN / 2 < number <= _FLOAT32_MAX:
            raise ValueError(
                f"the term {term!r} has the weight {weight!r}; weights must be finite and above 0"
            )
        pairs.append((column, number))
    pairs.sort()
    return [column for column, _ in pairs], [number for _, number in pairs]


def _json_object(metadata: object) -> dict[str, object]:
    if not hasattr(metadata, "keys"):
        raise ValueError(f"the metadata is a {type(metadata).__name__}, no JSON object")
    return dict(metadata)  # type: ignore[call-overload,no-any-return]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
