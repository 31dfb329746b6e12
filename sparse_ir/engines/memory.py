"""The engine in memory: exact dot products over a CSR matrix, the oracle of the others."""

from __future__ import annotations

import secrets
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.engines.base import Failure, IndexStats, require_index_name, require_request
from sparse_ir.engines.builds import Build, Builds, folder_bytes, not_found, require_vocabulary
from sparse_ir.engines.local import answer, kept, scores_of, unchanged
from sparse_ir.engines.memory_parts import number_of, parts
from sparse_ir.engines.memory_table import Table
from sparse_ir.errors import EngineError, IndexNotFoundError
from sparse_ir.resources import home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.types import Document, Entry, ScoredDoc, SparseVector
    from sparse_ir.vectors import SparseBatch

KIND = "memory"
BATCH_DOCUMENTS = 1024


class MemoryEngine:
    """Indexes held whole in memory and searched exactly.

    Args:
        path: A folder that keeps them between runs, written by one process at a time. Without
            one they end with the engine.
    """

    keeps_previous = False
    writers = 1

    def __init__(self, path: Path | str | None = None) -> None:
        self._path = None if path is None else Path(path).expanduser().absolute()
        self._builds = _BuildsInMemory() if self._path is None else Builds(self._path)
        self._tables: dict[str, Table] = {}

    @property
    def address(self) -> str:
        """What ``open_engine`` takes to open this engine again."""
        if self._path is None:
            return f"{KIND}::"
        return KIND if self._path == default_path().absolute() else f"{KIND}:{self._path}"

    def interrupt(self) -> None:
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

    def create(self, index: str, stamp: Stamp, vocabulary: Sequence[str]) -> str:
        """Start a build; see ``Engine``."""
        build = self._builds.create(index, stamp, vocabulary, facts={"engine": KIND})
        folder = None if self._path is None else build.folder
        self._tables[build.physical] = Table(vocabulary, folder, stamp.dense)
        return build.physical

    def publish(self, index: str, physical: str, *, drop_previous: bool = True) -> None:
        """Rewrite the build as one file and let the name stand for it; see ``Engine``."""
        build = self._builds.resolve(physical)
        self.settle(physical)
        before = self._builds.publish(index, build)
        if before is not None and drop_previous:
            self._tables.pop(before.physical, None)
            self._builds.drop(before.physical)

    def settle(self, index: str) -> None:
        """Rewrite a build as one file and mark it as whole."""
        build = self._builds.resolve(index)
        self._table(index).compact(lambda facts: self._builds.settle(build, facts))

    def settled(self, index: str) -> bool:
        """Whether a build is marked as whole."""
        return self._builds.settled(self._builds.resolve(index))

    def builds(self, index: str) -> list[str]:
        """Physical names of every build of a name, published or not, oldest first."""
        return [build.physical for build in self._builds.builds(index)]

    def previous(self, index: str) -> str:
        """The build that the published one took the place of; empty where it is gone."""
        return self._builds.previous(index)

    def add(self, index: str, entries: Iterable[Entry]) -> Iterator[Failure]:
        """Stream entries in and yield each refused for good; see ``Engine``."""
        table = self._table(index)
        reader = iter(entries)
        while batch := list(islice(reader, BATCH_DOCUMENTS)):
            for entry in batch:
                try:
                    table.put(entry)
                except ValueError as error:
                    yield Failure(str(entry.document.doc_id), str(error))
            table.flush()

    def delete(self, index: str, doc_ids: Iterable[str]) -> int:
        """Delete documents by id; returns how many were there."""
        return self._table(index).delete(doc_ids)

    def delete_matching(self, index: str, conditions: Filter) -> int:
        """Delete the documents that satisfy every condition; returns how many."""
        return self._table(index).delete_matching(conditions)

    def flush(self, index: str) -> None:
        """Write what is pending."""
        self._table(index).flush()

    def refresh(self, index: str) -> None:
        """Write what is pending; it is searchable already."""
        self._table(index).flush()

    def search(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer each request completely, or raise; see ``Engine``."""
        table = self._table(index)
        return [answer(table.search, require_request(request)) for request in requests]

    def get(
        self,
        index: str,
        doc_ids: Sequence[str],
        *,
        vectors: bool = True,  # noqa: ARG002 - they are there anyway
    ) -> list[Entry | None]:
        """Read stored documents with their vectors; None for an id that is not there."""
        table = self._table(index)
        return [table.get(doc_id) for doc_id in doc_ids]

    def scan(self, index: str, *, vectors: bool = True) -> Iterator[Entry]:  # noqa: ARG002
        """Read everything, in no particular order."""
        return self._table(index).scan()

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

    def stats(self, index: str) -> IndexStats:
        """Count documents, and bytes on disk (in memory, where nothing is on disk)."""
        table = self._table(index)
        if self._path is None:
            return IndexStats(len(table), table.bytes())
        return IndexStats(len(table), folder_bytes(self._builds.resolve(index).folder))

    def describe(self, index: str) -> Stamp:
        """Read the stamp."""
        return self._builds.describe(self._builds.resolve(index))

    def restamp(self, index: str, stamp: Stamp) -> None:
        """Write another stamp; see ``Engine``."""
        self._builds.restamp(self._builds.resolve(index), stamp)

    def vocabulary(self, index: str) -> tuple[str, ...]:
        """Every term a vector may hold, in column order."""
        return self._builds.vocabulary(self._builds.resolve(index))

    def drop(self, index: str) -> None:
        """Remove an index with all its builds, or one build."""
        builds = [self._builds.resolve(index)] if "@" in index else self._builds.builds(index)
        self._builds.drop(index)
        for build in builds:
            self._tables.pop(build.physical, None)

    def close(self) -> None:
        """Write what is pending."""
        for table in self._tables.values():
            table.flush()
        if self._path is not None:
            self._tables.clear()

    def __enter__(self) -> MemoryEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _table(self, index: str) -> Table:
        build = self._builds.resolve(index)
        table = self._tables.get(build.physical)
        if table is None or table.is_stale():
            self._require_whole(build)
            space = self._builds.describe(build).dense
            table = Table(self._builds.vocabulary(build), build.folder, space)
            self._tables[build.physical] = table
        return table

    def _require_whole(self, build: Build) -> None:
        """See that the file is there which a build was settled as; earlier marks name none.

        Raises:
            EngineError: it is not.
        """
        said: dict[str, Any] = {}
        for _ in range(2):  # another process may settle the build anew in between
            said = self._builds.whole(build)
            if said.get("part") is None or said["part"] in map(number_of, parts(build.folder)):
                return
        raise EngineError(
            f"index {build.name!r}: {build.folder} lacks part {said['part']}, with which it held "
            f"{said.get('documents', 0):,} documents. Index again with --replace."
        )


def default_path() -> Path:
    """Where ``memory`` keeps its indexes when no folder is named."""
    return home() / KIND


class _Kept(NamedTuple):
    build: Build
    stamp: Stamp
    vocabulary: tuple[str, ...]


class _BuildsInMemory:
    """What ``Builds`` does, without a disk."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._published: dict[str, str] = {}
        self._previous: dict[str, str] = {}
        self._whole: set[str] = set()

    def settle(self, build: Build, facts: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        self._whole.add(build.physical)

    def whole(self, build: Build) -> dict[str, Any]:  # noqa: ARG002 - all is here
        return {}

    def settled(self, build: Build) -> bool:
        return build.physical in self._whole

    def names(self) -> list[str]:
        return sorted(self._published)

    def exists(self, index: str) -> bool:
        return index in self._kept or index in self._published

    def create(
        self,
        index: str,
        stamp: Stamp,
        vocabulary: Sequence[str],
        *,
        facts: Mapping[str, Any],  # noqa: ARG002
    ) -> Build:
        require_index_name(index)
        require_vocabulary(stamp, vocabulary)
        build = Build(index, secrets.token_hex(8), Path())
        self._kept[build.physical] = _Kept(build, stamp, tuple(vocabulary))
        return build

    def resolve(self, index: str) -> Build:
        return self._find(index).build

    def publish(self, index: str, build: Build) -> Build | None:
        if build.name != index:
            raise EngineError(
                f"build {build.physical!r} belongs to index {build.name!r}; it cannot be "
                f"published as {index!r}."
            )
        before = self._published.get(index)
        if before == build.physical:
            return None
        self._published[index] = build.physical
        self._previous[index] = before or ""
        return None if before is None else self._kept[before].build

    def previous(self, index: str) -> str:
        self.resolve(index)
        before = self._previous.get(index, "")
        return before if before in self._kept else ""

    def drop(self, index: str) -> None:
        build = self.resolve(index)
        if "@" in index:
            del self._kept[index]
            if self._published.get(build.name) == index:
                del self._published[build.name]
        else:
            del self._published[index]
            for other in self.builds(index):
                del self._kept[other.physical]

    def builds(self, index: str) -> list[Build]:
        return [kept.build for kept in self._kept.values() if kept.build.name == index]

    def describe(self, build: Build) -> Stamp:
        return self._kept[build.physical].stamp

    def restamp(self, build: Build, stamp: Stamp) -> None:
        self._kept[build.physical] = self._kept[build.physical]._replace(stamp=stamp)

    def vocabulary(self, build: Build) -> tuple[str, ...]:
        return self._kept[build.physical].vocabulary

    def _find(self, index: str) -> _Kept:
        kept = self._kept.get(self._published.get(index, index))
        if kept is None:
            builds = [build.physical for build in self.builds(index)]
            raise IndexNotFoundError(not_found(index, "memory", known=self.names(), builds=builds))
        return kept
