"""One node: its process, its folder, its log."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from typing import TYPE_CHECKING

from clusters import commands, processes
from clusters.failures import ClusterError

if TYPE_CHECKING:
    import signal
    from pathlib import Path

    from clusters.configuration import Ports
    from clusters.processes import Process
    from clusters.releases import Release

UNWANTED = ("JAVA_TOOL_OPTIONS", "CLASSPATH", "SPARSE_IR_CLUSTER_AUTH")


class Node:
    """A server process that can be started, signalled and found again.

    Attributes:
        folder: ``config``, ``tmp``, ``logs``, ``node.log``, and ``pid`` once it is known.
        ports: Where it listens.
        process: What is known of its process; while Elasticsearch starts, of its starter.
    """

    def __init__(
        self, release: Release, folder: Path, ports: Ports, process: Process | None
    ) -> None:
        self.folder = folder
        self.ports = ports
        self.process = process
        self._release = release
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """Its config folder."""
        return self.folder / "config"

    @property
    def pid(self) -> int | None:
        """The process id of its server, None where it does not run."""
        return self.process.pid if self.process and self.process.is_alive() else None

    def log(self) -> str:
        """All that it has said since it was created."""
        try:
            return (self.folder / "node.log").read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def launch(self, home: Path, java: Path, *, heap: str) -> None:
        """Start it, whose config folder is written, as the leader of a process group.

        Args:
            home: The server.
            java: The Java to run it.
            heap: Heap of the Java machine, as in ``400m``.
        """
        for name in ("tmp", "logs"):
            (self.folder / name).mkdir(exist_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)
        prepare = getattr(commands, self._release.product)
        command, extra = prepare(home, java, self.folder, heap)
        environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
        with (self.folder / "node.log").open("ab") as log:
            child = subprocess.Popen(
                [*processes.prefix(), *command],
                env=environment | extra,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._child = child
        self.process = processes.of_pid(child.pid, child.pid)

    def has_server(self) -> bool:
        """Whether the process of the server itself is known by now.

        Raises:
            ClusterError: It, or what starts it, has died.
        """
        if self._child is None:
            return True
        code, starter = self._child.poll(), self._child.pid
        if self._release.product == "elasticsearch":
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.folder / "pid").read_text(encoding="ascii"))
                self.process = processes.of_pid(pid, starter) or self.process
        known = self.process is not None and (
            self._release.product == "opensearch" or self.process.pid != starter
        )
        if code not in (None, 0) or (known and self.pid is None):
            raise ClusterError(f"{self._release.kind} died while it started: {self._last_words()}")
        return known

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, where it runs."""
        if self.process:
            self.process.send(number)

    def kill(self) -> None:
        """End it, and what starts it, with SIGKILL; return when it is gone."""
        if self.process:
            self.process.kill_group()
        if self._child is not None:
            if self._child.poll() is None:
                processes.kill_group(self._child.pid)
            self._child.wait()
            self._child = None

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log().splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"Exception: |Exception\[|Error: ", line)]
        return ((telling or lines or ["it said nothing"])[-1])[:400]
