"""Entries to bulk actions: validated, weights cut to what the index keeps, written as JSON once."""

from __future__ import annotations

from collections.abc import ValuesView
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from sparse_ir.engines.base import Failure
from sparse_ir.engines.bulk import Action
from sparse_ir.engines.dense import checked
from sparse_ir.engines.dense_fields import DENSE
from sparse_ir.engines.dense_fields import dumps as dense_dumps
from sparse_ir.engines.documents import HASH, content_hash, dumps, source_of
from sparse_ir.engines.fields import SMALLEST, VECTOR, escape_term, truncate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from sparse_ir.engines.stamp import DenseSpace
    from sparse_ir.types import Entry, SparseVector

_TOGETHER = 256
_LARGEST = float(np.finfo(np.float32).max)


class Names(NamedTuple):
    """What a term is called in the index.

    Attributes:
        vocabulary: Every term a vector may hold; None where it is not known.
        plain: Those of them that are their own feature names.
        renamed: The feature names of the others.
    """

    vocabulary: frozenset[str] | None
    plain: frozenset[str]
    renamed: dict[str, str]

    def of(self, vector: SparseVector) -> Iterable[str]:
        """The feature names of a vector's terms, in order.

        Raises:
            ValueError: a term is not in the vocabulary.
        """
        if self.plain.issuperset(vector):
            return vector
        if self.vocabulary is None:
            return [escape_term(term) for term in vector]
        for term in vector:
            if term not in self.vocabulary:
                raise ValueError(f"the term {term!r} is not in the vocabulary of the index")
        return [self.renamed.get(term, term) for term in vector]


def names_of(vocabulary: Sequence[str] | None) -> Names:
    """Prepare the names of a vocabulary once."""
    if vocabulary is None:
        return Names(None, frozenset(), {})
    renamed = {term: escape_term(term) for term in vocabulary if "." in term or "%" in term}
    return Names(frozenset(vocabulary), frozenset(vocabulary) - renamed.keys(), renamed)


def ids_of(vocabulary: Sequence[str]) -> Names:
    """Names for a field that takes token ids: the column of each term."""
    renamed = {term: str(i) for i, term in enumerate(vocabulary)}
    return Names(frozenset(vocabulary), frozenset(), renamed)


def actions(
    entries: Iterable[Entry],
    names: Names,
    *,
    keep_weights: bool,
    refuse: Callable[[Failure], None],
    space: DenseSpace | None = None,
) -> Iterator[Action]:
    """Write entries as bulk actions.

    Args:
        entries: Documents with their vectors.
        names: Of the terms.
        keep_weights: Send the weights as they are, since the index keeps them in ``_source``;
            else cut to what its postings hold, which is shorter and makes the same postings.
        refuse: Called with each entry that cannot be sent.
        space: Of the dense vectors; None for none.
    """
    reader = iter(entries)
    while part := list(islice(reader, _TOGETHER)):
        weights = _weights(part, keep_weights=keep_weights)
        for entry, kept in zip(part, weights, strict=True):
            try:
                yield _action(entry, kept, names, space)
            except ValueError as error:
                refuse(Failure(str(entry.document.doc_id), str(error)))


def _weights(part: Sequence[Entry], *, keep_weights: bool) -> Iterator[Iterable[float] | None]:
    """The weights to send of each entry, computed together; None where one breaks a rule."""
    lengths = [len(entry.vector) for entry in part]
    try:
        flat = np.fromiter(
            chain.from_iterable(entry.vector.values() for entry in part), np.float64, sum(lengths)
        )
    except (TypeError, ValueError):
        flat = np.full(sum(lengths), np.nan)
    if not _valid(flat):
        # somebody in this part breaks a rule: one by one
        yield from (_own_weights(entry.vector, keep_weights=keep_weights) for entry in part)
        return
    if not keep_weights and _are_cut(flat):
        yield from (entry.vector.values() for entry in part)
        return
    kept = _to_send(flat, keep_weights=keep_weights)
    start = 0
    for length in lengths:
        yield kept[start : start + length]
        start += length


def _own_weights(vector: SparseVector, *, keep_weights: bool) -> list[float] | None:
    try:
        own = np.array(list(vector.values()), np.float64)
    except (TypeError, ValueError):
        return None
    return _to_send(own, keep_weights=keep_weights) if _valid(own) else None


def _to_send(weights: NDArray[Any], *, keep_weights: bool) -> list[float]:
    small = weights.astype(np.float32)
    if not keep_weights:
        cut: list[float] = truncate(small).tolist()
        return cut
    # the shortest decimal that reads back as the same float32
    return [float(str(weight)) for weight in small]


def _are_cut(weights: NDArray[Any]) -> bool:
    """Whether all weights are what the index keeps of them."""
    return bool((truncate(weights.astype(np.float32)) == weights).all())


def _valid(weights: NDArray[Any]) -> bool:
    # NaN fails both comparisons
    return not len(weights) or bool(weights.min() >= SMALLEST and weights.max() <= _LARGEST)


def _action(
    entry: Entry, weights: Iterable[float] | None, names: Names, space: DenseSpace | None
) -> Action:
    if weights is None:
        raise ValueError(_bad_weight(entry.vector))
    named = names.of(entry.vector)
    if named is entry.vector and isinstance(weights, ValuesView):
        vector = entry.vector  # it is what is sent already
    else:
        vector = dict(zip(named, weights, strict=True))
    packed = dumps(source_of(entry.document))
    try:
        packed_vector = orjson.dumps(vector)
        head = orjson.dumps({"index": {"_id": entry.document.doc_id}})
    except TypeError as error:
        raise ValueError(f"cannot be sent: {error}") from None
    own = checked(entry.dense, space)
    body = b'%b\n%b,"%b":"%b","%b":%b%b}\n' % (
        head,
        packed[:-1],
        HASH.encode(),
        content_hash(packed).encode(),
        VECTOR.encode(),
        packed_vector,
        b"" if own is None else b',"%b":%b' % (DENSE.encode(), dense_dumps(own)),
    )
    return Action(entry.document.doc_id, body)


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
