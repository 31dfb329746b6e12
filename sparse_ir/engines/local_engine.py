"""What the engines of this machine share: builds with names, and answers from stored entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from sparse_ir.engines.local import kept, scores_of, unchanged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.engines.builds import Builds
    from sparse_ir.engines.memory_builds import BuildsInMemory
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.types import Document, Entry, SparseVector
    from sparse_ir.vectors import SparseBatch


class LocalEngine(ABC):
    """The part of ``Engine`` that needs only a list of builds and the entries stored in them."""

    keeps_previous = False
    writers = 1
    _builds: Builds | BuildsInMemory

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Write what is pending and let go of what is held."""

    @abstractmethod
    def flush(self, index: str) -> None:
        """Make everything added so far durable."""

    @abstractmethod
    def get(
        self, index: str, doc_ids: Sequence[str], *, vectors: bool = True
    ) -> list[Entry | None]:
        """Read stored documents; None for an id that is not there."""

    def interrupt(self) -> None:  # noqa: B027 - a call on this machine cannot hang
        """Nothing waits here."""

    def details(self, index: str) -> dict[str, str]:
        """The physical name."""
        return {"physical": self.resolve(index)}

    def indexes(self) -> list[str]:
        """Names of the published indexes, ascending."""
        return self._builds.names()

    def exists(self, index: str) -> bool:
        """Whether there is a published index, or a build, of that name."""
        return self._builds.exists(index)

    def resolve(self, index: str) -> str:
        """The physical name that a published index's name stands for."""
        return self._builds.resolve(index).physical

    def settled(self, index: str) -> bool:
        """Whether a build is marked as whole."""
        return self._builds.settled(self._builds.resolve(index))

    def builds(self, index: str) -> list[str]:
        """Physical names of every build of a name, published or not, oldest first."""
        return [build.physical for build in self._builds.builds(index)]

    def previous(self, index: str) -> str:
        """The build that the published one took the place of; empty where it is gone."""
        return self._builds.previous(index)

    def describe(self, index: str) -> Stamp:
        """Read the stamp; the index may be held by another process."""
        return self._builds.describe(self._builds.resolve(index))

    def restamp(self, index: str, stamp: Stamp) -> None:
        """Write another stamp; see ``Engine``."""
        self._builds.restamp(self._builds.resolve(index), stamp)

    def vocabulary(self, index: str) -> tuple[str, ...]:
        """Every term a vector may hold, in column order."""
        return self._builds.vocabulary(self._builds.resolve(index))

    def refresh(self, index: str) -> None:
        """Write what is pending; it is searchable already."""
        self.flush(index)

    def unchanged(self, index: str, documents: Sequence[Document]) -> set[str]:
        """Which documents are stored exactly so."""
        return unchanged(self.get(index, [d.doc_id for d in documents]), documents)

    def scores_of(
        self, index: str, doc_ids: Sequence[str], queries: Sequence[SparseVector]
    ) -> list[dict[str, float]]:
        """Score given documents from their stored vectors; see ``Engine``."""
        return scores_of(self.get(index, doc_ids), queries)

    def seen(self, index: str, doc_ids: Sequence[str]) -> list[Document | None]:
        """Read documents; here a search sees all that was written."""
        return [entry and entry.document for entry in self.get(index, doc_ids)]

    def rounded(self, index: str, batch: SparseBatch) -> SparseBatch:  # noqa: ARG002
        """The batch itself: float32 is what is kept."""
        return batch

    def kept(self, vector: SparseVector) -> SparseVector:
        """A vector with its weights as float32."""
        return kept(vector)
