"""A dataset's judged queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.corpora import read_queries
from sparse_ir.data.trec import read_qrels
from sparse_ir.evaluating.overlap import require_common_queries

if TYPE_CHECKING:
    from sparse_ir.types import Qrels, Query


class Judged(NamedTuple):
    """Queries with their judgements.

    Attributes:
        queries: Those that have judgements, in the order of the file.
        qrels: The judgements, of other queries too.
    """

    queries: list[Query]
    qrels: Qrels


def read_judged(queries_source: str, qrels_source: str) -> Judged:
    """Read queries and qrels, and keep the queries that are judged.

    Raises:
        InputError: a file cannot be read, or the qrels match no query.
    """
    qrels = read_qrels(qrels_source)
    queries = list(read_queries(queries_source, vectors=True))
    judged = [query for query in queries if query.query_id in qrels]
    if not judged:
        asked = {query.query_id: {"": 0.0} for query in queries}
        require_common_queries(asked, qrels, names=(queries_source, qrels_source))
    return Judged(judged, qrels)
