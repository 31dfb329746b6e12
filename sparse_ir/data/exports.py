"""Vectors for other tools: one JSON object a line, as Anserini and Pyserini read them.

``{"id": "7", "contents": "the text", "vector": {"term": weight, …}}`` is what Pyserini's encoders
write and what Anserini's ``JsonVectorCollection`` reads. That reader takes whole numbers only:
quantise for it (``impacts.py`` tells why, and reads such files back).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing
from sparse_ir.data.impacts import quantized, require_scale
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sparse_ir.types import Document, Entry


def export_jsonl(
    entries: Iterable[Entry],
    path: str | Path,
    *,
    quantize: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> int:
    """Write vectors as term dicts, one line a document; memory is one line.

    Args:
        entries: Documents with vectors; metadata is not written.
        path: Compressed when it ends with ``.gz`` or ``.zst``; it appears whole or not at all.
        quantize: Write round(weight * quantize) and leave out what becomes 0; if None, write
            weights with the nine digits that tell single-precision numbers apart.
        advance: Called with the number of documents written.

    Returns:
        How many documents were written.

    Raises:
        ConfigError: quantize is below 1.
        InputError: a weight is not finite; a term holds a blank, at which an impact index would
            split it (only when quantising).
        StorageError: the file cannot be written.
    """
    if quantize is not None:
        require_scale(quantize)
    count = 0
    with writing(path, "wb") as stream:
        for document, vector, _ in entries:
            if quantize is None:
                weights: dict[str, Any] = {t: float(f"{w:.9g}") for t, w in vector.items()}
            else:
                weights = dict(quantized(vector, quantize, owner=f"document {document.doc_id!r}"))
            stream.write(_line(document, weights))
            count += 1
            advance(1)
    return count


def _line(document: Document, weights: dict[str, Any]) -> bytes:
    row = {"id": document.doc_id, "contents": document.content, "vector": weights}
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can escape it, UTF-8 cannot hold it
        return json.dumps(row, allow_nan=False).encode() + b"\n"
    except ValueError:
        raise InputError(f"document {document.doc_id!r} has a weight that is not finite.") from None
