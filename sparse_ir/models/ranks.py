"""The processes of one run, started by torchrun on one machine or on several.

They share a folder. Each does the parts of the work that fall to its number, and they wait for one
another where one must be finished before others go on.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sparse_ir.errors import ConfigError, EncodingError, brief

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_PATIENCE = timedelta(days=30)  # the slowest process may be days behind
_MEETING = timedelta(minutes=10)  # all must have begun by then


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
            dist.init_process_group(
                "gloo",
                store=self._met(),
                rank=self.rank,
                world_size=self.processes,
                timeout=_PATIENCE,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"process {self.rank} of {self.processes} cannot meet the others: "
                f"{brief(error)}. Start them with torchrun."
            ) from error
        if os.environ.get("TORCHELASTIC_RUN_ID"):
            threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        try:
            yield
        finally:
            dist.destroy_process_group()

    def _met(self) -> Any:
        """Find the store that all share, once all of them are there.

        Raises:
            RuntimeError: some are not, after some minutes.
            ValueError: the environment does not say where to meet.
        """
        from torch.distributed import rendezvous  # type: ignore[attr-defined]
        from torch.distributed.distributed_c10d import PrefixStore

        store, _, _ = next(iter(rendezvous("env://", timeout=_MEETING)))
        again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"sparse_ir/{again}", store)
        store.set(f"here/{self.rank}", "1")
        store.wait([f"here/{rank}" for rank in range(self.processes)], _MEETING)
        store.set_timeout(_PATIENCE)
        return store

    def first_says(self, value: T) -> T:
        """What the first process has for it; to be called by all.

        Raises:
            EncodingError: another process has ended.
        """
        return self.all_say(value)[0]

    def all_say(self, value: T) -> list[T]:
        """What each process has for it, by its number; to be called by all.

        Raises:
            EncodingError: another process has ended.
        """
        if self.processes == 1:
            return [value]
        import torch.distributed as dist

        said: list[Any] = [None] * self.processes
        with self._together():
            dist.all_gather_object(said, value)
        return said

    def wait(self) -> None:
        """Return once every process is here.

        Raises:
            EncodingError: another process has ended.
        """
        if self.processes == 1:
            return
        import torch.distributed as dist

        with self._together():
            dist.barrier()

    @contextmanager
    def _together(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise EncodingError(
                f"another process of this run has ended, so process {self.rank} stops too. What "
                "is finished is kept: go on with --resume."
            ) from error


def _end_with(parent: int) -> None:
    """End once torchrun is gone, which would leave this process writing beside a later run."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(EncodingError.exit_code)
