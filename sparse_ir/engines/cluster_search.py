"""Searching a cluster: one request or many at once, every page, every shard."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from sparse_ir.engines.base import weights_of
from sparse_ir.engines.connection import BUSY, ServerError, error_of, words_of
from sparse_ir.engines.dense import require_query
from sparse_ir.engines.dense_fields import dot_product
from sparse_ir.engines.fields import SEISMIC
from sparse_ir.engines.lifecycle import Facts, Lifecycle, path
from sparse_ir.engines.requests import (
    COMPLETE,
    LARGEST_PAGE,
    Page,
    read_hit,
    require_complete,
    scores_of_hits,
    search_body,
)
from sparse_ir.engines.stamp import require_same_reading
from sparse_ir.engines.transport import Answer
from sparse_ir.errors import ConfigError, EngineError, IndexNotFoundError, ModelMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.connection import Connection
    from sparse_ir.types import ScoredDoc

_log = logging.getLogger(__name__)

_TOGETHER = 32
_PROBES_TOGETHER = 128
_IDS_TOGETHER = 1000
_FEWEST_TERMS = 1024  # what every version of both servers takes
_LIMIT = re.compile(r"(?:maxClauseCount|max_clause_count|maximum)\D{0,40}?(\d+)")


class ClusterSearch:
    """The searching half of ``ClusterEngine``.

    An index name is resolved once and then taken to mean the same build until a hit says otherwise,
    so that a search costs one round trip.
    """

    def __init__(self, connection: Connection, lifecycle: Lifecycle, flavour: str) -> None:
        """Nothing is sent until something is asked."""
        self._connection = connection
        self._lifecycle = lifecycle
        self._flavour = flavour
        self._facts: dict[str, Facts] = {}
        self._meant: dict[str, str] = {}
        self._columns: dict[str, dict[str, str]] = {}
        self._most_terms: int | None = None

    def forget(self) -> None:
        """Resolve names anew from here on."""
        self._facts.clear()
        self._meant.clear()

    def facts_of(self, physical: str) -> Facts:
        """What a build says about itself; it never changes while the build is searched."""
        if physical not in self._facts:
            self._facts[physical] = self._lifecycle.facts(physical)
        return self._facts[physical]

    def search(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer requests in order."""
        if not requests:
            self.facts_of(self._physical(index))
            return []
        answers: list[list[ScoredDoc]] = []
        for start in range(0, len(requests), _TOGETHER):
            answers += self._answer(index, requests[start : start + _TOGETHER])
        return answers

    def _answer(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer a few requests, all from one build."""
        for _ in range(3):
            physical = self._physical(index)
            try:
                facts = self.facts_of(physical)
                found = self._ask_all(index, facts, requests)
            except IndexNotFoundError:
                if physical == index:
                    raise
                self._meant.pop(index)  # dropped since the name was resolved
                continue
            if all(self._is_from(facts, hits, index) for hits in found):
                return [
                    self._finish(facts, request, hits)
                    for request, hits in zip(requests, found, strict=True)
                ]
            self._move(index, facts)
        raise EngineError(f"index {index!r} is replaced again and again. Try again later.")

    def _ask_all(
        self, index: str, facts: Facts, requests: Sequence[SearchRequest]
    ) -> list[list[Mapping[str, Any]]]:
        asked = [r for r in requests if _asks(r)]
        for request in asked:
            _require_one_page(request, facts)
            if request.dense is not None:
                require_query(request.dense, facts.stamp.dense)
        if len(asked) == 1:
            pages = [self._one(index, asked[0], facts, _first_page(asked[0]))]
        else:
            bodies = [self._body(r, facts, _first_page(r)) for r in asked]
            pages = self._many(index, asked, facts, bodies)
        found = iter(pages)
        return [next(found) if _asks(r) else [] for r in requests]

    def _body(self, request: SearchRequest, facts: Facts, page: Page) -> dict[str, Any]:
        by_terms = not request.text and request.dense is None
        if facts.field == SEISMIC and request.require:
            raise ConfigError(
                "an index with --field seismic cannot be asked whether a document holds a term. "
                "Leave --require away, or index with --field rank_features."
            )
        if by_terms and len(request.terms) > self._room_for(request):
            request = self._shorten(request)
        if facts.field == SEISMIC and by_terms:
            request = self._with_ids(request, facts)
        # what is not kept in _source is asked for apart
        wanted = request._replace(vectors=request.vectors and facts.vectors)
        return search_body(wanted, facts.field, page, flavour=self._flavour)

    def _with_ids(self, request: SearchRequest, facts: Facts) -> SearchRequest:
        """Name terms by their ids, which is what SEISMIC holds."""
        if request.two_step is not None:
            raise ConfigError("two-step search does not go with --field seismic. Leave it away.")
        if facts.physical not in self._columns:
            self._columns[facts.physical] = {t: str(i) for i, t in enumerate(facts.vocabulary())}
        columns = self._columns[facts.physical]
        known = {columns[t]: weight for t, weight in request.terms.items() if t in columns}
        return request._replace(terms=known)

    def _shorten(self, request: SearchRequest) -> SearchRequest:
        most = self._room_for(request)
        heaviest = sorted(request.terms.items(), key=lambda term: (-term[1], term[0]))[:most]
        lost = 1 - sum(w for _, w in heaviest) / sum(request.terms.values())
        _log.warning(
            "a query of %d terms is searched with its %d heaviest, the most that the server takes "
            "(%.2g of its weight is left out)",
            len(request.terms),
            most,
            lost,
        )
        return request._replace(terms=dict(heaviest))

    def _one(
        self, index: str, request: SearchRequest, facts: Facts, page: Page
    ) -> list[Mapping[str, Any]]:
        try:
            return self._ask(index, self._body(request, facts, page))
        except ServerError as error:
            if not self._learn_limit(error.kind, error.reason, request):
                raise
        return self._ask(index, self._body(request, facts, page))

    def _ask(self, index: str, body: dict[str, Any]) -> list[Mapping[str, Any]]:
        answer = self._connection.call("POST", path(index, "_search"), body, params=COMPLETE)
        return self._hits(index, answer)

    def _many(
        self,
        index: str,
        requests: Sequence[SearchRequest],
        facts: Facts,
        bodies: Sequence[dict[str, Any]],
    ) -> list[list[Mapping[str, Any]]]:
        answers = self._msearch(index, bodies)
        pages = []
        for request, answer in zip(requests, answers, strict=True):
            if "error" in answer:
                # alone: it is tried again while the server is busy, and says what is wrong
                kind, reason = words_of(answer)
                if answer.get("status") in BUSY or self._learn_limit(kind, reason, request):
                    pages.append(self._one(index, request, facts, _first_page(request)))
                    continue
                raise error_of(
                    Answer(int(answer.get("status", 500)), answer),
                    f"{self._connection.address}: POST /{index}/_search",
                )
            pages.append(self._hits(index, answer))
        return pages

    def _msearch(self, index: str, bodies: Sequence[dict[str, Any]]) -> list[Any]:
        if not bodies:
            return []
        header = {"index": index, "allow_partial_search_results": False}
        lines = [line for body in bodies for line in (header, body)]
        answer = self._connection.call("POST", "/_msearch", lines)
        responses: list[Any] = answer["responses"]
        if len(responses) != len(bodies):
            raise EngineError(
                f"{self._connection.address}: {len(responses)} of {len(bodies)} searches were "
                "answered. Try again."
            )
        return responses

    def _hits(self, index: str, answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        require_complete(answer, f"{self._connection.address}: searching {index!r}")
        hits: list[Mapping[str, Any]] = answer["hits"]["hits"]
        return hits

    def _learn_limit(self, kind: str, reason: str, request: SearchRequest) -> bool:
        """Whether the request can be shortened to what the server takes; remembers the limit."""
        if (
            request.text
            or request.dense is not None
            or not (kind.startswith("too_many") or "lause" in reason)
        ):
            return False
        match = _LIMIT.search(reason)
        self._most_terms = int(match[1]) if match else _FEWEST_TERMS
        return len(request.terms) > self._room_for(request)

    def _room_for(self, request: SearchRequest) -> int:
        """How many terms the server takes beside the clauses of the request's filter."""
        if self._most_terms is None:
            return len(request.terms)
        return max(1, self._most_terms - 2 * len(request.filter) - len(request.require))

    def _finish(
        self, facts: Facts, request: SearchRequest, hits: list[Mapping[str, Any]]
    ) -> list[ScoredDoc]:
        """Fetch the pages after the first, order, cut, and bring the vectors."""
        first = _first_page(request)
        wanted = request.offset + request.k - first.offset
        while (
            len(hits) < wanted and hits and len(hits) % LARGEST_PAGE == 0 and hits[-1].get("sort")
        ):
            page = Page(min(LARGEST_PAGE, wanted - len(hits)), after=hits[-1]["sort"])
            more = self._one(facts.physical, request, facts, page)
            if not more:
                break
            hits = [*hits, *more]
        kept = hits[:wanted] if first.offset else hits[request.offset : wanted]
        read = request._replace(vectors=request.vectors and facts.vectors)
        hits_read = [read_hit(hit, read) for hit in kept]
        if request.dense is not None and facts.stamp.dense is not None:
            space = facts.stamp.dense
            hits_read = [hit._replace(score=dot_product(hit.score, space)) for hit in hits_read]
        found = sorted(hits_read, key=lambda hit: (-hit.score, hit.doc_id))
        if request.vectors and not facts.vectors and facts.field != SEISMIC:
            ids = [hit.doc_id for hit in found]
            weights = weights_of(self.scores_of, facts.physical, ids, request.terms)
            return [hit._replace(vector=weights[hit.doc_id]) for hit in found]
        return found

    def scores_of(
        self, physical: str, doc_ids: Sequence[str], queries: Sequence[Mapping[str, float]]
    ) -> list[dict[str, float]]:
        """Score given documents; see ``Engine``."""
        field = self.facts_of(physical).field
        if field == SEISMIC:
            raise ConfigError(
                f"index {physical!r} holds quantised vectors (seismic), whose search is "
                "approximate: there is no exact score to compare with."
            )
        scores: list[dict[str, float]] = [{} for _ in queries]
        asked = [i for i, query in enumerate(queries) if query]
        parts = [doc_ids[at : at + _IDS_TOGETHER] for at in range(0, len(doc_ids), _IDS_TOGETHER)]
        for ids in parts:
            for start in range(0, len(asked), _PROBES_TOGETHER):
                part = asked[start : start + _PROBES_TOGETHER]
                bodies = [scores_of_hits(dict(queries[i]), field, ids) for i in part]
                answers = self._msearch(physical, bodies)
                for i, body, answer in zip(part, bodies, answers, strict=True):
                    busy = answer.get("status") in BUSY  # alone it is tried again
                    if "error" in answer and not busy:
                        raise error_of(Answer(500, answer), f"scoring documents of {physical!r}")
                    hits = self._ask(physical, body) if busy else self._hits(physical, answer)
                    for hit in hits:
                        scores[i][hit["_id"]] = float(hit["_score"])
        return scores

    def _physical(self, index: str) -> str:
        if index not in self._meant:
            self._meant[index] = self._lifecycle.resolve(index)
        return self._meant[index]

    def _is_from(self, facts: Facts, hits: Sequence[Mapping[str, Any]], index: str) -> bool:
        if hits:
            return bool(hits[0]["_index"] == facts.physical)
        # no hit says where it comes from: look
        return self._lifecycle.resolve(index) == facts.physical

    def _move(self, index: str, before: Facts) -> None:
        """The name stands for another build now.

        Where that cannot take the place of the one before, the name goes on to mean that one, so
        that the next search is refused as well.
        """
        physical = self._lifecycle.resolve(index)
        now = self.facts_of(physical)
        if now.stamp.query_fingerprints != before.stamp.query_fingerprints:
            raise ModelMismatchError(
                f"index {index!r} was replaced by one of model {now.stamp.model!r} while it was "
                f"searched with {before.stamp.model!r}. Open it again."
            )
        require_same_reading(now.stamp, before.stamp, index=index)
        self._meant[index] = physical


def _require_one_page(request: SearchRequest, facts: Facts) -> None:
    """Refuse to page where a server has no place to go on from."""
    if request.text or request.offset + request.k <= LARGEST_PAGE:
        return
    if request.dense is not None or request.two_step is not None or facts.field == SEISMIC:
        how = "two-step search" if request.two_step is not None else "--field seismic"
        how = "a dense search" if request.dense is not None else how
        raise ConfigError(
            f"{how} reaches the first {LARGEST_PAGE:,} hits; k and offset ask for "
            f"{request.offset + request.k:,}. Ask for fewer, or search by all terms in one step."
        )


def _asks(request: SearchRequest) -> bool:
    """Whether there is anything to search for."""
    return bool(request.terms or request.text) or request.dense is not None


def _first_page(request: SearchRequest) -> Page:
    """The first page asked for; beyond what a server pages by number, from the beginning on."""
    if request.offset + request.k <= LARGEST_PAGE:
        return Page(request.k, request.offset)
    return Page(LARGEST_PAGE)
