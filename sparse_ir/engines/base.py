"""What every engine offers, wherever its vectors live."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.types import DenseVector, Document, Entry, ScoredDoc, SparseVector
    from sparse_ir.vectors import SparseBatch

INDEX_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,127}\Z")


class TwoStep(NamedTuple):
    """Search with the heavy terms first, then score the best hits with all.

    The defaults are those of OpenSearch's two-phase processor.

    Attributes:
        ratio: A term is heavy from this share of the heaviest term's weight on, 0 to 1.
        expansion: Hits that get their whole score, as a multiple of offset + k, at least 1.
        window: The same as a number, in the place of the multiple.
    """

    ratio: float = 0.4
    expansion: float = 5.0
    window: int | None = None


class SearchRequest(NamedTuple):
    """One search: by weighted terms, by a dense vector, or by text where there is a text index.

    Attributes:
        terms: Query term -> weight > 0.
        k: Hits wanted, at least 1.
        offset: Hits to pass over first.
        filter: Conditions on metadata that must all hold.
        documents: Whether hits bring title, text and metadata.
        vectors: Whether hits bring their stored term weights; where the index keeps none beside
            its postings, those of the query's terms.
        two_step: Heavy terms first; None for all at once.
        text: Search title and text with the server's BM25 instead; the terms are not used then.
        server_pruning: Let a server drop tokens that it deems unimportant.
        require: Terms that a hit must hold, each of them, whatever it scores by.
        dense: Search the documents' dense vectors with this one instead: a hit's score is the dot
            product, and every document with a dense vector is one. The terms are not used then.
    """

    terms: SparseVector
    k: int = 10
    offset: int = 0
    filter: Filter = ()
    documents: bool = True
    vectors: bool = False
    two_step: TwoStep | None = None
    text: str = ""
    server_pruning: bool = False
    require: tuple[str, ...] = ()
    dense: DenseVector | None = None


class Failure(NamedTuple):
    """A document that was refused for good.

    Attributes:
        doc_id: The document.
        reason: The engine's own words.
    """

    doc_id: str
    reason: str


class IndexStats(NamedTuple):
    """The size of an index.

    Attributes:
        documents: How many are in.
        bytes: On disk (for an index in memory: in memory).
    """

    documents: int
    bytes: int


class Engine(Protocol):
    """An index that scores a document by the dot product with the query.

    Beside the terms it may hold a dense vector of each document; which, its stamp says.

    An index is built aside and comes into sight whole: ``create`` starts a build and returns its
    physical name, ``add`` fills it, ``publish`` makes it what the index's name stands for. Until
    then a search finds what was there before. Every method that takes an index takes either name.
    """

    @property
    def address(self) -> str:
        """What ``open_engine`` takes to open this engine again."""
        ...

    @property
    def keeps_previous(self) -> bool:
        """Whether a replaced index is kept for a rollback where nobody says otherwise."""
        ...

    @property
    def writers(self) -> int:
        """How many threads may call ``add`` at a time."""
        ...

    def interrupt(self) -> None:
        """End waiting in every thread: a person wants to stop. Until ``close``, calls may fail."""
        ...

    def details(self, index: str) -> Mapping[str, Any]:
        """What else there is to know about an index, for people to read."""
        ...

    def indexes(self) -> list[str]:
        """Names of the published indexes, ascending."""
        ...

    def exists(self, index: str) -> bool:
        """Whether there is a published index, or a build, of that name."""
        ...

    def resolve(self, index: str) -> str:
        """The physical name that a published index's name stands for.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        ...

    def create(self, index: str, stamp: Stamp, vocabulary: Sequence[str]) -> str:
        """Start a build and return its physical name, which is new.

        Args:
            index: The name it will be published under.
            stamp: What the index will say about itself.
            vocabulary: Every term a vector may hold.

        Raises:
            ConfigError: the name is not allowed.
        """
        ...

    def publish(self, index: str, physical: str, *, drop_previous: bool = True) -> None:
        """Let the name stand for this build, in one step.

        Publishing what is published already changes nothing.

        Args:
            index: The name.
            physical: The build.
            drop_previous: Remove the build that the name stood for before; else it is kept, and
                can be published again.
        """
        ...

    def settle(self, index: str) -> None:
        """Say that everything is in a build: it gets the shape in which it is searched."""
        ...

    def settled(self, index: str) -> bool:
        """Whether a build is whole: settled, or published once."""
        ...

    def builds(self, index: str) -> list[str]:
        """Physical names of every build of a name, published or not, oldest first."""
        ...

    def previous(self, index: str) -> str:
        """The build that the published one took the place of; empty where it is gone."""
        ...

    def add(self, index: str, entries: Iterable[Entry]) -> Iterator[Failure]:
        """Stream entries in and yield each refused for good.

        Nothing is written until the iterator is consumed. A document already present is replaced
        whole, so a stopped run can simply be started again.
        """
        ...

    def delete(self, index: str, doc_ids: Iterable[str]) -> int:
        """Delete documents by id; returns how many were there."""
        ...

    def delete_matching(self, index: str, conditions: Filter) -> int:
        """Delete the documents that satisfy every condition; returns how many."""
        ...

    def flush(self, index: str) -> None:
        """Make everything added so far durable."""
        ...

    def refresh(self, index: str) -> None:
        """Make everything added so far durable and searchable."""
        ...

    def search(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer each request completely, or raise: never a short list.

        Hits come by score, then doc_id. A document that shares no term with the query is no hit.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        ...

    def get(
        self, index: str, doc_ids: Sequence[str], *, vectors: bool = True
    ) -> list[Entry | None]:
        """Read stored documents with their vectors; None for an id that is not there.

        Args:
            index: Where.
            doc_ids: Which; the answer has their order.
            vectors: Whether the vectors are needed; without, an entry's vector may be empty.

        Raises:
            NoVectorsError: the vectors are needed, and the index keeps none that can be read back.
        """
        ...

    def scan(self, index: str, *, vectors: bool = True) -> Iterator[Entry]:
        """Read everything, in no particular order; arguments and errors as in ``get``."""
        ...

    def unchanged(self, index: str, documents: Sequence[Document]) -> set[str]:
        """The ids of those documents that are stored exactly so."""
        ...

    def scores_of(
        self, index: str, doc_ids: Sequence[str], queries: Sequence[SparseVector]
    ) -> list[dict[str, float]]:
        """Score given documents, wherever in a ranking they would come.

        A query of one term with the weight 1 reads what that term weighs in the index.

        Args:
            index: Where.
            doc_ids: Which.
            queries: Term -> weight; at most 1,000 terms each.

        Returns:
            For every query, the scores of those that share a term with it and can be found.
        """
        ...

    def seen(self, index: str, doc_ids: Sequence[str]) -> list[Document | None]:
        """Read documents as a search sees them now; ``get`` may know later ones."""
        ...

    def rounded(self, index: str, batch: SparseBatch) -> SparseBatch:
        """Vectors as the index keeps them: to add these makes the same index, and is quicker."""
        ...

    def kept(self, vector: SparseVector) -> SparseVector:
        """What the engine's index keeps of a vector's weights."""
        ...

    def stats(self, index: str) -> IndexStats:
        """Count documents and bytes."""
        ...

    def describe(self, index: str) -> Stamp:
        """Read the stamp.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        ...

    def restamp(self, index: str, stamp: Stamp) -> None:
        """Write another stamp in the place of an index's own, in one step.

        Only what queries it accepts may differ: who calls it has looked.
        """
        ...

    def drop(self, index: str) -> None:
        """Remove an index, or a build, and all it holds."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of files and connections."""
        ...


def weights_of(
    scores_of: Callable[[str, Sequence[str], Sequence[SparseVector]], list[dict[str, float]]],
    index: str,
    doc_ids: Sequence[str],
    terms: Iterable[str],
) -> dict[str, SparseVector]:
    """What terms weigh in documents whose vectors cannot be read back, for each document.

    Args:
        scores_of: That of the engine, whose errors are raised.
        index: Where.
        doc_ids: Which.
        terms: Which; asked for one by one, since a score is then the stored weight itself.
    """
    terms = list(terms)
    weights: dict[str, SparseVector] = {doc_id: {} for doc_id in doc_ids}
    found = scores_of(index, doc_ids, [{term: 1.0} for term in terms])
    for term, scores in zip(terms, found, strict=True):
        for doc_id, weight in scores.items():
            weights[doc_id][term] = weight
    return weights


def require_index_name(index: str) -> str:
    """Return the name if every engine allows it.

    Raises:
        ConfigError: it does not begin with a-z or 0-9, or holds something else than a-z, 0-9, "_",
            "." and "-", or is longer than 128 characters.
    """
    if not INDEX_NAME.match(index):
        raise ConfigError(
            f"index name {index!r} is not allowed. Use a-z, 0-9, '_', '.' and '-', beginning with "
            "a letter or digit, at most 128 characters."
        )
    return index


_TINY, _HUGE = 2.0**-149, 2.0**128  # what float32 can hold


def require_request(request: SearchRequest) -> SearchRequest:
    """Return the request if every engine can answer it.

    Raises:
        ValueError: k is below 1, offset below 0, a weight no finite float32 above 0, or a number of
            the two-step search out of range.
    """
    if request.k < 1 or request.offset < 0:
        raise ValueError(
            f"k is {request.k} and offset is {request.offset}; k begins at 1, offset at 0"
        )
    if request.two_step is not None:
        _require_two_step(request.two_step)
    for term, weight in request.terms.items():
        if not _TINY <= weight < _HUGE:
            raise ValueError(
                f"the query term {term!r} has the weight {weight}; weights must be finite and "
                "above 0"
            )
    if request.dense is not None and not all(map(math.isfinite, request.dense)):
        raise ValueError("the dense query vector holds what is no finite number")
    return request


def is_two_step(step: TwoStep) -> bool:
    """Whether the numbers are in range."""
    return (
        0 <= step.ratio <= 1
        and 1 <= step.expansion < math.inf
        and (step.window is None or step.window >= 1)
    )


def _require_two_step(step: TwoStep) -> None:
    if not is_two_step(step):
        raise ValueError(
            f"two-step search has ratio {step.ratio}, expansion {step.expansion} and window "
            f"{step.window}; ratio lies between 0 and 1, the others begin at 1"
        )
