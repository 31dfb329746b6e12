"""What encoders of a ``SpladeLayout`` share, whatever computes the weights: prompts and bounds."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

from sparse_ir.models.batched import BatchedEncoder
from sparse_ir.models.inference_free import InferenceFreeQueries
from sparse_ir.pruning import keep_ratio, keep_top_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.models.base import Explanation
    from sparse_ir.models.layouts import SpladeLayout
    from sparse_ir.models.sides import TableLayout
    from sparse_ir.vectors import SparseBatch


class LayoutEncoder(BatchedEncoder):
    """Weighs documents and queries as a layout says.

    Attributes:
        layout: Prompts, pooling, activation, and what is kept of a vector.
    """

    layout: SpladeLayout
    _table: TableLayout | None
    _chosen_length: int | None

    @abstractmethod
    def _fingerprint(self, prompt: str, **bounds: float) -> str:
        """SHA-256, hex, of what decides the vectors of texts with this prompt and these bounds."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hex, of weights, tokenizer, pooling, activation, length, drops and prompt.

        Raises:
            ModelError: a file is damaged.
        """
        layout = self.layout
        bounds = {"document_terms": layout.document_terms, "prune_ratio": layout.prune_ratio}
        set_ = {name: bound for name, bound in bounds.items() if bound}
        return self._fingerprint(layout.document_prompt, **set_)

    @cached_property
    def query_fingerprint(self) -> str:
        """As ``fingerprint``; another one where queries have a prompt or terms of their own."""
        kept = {"query_terms": self.layout.query_terms} if self.layout.query_terms else {}
        return self._fingerprint(self.layout.query_prompt, **kept)

    @cached_property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Its own, and that of the inference-free query side where there is one."""
        if self._table is None:
            return (self.query_fingerprint,)
        table = InferenceFreeQueries(self._table, max_length=self._chosen_length)
        return (self.query_fingerprint, table.query_fingerprint)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents, in the order given; see ``SparseEncoder``."""
        found = self._encode(texts, self.layout.document_prompt, ids, on_cut, advance)
        if self.layout.prune_ratio:
            found = keep_ratio(found, self.layout.prune_ratio)
        kept = self.layout.document_terms
        return keep_top_terms(found, kept) if kept else found

    def foresee(self, texts: Sequence[str]) -> None:
        """Begin to tokenise what ``encode_documents`` will get next: this very sequence."""
        self._ahead.begin(texts, 0, self.layout.document_prompt)

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; see ``SparseEncoder``."""
        found = self._encode(texts, self.layout.query_prompt, ids)
        kept = self.layout.query_terms
        return keep_top_terms(found, kept) if kept else found

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word that produced each term; see ``SparseEncoder``."""
        layout = self.layout
        if query:
            return self._explain(text, layout.query_prompt, layout.query_terms)
        found = self._explain(text, layout.document_prompt, layout.document_terms)
        least = layout.prune_ratio * max((o.weight for o in found.terms), default=0.0)
        return found._replace(terms=tuple(o for o in found.terms if o.weight >= least))
