"""Whose the folders of a run are: free, a stopped run's to go on with, or somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError, InputError
from sparse_ir.models import saved_files
from sparse_ir.training import checkpoints, work_folder
from sparse_ir.training.gather import rank, world_size
from sparse_ir.training.history import CURVE, LOG, VALIDATION
from sparse_ir.training.losses import NEED_OWN_TEACHER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sparse_ir.data.examples_table import ExampleTable
    from sparse_ir.training.settings import TrainSettings

_SCORED_LOOK = 1000  # examples looked at for a teacher's scores
_WRITTEN = (
    LOG, VALIDATION, f"{CURVE}.svg", f"{CURVE}.png", checkpoints.FINISHED_NAME, "runs",
)  # fmt: skip


def require_free(out: Path, work: Path, settings: TrainSettings) -> None:
    """Refuse to write over what nobody said to go on with or to replace.

    Raises:
        ConfigError: a model, an unfinished run or something else is there.
    """
    saved_files.require_free(out, replace=settings.replace)
    work_folder.require_ours(work, "train")
    waiting = checkpoints.last_whole(work) is not None
    if waiting and not settings.resume and not settings.replace:
        raise ConfigError(f"{work} holds an unfinished run. Go on with --resume, or --replace.")


def require_fitting(tables: list[ExampleTable], settings: TrainSettings) -> None:
    """Refuse settings that these examples and processes cannot serve.

    Raises:
        ConfigError: a loss needs scores that a source does not have, or a process would have no
            query of a batch.
        InputError: a source has fewer examples than a batch.
    """
    for table in tables:
        if len(table) < settings.batch.queries:
            raise InputError(
                f"{table.name} has {len(table)} examples, a batch wants {settings.batch.queries}. "
                "Lower batch.queries."
            )
    if settings.batch.queries < world_size():
        raise ConfigError(
            f"batch.queries is {settings.batch.queries}, of all {world_size()} processes together. "
            "Use at least one each."
        )
    needing = sorted(NEED_OWN_TEACHER & settings.losses.keys())
    for table in tables if needing else ():
        first = range(min(len(table), _SCORED_LOOK))
        if all(table[i].scores is None for i in first):
            raise ConfigError(
                f"The loss {needing[0]} needs a teacher's scores, and {table.name} has none. Add "
                "them by sparse-ir distill, or use in_batch_hard or pairwise."
            )


def claim(work: Path, settings: TrainSettings, content: Mapping[str, str]) -> Path | None:
    """Make the run's folder ours.

    With ``resume`` and ``replace`` a stopped run goes on if it is the same run; a finished one, or
    one with other settings or examples, is thrown away.

    Args:
        work: The folder of checkpoints and logs.
        settings: Of the run.
        content: By ``checkpoints.contents``.

    Returns:
        The checkpoint to go on from, or None.

    Raises:
        ConfigError: the stopped run is another one, and nothing was said of replacing it.
        InputError: its checkpoint is damaged, likewise.
    """
    last = checkpoints.last_whole(work)
    if settings.replace:
        same = settings.resume and last is not None and not checkpoints.is_finished(work)
        if not (same and last is not None and checkpoints.is_same_run(last, settings, content)):
            last = None
            if rank() == 0:
                work_folder.clear(work, _WRITTEN)
    elif last is not None:
        checkpoints.require_same_run(last, settings, content)
    if rank() == 0:
        work_folder.take(work, "train")
        checkpoints.remove_unfinished(work)
    return last
