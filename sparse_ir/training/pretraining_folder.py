"""Where a pretraining run keeps what is under way, so that a stopped one goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing
from sparse_ir.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.training.pretrain import PretrainSettings

_ABOUT = "about.json"
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
        self.folder = out.with_name(f"{out.name}-training")
        self.tokenizer = self.folder / "tokenizer.json"
        self.blocks = self.folder / "blocks.bin"

    def claim(self, settings: PretrainSettings) -> None:
        """Make the folder ours, or go on with what a stopped run left there.

        Raises:
            ConfigError: a finished model or a stopped run is in the way, or the stopped run had
                other settings (the first is named).
        """
        if (self._out / "config.json").is_file() and not settings.replace:
            raise ConfigError(
                f"{self._out} holds a finished model. Choose another folder, or --replace it."
            )
        stored, wanted = self._about(), fixed_settings(settings)
        if stored is not None and not settings.resume and not settings.replace:
            raise ConfigError(
                f"{self.folder} holds an unfinished run. Go on with --resume, or --replace."
            )
        if stored == wanted and settings.resume:
            return
        if stored is not None and not settings.replace:
            name = next(n for n in wanted if stored.get(n) != wanted[n])
            raise ConfigError(
                f"{self.folder} was made with another {name} ({stored.get(name)!r}; now "
                f"{wanted[name]!r}). Resume with the settings it was started with, or --replace."
            )
        self.clear()
        with writing(self.folder / _ABOUT) as stream:
            json.dump(wanted, stream, indent=1)

    def keep_tokenizer(self, content: str) -> None:
        """Keep the learnt tokenizer."""
        with writing(self.tokenizer) as stream:
            stream.write(content)

    def clear(self) -> None:
        """Delete all but the log."""
        for path in self.folder.glob("checkpoint-*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.tokenizer, self.blocks, self.folder / _ABOUT):
            path.unlink(missing_ok=True)

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
    """The settings that decide a run."""
    return {name: value for name, value in asdict(settings).items() if name not in _MAY_CHANGE}
