"""The project's own file of examples: JSONL, with ids, texts or both, and a teacher's scores.

``mine``, ``distill`` and ``pseudo-queries`` write it; every one of them, and training, reads it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.examples_raw import (
    RawExample,
    Text,
    by_text,
    make_example,
    refusal,
    to_score,
    to_text,
)
from sparse_ir.data.files import writing
from sparse_ir.data.formats import read_rows
from sparse_ir.data.records import RowError, to_id
from sparse_ir.data.rows import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


class ScoredExample(NamedTuple):
    """One line of the project's own file of examples.

    Attributes:
        query_id: The query.
        documents: Ids, the positives first, then the negatives, hardest first if known.
        query: Its text; None where it is to be looked up by its id.
        texts: The text of each document (title and text joined), None for those that are to be
            looked up; or None for all.
        scores: A teacher's score of each document, None where it is not known; or None for all.
        positives: How many of the documents are positives, at least 1.
        relevant: Ids of further documents that are relevant: never to be taken for negatives.
    """

    query_id: str
    documents: tuple[str, ...]
    query: str | None = None
    texts: tuple[str | None, ...] | None = None
    scores: tuple[float | None, ...] | None = None
    positives: int = 1
    relevant: tuple[str, ...] = ()


def write_examples(path: str | Path, rows: Iterable[ScoredExample]) -> int:
    """Write examples, one JSON object a line; returns how many.

    Args:
        path: Compressed when it ends with ``.gz`` or ``.zst``; it appears whole or not at all.
        rows: Taken one at a time.

    Raises:
        InputError: a row could not be read back (the line it would have is named).
        StorageError: the file cannot be written.
    """
    count = 0
    with writing(path) as stream:
        for row in rows:
            count += 1
            stream.write(example_line(row, path, count))
    return count


def example_line(row: ScoredExample, path: str | Path = "examples", line: int = 1) -> str:
    """Give an example the form of a line of the file, line feed included.

    Args:
        row: The example.
        path: What a message names.
        line: Likewise.

    Raises:
        InputError: the row could not be read back.
    """
    values = _to_json(row)
    try:
        scored_example(values, (str(path), line))
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        text.encode()
    except RowError as error:
        raise refusal(error, str(path), line) from None
    except UnicodeEncodeError:
        bad = RowError(f"holds half of a surrogate pair (query {row.query_id!r})")
        raise refusal(bad, str(path), line) from None
    return text + "\n"


def _to_json(row: ScoredExample) -> dict[str, Any]:
    values: dict[str, Any] = {"query_id": row.query_id}
    if row.query is not None:
        values["query"] = row.query
    values["documents"] = list(row.documents)
    if row.texts is not None:
        values["texts"] = list(row.texts)
    if row.scores is not None:
        values["scores"] = [None if s is None or math.isnan(s) else float(s) for s in row.scores]
    if row.positives != 1:
        values["positives"] = row.positives
    if row.relevant:
        values["relevant"] = list(row.relevant)
    return values


def read_scored(path: str | Path) -> Iterator[ScoredExample]:
    """Read the file back, row by row.

    Raises:
        InputError: a row is malformed.
    """
    for line, row in read_rows(path, format="jsonl"):
        try:
            if isinstance(row, BadRow):
                raise RowError(row.reason)
            example = scored_example(row, (str(path), line))
        except RowError as error:
            raise refusal(error, str(path), line) from None
        yield _from_raw(example)


def _from_raw(example: RawExample) -> ScoredExample:
    texts = tuple(document.text for document in example.documents)
    scores = example.scores
    return ScoredExample(
        example.query.id,
        tuple(document.id for document in example.documents),
        example.query.text,
        None if all(text is None for text in texts) else texts,
        None if scores is None else tuple(None if math.isnan(s) else s for s in scores),
        example.positives,
        example.relevant,
    )


def scored_example(row: Mapping[str, Any], place: tuple[str, int]) -> RawExample:
    """Make an example of a row of the file.

    Raises:
        RowError: the row is malformed.
    """
    query = _query(row)
    documents = _documents(row)
    positives = row.get("positives", 1)
    if type(positives) is not int or not 1 <= positives <= len(documents):
        raise RowError(
            f"has positives {positives!r}; it must be a whole number from 1 to the number of "
            f"documents, {len(documents)} (query {query.id!r})"
        )
    scores = row.get("scores")
    if scores is not None:
        scores = [to_score(score, unknown=True) for score in to_list(scores, "scores")]
    relevant = [to_id(one) for one in to_list(row.get("relevant") or [], "relevant")]
    return make_example(
        place, query, documents[:positives], documents[positives:], scores, relevant=relevant
    )


def _query(row: Mapping[str, Any]) -> Text:
    text = row.get("query")
    if row.get("query_id") is None:
        if text is None:
            raise RowError("has neither query_id nor query")
        return by_text(text, "query")
    return Text(to_id(row["query_id"]), None if text is None else to_text(text, "query"))


def _documents(row: Mapping[str, Any]) -> list[Text]:
    ids, texts = row.get("documents"), row.get("texts")
    if ids is None and texts is None:
        raise RowError("has neither documents nor texts")
    if ids is None:
        return [by_text(text, "document") for text in to_list(texts, "texts")]
    ids = [to_id(one) for one in to_list(ids, "documents")]
    texts = [None] * len(ids) if texts is None else to_list(texts, "texts")
    if len(texts) != len(ids):
        raise RowError(f"has {len(texts)} texts for {len(ids)} documents")
    return [
        Text(one, None if text is None else to_text(text, f"text of document {one!r}"))
        for one, text in zip(ids, texts, strict=True)
    ]


def to_list(value: Any, what: str) -> Sequence[Any]:
    """Require a list.

    Raises:
        RowError: it is none.
    """
    if not isinstance(value, list):
        raise RowError(f"has {what} that are no list ({value!r:.60})")
    return value
