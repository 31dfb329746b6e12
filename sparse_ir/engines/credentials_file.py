"""credentials.yaml: the settings of clusters by URL, in a file that only its owner may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sparse_ir import resources
from sparse_ir.config import nearest
from sparse_ir.engines.addresses import parse_cluster_address
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

FILE = "credentials.yaml"


def file_settings(
    urls: Sequence[str], known: Collection[str], chosen: str | None = None
) -> Mapping[str, str]:
    """Read the entry for a cluster.

    Args:
        urls: Its nodes.
        known: The settings that an entry may hold.
        chosen: The file; None for the one below ``resources.home()``, which need not exist.

    Returns:
        Setting -> value; empty where there is no file or no entry.

    Raises:
        ConfigError: the file may be read by others or is no such file, or the nodes of one cluster
            have different entries. No message repeats what stands in it.
    """
    path = Path(chosen).expanduser() if chosen else resources.home() / FILE
    text = read_private(path, required="SPARSE_IR_CREDENTIALS" if chosen else "")
    entries = {} if text is None else _entries(text, known, path)
    found = [entries.get(url) for url in urls]
    if any(entry != found[0] for entry in found[1:]):
        raise ConfigError(
            f"{path}: the nodes of one cluster need one entry. Write all of their URLs, with "
            "commas between them, before its colon."
        )
    return found[0] or {}


def read_private(path: Path, *, required: str = "") -> str | None:
    """Read a file that its owner alone may read; None where there is none.

    Args:
        path: The file.
        required: What names it, where it must be there.

    Raises:
        ConfigError: others may read it, or it is no such file.
    """
    try:
        # not blocking: a pipe in its place would wait for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path} does not exist ({required}).") from None
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        _require_private(os.fstat(descriptor), path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read().decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8.") from None
    finally:
        os.close(descriptor)


def _require_private(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file.")
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to another user. It must be yours, with mode 0600.")
    if os.name == "posix" and status.st_mode & 0o077:
        raise ConfigError(f"{path} may be read by others. Run: chmod 600 {path}")


def _entries(text: str, known: Collection[str], path: Path) -> dict[str, dict[str, str]]:
    try:
        loaded = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # the latter of a date that there is not
        mark = getattr(error, "problem_mark", None)  # the error's own text repeats the line
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not YAML. Put values in quotes.") from None
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigError(f"{path}: write a cluster's URL, a colon, and its settings below.")
    entries: dict[str, dict[str, str]] = {}
    for key, settings in (loaded or {}).items():
        entry = _entry(settings, known, f"{path}, entry {len(entries) + 1}")
        for url in parse_cluster_address(str(key)).urls:
            entries[url] = entry
    return entries


def _entry(settings: Any, known: Collection[str], where: str) -> dict[str, str]:
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: write settings below the URL, such as 'api_key: \"…\"'.")
    entry = {}
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(f"{where}: {name} is not a setting.{nearest(str(name), known)}")
        if isinstance(value, bool):
            value = str(value).lower()
        if not isinstance(value, str):  # a number lost its zeros already
            raise ConfigError(f"{where}: put the value of {name} in quotes.")
        entry[name] = value
    return entry
