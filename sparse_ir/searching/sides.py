"""What answers a query: weighted terms, dense vectors, BM25 on the text, or several, fused."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.encoding.dense import open_dense
from sparse_ir.engines.base import weights_of
from sparse_ir.engines.stamp import COSINE, require_dense_space, require_same_dense
from sparse_ir.errors import ConfigError, NoVectorsError
from sparse_ir.searching.fusion import DENSE, SPARSE, WORDS, fuse, parse_fusion
from sparse_ir.searching.query import weigh_queries
from sparse_ir.searching.ready import query_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.encoding.dense import DenseSide
    from sparse_ir.engines.base import Engine, SearchRequest
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.searching.fusion import Fusion
    from sparse_ir.searching.search import SearchSettings
    from sparse_ir.types import DenseVector, Entry, Query, ScoredDoc, SparseVector


class Asked(NamedTuple):
    """What of a query the sides other than its terms need.

    Attributes:
        query: The query.
        dense: Its dense vector, where that is a side.
        words: Its terms in the index of words, where there is one.
    """

    query: Query
    dense: DenseVector | None = None
    words: SparseVector | None = None


class Sides:
    """The sides that a search's settings name; ``open`` before use."""

    def __init__(self, settings: SearchSettings, like: Sides | None = None) -> None:
        """Read the settings; nothing is loaded yet.

        Args:
            settings: How queries are answered.
            like: Sides of the same index, whose dense model is used where one is wanted.
        """
        self._settings = settings
        self._loaded: dict[str, DenseSide] = {} if like is None else like._loaded
        self.fusion: Fusion | None = parse_fusion(settings.hybrid)
        self._dense: DenseSide | None = None
        self._words: SparseEncoder | None = None
        self._cosine = True

    @property
    def by_terms(self) -> bool:
        """Whether the weighted terms are searched."""
        if self.fusion is not None:
            return SPARSE in self.fusion.sides
        return not self._settings.dense_only

    @property
    def by_dense(self) -> bool:
        """Whether the dense vectors are searched."""
        if self.fusion is not None:
            return DENSE in self.fusion.sides
        return self._settings.dense_only

    def open(self, engine: Engine, stamp: Stamp) -> None:
        """Load what encodes queries for the sides, and check that the index has them.

        Raises:
            ConfigError: the index holds no dense vectors, or the index of words is none.
            ModelMismatchError: the dense model is not the one that made the index.
            IndexNotFoundError: there is no such index of words.
        """
        settings = self._settings
        if settings.dense is not None and not self.by_dense:
            raise ConfigError("--dense goes with --dense-only, or --hybrid with dense as a side.")
        if self.by_dense:
            space = require_dense_space(stamp, index=settings.index)
            self._cosine = space.similarity == COSINE
            model = settings.dense or space.model
            if model not in self._loaded:
                self._loaded[model] = open_dense(model, similarity=space.similarity)
            self._dense = self._loaded[model]
            require_same_dense(stamp, self._dense.encoder, index=settings.index)
        if settings.words_index is not None:
            self._words = self._open_words(engine, stamp, settings.words_index)

    def _open_words(self, engine: Engine, stamp: Stamp, index: str) -> SparseEncoder:
        of_words = engine.describe(index)
        if of_words.passages != stamp.passages:
            raise ConfigError(
                f"index {index!r} was read in passages {of_words.passages!r}, and "
                f"{self._settings.index!r} in {stamp.passages!r}: their hits are not the same "
                "documents. Index the corpus with the same --passages."
            )
        encoder = query_encoder(of_words, index=index, model=None)
        if encoder is None:
            raise ConfigError(
                f"index {index!r} was made of ready vectors. Make one with --model bm25."
            )
        return encoder

    def prepare(self, queries: Sequence[Query]) -> list[Asked]:
        """Encode queries for the sides other than the terms, in order.

        Raises:
            ConfigError: a query has no text.
        """
        if self.fusion is None and not self.by_dense:
            return [Asked(query) for query in queries]
        mute = next((query for query in queries if query.vector and not query.text), None)
        if mute is not None:
            raise ConfigError(
                f"query {mute.query_id!r} has a vector and no text, by which hybrid searches too."
            )
        by_text = self.by_dense or (self.fusion is not None and WORDS in self.fusion.sides)
        blank = next((query for query in queries if by_text and not query.text.strip()), None)
        if blank is not None:
            raise ConfigError(
                f"query {blank.query_id!r} has no text, by which a dense or hybrid search looks. "
                "Give it one, or search by its terms alone."
            )
        dense: Sequence[DenseVector | None] = [None] * len(queries)
        words: Sequence[SparseVector | None] = [None] * len(queries)
        if self._dense is not None:
            dense = self._dense.encode_queries([query.text for query in queries])
        if self._words is not None:
            words = weigh_queries(queries, self._words)
        return [Asked(*parts) for parts in zip(queries, dense, words, strict=True)]

    def find(
        self,
        engine: Engine,
        index: str,
        queries: Sequence[Asked],
        requests: Sequence[SearchRequest],
    ) -> list[list[ScoredDoc]]:
        """Answer requests by their sides.

        Whatever a request says of its hits (filter, required terms, what they bring) holds for
        every side, as each side's request is the given one with another way to score.
        """
        fusion = self.fusion
        if fusion is None:
            if self.by_dense:
                requests = [_by_dense(r, asked) for r, asked in zip(requests, queries, strict=True)]
            return engine.search(index, requests)
        deep = [_deep(request, fusion) for request in requests]
        lists = self.lists(engine, index, queries, deep)
        answers = []
        for request, own in zip(requests, lists, strict=True):
            hits = self.fuse(own, fusion)
            page = hits[request.offset : request.offset + request.k]
            answers.append(_with_vectors(engine, index, request, page) if request.vectors else page)
        return answers

    def fuse(self, lists: Mapping[str, Sequence[ScoredDoc]], fusion: Fusion) -> list[ScoredDoc]:
        """Fuse the lists of a query, as the index's dense vectors are compared."""
        return fuse(lists, fusion, cosine=self._cosine)

    def lists(
        self,
        engine: Engine,
        index: str,
        queries: Sequence[Asked],
        requests: Sequence[SearchRequest],
    ) -> list[dict[str, list[ScoredDoc]]]:
        """Answer requests by every side of the fusion apart: side -> hits, for each request."""
        if self.fusion is None:
            raise ValueError("the search has no fusion")
        sides = self.fusion.sides
        asked_for = list(zip(requests, queries, strict=True))
        of_sides: dict[str, list[SearchRequest]] = {
            SPARSE: list(requests),
            DENSE: [_by_dense(request, asked) for request, asked in asked_for],
            WORDS: [self._by_words(request, asked) for request, asked in asked_for],
        }
        found: dict[str, list[list[ScoredDoc]]] = {}
        if WORDS in sides and self._settings.words_index is not None:
            found[WORDS] = engine.search(self._settings.words_index, of_sides[WORDS])
        together = [side for side in sides if side not in found]
        hits = engine.search(index, [r for side in together for r in of_sides[side]])
        for number, side in enumerate(together):
            found[side] = hits[number * len(requests) : (number + 1) * len(requests)]
        return [{side: found[side][place] for side in sides} for place in range(len(requests))]

    def _by_words(self, request: SearchRequest, asked: Asked) -> SearchRequest:
        if asked.words is None:
            return request._replace(text=asked.query.text, two_step=None)
        # the vector of an index of words would explain other terms than were asked for
        return request._replace(terms=asked.words, two_step=None, vectors=False)


def _by_dense(request: SearchRequest, asked: Asked) -> SearchRequest:
    return request._replace(dense=asked.dense, two_step=None)


def _with_vectors(
    engine: Engine, index: str, request: SearchRequest, hits: list[ScoredDoc]
) -> list[ScoredDoc]:
    """Fetch the term weights of hits that only an index of words found."""
    bare = [hit.doc_id for hit in hits if hit.vector is None]
    if not bare:
        return hits
    try:
        entries = engine.get(index, bare)
        found = {entry.document.doc_id: entry.vector for entry in entries if entry is not None}
    except NoVectorsError:
        found = weights_of(engine.scores_of, index, bare, request.terms)
    return [hit._replace(vector=found.get(hit.doc_id, hit.vector)) for hit in hits]


def read_hits(
    engine: Engine, index: str, doc_ids: Sequence[str], request: SearchRequest
) -> list[Entry | None]:
    """Read what a request asks for of its hits; as in ``Engine.get``.

    Where the index keeps no vectors, they are the weights of the query's own terms; where it keeps
    approximate weights, they are empty.
    """
    if not request.vectors:
        return engine.get(index, doc_ids, vectors=False)
    try:
        return engine.get(index, doc_ids)
    except NoVectorsError:
        read = engine.get(index, doc_ids, vectors=False)
    try:
        weights = weights_of(engine.scores_of, index, doc_ids, request.terms)
    except ConfigError:
        weights = {}
    return [e and e._replace(vector=weights.get(e.document.doc_id, {})) for e in read]


def _deep(request: SearchRequest, fusion: Fusion) -> SearchRequest:
    """The request for a list that is fused: from the top, deep enough."""
    return request._replace(offset=0, k=max(fusion.depth, request.offset + request.k))
