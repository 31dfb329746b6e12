"""Do a run and judgements speak of the same queries and documents?"""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import islice, product
from typing import TYPE_CHECKING

from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparse_ir.types import Qrels, Run

NAMES = ("the run", "the qrels")
_EXAMPLES = 3
_TRIED = 20  # ids of each side, to find a pair that is alike


def require_common_queries(run: Run, qrels: Qrels, *, names: tuple[str, str] = NAMES) -> None:
    """Refuse what cannot be scored at all.

    Args:
        run: query_id -> doc_id -> score.
        qrels: query_id -> doc_id -> grade.
        names: What messages call the two, such as their files.

    Raises:
        InputError: the run or the qrels are empty, or have no query in common.
    """
    if not any(run.values()):
        raise InputError(f"{names[0]} is empty: it holds no hit for any query.")
    if not any(qrels.values()):
        raise InputError("the qrels are empty: they hold no judgement.")
    if not any(qrels.get(query_id) for query_id in run):
        raise InputError(
            f"0 of {len(run):,} queries are judged: {names[0]} has {_examples(run)}, {names[1]} "
            f"{_examples(qrels)} ({len(qrels):,} in all). Give the qrels of these queries."
        )


def require_overlap(run: Run, qrels: Qrels, *, names: tuple[str, str] = NAMES) -> None:
    """Refuse run and qrels whose queries or documents bear different ids.

    A run whose documents are judged for other queries only is a bad run, and scores 0. One whose
    documents the qrels do not know at all was most likely made of another corpus, or its ids were
    changed on the way.

    Raises:
        InputError: as ``require_common_queries``, or the qrels know no document of the run.
    """
    require_common_queries(run, qrels, names=names)
    known = {doc_id for graded in qrels.values() for doc_id in graded}
    common = [query_id for query_id in run if qrels.get(query_id) and run[query_id]]
    if not common or any(not known.isdisjoint(run[query_id]) for query_id in common):
        return
    query_id = common[0]
    hit, judged = _most_alike(run[query_id], qrels[query_id])
    hits = sum(len(run[one]) for one in common)
    raise InputError(
        f"0 of {hits:,} hits are judged, so every metric would be 0: for query {query_id!r} "
        f"{names[0]} has document {hit!r}, {names[1]} {judged!r}. Give run and qrels with the "
        "same document ids."
    )


def _most_alike(first: Iterable[str], second: Iterable[str]) -> tuple[str, str]:
    """Of two sets of ids a pair that shows how they differ."""
    pairs = product(islice(first, _TRIED), islice(second, _TRIED))
    return max(
        pairs, key=lambda pair: SequenceMatcher(None, pair[0].lower(), pair[1].lower()).ratio()
    )


def _examples(ids: Iterable[str]) -> str:
    first = sorted(ids)
    shown = ", ".join(repr(one) for one in first[:_EXAMPLES])
    return f"{shown}, …" if len(first) > _EXAMPLES else shown
