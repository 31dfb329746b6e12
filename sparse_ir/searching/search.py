"""Search an index with the model that made it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.encoding.passages import EACH as PASSAGES
from sparse_ir.encoding.passages import PARENT, parse_passages
from sparse_ir.engines.filters import AnyOf, parse_filter
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError, IndexLockedError
from sparse_ir.models.loading import MODEL, READY, load_encoder
from sparse_ir.pruning import NO_PRUNING, parse_pruning
from sparse_ir.searching.control import (
    controlled,
    parse_control,
    read_mask,
    require_known,
    require_unmasked,
)
from sparse_ir.searching.fusion import DENSE, WORDS, parse_fusion
from sparse_ir.searching.grouping import BEST, GROUPINGS, GROUPS
from sparse_ir.searching.query import build_request, parse_two_step
from sparse_ir.searching.ready import pruned, query_encoder, weigh
from sparse_ir.searching.sides import Sides, read_hits
from sparse_ir.types import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sparse_ir.engines.base import Engine, SearchRequest
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.searching.control import TermControl
    from sparse_ir.searching.fusion import Fusion
    from sparse_ir.searching.sides import Asked
    from sparse_ir.types import Entry, Run, ScoredDoc, SparseVector

_LOOKED_AT = 1000


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
        hybrid: As ``parse_fusion`` takes it: several of weighted terms, dense vectors and BM25 on
            the text together.
        words_index: An index of the same documents that was made with model "bm25", on the same
            engine: its BM25 stands in the place of the server's.
        dense_only: Search by dense vectors alone.
        dense: As ``load_dense`` takes it; None for the dense model that made the index.
        server_pruning: Let the server drop query terms that it deems unimportant.
        group: Of an index of passages, a document's score: "best", "sum" or "each" (passages).
        ban: Terms that no query has, as ``parse_control`` takes them; so are the next four.
        boost: "term=factor": terms that weigh more, or less.
        pin: "term=weight" or "term": terms that every query has.
        require: Terms that every hit (of an index of passages: every passage) holds.
        lexical_only: Search by terms that are tokens of the query's own text, and pinned ones.
        mask: A file of terms that are never searched by, one a line.
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
    words_index: str | None = None
    dense_only: bool = False
    dense: str | None = None
    server_pruning: bool = False
    group: str = BEST
    ban: tuple[str, ...] = ()
    boost: tuple[str, ...] = ()
    pin: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    lexical_only: bool = False
    mask: str = ""

    def __post_init__(self) -> None:
        if self.group not in GROUPINGS:
            raise ConfigError(f"group is {self.group!r}. Use {', '.join(GROUPINGS)}.")
        if (self.hybrid or self.dense_only) and self.query_encoder == READY:
            raise ConfigError("hybrid searches by a query's text, and ready queries have none.")
        if self.hybrid and self.dense_only:
            raise ConfigError("--hybrid and --dense-only do not go together.")
        fusion = parse_fusion(self.hybrid)
        if self.words_index is not None and (fusion is None or WORDS not in fusion.sides):
            raise ConfigError("--words-index goes with --hybrid, and words among its sides.")


class SearchResult(NamedTuple):
    """One answered query.

    Attributes:
        query: What was asked.
        terms: What was searched for: the encoded query, controlled and pruned.
        hits: By score, then doc_id.
    """

    query: Query
    terms: SparseVector
    hits: list[ScoredDoc]


class Searcher:
    """An open index with its query encoder; close it, or use it in a ``with`` statement."""

    def __init__(
        self,
        settings: SearchSettings,
        *,
        load: Callable[..., SparseEncoder] = load_encoder,
        mask: frozenset[str] | None = None,
    ) -> None:
        """Open the index and load the model.

        Args:
            settings: How queries are answered.
            load: In the place of ``load_encoder``, for whoever has several indexes open.
            mask: Terms that are never searched by, in the place of the settings' file, likewise.

        Raises:
            IndexNotFoundError: there is no such index.
            ModelMismatchError: the model asked for does not fit the index.
            ConfigError: a setting is wrong, or names a term that the model does not have.
        """
        self.settings = settings
        self._control = parse_control(
            ban=settings.ban,
            boost=settings.boost,
            pin=settings.pin,
            require=settings.require,
            lexical_only=settings.lexical_only,
        )
        self._mask = read_mask(settings.mask) if mask is None else mask
        self._conditions = parse_filter(settings.filters)
        self._pruning = parse_pruning(settings.query_pruning)
        self._two_step = parse_two_step(settings.two_step)
        self._sides = Sides(settings)
        self._explainer: SparseEncoder | None = None
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
            self.check(self._control)
            self._sides.open(self.engine, self.stamp)
            self.in_passages = parse_passages(self.stamp.passages).kind == PASSAGES
            self._group = GROUPS.get(settings.group) if self.in_passages else None
        except BaseException:
            self.engine.close()
            raise

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def unknown_field(self) -> tuple[str, list[str]] | None:
        """A field to filter by that none of the first 1,000 documents has, and those they have."""
        if not self._conditions:
            return None
        try:
            entries = islice(self.engine.scan(self.settings.index, vectors=False), _LOOKED_AT)
            there = sorted({field for entry in entries for field in entry.document.metadata})
        except IndexLockedError:
            return None  # a server holds it, which answers searches alone
        named = (condition.field for condition in self._conditions)
        return next(((field, there) for field in named if field not in there), None)

    @property
    def encoder(self) -> SparseEncoder:
        """What weighs the queries.

        Raises:
            ModelError: nothing does, as the index was made of ready vectors.
        """
        return self.explainer if self._encoder is None else self._encoder

    @property
    def explainer(self) -> SparseEncoder:
        """What explains texts: what weighs the queries, or, if they are ready, the index's model.

        That one is loaded when it is first asked for, and nothing else is done with it: queries
        stay ready, and their terms unchecked.

        Raises:
            ModelError: there is none, as the index was made of ready vectors.
        """
        if self._encoder is not None:
            return self._encoder
        if self._explainer is None:
            self._explainer = load_encoder(self.stamp.model)
        return self._explainer

    @property
    def by_dense(self) -> bool:
        """Whether dense vectors are searched, which find every document."""
        return self._sides.by_dense

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
        control: TermControl | None = None,
    ) -> list[SearchResult]:
        """Answer queries in order.

        Args:
            queries: What is asked.
            k: Hits per query; by default the setting's.
            documents: Whether hits bring title, text and metadata.
            vectors: Whether hits bring their term weights.
            control: What is done to the queries' terms; by default what the settings say.

        Raises:
            ConfigError: the control names a term that the model does not have.
        """
        weighed = self.weigh(queries, control=control)
        found = self.answer(
            queries, weighed, k=k, documents=documents, vectors=vectors, control=control
        )
        return [
            SearchResult(query, terms, hits)
            for query, terms, hits in zip(queries, weighed, found, strict=True)
        ]

    def with_hybrid(
        self, hybrid: str, *, words_index: str | None = None, dense: str | None = None
    ) -> Searcher:
        """The same open index and model, fused as ``hybrid`` says; close this one only.

        Args:
            hybrid: As ``SearchSettings`` has it.
            words_index: Where words come from, if they are a side; by default as in the settings.
            dense: What encodes queries for dense vectors, likewise.

        Raises:
            ConfigError: ``parse_fusion`` does not take it, or the index lacks one of its sides.
        """
        other = copy.copy(self)
        fusion = parse_fusion(hybrid)
        sides = () if fusion is None else fusion.sides
        other.settings = replace(
            self.settings,
            hybrid=hybrid,
            dense_only=False,
            dense=(dense or self.settings.dense) if DENSE in sides else None,
            words_index=(words_index or self.settings.words_index) if WORDS in sides else None,
        )
        other._sides = Sides(other.settings, like=self._sides)
        other._sides.open(self.engine, self.stamp)
        return other

    def weigh(
        self, queries: Sequence[Query], *, control: TermControl | None = None
    ) -> list[SparseVector]:
        """Encode queries, control and prune their terms: what is searched for, in order.

        Args:
            queries: What is asked.
            control: As ``search`` takes it.

        Returns:
            The terms; {} for each query where terms are not searched.
        """
        if not self._sides.by_terms:
            return [{} for _ in queries]
        control = self._controls(control)
        free = not control.weighs and not self._mask
        weighed = weigh(
            queries,
            lambda: self.encoder,
            counted=self.settings.query_encoder == READY,
            pruning=self._pruning if free else NO_PRUNING,
        )
        if free:
            return weighed
        return [
            controlled(
                terms,
                control,
                own=partial(self._own, query, terms),
                mask=self._mask,
                prune=partial(pruned, pruning=self._pruning),
            )
            for query, terms in zip(queries, weighed, strict=True)
        ]

    def _own(self, query: Query, terms: SparseVector) -> Collection[str]:
        """Tokens of a query's own text."""
        if self.settings.query_encoder == READY:
            return terms.keys()  # the text is nothing else
        if query.vector is not None and not query.text:
            raise ConfigError(
                f"query {query.query_id!r} has a vector and no text, so nothing says which of its "
                "terms are its own words."
            )
        return self.encoder.text_terms(query.text)

    def _controls(self, control: TermControl | None) -> TermControl:
        if control is None:
            return self._control
        self.check(control)
        return control

    def check(self, control: TermControl) -> None:
        """See that a control can be followed; without a model nothing is known of its terms.

        Raises:
            ConfigError: it cannot, or it names a term that the model does not have.
        """
        require_unmasked(control, self._mask)
        if control.require and self.settings.words_index is not None:
            raise ConfigError(
                "--require does not go with --words-index: an index of words does not hold the "
                "model's terms."
            )
        if control.terms and self._encoder is not None:
            require_known(control.terms, self._vocabulary)

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        return frozenset(self.encoder.vocabulary)

    def answer(
        self,
        queries: Sequence[Query],
        weighed: Sequence[SparseVector],
        *,
        k: int | None = None,
        documents: bool = True,
        vectors: bool = False,
        control: TermControl | None = None,
    ) -> list[list[ScoredDoc]]:
        """Answer queries that are weighed; the other arguments are those of ``search``.

        Of the control, only what hits must hold is looked at: the terms are weighed already.
        """
        require = self._controls(control).require
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
                require=require,
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
        asked_by = self._sides.prepare(queries)
        if self._group is None:
            return self._find(asked_by, requests)
        return self._group(
            lambda places, asked: self._find([asked_by[i] for i in places], asked),
            self._read,
            requests,
            dense=self._sides.by_dense,
        )

    def _find(
        self, queries: Sequence[Asked], requests: Sequence[SearchRequest]
    ) -> list[list[ScoredDoc]]:
        return self._sides.find(self.engine, self.settings.index, queries, requests)

    def _read(self, doc_ids: Sequence[str], request: SearchRequest) -> list[Entry | None]:
        return read_hits(self.engine, self.settings.index, doc_ids, request)

    def lists(self, queries: Sequence[Query], *, k: int) -> list[dict[str, list[ScoredDoc]]]:
        """Answer queries by every side of a hybrid search apart, without documents.

        Of an index of passages, the hits are passages.

        Args:
            queries: What is asked.
            k: Hits of each side.

        Returns:
            For each query, side -> hits, which ``fuse`` takes.
        """
        requests = [
            build_request(terms, k=k, conditions=self._conditions, documents=False)
            for terms in self.weigh(queries)
        ]
        asked = self._sides.prepare(queries)
        return self._sides.lists(self.engine, self.settings.index, asked, requests)

    def fuse(self, lists: Mapping[str, Sequence[ScoredDoc]], fusion: Fusion) -> list[ScoredDoc]:
        """Fuse the lists of a query otherwise than the settings say."""
        return self._sides.fuse(lists, fusion)

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
            self._read,
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
