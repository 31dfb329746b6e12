"""The most memory that this process had resident, over a stretch of work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psutil

from sparse_ir.models.memory import give_back_memory

if TYPE_CHECKING:
    from types import TracebackType

_EVERY = 0.02  # seconds


class PeakMemory:
    """Looks at the process's resident memory while a ``with`` block runs.

    Attributes:
        bytes: The most that was seen.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._process = psutil.Process()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        give_back_memory()
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, int(self._process.memory_info().rss))
