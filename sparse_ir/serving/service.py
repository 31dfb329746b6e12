"""What the routes ask: search, encode and explain, in batches, on indexes that stay open."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sparse_ir.encoding.passages import MARK, PARENT
from sparse_ir.engines.addresses import is_cluster
from sparse_ir.engines.base import SearchRequest, require_request, weights_of
from sparse_ir.engines.filters import AnyOf, parse_filter
from sparse_ir.engines.served import Announcing, entry_to_json, hit_to_json, request_from_json
from sparse_ir.errors import (
    ConfigError,
    EngineError,
    IndexNotFoundError,
    ModelError,
    NoVectorsError,
)
from sparse_ir.models.loading import READY
from sparse_ir.searching.control import NO_CONTROL
from sparse_ir.searching.query import build_request
from sparse_ir.serving.answers import (
    by_term,
    dropped_terms,
    explained_terms,
    hit_row,
    hit_rows,
    matched_terms,
    weighed_terms,
)
from sparse_ir.serving.batching import Batcher, BusyError
from sparse_ir.serving.indexes import close_indexes, open_indexes
from sparse_ir.serving.metrics import Metrics
from sparse_ir.serving.settings import require_shallow
from sparse_ir.types import Document, Query, ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from sparse_ir.models.base import Explanation
    from sparse_ir.searching.control import TermControl
    from sparse_ir.searching.search import Searcher
    from sparse_ir.serving.indexes import ServedIndex
    from sparse_ir.serving.settings import ServeSettings
    from sparse_ir.types import SparseVector

T = TypeVar("T")

_REMEMBERED = 512  # explanations of documents and queries, about 30 kB each
_LONGEST_REMEMBERED = 20_000  # characters of a text whose explanation is
_MOST_FILTERS = 50
_HITS = 10  # where nobody says


class DocumentNotFoundError(IndexNotFoundError):
    """The index has no such document."""


class UnknownIndexError(IndexNotFoundError):
    """No index of that label is served."""


class CannotExplainError(ModelError):
    """The server lacks what explaining a text takes."""


class TooLongError(ConfigError):
    """A text is longer than the server reads."""


class Asked(NamedTuple):
    """A search.

    Attributes:
        q: The text.
        label: Of the index; empty for the default.
        k: Hits wanted; None for 10, or for the most that are given where that is less.
        offset: Hits passed over.
        filters: As ``parse_filter`` takes them.
        controls: What is done to the terms.
        explain: Whether to say what matched.
        hybrid: As ``parse_fusion`` takes it.
    """

    q: str
    label: str = ""
    k: int | None = None
    offset: int = 0
    filters: tuple[str, ...] = ()
    controls: TermControl = NO_CONTROL
    explain: bool = False
    hybrid: str = ""


class _Weighed(NamedTuple):
    """A query: its terms by the model, what is searched for, and where the terms came from."""

    given: SparseVector
    searched: SparseVector
    explanation: Explanation | None


class Service:
    """The open indexes with their threads; close it when it is no longer needed.

    One thread weighs texts, for a model is used by one thread at a time; one searches the indexes
    of this process, and one those of each cluster, so that one that does not answer keeps nobody
    from the others.

    Attributes:
        settings: What the server was told.
        metrics: Its figures.
        draining: Whether no new work is taken.
        in_flight: Requests being answered.
    """

    def __init__(self, settings: ServeSettings) -> None:
        """Open the indexes, load the models and search once; errors as in ``open_indexes``."""
        self.settings = settings
        self.metrics = Metrics()
        self.draining = False
        self.in_flight = 0
        self.indexes = open_indexes(settings)
        try:
            for index in self.indexes.values():
                index.search_once()
        except BaseException:
            close_indexes(self.indexes)
            raise
        self._encoder = self._thread("encode")
        places = dict.fromkeys(map(_place, self.indexes.values()))
        self._engines = {place: self._thread("search") for place in places}
        self.metrics.watch("encode", [self._encoder])
        self.metrics.watch("search", list(self._engines.values()))
        self._explained: OrderedDict[Hashable, Explanation] = OrderedDict()
        self.metrics.watch_in_flight(lambda: self.in_flight)

    def close(self) -> None:
        """Finish what was begun and let go of the indexes."""
        self._encoder.close()
        for engine in self._engines.values():
            engine.close()
        close_indexes(self.indexes)

    def announce(self, url: str, token: str) -> None:
        """Tell other processes of this machine where to ask for the indexes held here alone."""
        for index in self.indexes.values():
            engine = index.searcher.engine
            if isinstance(engine, Announcing):
                name = index.searcher.settings.index
                engine.announce(name, url=url, token=token, label=index.label)

    def index(self, label: str) -> ServedIndex:
        """Find an index by its label; the first one for none.

        Raises:
            UnknownIndexError: none has that label.
        """
        if not label:
            return next(iter(self.indexes.values()))
        if label not in self.indexes:
            raise UnknownIndexError(
                f"there is no index {label!r} here. There are: {', '.join(self.indexes)}."
            )
        return self.indexes[label]

    async def facts(self) -> dict[str, Any]:
        """What is served."""
        rows = await asyncio.gather(*map(self._facts_of, self.indexes.values()))
        return {"indexes": rows, "default": next(iter(self.indexes))}

    async def _facts_of(self, index: ServedIndex) -> dict[str, Any]:
        """Its facts; without the number of documents where its engine does not tell it in time."""
        documents: int | None
        try:
            documents = await asyncio.wait_for(
                self.in_engine(index, index.documents), self.settings.timeout / 2
            )
        except (EngineError, BusyError, asyncio.TimeoutError):
            documents = None
        return {**index.facts(), "documents": documents}

    async def search(self, asked: Asked) -> dict[str, Any]:
        """Answer a query.

        Raises:
            ConfigError: a parameter is out of range.
            IndexNotFoundError: there is no such index.
            BusyError: too much is waiting.
        """
        began = time.perf_counter()
        index = self.index(asked.label)
        self._require_text(asked.q, "q", empty=bool(asked.controls.pin))
        request = self._request(asked)
        searcher, hybrid = index.searcher, asked.hybrid or index.fusion
        if hybrid:
            require_shallow(hybrid)
            searcher = await self.in_engine(index, lambda: index.hybrid(hybrid))
        weighed = await self._weigh(index, asked)
        encoded = time.perf_counter()
        request = _checked(request._replace(terms=weighed.searched))
        hits: list[ScoredDoc] = await self._do(
            self._thread_of(index),
            lambda pairs: index.ask(searcher, pairs),
            (Query("1", asked.q), request),
            kind=(index.label, hybrid),
        )
        found = time.perf_counter()
        rows = hit_rows(hits, first=asked.offset + 1)
        if asked.explain:
            for row, hit in zip(rows, hits, strict=True):
                row["matches"] = await self._matches(index, weighed, hit)
        ended = time.perf_counter()
        took = {"encode": encoded - began, "search": found - encoded}
        took |= {"explain": ended - found, "total": ended - began}
        return {
            **_head(index, asked, weighed),
            "k": request.k,
            "hits": rows,
            "took_ms": {name: round(1000 * seconds, 3) for name, seconds in took.items()},
        }

    async def encode(self, text: str, *, query: bool, index: str = "") -> dict[str, Any]:
        """A text's terms and the words they came from."""
        served = self.index(index)
        self._require_text(text, "text")
        return explained_terms(await self._explain(served, text, query=query))

    async def explain_document(self, asked: Asked, doc_id: str) -> dict[str, Any]:
        """A document as a hit, wherever in a ranking it would come.

        Raises:
            DocumentNotFoundError: the index has none of that id.
        """
        index = self.index(asked.label)
        self._require_text(asked.q, "q", empty=bool(asked.controls.pin))
        weighed = await self._weigh(index, asked._replace(explain=True))
        hit = await self.in_engine(index, lambda: _document(index, doc_id, weighed.searched))
        row = hit_row(hit, rank=None)
        row["matches"] = await self._matches(index, weighed, hit)
        return {**_head(index, asked, weighed), **row}

    async def explain_text(self, asked: Asked, text: str) -> dict[str, Any]:
        """A query and a text that is in no index, compared."""
        index = self.index(asked.label)
        self._require_text(asked.q, "q", empty=bool(asked.controls.pin))
        self._require_text(text, "text")
        weighed = await self._weigh(index, asked._replace(explain=True))
        document = await self._explain(index, text, query=False)
        vector = {origin.term: origin.weight for origin in document.terms}
        matches = matched_terms(weighed.searched, vector, Document("", text), document)
        query = weighed.explanation
        return {
            **_head(index, asked, weighed),
            "score": sum(row["contribution"] for row in matches),
            "query": {
                "terms": weighed_terms(weighed.searched, by_term(query)),
                "cut": query is not None and query.cut,
            },
            "document": explained_terms(document),
            "matches": matches,
        }

    async def answer_process(self, what: str, body: Mapping[str, Any]) -> Any:
        """Answer another process of this machine, which cannot open the index itself.

        Args:
            what: "search", "get" or "stats".
            body: The index's label, and what is asked as ``engines/served.py`` writes it.

        Raises:
            ConfigError: it is not understood.
        """
        try:
            index = self.index(str(body["index"]))
            work = _ENGINE_WORK[what](index, body)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not understood: {error}.") from None
        return await self.in_engine(index, work)

    async def in_engine(self, index: ServedIndex, work: Callable[[], T]) -> T:
        """Do something with an index's engine, in the thread that may."""
        result: T = await self._do(self._thread_of(index), lambda _: [work()])
        return result

    def _thread_of(self, index: ServedIndex) -> Batcher:
        return self._engines[_place(index)]

    async def _do(
        self,
        batcher: Batcher,
        work: Callable[[list[Any]], Sequence[Any]],
        argument: Any = None,
        *,
        kind: Hashable = None,
    ) -> Any:
        return await asyncio.wrap_future(batcher.submit(work, argument, kind=kind))

    async def _weigh(self, index: ServedIndex, asked: Asked) -> _Weighed:
        searcher = index.searcher
        given: SparseVector = {}
        if asked.q.strip():
            given = await self._do(
                self._encoder, searcher.weigh, Query("1", asked.q), kind=index.label
            )
        ready = searcher.settings.query_encoder == READY
        control, own = asked.controls, list(given) if ready else []
        if control.terms:
            await self._do(self._encoder, lambda _: _check(searcher, control))
        if control.lexical_only and asked.q.strip() and not ready:
            own = await self._do(self._encoder, lambda _: [searcher.encoder.text_terms(asked.q)])
        searched = control.applied(given, own=own)
        explanation = None
        if asked.explain and asked.q.strip() and not ready:
            explanation = await self._explain(index, asked.q, query=True)
        return _Weighed(given, searched, explanation)

    async def _explain(self, index: ServedIndex, text: str, *, query: bool) -> Explanation:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        owner = index.label if query else index.searcher.stamp.fingerprint
        key = (owner, query, digest)
        if key not in self._explained:
            try:
                found: Explanation = await self._do(
                    self._encoder,
                    lambda _: [index.searcher.explainer.explain(text, query=query)],
                )
            except ModuleNotFoundError as error:  # queries alone are weighed without torch
                raise CannotExplainError(
                    f"the Python package {error.name!r} is not installed where this server runs, "
                    "and explaining a document needs it."
                ) from None
            if len(text) > _LONGEST_REMEMBERED:
                return found
            self._explained[key] = found
            while len(self._explained) > _REMEMBERED:
                self._explained.popitem(last=False)
        self._explained.move_to_end(key)
        return self._explained[key]

    async def _matches(
        self, index: ServedIndex, weighed: _Weighed, hit: ScoredDoc
    ) -> list[dict[str, Any]]:
        explanation = None
        if hit.document is not None and index.searcher.settings.query_encoder != READY:
            with contextlib.suppress(ModelError):  # the terms are known all the same
                explanation = await self._explain(index, hit.document.content, query=False)
        return matched_terms(weighed.searched, hit.vector or {}, hit.document, explanation)

    def _request(self, asked: Asked) -> SearchRequest:
        """Everything of a request but its terms, checked."""
        limits = self.settings
        k = min(_HITS, limits.max_k) if asked.k is None else asked.k
        if k > limits.max_k:
            raise ConfigError(f"k is {k}. At most {limits.max_k} hits are given.")
        if asked.offset > limits.max_offset:
            raise ConfigError(
                f"offset is {asked.offset}. At most {limits.max_offset} hits are passed over."
            )
        if len(asked.filters) > _MOST_FILTERS:
            raise ConfigError(f"{len(asked.filters)} filters; at most {_MOST_FILTERS} are taken.")
        return build_request(
            {},
            k=k,
            offset=asked.offset,
            conditions=parse_filter(asked.filters),
            vectors=asked.explain,
            require=asked.controls.require,
        )

    def _require_text(self, text: str, name: str, *, empty: bool = False) -> None:
        longest = self.settings.max_query_chars
        if not text.strip() and not empty:
            raise ConfigError(f"{name} is empty. Give a text.")
        if len(text) > longest:
            raise TooLongError(f"{name} has {len(text)} characters; at most {longest} are read.")

    def _thread(self, stage: str) -> Batcher:
        return Batcher(
            stage,
            most=self.settings.max_batch,
            waiting=self.settings.max_concurrent,
            observe=self.metrics.batch(stage),
        )


def _place(index: ServedIndex) -> str:
    """The cluster of an index; empty for this process, whose indexes one thread uses."""
    address = index.searcher.engine.address
    return address if is_cluster(address) else ""


def _check(searcher: Searcher, control: TermControl) -> list[None]:
    searcher.check(control)
    return [None]


def _searching(index: ServedIndex, body: Mapping[str, Any]) -> Callable[[], Any]:
    requests = [_checked(request_from_json(values)) for values in body["requests"]]
    engine, name = index.searcher.engine, index.searcher.settings.index
    return lambda: [[hit_to_json(hit) for hit in hits] for hits in engine.search(name, requests)]


def _getting(index: ServedIndex, body: Mapping[str, Any]) -> Callable[[], Any]:
    doc_ids = [str(doc_id) for doc_id in body["doc_ids"]]
    engine, name = index.searcher.engine, index.searcher.settings.index
    return lambda: [entry and entry_to_json(entry) for entry in engine.get(name, doc_ids)]


def _counting(index: ServedIndex, body: Mapping[str, Any]) -> Callable[[], Any]:
    del body
    return lambda: list(index.searcher.engine.stats(index.searcher.settings.index))


_ENGINE_WORK = {"search": _searching, "get": _getting, "stats": _counting}


def _head(index: ServedIndex, asked: Asked, weighed: _Weighed) -> dict[str, Any]:
    return {
        "index": index.label,
        "query": asked.q,
        "terms": weighed_terms(weighed.searched, by_term(weighed.explanation)),
        "dropped": dropped_terms(weighed.given, weighed.searched),
    }


def _checked(request: SearchRequest) -> SearchRequest:
    try:
        return require_request(request)
    except ValueError as error:  # weights that a boost made too large
        raise ConfigError(f"{error}.") from None


def _document(index: ServedIndex, doc_id: str, terms: SparseVector) -> ScoredDoc:
    """A document with its score and those of its weights that the query asks for.

    Of an index of passages, the document's best passage; the first where none has a term of the
    query.
    """
    searcher = index.searcher
    name = searcher.settings.index
    index.require_model()
    in_index = doc_id
    if searcher.in_passages:
        request = build_request(terms, k=1, conditions=(AnyOf(PARENT, (doc_id,)),), vectors=True)
        found = index.ask(searcher, [(Query("1", ""), request)])[0]
        if found:
            return found[0]
        in_index = f"{doc_id}{MARK}0"  # none shares a term with the query: the first
    try:
        entry = searcher.engine.get(name, [in_index])[0]
    except NoVectorsError:
        entry = searcher.engine.get(name, [in_index], vectors=False)[0]
        if entry is not None:
            weights = weights_of(searcher.engine.scores_of, name, [in_index], terms)
            entry = entry._replace(vector=weights[in_index])
    if entry is None:
        raise DocumentNotFoundError(f"index {index.label!r} has no document {doc_id!r}.")
    score = sum(weight * entry.vector.get(term, 0.0) for term, weight in terms.items())
    return ScoredDoc(doc_id, score, entry.document._replace(doc_id=doc_id), entry.vector)
