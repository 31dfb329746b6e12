"""A file made in parts that are kept as they are finished, so that a stopped run goes on."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing
from sparse_ir.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ABOUT = "about.json"


def finished(out: Path, *, resume: bool, replace: bool) -> bool:
    """Whether the file is there and nothing is left to do.

    Raises:
        ConfigError: the file or a stopped run's parts are there, and neither ``resume`` nor
            ``replace`` is set.
    """
    if resume or replace:
        return out.is_file() and not replace and not _folder(out).exists()
    if _folder(out).exists():
        raise ConfigError(
            f"{out}: a run that was to make it was stopped. Go on with --resume, or start again "
            "with --replace."
        )
    if out.exists():
        raise ConfigError(f"{out} exists. Use --replace, or write to another file.")
    return False


def _folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


class Parts:
    """The parts of one file, in a hidden folder beside it until the file is whole.

    Attributes:
        folder: Where they lie.
    """

    def __init__(
        self, out: Path, settings: Mapping[str, Any], *, resume: bool, replace: bool
    ) -> None:
        """Find the parts of a stopped run, or begin.

        Args:
            out: The file that is to be made.
            settings: All that decides what the parts hold, as JSON values.
            resume: Go on with a stopped run.
            replace: Throw away what is there; with ``resume``, only if it was made otherwise.

        Raises:
            ConfigError: the stopped run had other settings (the first is named).
        """
        self._out = out
        self.folder = _folder(out)
        wanted = json.loads(json.dumps(dict(settings), default=str))
        stored = _read(self.folder / _ABOUT) if resume else None
        if stored is not None and stored != wanted:
            if not replace:
                raise _differs(stored, wanted)
            stored = None
        if stored is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            with writing(self.folder / _ABOUT) as stream:
                json.dump(wanted, stream, indent=1, sort_keys=True)

    def path(self, number: int, suffix: str) -> Path:
        """Where a part lies or will lie; counted from 0."""
        return self.folder / f"{number:06d}{suffix}"

    def remove(self) -> None:
        """The file is whole: forget the parts."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError("is damaged. Start the run again with --replace.", path=path) from None


def _differs(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> ConfigError:
    names = [name for name in wanted if stored.get(name) != wanted[name]] or list(stored)
    name = names[0]
    return ConfigError(
        f"cannot resume: {name} was {stored.get(name)!r} when the run was started and is "
        f"{wanted.get(name)!r} now. Use the same, or start again with --replace."
    )
