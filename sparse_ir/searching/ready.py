"""Query vectors that are ready: made elsewhere, or earlier, and searched as they are.

A query of a file may bring its vector. And ``query_encoder: ready`` reads every text as terms, each
weighing as often as it stands, as Anserini's encoded topics are written. Nobody can check that such
vectors belong to the documents' model: whoever gives them says so.
"""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from sparse_ir.data.corpora import read_queries
from sparse_ir.data.impacts import count_terms
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.stamp import require_same_model
from sparse_ir.errors import ModelMismatchError
from sparse_ir.models.loading import MODEL, READY, READY_VECTORS, load_encoder
from sparse_ir.pruning import NO_PRUNING, prune
from sparse_ir.searching.query import weigh_queries
from sparse_ir.vectors import from_terms, to_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.pruning import Pruning
    from sparse_ir.types import Query, SparseVector

_TOGETHER = 64


def query_encoder(
    stamp: Stamp,
    *,
    index: str,
    model: str | None,
    queries: str = MODEL,
    load: Callable[..., SparseEncoder] = load_encoder,
) -> SparseEncoder | None:
    """Load what weighs the queries of an index; None where only ready vectors can be asked.

    Args:
        stamp: The index's.
        index: Its name, for messages.
        model: Another model than the one that made the index.
        queries: Which query side; "ready" loads none.
        load: What loads it.

    Raises:
        ModelMismatchError: the model asked for does not fit the index.
        ModelError: there is no such model.
    """
    if queries == READY:
        return None
    if stamp.model == READY_VECTORS:
        if model is None:
            return None
        raise ModelMismatchError(
            f"index {index!r} was made of ready vectors, and nothing says by which model. If it "
            f"was {model!r}, index them again with --model {model}."
        )
    encoder = load(model or stamp.model, queries=queries)
    require_same_model(stamp, encoder, index=index)
    return encoder


def weigh(
    queries: Sequence[Query],
    encoder: Callable[[], SparseEncoder],
    *,
    counted: bool = False,
    pruning: Pruning = NO_PRUNING,
) -> list[SparseVector]:
    """Give each query its terms, in order: its own vector, or what the encoder makes of its text.

    Args:
        queries: What is asked.
        encoder: Gives the encoder; called only if a query needs it.
        counted: Read every text as terms, each weighing as often as it stands.
        pruning: Keeps fewer terms.
    """
    own = [_ready(query, counted=counted) for query in queries]
    asked = [query for query, terms in zip(queries, own, strict=True) if terms is None]
    weighed = iter(weigh_queries(asked, encoder(), pruning=pruning) if asked else ())
    return [next(weighed) if terms is None else pruned(terms, pruning) for terms in own]


def _ready(query: Query, *, counted: bool) -> SparseVector | None:
    if query.vector is not None:
        return query.vector
    return count_terms(query.text) if counted else None


def pruned(terms: SparseVector, pruning: Pruning) -> SparseVector:
    """Keep fewer terms of one vector."""
    if pruning == NO_PRUNING:
        return terms  # as they are, to the last digit
    vocabulary = tuple(terms)
    batch = from_terms([terms], {term: column for column, term in enumerate(vocabulary)})
    (kept,) = to_terms(prune(batch, pruning), vocabulary)
    return kept


def weighed_queries(
    source: str,
    *,
    index: str | None = None,
    engine: str = "embedded",
    model: str | None = None,
    queries: str = MODEL,
) -> Iterator[tuple[Query, SparseVector]]:
    """Weigh the queries of a source, as a search would, a few at a time.

    Args:
        source: As ``read_queries`` takes it.
        index: Weigh them as for this index; by default with the model alone.
        engine: Where the index is.
        model: As ``load_encoder`` takes it; None for the index's, or the bundled one.
        queries: Which query side, as ``load_encoder`` takes it.

    Raises:
        ModelMismatchError: the model does not fit the index.
        ModelError: there is no such model, or the index was made of ready vectors.
        InputError: the queries cannot be read.
    """
    if index is None:
        encoder = load_encoder(model, queries=queries)
    else:
        with closing(open_engine(engine)) as opened:
            stamp = opened.describe(index)
        encoder = query_encoder(stamp, index=index, model=model, queries=queries) or load_encoder(
            stamp.model
        )
    asked = read_queries(source)
    while part := list(islice(asked, _TOGETHER)):
        yield from zip(part, weigh_queries(part, encoder), strict=True)
