"""Examples as candidates of a query: what mining and teachers work on."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.examples_layouts import Wanted, recognise
from sparse_ir.data.trec import read_qrels
from sparse_ir.training.mining import Wanting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparse_ir.data.examples import Example, ExampleSettings, ExampleTable
    from sparse_ir.data.examples_layouts import Taken


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


def queries_of(table: ExampleTable, relevant: dict[str, set[str]]) -> list[Callable[[], Wanting]]:
    """One entry a query, in the order of the examples; texts are read when they are needed."""
    positives: dict[int, list[int]] = {}
    for i in range(len(table)):
        example = table[i]
        positives.setdefault(example.query, []).append(example.documents[0])

    def read(query: int, rows: list[int]) -> Wanting:
        query_id = table.queries.ids[query]
        ids = {table.documents.ids[row]: row for row in rows}
        texts = table.documents.texts(list(ids.values()))
        return Wanting(
            query_id,
            table.queries.texts([query])[0],
            dict(zip(ids, texts, strict=True)),
            frozenset(relevant.get(query_id, set()) | set(ids)),
        )

    return [
        lambda query=query, rows=rows: read(query, rows)  # type: ignore[misc]
        for query, rows in positives.items()
    ]


def known_relevant(settings: ExampleSettings) -> dict[str, set[str]]:
    """Every document known to be relevant: query id -> ids, whether their texts are known or not.

    Positives of any example of the query, what examples name as relevant besides, and further
    judgements.

    Raises:
        InputError: the source cannot be read.
    """
    found: dict[str, set[str]] = {}
    for example in _taken(settings).examples():
        known = found.setdefault(example.query.id, set())
        known.update(document.id for document in example.documents[: example.positives])
        known.update(example.relevant)
    if settings.qrels is not None:
        for query_id, graded in read_qrels(settings.qrels).items():
            known = found.setdefault(query_id, set())
            known.update(doc_id for doc_id, grade in graded.items() if grade > 0)
    return found


def corpus_of(settings: ExampleSettings) -> str | None:
    """Where documents that examples name by id are looked up, if there is such a place."""
    return _taken(settings).corpus


def _taken(settings: ExampleSettings) -> Taken:
    return recognise(
        Wanted(settings.source, settings.layout, settings.corpus, settings.queries, settings.split)
    )
