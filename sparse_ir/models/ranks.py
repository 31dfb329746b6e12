"""The processes of one run, started by torchrun on one machine or on several.

They share a folder. Each does the parts of the work that fall to its number, and they wait for one
another where one must be finished before others go on.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.errors import ConfigError, EncodingError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = timedelta(days=30)  # the slowest process may be days behind


class Ranks(NamedTuple):
    """Which of the processes this one is.

    Attributes:
        rank: Its number, from 0.
        processes: How many there are.
    """

    rank: int = 0
    processes: int = 1

    @classmethod
    def of_environment(cls) -> Ranks:
        """Read RANK and WORLD_SIZE, as torchrun sets them; a process alone has neither.

        Raises:
            ConfigError: they are no numbers that go together.
        """
        given = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        try:
            rank, processes = map(int, given)
        except ValueError:
            rank, processes = -1, 0
        if not 0 <= rank < processes:
            raise ConfigError(
                f"RANK is {given[0]!r} and WORLD_SIZE {given[1]!r}. Start the processes with "
                "torchrun, or unset both."
            )
        return cls(rank, processes)

    @property
    def first(self) -> bool:
        """Whether this process does what one must do for all."""
        return self.rank == 0

    def has(self, number: int) -> bool:
        """Whether part ``number`` of the work is this process's."""
        return number % self.processes == self.rank

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Meet the other processes; ``wait`` works within.

        Raises:
            ConfigError: MASTER_ADDR and MASTER_PORT are missing, or nobody answers there.
        """
        if self.processes == 1:
            yield
            return
        import torch.distributed as dist

        try:
            dist.init_process_group("gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"process {self.rank} of {self.processes} cannot meet the others: "
                f"{str(error).splitlines()[0]} Start them with torchrun."
            ) from error
        try:
            yield
        finally:
            dist.destroy_process_group()

    def wait(self) -> None:
        """Return once every process is here.

        Raises:
            EncodingError: another process has ended.
        """
        if self.processes == 1:
            return
        import torch.distributed as dist

        try:
            dist.barrier()
        except RuntimeError as error:
            raise EncodingError(
                f"another process of this run has ended, so process {self.rank} stops too. What "
                "is finished is kept: go on with --resume."
            ) from error
