"""A run and its judgements as tables of numbers, in the order trec_eval ranks hits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from sparse_ir.types import Qrels, Run

_TABLE_CELLS = 1_000_000  # pairs of doubles at a time: 16 MB
_UNJUDGED = np.inf  # above every number of a judged document


class Table(NamedTuple):
    """Some queries, padded to one length.

    Attributes:
        queries: Their ids, n of them.
        judged: Number and grade of the judged documents, highest grade first, (n, judged, 2).
        found: Number and score of the hits in order, (n, hits, 2).
        hits: How many hits each has, (n,).
    """

    queries: list[str]
    judged: NDArray[Any]
    found: NDArray[Any]
    hits: NDArray[Any]


def tables(run: Run, qrels: Qrels, *, depth: int | None) -> Iterator[Table]:
    """Yield all judged queries in tables of bounded size.

    Hits rank by score in single precision, equal ones by doc_id, both descending. Judged documents
    are numbered within their query from 0; a hit without judgement has the number infinity. What
    pads a row is an unjudged hit, or a judgement below every grade.

    Args:
        run: query_id -> doc_id -> score; a query without hits has an empty row.
        qrels: query_id -> doc_id -> grade; at least one query, none of them empty.
        depth: Hits to keep of each query; all if None.

    Raises:
        InputError: a score is not a number.
    """
    query_ids = list(qrels)
    longest = max(len(run.get(query_id, ())) for query_id in query_ids)
    width = min(longest, depth or longest) + max(map(len, qrels.values()))
    step = max(1, _TABLE_CELLS // width)
    for start in range(0, len(query_ids), step):
        yield _table(query_ids[start : start + step], run, qrels, depth=depth)


def _table(query_ids: list[str], run: Run, qrels: Qrels, *, depth: int | None) -> Table:
    grades, numbers = [], []
    for query_id in query_ids:
        judged = sorted(qrels[query_id].items(), key=lambda item: -item[1])
        number = {doc_id: i for i, (doc_id, _) in enumerate(judged)}
        ranked = _ranked(run.get(query_id, {}), query_id)[:depth]
        grades.append([grade for _, grade in judged])
        numbers.append([number.get(doc_id, _UNJUDGED) for doc_id in ranked])
    grade, found = _pad(grades, -np.inf), _pad(numbers, _UNJUDGED)
    return Table(
        query_ids,
        np.stack([np.broadcast_to(np.arange(grade.shape[1]), grade.shape), grade], axis=-1),
        np.stack([found, np.broadcast_to(-np.arange(found.shape[1]), found.shape)], axis=-1),
        np.array([len(row) for row in numbers]),
    )


def _pad(rows: Sequence[Sequence[float]], filling: float) -> NDArray[Any]:
    table = np.full((len(rows), max(1, *map(len, rows))), filling)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table


def _ranked(hits: Mapping[str, float], query_id: str) -> list[str]:
    doc_ids, scores = list(hits), _single(hits)
    if np.isnan(scores).any():
        bad = doc_ids[int(np.argmax(np.isnan(scores)))]
        raise InputError(f"the score of document {bad!r} for query {query_id!r} is not a number.")
    order = np.argsort(-scores, kind="stable")
    if (scores[order][1:] == scores[order][:-1]).any():
        doc_ids.sort(reverse=True)
        order = np.argsort(-_single({d: hits[d] for d in doc_ids}), kind="stable")
    return [doc_ids[i] for i in order.tolist()]


def _single(hits: Mapping[str, float]) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # beyond single precision is infinite, as it is to trec_eval
        return np.fromiter(hits.values(), np.float64, len(hits)).astype(np.float32)
