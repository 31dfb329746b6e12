"""One command line in a process group of its own, which can be killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT = 300
KNOWN_CODES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130, 143})


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code: Its exit code; negative for the signal that killed it.
        err: What it wrote to standard error.
    """

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The last line of what it said."""
        lines = [line for line in self.err.strip().splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def fault(self) -> str:
        """What is wrong with the way it ended, or nothing."""
        if self.code == -signal.SIGKILL:
            return ""
        if "Traceback" in self.err:
            return f"a traceback: {self.last}"
        if self.code not in KNOWN_CODES:
            return f"exit code {self.code}: {self.last}"
        if self.code and not self.last:
            return f"exit code {self.code} without a word"
        return ""


class Process:
    """A command that runs."""

    def __init__(
        self, command: Sequence[str], home: Path, *, environment: dict[str, str] | None = None
    ) -> None:
        """Start it."""
        surroundings = {
            **os.environ,
            "SPARSE_IR_HOME": str(home),
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        }
        self._process = subprocess.Popen(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=surroundings,
            start_new_session=True,
            # a shell's background job ignores Ctrl-C, and so would its children
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def after(self, seconds: float) -> bool:
        """Wait; whether it still runs then."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return False
        return True

    def until(self, reached: object, seconds: float = TIMEOUT) -> bool:
        """Wait until ``reached()`` is true; whether it still runs then."""
        end = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end:
            if reached():  # type: ignore[operator]
                return True
            time.sleep(0.005)
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send it to this process alone."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def signal_all(self, number: signal.Signals) -> None:
        """Send it to this process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def workers(self) -> list[int]:
        """The processes that it started and that live."""
        with suppress(psutil.Error):
            return [child.pid for child in psutil.Process(self._process.pid).children()]
        return []

    def end(self) -> Ended:
        """Wait until it is over."""
        try:
            out, err = self._process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.signal_all(signal.SIGKILL)
            out, err = self._process.communicate()
            return Ended(99, out, f"not over after {TIMEOUT} s: {err[-300:]}")
        return Ended(self._process.returncode, out, err)
