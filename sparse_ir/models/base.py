"""What every encoder offers, whatever weighs its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sparse_ir.vectors import SparseBatch


class TermOrigin(NamedTuple):
    """A term of a vector and the place in the text that produced it.

    Attributes:
        term: The vocabulary term.
        weight: Its weight, above 0.
        word: The word of the text, as written, that produced the weight (max pooling: the argmax;
            sum pooling: the largest contribution).
        start: Where that word begins in the text, in characters; -1 for a place that is no
            part of the text, such as [CLS].
        end: Where it ends, exclusive.
    """

    term: str
    weight: float
    word: str
    start: int
    end: int


class Explanation(NamedTuple):
    """A text's vector with provenance, heaviest term first.

    Attributes:
        text: What was weighed.
        terms: One entry a term.
        cut: Whether the text was longer than the encoder reads.
    """

    text: str
    terms: tuple[TermOrigin, ...]
    cut: bool


class SparseEncoder(Protocol):
    """Gives a text a sparse vector over a vocabulary.

    Two encoders with equal ``fingerprint`` give equal document vectors, and equal
    ``query_fingerprint`` equal query vectors.
    """

    @property
    def name(self) -> str:
        """What ``load_encoder`` takes to load this encoder again."""
        ...

    @property
    def path(self) -> Path:
        """The folder the encoder was loaded from."""
        ...

    @property
    def vocabulary(self) -> Sequence[str]:
        """The term of every column, V of them, distinct."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256, hex, of everything that decides document vectors."""
        ...

    @property
    def query_fingerprint(self) -> str:
        """SHA-256, hex, of everything that decides query vectors."""
        ...

    @property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Of every query side that fits the document vectors, this one's own first."""
        ...

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents, in the order given.

        Args:
            texts: n texts; an empty one gives an empty vector or what the model makes of it.
            ids: One id a text; "0", "1", … by default.
            on_cut: Called with the number of texts that were longer than the encoder reads.
                By default a warning is logged.
            advance: Called with the number of texts finished, as they are.

        Returns:
            n rows over the vocabulary.
        """
        ...

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; as ``encode_documents``."""
        ...

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word that produced each term."""
        ...

    def text_terms(self, text: str) -> list[str]:
        """List the terms that are tokens of the text itself, as far as a query of it is read.

        Each comes once, in the order of the text; special tokens are left out.
        """
        ...
