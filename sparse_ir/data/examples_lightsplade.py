"""light-splade's folders: masters of queries and documents, positives, triplets or scores.

Described in that project's ``docs/splade_triplet_data_format.md`` and
``docs/splade_triplet_distil_data_format.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.corpora import read_documents
from sparse_ir.data.examples_raw import RawExample, by_id, make_example, refusal, to_score
from sparse_ir.data.examples_scored import to_list
from sparse_ir.data.formats import read_rows
from sparse_ir.data.records import RowError
from sparse_ir.data.rows import BadRow
from sparse_ir.data.sources import find_named
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SCORES = ("hard_negative_scores", "hard-negatives-cross-encoder-scores", "scores")


class LightSplade(NamedTuple):
    """The files of one split; of triplets and scores either may be missing."""

    queries: Path
    documents: Path
    positives: Path
    triplets: Path | None
    scores: Path | None


class _Positives(NamedTuple):
    line: int
    doc_ids: tuple[str, ...]


def find_lightsplade(folder: Path, split: str) -> LightSplade | None:
    """Find the files of a split below a folder, or in the folder itself; None if it has none.

    Raises:
        InputError: there is a query master, but not the files that go with it.
    """
    for place in (folder / split, folder):
        queries = _file(place, "query_master")
        if queries is None:
            continue
        documents, positives = _file(place, "doc_master"), _file(place, "positive_lists")
        if documents is None or positives is None:
            what = "doc_master" if documents is None else "positive_lists"
            raise InputError(f"the folder holds no {what}.ndjson.", path=place)
        found = (_file(where, name) for where in (place, place.parent) for name in _SCORES)
        scores = next((path for path in found if path is not None), None)
        return LightSplade(queries, documents, positives, _file(place, "triplets"), scores)
    return None


def _file(folder: Path, stem: str) -> Path | None:
    return find_named(folder, stem, (".ndjson", ".jsonl"))


def lightsplade_examples(files: LightSplade) -> Iterator[RawExample]:
    """Read the examples: of the scores if there are any, else of the triplets, else the positives.

    Of a query's scores come one example for each positive, with every scored document of the
    master that is no positive as negative, the highest score first.

    Raises:
        InputError: a file cannot be read, a row is malformed, a triplet's positive is not in the
            query's list, or a query or positive has no scores.
    """
    positives = _read_positives(files.positives)
    if files.scores is not None:
        known = {document.doc_id for document in read_documents(str(files.documents))}
        yield from _of_scores(files.scores, files.positives, positives, known)
    elif files.triplets is not None:
        yield from _of_triplets(files.triplets, positives)
    else:
        for query_id, listed in positives.items():
            documents = [by_id(doc_id, "positive") for doc_id in listed.doc_ids]
            place = (str(files.positives), listed.line)
            yield make_example(place, by_id(query_id, "query"), documents, [])


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, row in read_rows(path, format="jsonl"):
        if isinstance(row, BadRow):
            raise refusal(RowError(row.reason), str(path), line)
        yield line, row


def _read_positives(path: Path) -> dict[str, _Positives]:
    positives: dict[str, _Positives] = {}
    for line, row in _rows(path):
        try:
            query_id = by_id(row.get("qid"), "query").id
            listed = to_list(row.get("positive_doc_ids"), "positive_doc_ids")
            doc_ids = tuple(by_id(one, "positive").id for one in listed)
            if not doc_ids:
                raise RowError(f"lists no positive (query {query_id!r})")
            if query_id in positives:
                raise RowError(f"lists the positives of query {query_id!r} a second time")
        except RowError as error:
            raise refusal(error, str(path), line) from None
        positives[query_id] = _Positives(line, doc_ids)
    return positives


def _of_triplets(path: Path, positives: Mapping[str, _Positives]) -> Iterator[RawExample]:
    for line, row in _rows(path):
        try:
            query = by_id(row.get("qid"), "query")
            positive = by_id(row.get("pos_doc_id"), "positive")
            negative = by_id(row.get("neg_doc_id"), "negative")
            listed = positives.get(query.id, _Positives(0, ())).doc_ids
            if positive.id not in listed:
                raise RowError(
                    f"has the positive {positive.id!r}, which positive_lists does not name for "
                    f"query {query.id!r}"
                )
            if negative.id in listed:
                raise RowError(
                    f"has the negative {negative.id!r}, a positive of query {query.id!r}"
                )
            yield make_example((str(path), line), query, [positive], [negative], relevant=listed)
        except RowError as error:
            raise refusal(error, str(path), line) from None


def _of_scores(
    path: Path, listing: Path, positives: Mapping[str, _Positives], known: set[str]
) -> Iterator[RawExample]:
    left = dict(positives)
    for line, row in _rows(path):
        try:
            query = by_id(row.get("qid"), "query")
            if query.id not in positives:
                continue  # the scores are shared with the other splits
            if left.pop(query.id, None) is None:
                raise RowError(f"has the scores of query {query.id!r} a second time")
            yield _scored(row, (str(path), line), query.id, positives[query.id].doc_ids, known)
        except RowError as error:
            raise refusal(error, str(path), line) from None
    for query_id, listed in left.items():
        raise refusal(
            RowError(f"names query {query_id!r}, which has no scores in {path.name}"),
            str(listing),
            listed.line,
        )


def _scored(
    row: Mapping[str, Any],
    place: tuple[str, int],
    query_id: str,
    positives: tuple[str, ...],
    known: set[str],
) -> RawExample:
    given = row.get("scores")
    if not isinstance(given, dict):
        raise RowError(f"has scores that are no object (query {query_id!r})")
    scores = {by_id(doc_id, "document").id: to_score(score) for doc_id, score in given.items()}
    for doc_id in positives:
        if doc_id not in scores:
            raise RowError(f"has no score of the positive {doc_id!r} (query {query_id!r})")
    negatives = [doc_id for doc_id in scores if doc_id not in positives and doc_id in known]
    negatives.sort(key=lambda doc_id: (-scores[doc_id], doc_id))
    return make_example(
        place,
        by_id(query_id, "query"),
        [by_id(doc_id, "positive") for doc_id in positives],
        [by_id(doc_id, "negative") for doc_id in negatives],
        [scores[doc_id] for doc_id in (*positives, *negatives)],
    )
