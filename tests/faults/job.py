"""``sparse-ir index`` in a process of its own, which can be killed and interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from faults.collection import Collection

CHUNK = 100
TIMEOUT = 240


class Ended(NamedTuple):
    """How a run ended."""

    exit_code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """Of what it said about its end."""
        return self.err.strip().splitlines()[-1]


class Job:
    """One run; in chunks of 100 documents, so that there is a middle."""

    def __init__(self, address: str, index: str, collection: Collection, *options: str) -> None:
        """Start it."""
        self._index = index
        command = [
            sys.executable, "-m", "sparse_ir", "index", "--corpus", str(collection.corpus),
            "--vectors", str(collection.shards), "--engine", address, "--index", index,
            "--chunk-documents", str(CHUNK), *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell's background job ignores Ctrl-C, and so would its children
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def acknowledged(self) -> int:
        """Chunks that are in, by the ledger."""
        ledgers = Path(os.environ["SPARSE_IR_HOME"], "state").glob(f"*/{self._index}.jsonl")
        return max((p.read_bytes().count(b"\n") - 1 for p in ledgers), default=0)

    def wait_for_chunks(self, count: int, seconds: float = 120) -> None:
        """Wait until it is so far; it must not be through by then."""
        self.wait_until(lambda: self.acknowledged() >= count, seconds)

    def wait_until(self, reached: Callable[[], bool], seconds: float = 120) -> None:
        """Wait for something that happens while it runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if reached():
                return
            time.sleep(0.005)
        said = self.process.communicate()[1] if self.process.poll() is not None else ""
        pytest.fail(f"not so far in time (exit code {self.process.poll()}): {said}")

    def pause(self) -> None:
        """Freeze it where it is, so that nothing here need hurry."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with -9; it must have been in the middle."""
        self.process.kill()
        self.process.communicate()
        assert self.process.returncode == -signal.SIGKILL

    def interrupt(self) -> Ended:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.go_on()
        return self.end()

    def leave_nothing(self) -> None:
        """Kill it if it still runs, and let go of what it wrote."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> Ended:
        """Wait until it is over."""
        try:
            out, err = self.process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            pytest.fail(f"not over after {TIMEOUT} s")
        return Ended(self.process.returncode, out, err)
