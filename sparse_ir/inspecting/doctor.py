"""Can this machine do the whole road?"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir import __version__
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.stamp import Stamp
from sparse_ir.models.loading import load_encoder
from sparse_ir.resources import cache, home
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import to_terms, vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "qdrant-edge-py",
    "ranx",
    "pyarrow",
    "numpy",
    "scipy",
)
_LITTLE_SPACE = 2_000_000_000


class Check(NamedTuple):
    """One finding.

    Attributes:
        name: What was looked at.
        ok: Whether the road is open.
        finding: What was found; where it is not ok, what to do.
    """

    name: str
    ok: bool
    finding: str


def diagnose() -> list[Check]:
    """Look at everything that the main job needs; nothing is left behind."""
    checks: tuple[Callable[[], Check], ...] = (
        _python,
        _packages,
        _devices,
        _home,
        _model,
        _engine,
    )
    return [_guarded(check) for check in checks]


def _guarded(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # whatever fails here is the finding
        name = check.__name__.strip("_")
        return Check(name, False, f"{type(error).__name__}: {error}")


def _python() -> Check:
    ok = sys.version_info >= (3, 10)
    finding = f"sparse-ir {__version__}, Python {platform.python_version()}, {platform.platform()}"
    return Check("python", ok, finding if ok else f"{finding}. Use Python 3.10 or later.")


def _packages() -> Check:
    missing = [p for p in _PACKAGES if _version(p) is None]
    if missing:
        return Check(
            "packages",
            False,
            f"not installed: {', '.join(missing)}. Run: pip install . in the checkout",
        )
    return Check("packages", True, ", ".join(f"{p} {_version(p)}" for p in _PACKAGES))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Check:
    from sparse_ir.models.devices import describe_devices

    return Check("devices", True, f"{describe_devices()}, {os.cpu_count()} CPU cores")


def _home() -> Check:
    findings = []
    ok = True
    for folder in (home(), cache()):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
        ok = ok and free > _LITTLE_SPACE
        findings.append(f"{folder} ({free / 1e9:.0f} GB free)")
    advice = "" if ok else ". Little space is left: set SPARSE_IR_HOME to a larger disk."
    return Check("folders", ok, ", ".join(findings) + advice)


def _model() -> Check:
    encoder = load_encoder()
    terms = next(to_terms(encoder.encode_queries(["is this model alive"]), encoder.vocabulary))
    best = sorted(terms, key=lambda term: -terms[term])[:3]
    ok = bool(terms)
    return Check("default model", ok, f"answers with {', '.join(best)}" if ok else "no terms")


def _engine() -> Check:
    vocabulary = ("a", "b")
    stamp = Stamp("none", "0", ("0",), vocabulary_hash(vocabulary), 2, "", "", "", "0")
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_engine(f"embedded:{folder}")) as engine,
    ):
        build = engine.create("doctor", stamp, vocabulary)
        failures = list(engine.add(build, [Entry(Document("1", "a"), {"a": 1.0})]))
        engine.publish("doctor", build)
        stats = engine.stats("doctor")
    ok = not failures and stats.documents == 1
    return Check(
        "embedded engine", ok, f"writes and reads ({stats.bytes:,} bytes on disk for one document)"
    )
