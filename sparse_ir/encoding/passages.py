"""Long documents in passages: whole sentences, up to so many words, with some of the last repeated.

A model reads the beginning of a long text only. Its passages are weighed apart instead; then
either their vectors become one, each term with its highest weight, or each passage is indexed and
a search groups them by document (max pooling over passages: Nguyen et al., 2023,
https://arxiv.org/abs/2305.18494).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.data.spans import Span, sentences, stripped, words
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.types import Document
from sparse_ir.vectors import SparseBatch, make_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX, EACH = "max", "each"
PARENT = "parent_id"
"""The metadata field of a passage that names its document."""

MARK = "#p"
"""A passage is called by its document's id, this mark and its number from 0."""


@dataclass(frozen=True)
class Passages:
    """How long documents are read.

    Attributes:
        kind: "max": one vector of all passages; "each": every passage is indexed; empty: only as
            far as the model reads.
        words: Words of a passage, at most; two characters are one where a script has no blanks.
        overlap: Words of whole sentences that a passage repeats of the one before it, at most.
    """

    kind: str = ""
    words: int = 200
    overlap: int = 40

    def __post_init__(self) -> None:
        if self.kind not in ("", MAX, EACH):
            raise ConfigError(f"passages are {self.kind!r}. Use max or each.")
        if self.words < 1:
            raise ConfigError(f"passages have {self.words} words. Use at least 1.")
        if not 0 <= self.overlap < self.words:
            raise ConfigError(
                f"passages overlap by {self.overlap} words. Use at least 0 and less than their "
                f"{self.words} words."
            )

    def __str__(self) -> str:
        return f"{self.kind},words={self.words},overlap={self.overlap}" if self.kind else ""


WHOLE = Passages()
"""No passages: a document is read from its beginning, as far as the model reads."""


def parse_passages(text: str) -> Passages:
    """Read "max" or "each,words=200,overlap=40"; the empty text means no passages.

    Raises:
        ConfigError: an unknown kind or rule, or a number out of range.
    """
    kind, *rules = (part.strip() for part in text.split(","))
    numbers: dict[str, int] = {}
    for rule in rules:
        name, _, value = rule.partition("=")
        if name not in ("words", "overlap") or not value.isdecimal():
            raise ConfigError(f"passages {rule!r} is not known. Use words=N or overlap=N.")
        numbers[name] = int(value)
    return Passages(kind, **numbers)


def split(text: str, passages: Passages) -> list[str]:
    """Cut a text into passages; a text short enough is one, as it is."""
    return [text[slice(*span)] for span in split_spans(text, passages)]


def split_spans(text: str, passages: Passages) -> list[Span]:
    """As ``split``, by where the passages begin and end."""
    parts = [part for sentence in sentences(text) for part in _cut(text, sentence, passages.words)]
    sizes = [len(words(text[slice(*part)])) for part in parts]
    if sum(sizes) <= passages.words:
        return [Span(0, len(text))]
    found = []
    first = new = 0  # where a passage begins, and the first part that no passage has yet
    while new < len(parts):
        last = new
        while last + 1 < len(parts) and sum(sizes[first : last + 2]) <= passages.words:
            last += 1
        found.append(Span(parts[first].start, parts[last].end))
        before, first, new = first, last + 1, last + 1
        # Repeat less than the whole passage, and leave room for the part that comes next.
        room = passages.words - sizes[new] if new < len(parts) else 0
        while first - 1 > before and sum(sizes[first - 1 : new]) <= min(passages.overlap, room):
            first -= 1
    return found


def _cut(text: str, sentence: Span, longest: int) -> Iterator[Span]:
    """A sentence that is longer than a passage, in pieces."""
    found = words(text[slice(*sentence)])
    start = sentence.start
    for last in range(longest - 1, len(found) - 1, longest):
        end = sentence.start + found[last].end
        yield Span(start, end)
        start = stripped(text, end, sentence.start + found[last + 1].end).start
    yield Span(start, sentence.end)


def split_documents(documents: Iterable[Document], passages: Passages) -> Iterator[Document]:
    """Yield passages as documents of their own; each has the title, metadata and ``parent_id``.

    Raises:
        InputError: the metadata have a ``parent_id`` of their own.
    """
    for document in documents:
        if PARENT in document.metadata:
            raise InputError(
                f"document {document.doc_id!r} has metadata {PARENT!r}, by which passages name "
                "their document. Give the field another name."
            )
        for number, text in enumerate(split(document.text, passages)):
            yield Document(
                passage_id(document.doc_id, number),
                text,
                document.title,
                {**document.metadata, PARENT: document.doc_id},
            )


def passage_id(doc_id: str, number: int) -> str:
    """The id of a passage."""
    return f"{doc_id}{MARK}{number}"


def contents(
    documents: Sequence[Document], passages: Passages
) -> tuple[list[str], list[int] | None]:
    """What a model reads of documents.

    Returns:
        The texts, and where they are passages the row of each one's document.
    """
    if passages.kind != MAX:
        return [document.content for document in documents], None
    texts, rows = [], []
    for row, document in enumerate(documents):
        for text in split(document.text, passages):
            texts.append(document._replace(text=text).content)
            rows.append(row)
    return texts, rows


def joined(batch: SparseBatch, rows: Sequence[int] | None, ids: Sequence[str]) -> SparseBatch:
    """One vector a document: each term with the highest weight that a passage gives it.

    Args:
        batch: The passages' vectors.
        rows: The row of each one's document, ascending; None where each text is a document.
        ids: Of the documents.
    """
    if rows is None:
        return batch
    weights = batch.weights
    of_document = np.repeat(np.asarray(rows), np.diff(weights.indptr))
    order = np.lexsort((weights.data, weights.indices, of_document))
    row, column = of_document[order], weights.indices[order]
    last: Any = np.ones(len(order), bool)  # of a document and term: its highest weight
    last[:-1] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    kept = order[last]
    found = sparse.coo_array(
        (weights.data[kept], (of_document[kept], weights.indices[kept])),
        shape=(len(ids), weights.shape[1]),
    )
    return make_batch(ids, found)
