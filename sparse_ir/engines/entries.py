"""Entries to bulk actions: validated, weights cut to what the index keeps, written as JSON once."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from sparse_ir.engines.base import Failure
from sparse_ir.engines.bulk import Action
from sparse_ir.engines.documents import HASH, content_hash, dumps, source_of
from sparse_ir.engines.fields import SMALLEST, VECTOR, escape_term, truncate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from sparse_ir.types import Entry, SparseVector

_TOGETHER = 256
_LARGEST = float(np.finfo(np.float32).max)


class Names(NamedTuple):
    """What a term is called in the index.

    Attributes:
        vocabulary: Every term a vector may hold; None where it is not known.
        escaped: The feature names of those terms that are not their own.
    """

    vocabulary: frozenset[str] | None
    escaped: dict[str, str]

    def rename(self, vector: SparseVector) -> list[str]:
        """The feature names of a vector's terms, in order."""
        if self.vocabulary is None:
            return [escape_term(term) for term in vector]
        if self.escaped.keys().isdisjoint(vector):
            return list(vector)
        return [self.escaped.get(term, term) for term in vector]


def names_of(vocabulary: Sequence[str] | None) -> Names:
    """Prepare the names of a vocabulary once."""
    if vocabulary is None:
        return Names(None, {})
    escaped = {term: escape_term(term) for term in vocabulary if "." in term or "%" in term}
    return Names(frozenset(vocabulary), escaped)


def ids_of(vocabulary: Sequence[str]) -> Names:
    """Names for a field that takes token ids: the column of each term."""
    return Names(frozenset(vocabulary), {term: str(i) for i, term in enumerate(vocabulary)})


def actions(
    entries: Iterable[Entry],
    names: Names,
    *,
    keep_weights: bool,
    refuse: Callable[[Failure], None],
) -> Iterator[Action]:
    """Write entries as bulk actions.

    Args:
        entries: Documents with their vectors.
        names: Of the terms.
        keep_weights: Send the weights as they are, since the index keeps them in ``_source``;
            else cut to what its postings hold, which is shorter and makes the same postings.
        refuse: Called with each entry that cannot be sent.
    """
    reader = iter(entries)
    while part := list(islice(reader, _TOGETHER)):
        columns = _weights(part)
        for entry, weights in zip(part, columns, strict=True):
            try:
                yield _action(entry, weights, names, keep_weights=keep_weights)
            except ValueError as error:
                refuse(Failure(str(entry.document.doc_id), str(error)))


def _weights(part: Sequence[Entry]) -> Iterator[NDArray[Any] | None]:
    """The weights of each entry as float32; None where one is no number."""
    lengths = [len(entry.vector) for entry in part]
    try:
        flat = np.fromiter(
            chain.from_iterable(entry.vector.values() for entry in part), np.float64, sum(lengths)
        )
    except (TypeError, ValueError):
        for entry in part:
            try:
                yield np.array(list(entry.vector.values()), np.float64)
            except (TypeError, ValueError):
                yield None
        return
    start = 0
    for length in lengths:
        yield flat[start : start + length]
        start += length


def _action(entry: Entry, weights: Any, names: Names, *, keep_weights: bool) -> Action:
    if weights is None or not _valid(weights):
        raise ValueError(_bad_weight(entry.vector))
    if names.vocabulary is not None and not entry.vector.keys() <= names.vocabulary:
        term = next(term for term in entry.vector if term not in names.vocabulary)
        raise ValueError(f"the term {term!r} is not in the vocabulary of the index")
    small = weights.astype(np.float32)
    kept = _short(small) if keep_weights else truncate(small).tolist()
    vector = dict(zip(names.rename(entry.vector), kept, strict=True))
    packed = dumps(source_of(entry.document))
    try:
        packed_vector = orjson.dumps(vector)
        head = orjson.dumps({"index": {"_id": entry.document.doc_id}})
    except TypeError as error:
        raise ValueError(f"cannot be sent: {error}") from None
    body = b'%b\n%b,"%b":"%b","%b":%b}\n' % (
        head,
        packed[:-1],
        HASH.encode(),
        content_hash(packed).encode(),
        VECTOR.encode(),
        packed_vector,
    )
    return Action(entry.document.doc_id, body)


def _short(weights: NDArray[Any]) -> list[float]:
    # the shortest decimal that reads back as the same float32
    return [float(str(weight)) for weight in weights]


def _valid(weights: NDArray[Any]) -> bool:
    # NaN fails both comparisons
    return not len(weights) or bool(weights.min() >= SMALLEST and weights.max() <= _LARGEST)


def _bad_weight(vector: SparseVector) -> str:
    for term, weight in vector.items():
        try:
            number = float(weight)
        except (TypeError, ValueError):
            number = float("nan")
        if not SMALLEST <= number <= _LARGEST:
            return (
                f"the term {term!r} has the weight {weight!r}; weights must be finite and above 0 "
                "(at least 2^-126)"
            )
    return "a weight is no number"
