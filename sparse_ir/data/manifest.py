"""What made a file: command, versions, hardware, revision, inputs and checksums, as JSON beside it.

A manifest holds no secret: passwords, tokens and keys in a command, a URL or a setting are replaced
by ``***`` before anything is written.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir import __version__
from sparse_ir.data.files import open_text, writing
from sparse_ir.errors import InputError
from sparse_ir.seals import sealed, unsealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT = 1
HIDDEN = "***"

_PACKAGES = (
    "numpy",
    "scipy",
    "pyarrow",
    "torch",
    "tokenizers",
    "transformers",
    "sentence-transformers",
    "qdrant-edge-py",
    "numba",
)
_MODULES = {"qdrant-edge-py": "qdrant_edge", "sentence-transformers": "sentence_transformers"}
_HIDE = (
    r"(?:[\w-]*[-_])?(?:password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|"
    r"private[-_]?key|secret[-_]?key|authorization|basic[-_]?auth|bearer|credentials?)"
)
_SECRET_NAME = re.compile(rf"^-*{_HIDE}$", re.IGNORECASE)
_SECRET_PAIR = re.compile(rf"^(.*?\b{_HIDE}\s*[=:]\s*).+$", re.IGNORECASE | re.DOTALL)
_SECRET_PARAMETER = re.compile(rf"([?&]{_HIDE}=)[^&\s#]+", re.IGNORECASE)
_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_SECONDS_FOR_A_TOOL = 10


def write_manifest(
    path: str | Path,
    *,
    kind: str,
    command: Sequence[str] | None = None,
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    started: datetime | None = None,
) -> dict[str, Any]:
    """Write what made one or more files, and return it.

    Args:
        path: The manifest; it appears whole or not at all.
        kind: What the files are, such as "vectors".
        command: The command line; that of this process by default.
        inputs: What was read: name -> path, checksum, count, whatever tells it apart.
        outputs: What was made: name -> its sha256 and counts.
        settings: The options in force.
        extra: Further entries on the top level.
        started: When the work began, with a time zone; gives the duration.

    Raises:
        StorageError: the file cannot be written.
    """
    manifest = {
        **redact(dict(extra or {})),
        "format": FORMAT,
        "kind": kind,
        "inputs": redact(dict(inputs or {})),
        "outputs": redact(dict(outputs or {})),
        "settings": redact(dict(settings or {})),
        "made": provenance(command=command, started=started),
    }
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, default=str)
    written: dict[str, Any] = json.loads(text.encode("utf-8", "replace"))
    with writing(path) as stream:
        json.dump(sealed(written), stream, indent=2, sort_keys=True, ensure_ascii=False)
        stream.write("\n")
    return written


def read_manifest(path: str | Path, *, kind: str | None = None) -> dict[str, Any]:
    """Read a manifest back.

    Args:
        path: The manifest.
        kind: What it must be a manifest of; anything if None.

    Raises:
        InputError: it is missing, damaged, of another kind, or of a later sparse-ir.
    """
    with open_text(path) as stream:
        try:
            manifest = json.loads(stream.read())
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            raise damaged(path, "it is not JSON") from None
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise damaged(path, "it says no format")
    if manifest["format"] != FORMAT:
        raise InputError(
            f"has the format {manifest['format']!r}; this sparse-ir reads format {FORMAT}. Use the "
            "sparse-ir that made it, or make it again.",
            path=path,
        )
    if kind is not None and manifest.get("kind") != kind:
        raise damaged(path, f"it is not a manifest of {kind}")
    entries = unsealed(manifest)
    if entries is None:
        raise damaged(path, "its entries are not those that its sha256 tells of")
    return entries


def damaged(path: str | Path, what: str) -> InputError:
    """Say that a manifest cannot be used, and why."""
    return InputError(f"is damaged: {what}. Make it again.", path=path)


def provenance(
    *, command: Sequence[str] | None = None, started: datetime | None = None
) -> dict[str, Any]:
    """What runs here and now; loads nothing that is not loaded.

    Args:
        command: The command line; that of this process by default.
        started: When the work began, with a time zone; gives the duration.
    """
    now = datetime.now(timezone.utc)
    made: dict[str, Any] = {
        "command": redact(_command_line() if command is None else list(command)),
        "finished": now.isoformat(timespec="seconds"),
        "hardware": hardware(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "revision": revision(),
        "sparse_ir": __version__,
        "versions": loaded_versions(),
    }
    if started is not None:
        made["started"] = started.astimezone(timezone.utc).isoformat(timespec="seconds")
        made["seconds"] = round((now - started).total_seconds(), 3)
    return made


def _command_line() -> list[str]:
    """This process's command, without the folder that its program happens to lie in."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return [name, *sys.argv[1:]]


def redact(value: Any) -> Any:
    """Hide the secrets in a command line, a text or settings, however deep they lie.

    >>> redact(["--api-key", "abc", "https://me:pw@host/?token=t"])
    ['--api-key', '***', 'https://***@host/?token=***']
    """
    if isinstance(value, str):
        text = _URL_LOGIN.sub(rf"\1{HIDDEN}@", value)
        text = _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", text)
        return text if "://" in text else _SECRET_PAIR.sub(rf"\1{HIDDEN}", text)
    if isinstance(value, dict):
        return {
            str(name): HIDDEN if _SECRET_NAME.match(str(name)) and entry else redact(entry)
            for name, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return _redact_sequence(list(value))
    return value


def _redact_sequence(values: list[Any]) -> list[Any]:
    """A value that follows a flag such as --api-key belongs to it, unless it is a flag itself."""
    hidden = []
    for before, value in zip([None, *values], values, strict=False):
        follows = isinstance(before, str) and before.startswith("-") and _SECRET_NAME.match(before)
        own = isinstance(value, str) and not value.startswith("--")
        hidden.append(HIDDEN if follows and own else redact(value))
    return hidden


def loaded_versions() -> dict[str, str]:
    """Versions of the packages that this process has loaded and that decide about results."""
    versions = {}
    for package in _PACKAGES:
        if _MODULES.get(package, package) in sys.modules:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return versions


@cache
def hardware() -> dict[str, Any]:
    """Processor, cores this process may use, memory in bytes, GPUs; None where it is unknown."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "cpu": _cpu_name(),
        "gpus": _tool("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines(),
        "machine": platform.machine(),
        "memory_bytes": _memory_bytes(),
    }


@cache
def revision() -> str | None:
    """Git revision of this sparse-ir, "-dirty" if changed since; None outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    flags = ("--always", "--dirty", "--abbrev=40", "--exclude=*")
    return _tool("git", "-C", str(root), "describe", *flags).strip() or None


def _cpu_name() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else platform.processor() or None


def _memory_bytes() -> int | None:
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return None


def _tool(name: str, *arguments: str) -> str:
    """What a program of the system prints, or nothing where it is missing or fails."""
    program = shutil.which(name)
    if program is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program and fixed arguments
            [program, *arguments],
            capture_output=True,
            timeout=_SECONDS_FOR_A_TOOL,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
