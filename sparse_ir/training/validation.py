"""A retrieval metric of the model in training, on a collection of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.trec import read_qrels
from sparse_ir.errors import InputError
from sparse_ir.evaluating.metrics import check_metrics, score_run
from sparse_ir.training.regularizers import expected_flops, mean_terms
from sparse_ir.vectors import make_batch, top_k

if TYPE_CHECKING:
    from scipy import sparse

    from sparse_ir.training.encoder import TraineeEncoder
    from sparse_ir.training.settings import ValidationSettings
    from sparse_ir.types import Qrels

_DEPTH = 100  # hits of a query, unless the metric looks deeper
_DEEPEST = 1000  # where a metric has no cutoff
_METRICS = ("ndcg@10", "mrr@10", "recall@100")


class ValidationSet(NamedTuple):
    """A collection, read once.

    Attributes:
        name: Of the dataset.
        documents: id -> text.
        queries: id -> text; each has judgements.
        qrels: Of these queries.
        min_grade: The lowest relevant grade.
    """

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    qrels: Qrels
    min_grade: int


def read_validation(settings: ValidationSettings) -> ValidationSet:
    """Read the collection that checkpoints are measured on.

    With ``documents`` set, judged documents come first and others fill up in corpus order.

    Raises:
        ConfigError: no such dataset, split or metric.
        InputError: no query is judged, or a file cannot be read.
    """
    check_metrics((settings.metric,))
    dataset = open_dataset(settings.dataset, split=settings.split)
    qrels = read_qrels(dataset.qrels)
    queries = {q.query_id: q.text for q in read_queries(dataset.queries) if q.query_id in qrels}
    if settings.queries:
        queries = dict(list(queries.items())[: settings.queries])
    if not queries:
        raise InputError(f"validation: {dataset.name} has no judged query in {settings.split}.")
    qrels = {query_id: qrels[query_id] for query_id in queries}
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    room = settings.documents - len(judged) if settings.documents else None
    documents: dict[str, str] = {}
    for document in read_documents(dataset.corpus):
        if document.doc_id not in judged:
            if room is not None and room <= 0:
                continue
            room = None if room is None else room - 1
        documents[document.doc_id] = document.content
    return ValidationSet(dataset.name, documents, queries, qrels, dataset.min_grade)


def validate(
    encoder: TraineeEncoder, collection: ValidationSet, metric: str, *, table: bool = False
) -> dict[str, float]:
    """Search the collection exactly and measure.

    Args:
        encoder: The model.
        collection: What to search.
        metric: Measured beside nDCG@10, MRR@10 and recall@100.
        table: Also measure queries weighed by the table, as ``table_…``.

    Returns:
        The metrics, ``terms_query``, ``terms_document`` (means) and ``flops``, the expected
        products of a query-document pair.
    """
    documents = encoder.documents(list(collection.documents.values()))
    texts = list(collection.queries.values())
    queries = encoder.queries(texts)
    found = _metrics(queries, documents, collection, metric)
    found["terms_query"] = mean_terms(queries)
    found["terms_document"] = mean_terms(documents)
    found["flops"] = expected_flops(queries, documents)
    if table:
        by_table = _metrics(encoder.queries(texts, table=True), documents, collection, metric)
        found.update({f"table_{name}": value for name, value in by_table.items()})
    return found


def _metrics(
    queries: sparse.csr_array, documents: sparse.csr_array, collection: ValidationSet, metric: str
) -> dict[str, float]:
    ids = list(collection.queries)
    cutoff = re.search(r"@(\d+)", metric)
    depth = max(_DEPTH, int(cutoff[1])) if cutoff else _DEEPEST
    hits = top_k(make_batch(ids, queries), make_batch(list(collection.documents), documents), depth)
    run = {query_id: dict(found) for query_id, found in zip(ids, hits, strict=True) if found}
    names = tuple(dict.fromkeys((*_METRICS, metric)))
    if not run:
        return dict.fromkeys(names, 0.0)
    means = score_run(run, collection.qrels, names, min_grade=collection.min_grade).mean
    return {name: float(np.nan_to_num(value)) for name, value in means.items()}
