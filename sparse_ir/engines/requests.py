"""Search bodies: what is asked of a server, as plain JSON values; no client, no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.dense_fields import dense_parts
from sparse_ir.engines.documents import METADATA, MORE, document_of, filter_clauses
from sparse_ir.engines.fields import (
    NEURAL_SPARSE,
    SEISMIC,
    VECTOR,
    seismic_query,
    term_clause,
    term_query,
    unescape_term,
)
from sparse_ir.errors import EngineError
from sparse_ir.pruning import split_heavy
from sparse_ir.types import ScoredDoc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.engines.base import SearchRequest, TwoStep
    from sparse_ir.types import SparseVector

LARGEST_PAGE = 10_000
"""Both servers' index.max_result_window and index.max_rescore_window."""

COMPLETE = {"allow_partial_search_results": "false"}
"""A search answers from every shard, or fails."""

STORED = ["doc_id", "title", "text", METADATA, MORE]
ORDER = [{"_score": {"order": "desc"}}, {"doc_id": {"order": "asc"}}]


class Page(NamedTuple):
    """Which part of the ranking is asked for.

    Attributes:
        size: Hits.
        offset: Hits to pass over.
        after: The sort values of the last hit seen; the offset is 0 then.
    """

    size: int
    offset: int = 0
    after: Sequence[Any] | None = None


def search_body(
    request: SearchRequest, field: str, page: Page, *, flavour: str = "elasticsearch"
) -> dict[str, Any]:
    """The body of one search.

    Args:
        request: What is wanted; its terms or its text may be empty, not both.
        field: The field type that holds the weights.
        page: Which part of the ranking.
        flavour: Of the server; only a dense search is written otherwise on another one.
    """
    body: dict[str, Any] = {
        "size": page.size,
        "_source": source_filter(documents=request.documents, vectors=request.vectors),
        "track_total_hits": False,
    }
    if page.offset:
        body["from"] = page.offset
    if request.dense is not None:
        wanted = page.offset + page.size
        clauses = _clauses(request, field)
        return {**body, **dense_parts(flavour, request.dense, wanted, clauses), "sort": ORDER}
    if field == SEISMIC and not request.text:
        wanted = page.offset + page.size
        query = seismic_query(request.terms, wanted, filter_clauses(request.filter))
        return {**body, "query": query}
    if request.text:
        body["query"] = _among(_text_query(request.text), request, field)
    elif request.two_step is not None and split_heavy(request.terms, request.two_step.ratio)[1]:
        return {**body, **_two_step_parts(request, request.two_step, field, page)}
    else:
        terms = term_query(field, request.terms, prune=request.server_pruning)
        body["query"] = _among(terms, request, field)
    body["sort"] = ORDER
    if page.after is not None:
        body["search_after"] = list(page.after)
    return body


def _two_step_parts(
    request: SearchRequest, step: TwoStep, field: str, page: Page
) -> dict[str, Any]:
    """Heavy terms find the candidates, the light ones are added to the best of them.

    The idea is that of Lassance et al. 2024 (https://arxiv.org/abs/2404.13357). The window counts
    a shard; it is at least offset + size, so that every hit returned has its whole score.
    """
    heavy, light = split_heavy(request.terms, step.ratio)
    window = window_of(step, page)
    if field == NEURAL_SPARSE:
        parameters = {
            "prune_ratio": step.ratio,
            "expansion_rate": step.expansion,
            "max_window_size": window,
        }
        processor = {"enabled": True, "two_phase_parameter": parameters}
        return {
            "query": _among(term_query(field, request.terms), request, field),
            "search_pipeline": {
                "request_processors": [{"neural_sparse_two_phase_processor": processor}]
            },
        }
    rescore = {
        "rescore_query": term_query(field, light),
        "query_weight": 1.0,
        "rescore_query_weight": 1.0,
        "score_mode": "total",
    }
    return {
        "query": _among(term_query(field, heavy, prune=request.server_pruning), request, field),
        "rescore": {"window_size": window, "query": rescore},
    }


def window_of(step: TwoStep, page: Page) -> int:
    """How many candidates of a shard get their whole score."""
    needed = page.offset + page.size
    wanted = round(step.expansion * needed) if step.window is None else step.window
    return min(max(wanted, needed), LARGEST_PAGE)


def _text_query(text: str) -> dict[str, Any]:
    """BM25 on title and text."""
    return {"multi_match": {"query": text, "fields": ["title", "text"], "type": "most_fields"}}


def _clauses(request: SearchRequest, field: str) -> list[dict[str, Any]]:
    """What a document must satisfy, without a score."""
    required = (term_clause(field, term) for term in request.require)
    return [*filter_clauses(request.filter), *required]


def _among(query: dict[str, Any], request: SearchRequest, field: str) -> dict[str, Any]:
    """The same query and scores among the documents that a request allows."""
    clauses = _clauses(request, field)
    return {"bool": {"must": [query], "filter": clauses}} if clauses else query


def scores_of_hits(terms: SparseVector, field: str, doc_ids: Sequence[str]) -> dict[str, Any]:
    """Ask for the scores of some documents, however far down a ranking they are."""
    return {
        "size": len(doc_ids),
        "_source": False,
        "track_total_hits": False,
        "query": {
            "bool": {
                "must": [term_query(field, terms)],
                "filter": [{"ids": {"values": list(doc_ids)}}],
            }
        },
    }


def source_filter(*, documents: bool, vectors: bool) -> Any:
    """Which stored fields a hit brings."""
    wanted = [*(STORED if documents else ()), *([VECTOR] if vectors else ())]
    return wanted or False


def read_hit(hit: Mapping[str, Any], request: SearchRequest) -> ScoredDoc:
    """Read one hit."""
    score = hit["sort"][0] if hit.get("sort") else hit["_score"]
    source = hit.get("_source") or {}
    return ScoredDoc(
        str(hit["_id"]),
        float(score),
        document_of(source) if request.documents else None,
        read_vector(source) if request.vectors and VECTOR in source else None,
    )


def read_vector(source: Mapping[str, Any]) -> SparseVector:
    """Read term weights back from a hit's ``_source``."""
    stored = source.get(VECTOR) or {}
    return {unescape_term(name): float(weight) for name, weight in stored.items()}


def is_complete(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is from every shard.

    A count leaves out a shard that no node has, and calls that no failure.
    """
    shards = answer.get("_shards", {})
    return not shards.get("failed") and shards.get("successful", 0) >= shards.get("total", 0)


def require_complete(answer: Mapping[str, Any], where: str) -> None:
    """Refuse an answer that is not from every shard.

    Raises:
        EngineError: the search timed out, or a shard failed.
    """
    if answer.get("timed_out"):
        raise EngineError(f"{where}: the search timed out on the server. Try again, or ask less.")
    if not is_complete(answer):
        shards = answer["_shards"]
        reasons = shards.get("failures") or [{}]
        reason = reasons[0].get("reason") or {}
        raise EngineError(
            f"{where}: {shards.get('total', 0) - shards.get('successful', 0)} of "
            f"{shards.get('total')} shards did not answer "
            f"({reason.get('reason', 'no reason given')}). Look at the cluster's health."
        )
