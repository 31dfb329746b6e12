"""Server processes: told from later ones of the same id, signalled, and ended with their group."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from clusters.failures import MissingError


class Process(NamedTuple):
    """A running process as it is written down.

    Attributes:
        pid: Its id.
        born: When it started, in clock ticks since boot: tells it from a later one of that id.
        group: The process group, led by what was started for this node.
    """

    pid: int
    born: int
    group: int

    def is_alive(self) -> bool:
        """Whether it still runs, and is the one that was written down."""
        return birth(self.pid) == self.born

    def send(self, number: signal.Signals) -> None:
        """Send a signal, where the process is still there."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """End it and whatever it started, at once; waits until it is gone."""
        if self.is_alive():
            kill_group(self.group)
        while self.is_alive():
            time.sleep(0.02)


def kill_group(group: int) -> None:
    """End every process of a group at once; none may be left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def of_pid(pid: int, group: int) -> Process | None:
    """Write a running process down; None where there is none of that id."""
    born = birth(pid)
    return None if born is None else Process(pid, born, group)


def birth(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie.

    A zombie whose other threads are still ending holds its ports, and is not gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        words = fields.rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    state, threads, started = words[0], int(words[17]), int(words[19])
    return None if state == "Z" and threads <= 1 else started


@functools.cache
def prefix() -> tuple[str, ...]:
    """What goes before a server's command: the servers refuse to run as root.

    The root of a container becomes user 1000 of a user namespace, who owns the same files.

    Raises:
        MissingError: This is no Linux, or a root who may make no user namespace.
    """
    if not Path("/proc/self/stat").exists():
        raise MissingError("servers are started on Linux only; elsewhere use docker/compose.yaml.")
    if os.geteuid():
        return ()
    command = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], stderr=subprocess.DEVNULL, check=False).returncode
    ):
        raise MissingError(
            "the servers refuse to run as root, and `unshare --user` is not allowed here; "
            "run the tests as another user."
        )
    return command
