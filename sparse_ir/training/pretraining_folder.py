"""Where a pretraining run keeps what is under way, so that a stopped one goes on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from sparse_ir.data.corpora import files_stamp
from sparse_ir.data.files import writing
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.models import saved_files
from sparse_ir.training import work_folder

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.training.pretrain import PretrainSettings

_ABOUT = "about.json"
_CORPUS = "files of the corpus"
_MAY_CHANGE = {"out", "resume", "replace", "device", "precision", "save_every", "log_every"}


class Workplace:
    """The folder ``OUT-training`` beside a model that is being made.

    Attributes:
        folder: Checkpoints and the log lie in it.
        tokenizer: The learnt tokenizer; there once it is whole.
        blocks: The packed corpus; there once it is whole.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self.folder = work_folder.work_folder(out)
        self.tokenizer = self.folder / "tokenizer.json"
        self.blocks = self.folder / "blocks.bin"

    def claim(self, settings: PretrainSettings) -> None:
        """Make the folder ours, or go on with what a stopped run left there.

        Raises:
            ConfigError: something else, a finished model or a stopped run lies there, or the
                stopped run had other settings (the first is named).
        """
        saved_files.require_free(self._out, replace=settings.replace)
        work_folder.require_ours(self.folder, "pretrain")
        stored, wanted = self._about(), fixed_settings(settings)
        if settings.resume and stored == wanted:
            return
        if stored is not None and not settings.replace:
            self._refuse(stored, wanted, settings)
        work_folder.take(self.folder, "pretrain")
        self.clear()
        with writing(self.folder / _ABOUT) as stream:
            json.dump(wanted, stream, indent=1)

    def _refuse(
        self, stored: dict[str, Any], wanted: dict[str, Any], settings: PretrainSettings
    ) -> NoReturn:
        if not settings.resume:
            raise ConfigError(
                f"{self.folder} holds an unfinished run. Go on with --resume, or --replace."
            )
        other = next(n for n in {**wanted, **stored} if stored.get(n) != wanted.get(n))
        if other == _CORPUS:
            raise ConfigError(
                f"{self.folder} was made of another corpus: {settings.corpus} has changed since. "
                "Put it back, or --replace to start again."
            )
        raise ConfigError(
            f"{self.folder} was made with another {other} ({stored.get(other)!r}; now "
            f"{wanted.get(other)!r}). Resume with the settings it was started with, or --replace."
        )

    def keep_tokenizer(self, content: str) -> None:
        """Keep the learnt tokenizer."""
        with writing(self.tokenizer) as stream:
            stream.write(content)

    def clear(self) -> None:
        """Delete all but the log."""
        work_folder.clear(self.folder, (self.tokenizer.name, self.blocks.name, _ABOUT))

    def _about(self) -> dict[str, Any] | None:
        path = self.folder / _ABOUT
        if not path.is_file():
            return None
        try:
            stored: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            raise InputError("is damaged. Start again with --replace.", path=path) from None
        return stored


def fixed_settings(settings: PretrainSettings) -> dict[str, Any]:
    """What decides a run: the settings, and names and sizes of the corpus's files."""
    values = {n: value for n, value in asdict(settings).items() if n not in _MAY_CHANGE}
    files = files_stamp(settings.corpus)
    if isinstance(files, list):
        files = [row[:2] for row in files]
    return {**values, _CORPUS: files}
