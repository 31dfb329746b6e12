"""Every error that sparse-ir raises on purpose.

Each message is one line that says what is wrong, where, and what to do. ``exit_code`` is what the
command line returns for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_REASON_CHARACTERS = 200


class SparseIRError(Exception):
    """The root of all errors that sparse-ir raises on purpose."""

    exit_code = 1


class ConfigError(SparseIRError):
    """A setting, flag or recipe is wrong."""

    exit_code = 2


class InputError(SparseIRError):
    """A corpus, query, qrels or run file cannot be used as it is."""

    exit_code = 3

    def __init__(
        self, message: str, *, path: str | Path | None = None, line: int | None = None
    ) -> None:
        """Put the place in front of the message.

        Args:
            message: What is wrong and what to do.
            path: The file, folder or dataset concerned.
            line: Line (or row) number, counted from 1.
        """
        where = "" if path is None else f"{path}: "
        if path is not None and line is not None:
            where = f"{path}, line {line}: "
        super().__init__(where + message)
        self.path = path
        self.line = line


class CorpusChangedError(InputError):
    """The corpus is not the one that a stopped run was started with."""


class ModelError(SparseIRError):
    """A model folder cannot be loaded as a sparse encoder."""

    exit_code = 4


class EngineError(SparseIRError):
    """An engine refused or could not complete what was asked of it."""

    exit_code = 5


class IndexNotFoundError(EngineError):
    """There is no index of that name."""


class IndexLockedError(EngineError):
    """Another process holds the index."""


class NoVectorsError(EngineError):
    """The index keeps no vectors that could be read back."""


class ModelMismatchError(EngineError):
    """The query encoder does not fit the model that made the index."""


class StorageError(SparseIRError):
    """The disk is full or a file could not be written."""

    exit_code = 6


class RejectedDocumentsError(SparseIRError):
    """Some documents were refused for good; the rest is in.

    Attributes:
        doc_ids: The refused documents.
    """

    exit_code = 7

    def __init__(self, message: str, doc_ids: Sequence[str]) -> None:
        """Keep the refused ids beside the message."""
        super().__init__(message)
        self.doc_ids = tuple(doc_ids)


class VerificationError(SparseIRError):
    """What was checked does not hold."""

    exit_code = 8


class TrainingError(SparseIRError):
    """Training went wrong and was stopped; the last good checkpoint is kept."""

    exit_code = 9


class EncodingError(SparseIRError):
    """Encoding was broken off; what was finished before is kept."""

    exit_code = 10


class WorkerDiedError(EncodingError):
    """A process that encodes documents died."""

    def __init__(self, device: str, how: str, *, loading: bool = False) -> None:
        """Name the device, how its process ended, and whether the model was still being loaded."""
        when = "while the model was loaded" if loading else "on the same documents again"
        super().__init__(
            f"the encoder on {device} died {when} ({how}); often memory ran out. What is finished "
            "is kept: go on with --resume, with a lower --batch-tokens or fewer --devices."
        )


class MissingExtraError(SparseIRError):
    """An optional package is not installed."""

    exit_code = 2

    def __init__(self, package: str, *, extra: str) -> None:
        """Name the package and the extra that brings it."""
        super().__init__(
            f"{package} is not installed. Install it with: pip install 'sparse-ir[{extra}]'"
        )


def brief(error: Exception) -> str:
    """What an error of another library says, in one line that fits a message."""
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".") or type(error).__name__
    return first if len(first) <= _REASON_CHARACTERS else f"{first[: _REASON_CHARACTERS - 1]}…"
