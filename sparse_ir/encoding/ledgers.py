"""The ledgers of an encoding run: one for each process that takes part, in the folder of shards."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from sparse_ir.data.ledger import Ledger
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sparse_ir.models.ranks import Ranks
    from sparse_ir.types import Document

_NAME = re.compile(r"^ledger(?:-(\d+)-of-(\d+))?\.jsonl$")


def ledger_paths(folder: Path) -> list[Path]:
    """Their files."""
    return sorted(path for path in folder.glob("ledger*.jsonl") if _NAME.match(path.name))


def open_ledgers(folder: Path) -> list[Ledger]:
    """Those of a stopped run; none where there is no such run.

    Raises:
        InputError: one is damaged.
    """
    found = map(Ledger.open, ledger_paths(folder))
    return [ledger for ledger in found if ledger is not None]


def own_ledger(
    folder: Path, found: list[Ledger], ranks: Ranks, settings: Mapping[str, Any]
) -> Ledger:
    """This process's ledger of a stopped run, or a new one of a run that begins.

    Args:
        folder: Of the shards.
        found: All ledgers of the stopped run, none for a new run.
        ranks: Which process this is.
        settings: What the run must have been started with.

    Raises:
        ConfigError: it was started with others, or with another number of processes.
    """
    name = (
        "ledger.jsonl"
        if ranks.processes == 1
        else f"ledger-{ranks.rank}-of-{ranks.processes}.jsonl"
    )
    for ledger in found:
        ledger.require_settings(settings)
        match = _NAME.match(ledger.path.name)
        processes = int(match[2] or 1) if match else 1
        if processes != ranks.processes:
            raise ConfigError(
                f"cannot resume: the run was started with {processes} processes, and these are "
                f"{ranks.processes}. Use as many, or start again with --replace."
            )
        if ledger.path.name == name:
            return ledger
    return Ledger.create(folder / name, settings)


class Counted:
    """Documents, counted as they are read.

    Attributes:
        facts: What all processes of a run must have found alike, in the end.
    """

    def __init__(self, documents: Iterable[Document]) -> None:
        """Count these."""
        self._documents = documents
        self._count = 0
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[Document]:
        """Yield them, once."""
        for document in self._documents:
            self._count += 1
            self._digest.update(document.doc_id.encode(errors="surrogatepass") + b"\n")
            yield document

    @property
    def facts(self) -> dict[str, Any]:
        """How many, and the SHA-256 of their ids."""
        return {"documents": self._count, "their ids": self._digest.hexdigest()[:16]}


def require_alike(how: str, said: Sequence[Mapping[str, Any]]) -> None:
    """Check that the processes of a run have found or been given the same.

    Args:
        how: What they did, for the message.
        said: Of each process, by its number.

    Raises:
        ConfigError: naming what differs.
    """
    for rank, one in enumerate(said):
        for name, value in one.items():
            if value != said[0].get(name):
                raise ConfigError(
                    f"process {rank} of this run {how} {name} {value!r}, and process 0 "
                    f"{said[0].get(name)!r}. Give every process the same corpus, model and "
                    "settings."
                )
