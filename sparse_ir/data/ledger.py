"""What is finished and acknowledged, so that a stopped run goes on exactly where it was.

A ledger is a JSONL file. Its first line holds the settings of the run; each further line is one
chunk of the corpus that is safely in, written (and synced to disk) only after the engine or the
shard has it. A line torn by a crash is not a line: its chunk is done again. Each line has its
checksum: one that was changed since is damage, and never a wrong count.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.files import writing
from sparse_ir.errors import ConfigError, CorpusChangedError, InputError, StorageError
from sparse_ir.seals import sealed, unsealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sparse_ir.types import Document

FORMAT = 1
_SIZE = "corpus_bytes"


class Chunk(NamedTuple):
    """A stretch of the corpus that is in.

    Attributes:
        number: Counted from 0, without gaps.
        documents: How many documents were read for it.
        rejected: How many of them the engine refused for good.
        texts_cut: How many were longer than the encoder reads.
        digest: SHA-256 of their ids and contents, to notice another input on resume.
    """

    number: int
    documents: int
    rejected: int
    texts_cut: int
    digest: str


def digest_documents(documents: Sequence[Document]) -> str:
    """SHA-256, hex, of everything that the documents of a chunk hold."""
    digest = hashlib.sha256()
    for document in documents:
        row = [document.doc_id, document.title, document.text, dict(document.metadata)]
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        digest.update(b"\n")
    return digest.hexdigest()


class Ledger:
    """The ledger of one run.

    Attributes:
        settings: What the run was started with.
        chunks: The chunks that are in, in order.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], chunks: list[Chunk]) -> None:
        """Use ``create`` or ``open``."""
        self.path = path
        self.settings = dict(settings)
        self.chunks = chunks

    @classmethod
    def create(cls, path: Path, settings: Mapping[str, Any]) -> Ledger:
        """Start a ledger; one that is there already is replaced.

        Raises:
            StorageError: it cannot be written.
        """
        line = json.dumps(sealed({"format": FORMAT, "settings": dict(settings)}))
        with writing(path) as stream:
            stream.write(f"{line}\n")
        return cls(path, settings, [])

    @classmethod
    def open(cls, path: Path) -> Ledger | None:
        """Read a ledger back, or None where there is none.

        Raises:
            InputError: the file is damaged before its last line, or of another format.
        """
        if not path.exists():
            return None
        whole = path.read_bytes()
        lines = whole.split(b"\n")
        torn = lines.pop()  # empty, unless the last write was cut short
        if torn:
            with path.open("r+b") as stream:
                stream.truncate(len(whole) - len(torn))
        if not lines:
            return None
        rows = [_parse(line, path, number) for number, line in enumerate(lines, start=1)]
        if rows[0].get("format") != FORMAT or not isinstance(rows[0].get("settings"), dict):
            raise InputError(
                "not a ledger of this version; start the run again with --replace.", path=path
            )
        return cls(path, rows[0]["settings"], _chunks(rows[1:], path))

    @property
    def documents(self) -> int:
        """Documents read for the chunks that are in."""
        return sum(chunk.documents for chunk in self.chunks)

    @property
    def rejected(self) -> int:
        """Documents that the engine refused for good."""
        return sum(chunk.rejected for chunk in self.chunks)

    @property
    def texts_cut(self) -> int:
        """Documents longer than the encoder reads."""
        return sum(chunk.texts_cut for chunk in self.chunks)

    def acknowledge(self, chunk: Chunk) -> None:
        """Write that a chunk is in; returns once the line is on disk.

        Raises:
            StorageError: it cannot be written, or the ledger was removed meanwhile.
        """
        try:
            with self.path.open("r+b") as stream:
                stream.seek(0, os.SEEK_END)
                stream.write(json.dumps(sealed(chunk._asdict())).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except FileNotFoundError:
            raise StorageError(
                f"{self.path}: is gone: another run has ended this one, or it was deleted. Start "
                "again with --replace."
            ) from None
        except OSError as error:
            raise StorageError(
                f"{self.path}: cannot be written ({error.strerror}). Make room and resume."
            ) from None
        self.chunks.append(chunk)

    def require_settings(self, settings: Mapping[str, Any]) -> None:
        """Check that a run to be resumed was started with the same settings.

        Raises:
            ConfigError: naming what differs.
            CorpusChangedError: the corpus has another size.
        """
        for name, now in settings.items():
            before = self.settings.get(name)
            if before == now or (name == _SIZE and before is None):  # earlier ledgers have none
                continue
            if name == _SIZE and now is not None:
                raise CorpusChangedError(
                    f"the corpus is not the one this run was started with (it had {before:,} bytes "
                    f"and has {now:,}). Give the same corpus, or start again with --replace."
                )
            raise ConfigError(
                f"cannot resume: {name} was {before!r} when the run was started and is {now!r} "
                "now. Use the same, or start again with --replace."
            )

    def remove(self) -> None:
        """The run is over: forget it."""
        self.path.unlink(missing_ok=True)


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        stored = json.loads(line)
    except ValueError:
        stored = None
    row = unsealed(stored) if isinstance(stored, dict) else None
    if row is None:
        raise InputError(
            "the ledger is damaged; start the run again with --replace.", path=path, line=number
        )
    return row


def _chunks(rows: Sequence[Mapping[str, Any]], path: Path) -> list[Chunk]:
    chunks = []
    for number, row in enumerate(rows):
        if set(row) != set(Chunk._fields) or row["number"] != number:
            raise InputError(
                "the ledger is damaged; start the run again with --replace.",
                path=path,
                line=number + 2,
            )
        chunks.append(Chunk(**row))
    return chunks
