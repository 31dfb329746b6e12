"""The ledgers of an encoding run: one for each process that takes part, in the folder of shards."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sparse_ir.data.ledger import Ledger
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparse_ir.models.ranks import Ranks

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
