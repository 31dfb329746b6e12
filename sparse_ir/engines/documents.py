"""How a document lies in a search server, and how it is read back as it was given.

``metadata`` holds what can be filtered by: texts, numbers and truth values, alone or in lists,
under escaped names (see ``fields.escape_term``). Whatever else the metadata holds lies beside it in
``metadata_more``, which is stored and not indexed, so that no document is refused for its shape.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import orjson

from sparse_ir.engines.fields import escape_term, unescape_term
from sparse_ir.engines.filters import AnyOf, exact_number
from sparse_ir.types import Document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.engines.filters import Condition, Filter

METADATA = "metadata"
MORE = "metadata_more"
HASH = "content_hash"
_EXACT = 2**53  # from here on a double stands for several whole numbers
LONGEST_ID = 512  # bytes; both servers refuse a whole batch for one longer id


def source_of(document: Document) -> dict[str, Any]:
    """The fields of a document but its vector.

    Raises:
        ValueError: the id is empty or too long, a text is no string, or the metadata is no JSON
            object.
    """
    fields: dict[str, Any] = {
        "doc_id": document.doc_id,
        "title": document.title,
        "text": document.text,
    }
    for name, value in fields.items():
        if not isinstance(value, str):
            raise ValueError(f"the {name} is a {type(value).__name__}, no text")
    if not document.doc_id:
        raise ValueError("the doc_id is empty")
    # no character takes more than 4 bytes
    if len(document.doc_id) > LONGEST_ID // 4 and _bytes_of(document.doc_id) > LONGEST_ID:
        raise ValueError(f"the doc_id is longer than {LONGEST_ID} bytes; the server takes no more")
    if document.metadata:
        _add_metadata(fields, document.metadata)
    elif not hasattr(document.metadata, "items"):
        raise _no_object(document.metadata)
    return fields


def document_of(source: Mapping[str, Any]) -> Document:
    """Read a document back from a hit's ``_source``."""
    metadata = {unescape_term(name): value for name, value in source.get(METADATA, {}).items()}
    return Document(
        str(source["doc_id"]),
        source.get("text", ""),
        source.get("title", ""),
        {**metadata, **source.get(MORE, {})},
    )


def content_hash(packed: bytes) -> str:
    """A document's fingerprint, from its fields as ``dumps`` writes them."""
    return hashlib.sha256(packed).hexdigest()[:32]


def hash_of(document: Document) -> tuple[str, str] | None:
    """A document's id and content hash; None where it cannot be stored."""
    try:
        return document.doc_id, content_hash(dumps(source_of(document)))
    except ValueError:
        return None


def dumps(value: Any) -> bytes:
    """Write JSON.

    Raises:
        ValueError: the value is no JSON, or a text in it holds half a surrogate pair.
    """
    try:
        return orjson.dumps(value)
    except (TypeError, ValueError):
        pass
    try:
        # numbers beyond 64 bits
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a surrogate pair and cannot be sent") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the metadata is not JSON: {error}") from None


def filter_clauses(conditions: Filter) -> list[dict[str, Any]]:
    """The filter clauses that hold where ``filters.matches`` does."""
    return [_clause(condition) for condition in conditions]


def _bytes_of(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _add_metadata(fields: dict[str, Any], metadata: object) -> None:
    if not hasattr(metadata, "items"):
        raise _no_object(metadata)
    plain: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for name, value in metadata.items():
        if not isinstance(name, str):
            raise ValueError(f"the metadata has a key that is no text: {name!r}")
        if name.strip() and _is_plain(value):
            plain[escape_term(name)] = value
        else:
            more[name] = value
    if plain:
        fields[METADATA] = plain
    if more:
        fields[MORE] = more


def _no_object(metadata: object) -> ValueError:
    return ValueError(f"the metadata is a {type(metadata).__name__}, no JSON object")


def _is_plain(value: Any) -> bool:
    if isinstance(value, (str, int, float)):
        return True
    return isinstance(value, list | tuple) and all(_is_plain(element) for element in value)


def _clause(condition: Condition) -> dict[str, Any]:
    field = f"{METADATA}.{escape_term(condition.field)}"
    if not isinstance(condition, AnyOf):
        bounds = {name: bound for name in ("gt", "gte", "lt", "lte")
                  if (bound := getattr(condition, name)) is not None}  # fmt: skip
        return {"range": {f"{field}.number": bounds}}
    should: list[dict[str, Any]] = [{"terms": {field: _spellings(condition.values)}}]
    known = map(exact_number, condition.values)
    numbers = [n for n in known if n is not None and abs(n) < _EXACT]
    if numbers:
        should.append({"terms": {f"{field}.number": numbers}})
    return {"bool": {"should": should, "minimum_should_match": 1}}


def _spellings(values: tuple[str, ...]) -> list[str]:
    """Texts that are equal to one of the values, as JSON writes them.

    Of whole numbers from 2^53 on a server's double is that of neighbours too: their digits tell.
    """
    found = dict.fromkeys(values)
    for value in values:
        number = exact_number(value)
        if value.lower() in ("true", "false"):
            found[value.lower()] = None
        elif number is not None and abs(number) >= _EXACT:
            found[str(int(number))] = None
            if isinstance(number, float):
                found[json.dumps(number)] = None
                found[orjson.dumps(number).decode()] = None
    return list(found)
