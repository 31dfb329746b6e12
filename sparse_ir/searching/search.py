"""Search an index with the model that made it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.encoding.passages import EACH as PASSAGES
from sparse_ir.encoding.passages import PARENT, parse_passages
from sparse_ir.engines.filters import AnyOf, parse_filter
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError
from sparse_ir.models.loading import MODEL, READY, load_encoder
from sparse_ir.pruning import parse_pruning
from sparse_ir.searching.fusion import fuse, parse_fusion
from sparse_ir.searching.grouping import BEST, GROUPINGS, GROUPS
from sparse_ir.searching.query import build_request, parse_two_step
from sparse_ir.searching.ready import query_encoder, weigh
from sparse_ir.types import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from sparse_ir.engines.base import Engine, SearchRequest
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.searching.fusion import Fusion
    from sparse_ir.types import Run, ScoredDoc, SparseVector


@dataclass(frozen=True)
class SearchSettings:
    """How queries are answered.

    Attributes:
        index: The index to search.
        engine: As ``open_engine`` takes it.
        model: As ``load_encoder`` takes it; None for the model that made the index.
        query_encoder: Which of its query sides, as ``load_encoder`` takes ``queries``; or "ready":
            queries are terms, each weighing as often as it stands, and no model is loaded.
        k: Hits per query, at least 1.
        offset: Hits to pass over first.
        filters: Conditions as ``parse_filter`` takes them.
        query_pruning: As ``parse_pruning`` takes it.
        two_step: As ``parse_two_step`` takes it: heavy terms first.
        hybrid: As ``parse_fusion`` takes it: together with the engine's BM25 on the text.
        server_pruning: Let the server drop query terms that it deems unimportant.
        group: Of an index of passages, a document's score: "best", "sum" or "each" (passages).
    """

    index: str = "default"
    engine: str = "embedded"
    model: str | None = None
    query_encoder: str = MODEL
    k: int = 10
    offset: int = 0
    filters: tuple[str, ...] = ()
    query_pruning: str = ""
    two_step: str = ""
    hybrid: str = ""
    server_pruning: bool = False
    group: str = BEST

    def __post_init__(self) -> None:
        if self.group not in GROUPINGS:
            raise ConfigError(f"group is {self.group!r}. Use {', '.join(GROUPINGS)}.")
        if self.hybrid and self.query_encoder == READY:
            raise ConfigError("hybrid searches by a query's text, and ready queries have none.")


class SearchResult(NamedTuple):
    """One answered query.

    Attributes:
        query: What was asked.
        terms: What was searched for: the encoded and pruned query.
        hits: By score, then doc_id.
    """

    query: Query
    terms: SparseVector
    hits: list[ScoredDoc]


class Searcher:
    """An open index with its query encoder; close it, or use it in a ``with`` statement."""

    def __init__(
        self, settings: SearchSettings, *, load: Callable[..., SparseEncoder] = load_encoder
    ) -> None:
        """Open the index and load the model.

        Args:
            settings: How queries are answered.
            load: In the place of ``load_encoder``, for whoever has several indexes open.

        Raises:
            IndexNotFoundError: there is no such index.
            ModelMismatchError: the model asked for does not fit the index.
        """
        self.settings = settings
        self._conditions = parse_filter(settings.filters)
        self._pruning = parse_pruning(settings.query_pruning)
        self._two_step = parse_two_step(settings.two_step)
        self._fusion = parse_fusion(settings.hybrid)
        self.engine: Engine = open_engine(settings.engine)
        try:
            self.stamp: Stamp = self.engine.describe(settings.index)
            self._encoder = query_encoder(
                self.stamp,
                index=settings.index,
                model=settings.model,
                queries=settings.query_encoder,
                load=load,
            )
            self.in_passages = parse_passages(self.stamp.passages).kind == PASSAGES
            self._group = GROUPS.get(settings.group) if self.in_passages else None
        except BaseException:
            self.engine.close()
            raise

    def __enter__(self) -> Searcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def encoder(self) -> SparseEncoder:
        """What weighs the queries.

        Raises:
            ModelError: nothing does, as the index was made of ready vectors.
        """
        if self._encoder is None:  # asked for "ready" queries; the documents' model may be known
            self._encoder = load_encoder(self.stamp.model)
        return self._encoder

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()

    def search(
        self,
        queries: Sequence[Query],
        *,
        k: int | None = None,
        documents: bool = True,
        vectors: bool = False,
    ) -> list[SearchResult]:
        """Answer queries in order.

        Args:
            queries: What is asked.
            k: Hits per query; by default the setting's.
            documents: Whether hits bring title, text and metadata.
            vectors: Whether hits bring their term weights.
        """
        weighed = self.weigh(queries)
        found = self.answer(queries, weighed, k=k, documents=documents, vectors=vectors)
        return [
            SearchResult(query, terms, hits)
            for query, terms, hits in zip(queries, weighed, found, strict=True)
        ]

    def with_hybrid(self, hybrid: str) -> Searcher:
        """The same open index and model, fused as ``hybrid`` says; close this one only."""
        other = copy.copy(self)
        other.settings = replace(self.settings, hybrid=hybrid)
        other._fusion = parse_fusion(hybrid)
        return other

    def weigh(self, queries: Sequence[Query]) -> list[SparseVector]:
        """Encode queries and prune them: what is searched for, in order."""
        return weigh(
            queries,
            lambda: self.encoder,
            counted=self.settings.query_encoder == READY,
            pruning=self._pruning,
        )

    def answer(
        self,
        queries: Sequence[Query],
        weighed: Sequence[SparseVector],
        *,
        k: int | None = None,
        documents: bool = True,
        vectors: bool = False,
    ) -> list[list[ScoredDoc]]:
        """Answer queries that are weighed; the other arguments are those of ``search``."""
        requests = [
            build_request(
                terms,
                k=self.settings.k if k is None else k,
                offset=self.settings.offset,
                conditions=self._conditions,
                documents=documents,
                vectors=vectors,
                two_step=self._two_step,
                server_pruning=self.settings.server_pruning,
            )
            for terms in weighed
        ]
        return self.ask(queries, requests)

    def ask(
        self, queries: Sequence[Query], requests: Sequence[SearchRequest]
    ) -> list[list[ScoredDoc]]:
        """Answer requests as they are, each with its own k, offset and filter.

        Args:
            queries: What was asked; hybrid search needs the texts.
            requests: One a query.
        """
        if self._group is None:
            return self._find(queries, requests)
        return self._group(
            lambda places, asked: self._find([queries[i] for i in places], asked),
            lambda ids, vectors: self.engine.get(self.settings.index, ids, vectors=vectors),
            requests,
        )

    def _find(
        self, queries: Sequence[Query], requests: Sequence[SearchRequest]
    ) -> list[list[ScoredDoc]]:
        if self._fusion is None:
            return self.engine.search(self.settings.index, requests)
        mute = next((query for query in queries if query.vector and not query.text), None)
        if mute is not None:
            raise ConfigError(
                f"query {mute.query_id!r} has a vector and no text, by which hybrid searches too."
            )
        deep = [_deep(request, self._fusion) for request in requests]
        by_text = [
            request._replace(text=query.text, two_step=None)
            for query, request in zip(queries, deep, strict=True)
        ]
        found = self.engine.search(self.settings.index, [*deep, *by_text])
        return [
            fuse(terms, text, self._fusion)[request.offset : request.offset + request.k]
            for terms, text, request in zip(
                found[: len(deep)], found[len(deep) :], requests, strict=True
            )
        ]

    def scores_of(self, doc_ids: Sequence[str], terms: SparseVector) -> dict[str, float]:
        """Score documents for a query, wherever in a ranking they would come.

        Args:
            doc_ids: Documents; of an index of passages, their documents.
            terms: The query, as ``SearchResult`` has it.

        Returns:
            The scores of those that share a term with it and can be found.
        """
        if self._group is None:
            return self.engine.scores_of(self.settings.index, doc_ids, [terms])[0]
        requests = [
            build_request(
                terms, k=1, conditions=(AnyOf(PARENT, (doc_id,)),), documents=False, vectors=False
            )
            for doc_id in doc_ids
        ]
        found = self._group(
            lambda _, asked: self.engine.search(self.settings.index, asked),
            lambda ids, vectors: self.engine.get(self.settings.index, ids, vectors=vectors),
            requests,
        )
        return {hit.doc_id: hit.score for hits in found for hit in hits}

    def stream(
        self,
        queries: Sequence[Query],
        *,
        k: int,
        batch: int = 64,
        advance: Callable[[int], None] = lambda n: None,
    ) -> Iterator[SearchResult]:
        """Answer many queries, a batch at a time, without documents."""
        for start in range(0, len(queries), batch):
            part = queries[start : start + batch]
            yield from self.search(part, k=k, documents=False)
            advance(len(part))

    def run(
        self,
        queries: Sequence[Query],
        *,
        k: int,
        advance: Callable[[int], None] = lambda n: None,
    ) -> Run:
        """Answer many queries as a run: query_id -> doc_id -> score."""
        return {
            result.query.query_id: {hit.doc_id: hit.score for hit in result.hits}
            for result in self.stream(queries, k=k, advance=advance)
        }


def _deep(request: SearchRequest, fusion: Fusion) -> SearchRequest:
    """The request for a list that is fused: from the top, deep enough."""
    return request._replace(offset=0, k=max(fusion.depth, request.offset + request.k))


def search(
    queries: str | Sequence[Query], settings: SearchSettings | None = None
) -> list[SearchResult]:
    """Answer one query text, or several queries, from an index.

    The index says which model made it; that model encodes the queries unless another that fits is
    asked for. To answer queries again and again, keep a ``Searcher`` open.

    Args:
        queries: One text, or queries with ids.
        settings: Index, engine, filters and the rest; the embedded index "default" by default.

    Raises:
        IndexNotFoundError: there is no such index.
        ModelMismatchError: the model asked for does not fit the index.
        ConfigError: a filter or number is wrong.
    """
    asked = [Query("1", queries)] if isinstance(queries, str) else list(queries)
    with Searcher(settings or SearchSettings()) as searcher:
        return searcher.search(asked)
