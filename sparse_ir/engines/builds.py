"""Folders of an engine that keeps its indexes on this machine.

``ROOT/NAME/STAMP/`` is one build of the index NAME, ``ROOT/NAME/current.json`` says which build the
name stands for. A build's folder appears under its name only with its manifest and vocabulary
complete, and ``current.json`` is replaced in one step, so a stopped process leaves nothing half.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.base import INDEX_NAME, require_index_name
from sparse_ir.engines.stamp import Stamp, read_stamp
from sparse_ir.errors import EngineError, IndexNotFoundError, StorageError
from sparse_ir.seals import sealed, unsealed
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.json"
POINTER = "current.json"
WHOLE = "whole.json"
_STAMP = re.compile(r"^[0-9A-Za-z][0-9A-Za-z-]*\Z")


class Build(NamedTuple):
    """One build of an index.

    Attributes:
        name: The index it is, or will be, published as.
        stamp: What tells it from other builds of that name.
        folder: Where it lies.
    """

    name: str
    stamp: str
    folder: Path

    @property
    def physical(self) -> str:
        """The name that means this build and no other."""
        return f"{self.name}@{self.stamp}"


class Builds:
    """All builds below one folder."""

    def __init__(self, root: Path) -> None:
        """Nothing is created until it is needed."""
        self.root = root

    def names(self) -> list[str]:
        """Names of the published indexes, ascending."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{POINTER}"))

    def exists(self, index: str) -> bool:
        """Whether there is a published index, or a build, of that name."""
        try:
            name, stamp = _parts(index)
        except IndexNotFoundError:
            return False
        if stamp is None:
            return (self.root / name / POINTER).is_file()
        return (self.root / name / stamp / MANIFEST).is_file()

    def create(
        self,
        index: str,
        stamp: Stamp,
        vocabulary: Sequence[str],
        *,
        facts: Mapping[str, Any],
    ) -> Build:
        """Make the folder of a new build.

        Args:
            index: The name it will be published under.
            stamp: What the index says about itself.
            vocabulary: Every term a vector may hold, distinct.
            facts: What else the manifest shall say.

        Raises:
            ConfigError: the name is not allowed.
            ValueError: the vocabulary holds a term twice, or is not the stamp's.
            StorageError: the folder cannot be written.
        """
        require_index_name(index)
        require_vocabulary(stamp, vocabulary)
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S%fZ")
        build = Build(index, f"{now}-{secrets.token_hex(3)}", Path())
        build = build._replace(folder=self.root / index / build.stamp)
        aside = build.folder.with_name(f".{build.stamp}.tmp")
        manifest = sealed({**facts, "index": index, "stamp": stamp.to_json()})
        try:
            aside.mkdir(parents=True)
            write_json(aside / VOCABULARY, list(vocabulary))
            write_json(aside / MANIFEST, manifest)
            aside.rename(build.folder)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise storage_error(build.folder, error) from None
        return build

    def resolve(self, index: str) -> Build:
        """Find the build that a name stands for.

        Raises:
            IndexNotFoundError: there is no such index.
            EngineError: the index points to a build that is gone, or the pointer is damaged.
        """
        name, stamp = _parts(index)
        pointed_at = self._pointed_at(name) if stamp is None else stamp
        build = Build(name, pointed_at, self.root / name / pointed_at)
        if build.folder.is_dir():
            return build
        if stamp is None:
            raise EngineError(
                f"index {name!r} points to the build {pointed_at!r}, which is gone from "
                f"{self.root / name}. Index again with --replace."
            )
        raise IndexNotFoundError(f"there is no build {index!r} in {self.root}.")

    def publish(self, index: str, build: Build) -> Build | None:
        """Let the name stand for this build, in one step.

        Returns:
            The build it stood for before, if that was another.

        Raises:
            EngineError: the build is one of another index.
        """
        require_build_of(index, build.physical)
        before: Build | None = None
        if self.exists(index):
            try:
                before = self.resolve(index)
            except EngineError:
                before = None  # a damaged pointer is about to be replaced
        if before is not None and before.folder == build.folder:
            return None
        pointer = {"build": build.stamp, "previous": before.stamp if before else ""}
        try:
            write_json(self.root / index / POINTER, pointer)
        except OSError as error:
            raise storage_error(self.root / index, error) from None
        return before

    def settle(self, build: Build, facts: Mapping[str, Any] | None = None) -> None:
        """Mark a build as whole.

        Args:
            build: The build.
            facts: What the mark shall say, so that it can be held against what is there later.
        """
        try:
            write_json(build.folder / WHOLE, {"whole": True, **(facts or {})})
        except OSError as error:
            raise storage_error(build.folder, error) from None

    def settled(self, build: Build) -> bool:
        """Whether a build is marked as whole."""
        return (build.folder / WHOLE).is_file()

    def whole(self, build: Build) -> dict[str, Any]:
        """What the mark of a whole build says; empty where there is none.

        Raises:
            EngineError: it is damaged.
        """
        said = self._read(build, WHOLE) if self.settled(build) else {}
        if not isinstance(said, dict):
            raise self._damaged(build, WHOLE)
        return said

    def previous(self, index: str) -> str:
        """The build that the published one took the place of; empty where it is gone.

        Raises:
            IndexNotFoundError: there is no such index, or the name is that of a build.
        """
        name, of_build = _parts(index)
        if of_build is not None:
            raise IndexNotFoundError(f"{index!r} is a build. Name the index that it is of: {name}.")
        self.resolve(index)
        stamp = json.loads((self.root / index / POINTER).read_bytes()).get("previous", "")
        physical = f"{index}@{stamp}"
        return physical if stamp and self.exists(physical) else ""

    def drop(self, index: str) -> None:
        """Remove a build, or an index with every build of it.

        Raises:
            IndexNotFoundError: there is no such index.
        """
        name, stamp = _parts(index)
        if stamp is not None:
            build = self.resolve(index)
            if self.exists(name) and self._pointed_at(name) == build.stamp:
                (self.root / name / POINTER).unlink()
            remove_folder(build.folder)
        elif not self.exists(name):
            raise IndexNotFoundError(self._not_found(name))
        else:
            (self.root / name / POINTER).unlink()
            remove_folder(self.root / name)

    def builds(self, index: str) -> list[Build]:
        """Every build of a name, published or not, oldest first."""
        folders = sorted(p.parent for p in (self.root / index).glob(f"*/{MANIFEST}"))
        return [Build(index, f.name, f) for f in folders if not f.name.startswith(".")]

    def manifest(self, build: Build) -> dict[str, Any]:
        """Read what a build says about itself.

        Raises:
            EngineError: the manifest is missing or damaged.
        """
        stored = self._read(build, MANIFEST)
        manifest = unsealed(stored) if isinstance(stored, dict) else None
        if manifest is None or not isinstance(manifest.get("stamp"), dict):
            raise self._damaged(build, MANIFEST)
        return manifest

    def describe(self, build: Build) -> Stamp:
        """Read a build's stamp.

        Raises:
            EngineError: the manifest is missing or damaged, or of a later sparse-ir.
        """
        return read_stamp(self.manifest(build)["stamp"], index=build.name)

    def restamp(self, build: Build, stamp: Stamp) -> None:
        """Write another stamp into a build's manifest, which changes whole.

        Raises:
            StorageError: it cannot be written.
        """
        manifest = sealed({**self.manifest(build), "stamp": stamp.to_json()})
        try:
            write_json(build.folder / MANIFEST, manifest)
        except OSError as error:
            raise storage_error(build.folder, error) from None

    def vocabulary(self, build: Build) -> tuple[str, ...]:
        """Read a build's terms and check them against its stamp.

        Raises:
            EngineError: they are missing, damaged, or not those the stamp tells of.
        """
        stamp = self.describe(build)
        terms = self._read(build, VOCABULARY)
        if (
            not isinstance(terms, list)
            or not all(isinstance(term, str) for term in terms)
            or (stamp.vocabulary_hash and vocabulary_hash(terms) != stamp.vocabulary_hash)
        ):
            raise self._damaged(build, VOCABULARY)
        return tuple(terms)

    def _pointed_at(self, name: str) -> str:
        path = self.root / name / POINTER
        try:
            pointer = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise IndexNotFoundError(self._not_found(name)) from None
        except ValueError:
            pointer = None
        stamp = pointer.get("build") if isinstance(pointer, dict) else None
        if not isinstance(stamp, str) or not _STAMP.match(stamp):
            raise EngineError(f"index {name!r}: {path} is damaged. Index again with --replace.")
        return stamp

    def _not_found(self, name: str) -> str:
        builds = [build.physical for build in self.builds(name)]
        return not_found(name, str(self.root), known=self.names(), builds=builds)

    def _read(self, build: Build, file: str) -> Any:
        try:
            return json.loads((build.folder / file).read_bytes())
        except (OSError, ValueError):
            raise self._damaged(build, file) from None

    def _damaged(self, build: Build, file: str) -> EngineError:
        return EngineError(
            f"index {build.name!r}: {build.folder / file} is missing or damaged. Index again "
            "with --replace."
        )


def _parts(index: str) -> tuple[str, str | None]:
    """Split a name; a physical one has a stamp.

    Raises:
        IndexNotFoundError: it cannot be the name of any index.
    """
    name, at, stamp = index.partition("@")
    if not INDEX_NAME.match(name) or (at and not _STAMP.match(stamp)):
        raise IndexNotFoundError(f"there is no index {index!r}: no index has such a name.")
    return name, stamp if at else None


def not_found(index: str, where: str, *, known: Sequence[str], builds: Sequence[str]) -> str:
    """Say that no index of a name is published, and what is there instead.

    Args:
        index: The name.
        where: A folder or an address.
        known: The published indexes.
        builds: Builds of this name, oldest first; none of them is published.
    """
    if builds:
        return (
            f"index {index!r} in {where} is not finished: its build {builds[-1]} was never "
            "published. Go on with the command that began it and --resume; or bring a whole one "
            f"(--aside) into sight: sparse-ir swap --index {index} --candidate {builds[-1]}; or "
            f"remove it: sparse-ir delete --build {builds[-1]}"
        )
    there = f"There are: {', '.join(known)}." if known else "There is none yet."
    return f"there is no index {index!r} in {where}. {there}"


def require_build_of(index: str, physical: str) -> None:
    """Refuse to publish a build under the name of another index.

    Raises:
        EngineError: it is one of another index.
    """
    name = physical.partition("@")[0]
    if name != index:
        raise EngineError(
            f"build {physical!r} belongs to index {name!r}; it cannot be published as {index!r}."
        )


def require_vocabulary(stamp: Stamp, vocabulary: Sequence[str]) -> None:
    """Check the vocabulary of a new build.

    Raises:
        ValueError: it holds a term twice, or is not the stamp's.
    """
    if len(set(vocabulary)) != len(vocabulary):
        raise ValueError("the vocabulary holds a term twice")
    if stamp.vocabulary_hash and vocabulary_hash(vocabulary) != stamp.vocabulary_hash:
        raise ValueError("the vocabulary is not the one that the stamp tells of")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is there whole, on disk, or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="ascii") as stream:
            json.dump(value, stream)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder; what another process holds open on Windows stays, unused."""
    shutil.rmtree(folder, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """What a folder takes up on disk, in bytes; holes in files are not counted."""
    total = 0
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except OSError:
            continue  # removed since it was listed
        blocks = getattr(status, "st_blocks", None)
        total += status.st_size if blocks is None else blocks * 512
    return total


def storage_error(path: Path, error: OSError) -> StorageError:
    """Say in one line that the disk refused a write."""
    return StorageError(f"{path}: cannot be written ({error.strerror}). Make room and try again.")
