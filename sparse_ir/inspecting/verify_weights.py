"""Every weight of the sampled documents: what the index should hold and what it holds."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sparse_ir.engines.base import Engine
    from sparse_ir.types import SparseVector

STEP = 2.0**-8
"""The distance of two neighbouring weights of 9 significant bits, relative, at most."""

EXACT = 1e-5
"""The relative difference that float32 sums in another order make."""

NOISE = {"fp16": 0.02, "bf16": 0.15, "int8": 0.3}
"""What a weight may be off when a text is encoded again among others, as a share of the document's
heaviest: below fp32 a batch of another shape rounds otherwise. Measured on 100 long texts of
cranfield with the bundled model: bf16 0.12 at most (median of the documents 0.006), int8 0.24
(0.016). fp16, which has eight times the steps of bf16, was not measured."""

_FEW_DOCUMENTS, _FEW_WEIGHTS = 0.05, 0.02
_TOGETHER = 1000
_MOST_OPENED = 4


class Differences(NamedTuple):
    """One document's weights, held against what they should be.

    Attributes:
        doc_id: The document.
        expected: Term -> weight that the index should hold.
        observed: Term -> weight that its postings hold.
        missing: The expected terms that are not there.
        extra: The terms that are there and not expected.
        changed: The terms that are there with another weight.
        rounded: How many weights are off by no more than the encoder's own noise.
    """

    doc_id: str
    expected: SparseVector
    observed: SparseVector
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    changed: tuple[str, ...]
    rounded: int

    @property
    def right(self) -> bool:
        """Whether nothing is missing, extra or changed."""
        return not (self.missing or self.extra or self.changed)


def read_weights(
    engine: Engine,
    index: str,
    doc_ids: Sequence[str],
    terms: Iterable[str],
    *,
    vocabulary: Sequence[str] = (),
) -> dict[str, SparseVector]:
    """Read what terms weigh in documents from the postings.

    Args:
        engine: Where.
        index: The index.
        doc_ids: Which documents.
        terms: The terms that are read one by one.
        vocabulary: All others are asked for by the thousand, and one by one where any of a
            thousand is there.
    """
    known = dict.fromkeys(terms)
    weights: dict[str, SparseVector] = {doc_id: {} for doc_id in doc_ids}
    _read_terms(engine, index, doc_ids, list(known), weights)
    others = [term for term in vocabulary if term not in known]
    parts = list(_parts(others))
    sums = engine.scores_of(index, doc_ids, [dict.fromkeys(part, 1.0) for part in parts])
    held = [part for part, found in zip(parts, sums, strict=True) if found]
    for part in held[:_MOST_OPENED]:
        _read_terms(engine, index, doc_ids, part, weights)
    return weights


def compare(
    expected: Mapping[str, SparseVector],
    observed: Mapping[str, SparseVector],
    *,
    tolerance: float,
    noise: float = 0.0,
) -> list[Differences]:
    """Compare weight by weight.

    Args:
        expected: Document -> what the index should hold.
        observed: Document -> what it holds.
        tolerance: The relative difference that is the encoder's own noise; 0 where the expected
            weights are exact. A hundredth of it, relative to the document's heaviest weight, is
            noise too, since the lightest weights are differences of larger numbers.
        noise: What is noise below fp32, relative to the document's heaviest weight.
    """
    return [
        _compare(doc_id, vector, observed.get(doc_id, {}), tolerance, noise)
        for doc_id, vector in expected.items()
    ]


def forgive_few(compared: Sequence[Differences]) -> list[Differences]:
    """Take for noise what is off at a few weights of a few documents.

    Below fp32 a word here and there is read otherwise when its text is encoded among others. An
    error that somebody made is in many documents, or in much of one.
    """
    wrong = [d for d in compared if not d.right]
    if len(wrong) > max(1, _FEW_DOCUMENTS * len(compared)):
        return list(compared)
    return [_forgiven(d) for d in compared]


def _forgiven(d: Differences) -> Differences:
    off = len(d.missing) + len(d.extra) + len(d.changed)
    if off > max(1, _FEW_WEIGHTS * len(d.expected)):
        return d
    return d._replace(missing=(), extra=(), changed=(), rounded=d.rounded + off)


def _compare(
    doc_id: str, expected: SparseVector, observed: SparseVector, tolerance: float, share: float
) -> Differences:
    heaviest = max(expected.values(), default=0.0)
    noise = max(0.01 * tolerance, share) * heaviest
    missing = [t for t, w in expected.items() if t not in observed and w > noise]
    extra = [t for t, w in observed.items() if t not in expected and w > noise]
    changed, rounded = [], 0
    for term, weight in expected.items():
        if term not in observed:
            rounded += weight <= noise
            continue
        off = abs(observed[term] - weight)
        if off <= EXACT * weight:
            continue
        if off <= max(tolerance * max(weight, observed[term]), noise):
            rounded += 1
        else:
            changed.append(term)
    if tolerance and len(missing) == len(extra):
        last = min(expected.values(), default=0.0)
        end = max(last * (1 + 2 * tolerance), last + 2 * share * heaviest)
        missing, extra, swapped = _without_swaps(expected, observed, missing, extra, end)
        rounded += swapped
    return Differences(
        doc_id, expected, observed, tuple(missing), tuple(extra), tuple(changed), rounded
    )


def _without_swaps(
    expected: SparseVector,
    observed: SparseVector,
    missing: list[str],
    extra: list[str],
    end: float,
) -> tuple[list[str], list[str], int]:
    """Noise decides which of two terms, no heavier than ``end``, a pruning to the top k keeps."""
    ends = [expected[t] for t in missing] + [observed[t] for t in extra]
    if ends and max(ends) <= end:
        return [], [], len(missing)
    return missing, extra, 0


def _read_terms(
    engine: Engine,
    index: str,
    doc_ids: Sequence[str],
    terms: Sequence[str],
    weights: dict[str, SparseVector],
) -> None:
    for part in _parts(terms):
        scores = engine.scores_of(index, doc_ids, [{term: 1.0} for term in part])
        for term, found in zip(part, scores, strict=True):
            for doc_id, weight in found.items():
                weights[doc_id][term] = weight


def _parts(terms: Sequence[str]) -> Iterator[list[str]]:
    reader = iter(terms)
    while part := list(islice(reader, _TOGETHER)):
        yield part
