"""The engine inside this process: indexes in a folder, searched exactly, safe against crashes."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.engines import embedded_store as stores
from sparse_ir.engines import served
from sparse_ir.engines.base import Failure, IndexStats, require_request
from sparse_ir.engines.builds import (
    Build,
    Builds,
    folder_bytes,
    remove_folder,
    storage_error,
)
from sparse_ir.engines.embedded_shard import Point, Shard
from sparse_ir.engines.local import answer
from sparse_ir.engines.local_engine import LocalEngine
from sparse_ir.errors import EngineError, IndexLockedError
from sparse_ir.resources import home

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.types import Entry, ScoredDoc

KIND = "embedded"
BATCH_DOCUMENTS = 256
BATCH_BYTES = 8 << 20


class EmbeddedEngine(LocalEngine):
    """Indexes kept by qdrant-edge below one folder of this machine.

    One process at a time holds an index; all engines of that process share it.

    Args:
        path: The folder; by default ``indexes`` below ``resources.home()``.
    """

    _builds: Builds

    def __init__(self, path: Path | str | None = None) -> None:
        self._given = None if path is None else Path(path).expanduser().absolute()
        self.root = home() / "indexes" if self._given is None else self._given
        self._builds = Builds(self.root)
        self._held: dict[Path, Shard] = {}
        self._announced: dict[Path, served.Held] = {}

    @property
    def address(self) -> str:
        """What ``open_engine`` takes to open this engine again."""
        return KIND if self._given is None else f"{KIND}:{self._given}"

    def create(self, index: str, stamp: Stamp, vocabulary: Sequence[str]) -> str:
        """Start a build; see ``Engine``."""
        facts = {"engine": KIND, "qdrant_edge": stores.installed()}
        build = self._builds.create(index, stamp, vocabulary, facts=facts)
        try:
            self._held[build.folder] = _acquire(self._builds, build, new=True)
        except BaseException:
            remove_folder(build.folder)
            raise
        return build.physical

    def publish(self, index: str, physical: str, *, drop_previous: bool = True) -> None:
        """Optimise the build and let the name stand for it; see ``Engine``."""
        build = self._builds.resolve(physical)
        self.settle(physical)
        before = self._builds.publish(index, build)
        if before is not None and drop_previous:
            self._let_go(before)
            remove_folder(before.folder)

    def settle(self, index: str) -> None:
        """Optimise a build and mark it as whole."""
        self._shard(index).optimize()
        self._builds.settle(self._builds.resolve(index))

    def add(self, index: str, entries: Iterable[Entry]) -> Iterator[Failure]:
        """Stream entries in and yield each refused for good; see ``Engine``."""
        shard = self._shard(index)
        points: dict[str, Point] = {}
        size = 0
        for entry in entries:
            try:
                point = shard.point(entry)
            except ValueError as error:
                yield Failure(str(entry.document.doc_id), str(error))
                continue
            points[entry.document.doc_id] = point
            size += point.bytes
            if len(points) == BATCH_DOCUMENTS or size > BATCH_BYTES:
                shard.upsert(list(points.values()))
                points, size = {}, 0
        if points:
            shard.upsert(list(points.values()))

    def delete(self, index: str, doc_ids: Iterable[str]) -> int:
        """Delete documents by id; returns how many were there."""
        return self._shard(index).delete(doc_ids)

    def delete_matching(self, index: str, conditions: Filter) -> int:
        """Delete the documents that satisfy every condition; returns how many."""
        return self._shard(index).delete_matching(conditions)

    def flush(self, index: str) -> None:
        """Make everything added so far durable."""
        self._shard(index).flush()

    def search(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer each request completely, or raise; see ``Engine``."""
        holder = self._holder(index)
        if holder is not None:
            return holder.search(requests)
        shard = self._shard(index)
        return [answer(shard.search, require_request(request)) for request in requests]

    def get(
        self,
        index: str,
        doc_ids: Sequence[str],
        *,
        vectors: bool = True,  # noqa: ARG002 - they are there anyway
    ) -> list[Entry | None]:
        """Read stored documents with their vectors; None for an id that is not there."""
        holder = self._holder(index)
        if holder is not None:
            return holder.get(doc_ids)
        found = self._shard(index).retrieve(doc_ids, vectors=True)
        return [found.get(doc_id) for doc_id in doc_ids]

    def scan(self, index: str, *, vectors: bool = True) -> Iterator[Entry]:  # noqa: ARG002
        """Read everything, in no particular order."""
        return self._shard(index).scan()

    def stats(self, index: str) -> IndexStats:
        """Count documents and bytes on disk."""
        holder = self._holder(index)
        if holder is not None:
            return IndexStats(*holder.stats())
        shard = self._shard(index)
        return IndexStats(shard.count(), folder_bytes(shard.build.folder))

    def drop(self, index: str) -> None:
        """Remove an index with all its builds, or one build, if no other process holds one."""
        builds = [self._builds.resolve(index)] if "@" in index else self._builds.builds(index)
        for build in builds:
            try:
                self._shard(build.physical)
            except IndexLockedError:
                raise
            except EngineError:
                pass  # damaged, or of another version: that is why it goes
        for build in builds:
            self._let_go(build)
        self._builds.drop(index)

    def announce(self, index: str, *, url: str, token: str, label: str) -> None:
        """Tell other processes of this machine that this one answers for an index.

        Of a build with a name of its own nobody is told: others ask for what is published.

        Args:
            index: It is opened.
            url: Where the process answers.
            token: What it wants to be sent.
            label: What it calls the index.

        Raises:
            IndexLockedError: another process holds it.
            StorageError: the disk cannot be written.
        """
        self._shard(index)
        if "@" in index:
            return
        folder = self.root / index
        try:
            self._announced[folder] = served.announce(folder, url=url, token=token, label=label)
        except OSError as error:
            raise storage_error(folder, error) from error

    def close(self) -> None:
        """Write what is pending and let go of the files."""
        for folder, note in self._announced.items():
            served.withdraw(folder, note)
        self._announced = {}
        held, self._held = self._held, {}
        for shard in held.values():
            _release(shard)

    def __enter__(self) -> EmbeddedEngine:
        return self

    def _holder(self, index: str) -> served.HeldIndex | None:
        """The server that answers for an index; none where this process can open it."""
        name = index.partition("@")[0]
        held = served.holder(self.root / name)
        if held is None:
            return None
        build = self._builds.resolve(index)
        with _LOCK:
            here = _OPEN.get(build.folder.resolve())
        if build != self._builds.resolve(name) or (here is not None and _is_open(here)):
            return None  # it answers for the published build
        return served.HeldIndex(index, held)

    def _shard(self, index: str) -> Shard:
        build = self._builds.resolve(index)
        with _LOCK:
            shard = self._held.get(build.folder)
            if shard is None or not _is_open(shard):
                self._let_go_of_what_was_removed()
                shard = _acquire(self._builds, build)
                self._held[build.folder] = shard
            return shard

    def _let_go_of_what_was_removed(self) -> None:
        """Close builds that another process has replaced or dropped meanwhile."""
        for folder in [folder for folder in self._held if not folder.is_dir()]:
            _release(self._held.pop(folder))

    def _let_go(self, build: Build) -> None:
        """Close a build that is about to be removed, whoever in this process uses it."""
        self._held.pop(build.folder, None)
        with _LOCK:
            shard = _OPEN.pop(build.folder.resolve(), None)
        if shard is not None and shard.pid == os.getpid():
            shard.discard()


_LOCK = threading.RLock()
_OPEN: dict[Path, Shard] = {}


def _is_open(shard: Shard) -> bool:
    """Whether this process holds it: not after a fork, nor once another engine dropped it."""
    return shard.pid == os.getpid() and _OPEN.get(shard.build.folder.resolve()) is shard


def _acquire(builds: Builds, build: Build, *, new: bool = False) -> Shard:
    key = build.folder.resolve()
    with _LOCK:
        shard = _OPEN.get(key)
        if shard is None or shard.pid != os.getpid():
            _require_version(builds, build)
            space = builds.describe(build).dense
            shard = Shard(build, builds.vocabulary(build), space, new=new)
            _OPEN[key] = shard
        shard.users += 1
        return shard


def _release(shard: Shard) -> None:
    with _LOCK:
        shard.users -= 1
        if shard.users > 0 or not _is_open(shard):
            return
        del _OPEN[shard.build.folder.resolve()]
        shard.close()


def _require_version(builds: Builds, build: Build) -> None:
    wrote, have = str(builds.manifest(build).get("qdrant_edge")), stores.installed()
    if wrote.split(".")[:2] != have.split(".")[:2]:
        raise EngineError(
            f"index {build.name!r} was written by qdrant-edge {wrote}, here is {have}, and its "
            f"files need not be readable. Install qdrant-edge-py=={wrote}, or index again with "
            "--replace."
        )
