"""The builds of an engine in memory that keeps no files."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.engines.base import require_index_name
from sparse_ir.engines.builds import Build, not_found, require_build_of, require_vocabulary
from sparse_ir.errors import IndexNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from sparse_ir.engines.stamp import Stamp


class _Kept(NamedTuple):
    build: Build
    stamp: Stamp
    vocabulary: tuple[str, ...]


class BuildsInMemory:
    """What ``Builds`` does, without a disk."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._published: dict[str, str] = {}
        self._previous: dict[str, str] = {}
        self._whole: set[str] = set()

    def settle(self, build: Build, facts: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Mark a build as whole."""
        self._whole.add(build.physical)

    def whole(self, build: Build) -> dict[str, Any]:  # noqa: ARG002 - all is here
        """What a build was settled as: nothing that a file could lack."""
        return {}

    def settled(self, build: Build) -> bool:
        """Whether a build is marked as whole."""
        return build.physical in self._whole

    def names(self) -> list[str]:
        """Names of the published indexes, ascending."""
        return sorted(self._published)

    def exists(self, index: str) -> bool:
        """Whether there is a published index, or a build, of that name."""
        return index in self._kept or index in self._published

    def create(
        self,
        index: str,
        stamp: Stamp,
        vocabulary: Sequence[str],
        *,
        facts: Mapping[str, Any],  # noqa: ARG002
    ) -> Build:
        """Start a build."""
        require_index_name(index)
        require_vocabulary(stamp, vocabulary)
        build = Build(index, secrets.token_hex(8), Path())
        self._kept[build.physical] = _Kept(build, stamp, tuple(vocabulary))
        return build

    def resolve(self, index: str) -> Build:
        """The build that a name stands for."""
        return self._find(index).build

    def publish(self, index: str, build: Build) -> Build | None:
        """Let a name stand for a build; returns the one before it."""
        require_build_of(index, build.physical)
        before = self._published.get(index)
        if before == build.physical:
            return None
        self._published[index] = build.physical
        self._previous[index] = before or ""
        return None if before is None else self._kept[before].build

    def previous(self, index: str) -> str:
        """The build that the published one took the place of; empty where it is gone."""
        self.resolve(index)
        before = self._previous.get(index, "")
        return before if before in self._kept else ""

    def drop(self, index: str) -> None:
        """Forget an index with all its builds, or one build."""
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
        """Every build of a name, oldest first."""
        return [kept.build for kept in self._kept.values() if kept.build.name == index]

    def describe(self, build: Build) -> Stamp:
        """The stamp of a build."""
        return self._kept[build.physical].stamp

    def restamp(self, build: Build, stamp: Stamp) -> None:
        """Give a build another stamp."""
        self._kept[build.physical] = self._kept[build.physical]._replace(stamp=stamp)

    def vocabulary(self, build: Build) -> tuple[str, ...]:
        """The terms of a build, in column order."""
        return self._kept[build.physical].vocabulary

    def _find(self, index: str) -> _Kept:
        kept = self._kept.get(self._published.get(index, index))
        if kept is None:
            builds = [build.physical for build in self.builds(index)]
            raise IndexNotFoundError(not_found(index, "memory", known=self.names(), builds=builds))
        return kept
