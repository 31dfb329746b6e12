"""The engine in memory: exact dot products over a CSR matrix, the oracle of the others."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.engines.base import Failure, IndexStats, require_request
from sparse_ir.engines.builds import Build, Builds, folder_bytes
from sparse_ir.engines.local import answer
from sparse_ir.engines.local_engine import LocalEngine
from sparse_ir.engines.memory_builds import BuildsInMemory
from sparse_ir.engines.memory_parts import number_of, parts
from sparse_ir.engines.memory_table import Table
from sparse_ir.errors import EngineError
from sparse_ir.resources import home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.types import Entry, ScoredDoc

KIND = "memory"
BATCH_DOCUMENTS = 1024


class MemoryEngine(LocalEngine):
    """Indexes held whole in memory and searched exactly.

    Args:
        path: A folder that keeps them between runs, written by one process at a time. Without
            one they end with the engine.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self._path = None if path is None else Path(path).expanduser().absolute()
        self._builds = BuildsInMemory() if self._path is None else Builds(self._path)
        self._tables: dict[str, Table] = {}

    @property
    def address(self) -> str:
        """What ``open_engine`` takes to open this engine again."""
        if self._path is None:
            return f"{KIND}::"
        return KIND if self._path == default_path().absolute() else f"{KIND}:{self._path}"

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

    def stats(self, index: str) -> IndexStats:
        """Count documents, and bytes on disk (in memory, where nothing is on disk)."""
        table = self._table(index)
        if self._path is None:
            return IndexStats(len(table), table.bytes())
        return IndexStats(len(table), folder_bytes(self._builds.resolve(index).folder))

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
