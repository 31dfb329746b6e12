"""The plain data that goes between the rooms, with the field's own names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

SparseVector: TypeAlias = dict[str, float]
"""Term -> weight > 0."""

DenseVector: TypeAlias = tuple[float, ...]
"""The numbers of a dense vector, each a float32."""

Run: TypeAlias = dict[str, dict[str, float]]
"""query_id -> doc_id -> score."""

Qrels: TypeAlias = dict[str, dict[str, int]]
"""query_id -> doc_id -> grade."""

NO_METADATA: Mapping[str, Any] = {}


class Document(NamedTuple):
    """A text to be found.

    Attributes:
        doc_id: Unique within its corpus.
        text: The body.
        title: May be empty.
        metadata: JSON values to filter by and to show.
    """

    doc_id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Any] = NO_METADATA

    @property
    def content(self) -> str:
        """What a model reads: the title, a space and the text, as BEIR joins them."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


class Query(NamedTuple):
    """A question, with the id by which qrels and runs know it.

    Attributes:
        query_id: Unique within its file.
        text: What is asked; empty where only a vector is known.
        vector: Its terms, where they are ready and no model is to weigh the text.
    """

    query_id: str
    text: str
    vector: SparseVector | None = None


class Entry(NamedTuple):
    """What an engine stores: a document with the vectors it is found by.

    Attributes:
        document: The document.
        vector: Its terms.
        dense: Its dense vector, where the index holds such beside the terms.
    """

    document: Document
    vector: SparseVector
    dense: DenseVector | None = None


class ScoredDoc(NamedTuple):
    """One hit.

    Attributes:
        doc_id: The document.
        score: Dot product of query and document vector.
        document: Stored title, text and metadata, where they were asked for.
        vector: The stored term weights, where they were asked for.
    """

    doc_id: str
    score: float
    document: Document | None = None
    vector: SparseVector | None = None
