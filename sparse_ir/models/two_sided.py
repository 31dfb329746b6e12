"""Documents weighed by one encoder, queries by another."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from sparse_ir.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sparse_ir.models.base import Explanation, SparseEncoder
    from sparse_ir.vectors import SparseBatch


class QuerySide(Protocol):
    """What is asked of the encoder of the queries."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """The term of every column."""
        ...

    @property
    def query_fingerprint(self) -> str:
        """SHA-256, hex, of everything that decides query vectors."""
        ...

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given."""
        ...

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word that produced each term."""
        ...

    def text_terms(self, text: str) -> list[str]:
        """List the terms that are tokens of the text itself."""
        ...


class TwoSidedEncoder:
    """A ``SparseEncoder`` of two; neither is loaded before it is needed.

    With an inference-free query side, a search imports no torch.

    Attributes:
        name: What ``load_encoder`` takes to load it again.
        path: The folder of both.
    """

    def __init__(
        self,
        *,
        name: str,
        path: Path,
        documents: Callable[[], SparseEncoder],
        queries: Callable[[], QuerySide],
        others: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """Keep how the sides are loaded.

        Args:
            name: See the class.
            path: See the class.
            documents: Loads the document side.
            queries: Loads the query side.
            others: Gives the query fingerprints of more sides that fit the documents.
        """
        self.name = name
        self.path = path
        self._load_documents = documents
        self._load_queries = queries
        self._others = others

    @cached_property
    def queries(self) -> QuerySide:
        """The query side."""
        return self._load_queries()

    @cached_property
    def documents(self) -> SparseEncoder:
        """The document side.

        Raises:
            ModelError: its vocabulary is not that of the query side.
        """
        found = self._load_documents()
        ours, theirs = self.queries.vocabulary, found.vocabulary
        if ours != theirs:
            raise ModelError(
                f"{self.path}: queries are weighed over {len(ours):,} terms, documents over "
                f"{len(theirs):,}, and they are not the same. The two sides do not belong together."
            )
        return found

    @property
    def vocabulary(self) -> Sequence[str]:
        """The term of every column."""
        return self.queries.vocabulary

    @property
    def fingerprint(self) -> str:
        """That of the document side."""
        return self.documents.fingerprint

    @property
    def query_fingerprint(self) -> str:
        """That of the query side."""
        return self.queries.query_fingerprint

    @cached_property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Those of all query sides that fit the documents, the one in use first."""
        return tuple(dict.fromkeys((self.query_fingerprint, *self._others())))

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents, in the order given; see ``SparseEncoder``."""
        return self.documents.encode_documents(texts, ids=ids, on_cut=on_cut, advance=advance)

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; see ``SparseEncoder``."""
        return self.queries.encode_queries(texts, ids=ids)

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word that produced each term; see ``SparseEncoder``."""
        if query:
            return self.queries.explain(text, query=True)
        return self.documents.explain(text)

    def text_terms(self, text: str) -> list[str]:
        """List the tokens of a text, as the query side reads it; see ``SparseEncoder``."""
        return self.queries.text_terms(text)
