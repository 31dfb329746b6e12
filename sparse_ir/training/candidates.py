"""Examples as candidates of a query: what mining and teachers work on."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.examples_layouts import Wanted, recognise
from sparse_ir.data.trec import read_qrels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparse_ir.data.examples import Example, ExampleSettings, ExampleTable


class Candidates(NamedTuple):
    """A query with documents.

    Attributes:
        query: Row of the table's queries.
        documents: Rows of the table's documents: positives, then negatives.
        positives: How many are positives.
    """

    query: int
    documents: tuple[int, ...]
    positives: int


def read_candidates(table: ExampleTable) -> Iterator[Candidates]:
    """Join examples that follow one another and differ in their positive alone."""
    rows = (table[i] for i in range(len(table)))
    for (query, negatives), group in groupby(rows, key=_shared):
        positives = tuple(dict.fromkeys(example.documents[0] for example in group))
        yield Candidates(query, positives + negatives, len(positives))


def _shared(example: Example) -> tuple[int, tuple[int, ...]]:
    return example.query, example.documents[1:]


def known_relevant(settings: ExampleSettings) -> dict[str, set[str]]:
    """Every document known to be relevant: query id -> ids, whether their texts are known or not.

    Positives of any example of the query, what examples name as relevant besides, and further
    judgements.

    Raises:
        InputError: the source cannot be read.
    """
    taken = recognise(
        Wanted(settings.source, settings.layout, settings.corpus, settings.queries, settings.split)
    )
    found: dict[str, set[str]] = {}
    for example in taken.examples():
        known = found.setdefault(example.query.id, set())
        known.update(document.id for document in example.documents[: example.positives])
        known.update(example.relevant)
    if settings.qrels is not None:
        for query_id, graded in read_qrels(settings.qrels).items():
            known = found.setdefault(query_id, set())
            known.update(doc_id for doc_id, grade in graded.items() if grade > 0)
    return found
