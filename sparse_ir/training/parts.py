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


def require_free(out: Path, *, resume: bool, replace: bool) -> None:
    """Refuse a file or a stopped run of which nobody said what is to become of it.

    Raises:
        ConfigError: neither ``resume`` nor ``replace`` is set, and one is there.
    """
    if resume or replace:
        return
    if _folder(out).exists():
        raise ConfigError(
            f"{out}: a run that was to make it was stopped. Go on with --resume, or start again "
            "with --replace."
        )
    if out.exists():
        raise ConfigError(f"{out} exists. Use --replace, or write to another file.")


def _folder(out: Path) -> Path:
    return out.with_name(f".{out.name}.parts")


def _record(out: Path) -> Path:
    return out.with_name(f".{out.name}.{_ABOUT}")


class Parts:
    """The parts of one file, in a hidden folder beside it until the file is whole.

    Attributes:
        folder: Where they lie.
        whole: The file is there, made with these settings: nothing is left to do.
    """

    def __init__(
        self, out: Path, settings: Mapping[str, Any], *, resume: bool, replace: bool
    ) -> None:
        """Find the parts of a stopped run, or begin.

        Args:
            out: The file that is to be made.
            settings: All that decides what it holds, as JSON values.
            resume: Go on with a stopped run.
            replace: Throw away what is there; with ``resume``, a stopped run that is the same
                goes on.

        Raises:
            ConfigError: the file, or the stopped run, had other settings (the first is named).
        """
        self._out = out
        self.folder = _folder(out)
        self._settings = json.loads(json.dumps(dict(settings), default=str))
        done = resume and out.exists() and not self.folder.exists()
        self.whole = done and self._made_so(out, replace=replace)
        if self.whole:
            return
        stored = _read(self.folder / _ABOUT) if resume else None
        if stored != self._settings:
            if stored is not None and not replace:
                self._require_same(stored, self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)
            self._write(self.folder / _ABOUT)

    def _made_so(self, out: Path, *, replace: bool) -> bool:
        """Whether the finished file was made with these settings; without replace it must be."""
        try:
            made_with = _read(_record(out))
        except InputError:
            if not replace:
                raise
            return False
        if not replace:
            self._require_same(made_with, out)
        return bool(made_with == self._settings)

    def path(self, number: int, suffix: str) -> Path:
        """Where a part lies or will lie; counted from 0."""
        return self.folder / f"{number:06d}{suffix}"

    def finish(self) -> None:
        """The file is whole: note what it was made with, and forget the parts."""
        self._write(_record(self._out))
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, path: Path) -> None:
        with writing(path) as stream:
            json.dump(self._settings, stream, indent=1, sort_keys=True)

    def _require_same(self, stored: Any, place: Path) -> None:
        if stored is None:
            raise ConfigError(
                f"{place} exists, and nothing tells what it was made with. Use --replace, or write "
                "to another file."
            )
        for name in (*self._settings, *stored):
            if stored.get(name) != self._settings.get(name):
                raise ConfigError(
                    f"cannot resume: {name} was {stored.get(name)!r} when {place} was begun and is "
                    f"{self._settings.get(name)!r} now. Use the same, or start again with "
                    "--replace."
                )


def _read(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError("is damaged. Start the run again with --replace.", path=path) from None
