"""A cluster of one or more server processes on loopback, each of which can be killed or frozen."""

from __future__ import annotations

import json
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

from clusters import configuration, health, homes, ports, processes
from clusters.api_keys import with_api_keys
from clusters.configuration import Ports
from clusters.failures import ClusterError
from clusters.java import java_home
from clusters.nodes import Node
from clusters.processes import Process
from clusters.releases import release_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STATE = "state.json"
POLL_SECONDS = 0.2
STOP_SECONDS = 30


class Cluster:
    """A cluster in a folder of its own, written down there: a later process finds it again.

    ``create`` and ``load`` make one. No secret is written down.

    Attributes:
        folder: Where its data, its config folders and its logs lie.
        kind: Which server, as in ``elasticsearch8``.
        settings: Node settings beyond those that every node is given. What is changed here
            holds from the next start of a node on.
        heap: Heap of every node, as in ``400m``.
        auth: ``user:password`` for our own health checks where security is on. For ``elastic``
            it also becomes the password of that user, before the first start.
        api_keys: Whether API keys and native users work (Elasticsearch 8 and 9).
    """

    def __init__(self, folder: Path, state: Mapping[str, Any], auth: str | None = None) -> None:
        self.folder = folder
        self.kind: str = state["kind"]
        self.settings: dict[str, Any] = dict(state["settings"])
        self.heap: str = state["heap"]
        self.api_keys = bool(state.get("api_keys"))
        self.auth = auth
        self._release = release_of(self.kind)
        self._nodes = [
            Node(
                self._release,
                folder / f"node-{index}",
                Ports(*pair),
                Process(*process) if process else None,
            )
            for index, (pair, process) in enumerate(
                zip(state["ports"], state["processes"], strict=True)
            )
        ]

    @classmethod
    def create(
        cls,
        folder: Path,
        kind: str,
        *,
        node_count: int = 1,
        port: int = 0,
        heap: str = "400m",
        settings: Mapping[str, Any] | None = None,
        files: Mapping[str, str | bytes | Path] | None = None,
        auth: str | None = None,
        api_keys: bool = False,
    ) -> Cluster:
        """Write a cluster down that has no running node yet.

        Args:
            folder: Is made; what was there stays.
            kind: Which server.
            node_count: How many nodes.
            port: HTTP port of the first node; 0 takes free ports.
            heap: Heap of every node.
            settings: Node settings.
            files: What to put into every node's config folder: name -> content, or file to copy.
            auth: ``user:password``, see the class.
            api_keys: See the class.
        """
        if node_count < 1:
            raise ClusterError(f"a cluster has at least one node, not {node_count}.")
        release_of(kind)
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "kind": kind,
            "ports": ports.choose(node_count, port),
            "heap": heap,
            "settings": dict(settings or {}),
            "api_keys": api_keys,
            "processes": [None] * node_count,
        }
        cluster = cls(folder.resolve(), state, auth)
        for node in cluster._nodes:
            node.config.mkdir(parents=True, exist_ok=True)
            configuration.put_files(node.config, files or {})
        cluster._save()
        return cluster

    @classmethod
    def load(cls, folder: Path, auth: str | None = None) -> Cluster | None:
        """Find the cluster of a folder again; None where there is none."""
        try:
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(folder.resolve(), state, auth)

    @property
    def name(self) -> str:
        """Of the cluster: the name of its folder."""
        return self.folder.name

    @property
    def urls(self) -> list[str]:
        """The address of every node."""
        secure = self.settings.get("xpack.security.http.ssl.enabled") in (True, "true")
        scheme = "https" if secure else "http"
        return [f"{scheme}://127.0.0.1:{node.ports.http}" for node in self._nodes]

    @property
    def url(self) -> str:
        """The address of the first node."""
        return self.urls[0]

    def pid(self, node: int = 0) -> int | None:
        """The process id of a node's server, None where it does not run."""
        return self._nodes[node].pid

    def log(self, node: int = 0) -> str:
        """All that a node has said since it was created."""
        return self._nodes[node].log()

    def health(self, node: int = 0) -> dict[str, Any]:
        """What a node says about the health of the cluster.

        Raises:
            OSError: It does not answer.
            ValueError: Its answer is no JSON.
        """
        answer: dict[str, Any] = health.get(f"{self.urls[node]}/_cluster/health", self.auth)
        return answer

    def require(self) -> tuple[Path, Path]:
        """Return the server's home and its Java, which are all that a start needs.

        Raises:
            ClusterError: This machine cannot start it, and why.
        """
        processes.prefix()
        home, java = homes.fetch(self._release), java_home(self._release)
        return with_api_keys(self._release, home, java) if self.api_keys else home, java

    def start(self, *, node: int | None = None, timeout_seconds: float = 300) -> Cluster:
        """Start the nodes that do not run, on the data they have; wait until all is well.

        Args:
            node: Only this one; None starts all.
            timeout_seconds: How long the cluster may take to be yellow or better with all nodes
                that are to run.

        Raises:
            ClusterError: A node died, or it took too long. What was started here is ended again.
        """
        home, java = self.require()
        down = [one for one in self._chosen(node) if one.pid is None]
        for one in down:
            ports.require_free(one.ports)
        try:
            for one in down:
                self._launch(one, home, java)
            self._settle(down, time.monotonic() + timeout_seconds)
        except BaseException:
            for one in down:
                one.kill()
            raise
        return self

    def kill(self, node: int | None = None) -> None:
        """End a node, or all, with SIGKILL; return when it is gone."""
        for one in self._chosen(node):
            one.kill()

    def stop_signal(self, node: int | None = None) -> None:
        """Freeze a node, or all, with SIGSTOP: it keeps its connections and answers nothing."""
        self.send(signal.SIGSTOP, node)

    def cont(self, node: int | None = None) -> None:
        """Let a frozen node, or all, go on."""
        self.send(signal.SIGCONT, node)

    def send(self, number: signal.Signals, node: int | None = None) -> None:
        """Send a signal to a node, or to all; those that do not run are passed over."""
        for one in self._chosen(node):
            one.send(number)

    def stop(self, *, wipe: bool = False) -> None:
        """Shut all nodes down.

        Args:
            wipe: Drop the folder with all data too. Nothing is worth a tidy end then, so the
                nodes are killed.
        """
        self.cont()
        if not wipe:
            self.send(signal.SIGTERM)
            end = time.monotonic() + STOP_SECONDS
            while any(one.pid for one in self._nodes) and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
        self.kill()
        if wipe:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _chosen(self, node: int | None) -> list[Node]:
        if node is None:
            return self._nodes
        if not 0 <= node < len(self._nodes):
            raise ClusterError(f"{self.name} has the nodes 0 to {len(self._nodes) - 1}, no {node}.")
        return [self._nodes[node]]

    def _launch(self, node: Node, home: Path, java: Path) -> None:
        release, index = self._release, self._nodes.index(node)
        for path in (node.config, self.folder / "data" / f"node-{index}", self.folder / "repo"):
            path.mkdir(parents=True, exist_ok=True)
        all_ports = [one.ports for one in self._nodes]
        settings = configuration.node_settings(self.name, release, all_ports, index, self.folder)
        configuration.write_config(release, home, java, node.config)
        configuration.write_settings(
            node.config / f"{release.product}.yml", settings | self.settings
        )
        user, _, password = (self.auth or "").partition(":")
        if release.product == "elasticsearch" and user == "elastic":
            configuration.set_bootstrap_password(home, node.config, java, password)
        node.launch(home, java, heap=self.heap)
        self._save()

    def _settle(self, started: list[Node], deadline: float) -> None:
        """Wait until every started node has its pid and the cluster is yellow or better."""
        while True:
            known = [one.process for one in self._nodes]
            pending = [one for one in started if not one.has_server()]
            if known != [one.process for one in self._nodes]:
                self._save()  # at once: whoever cleans up after us reads it
            if not pending and self._is_well(started):
                return
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{self.kind} was not healthy in time; see {self.folder}/node-*/node.log"
                )
            time.sleep(POLL_SECONDS)

    def _is_well(self, started: list[Node]) -> bool:
        """Every node started answers on its own address: it joins before it opens that."""
        alive = [index for index, one in enumerate(self._nodes) if one.pid]
        if not alive:
            return False
        asked = {alive[0], *(index for index in alive if self._nodes[index] in started)}
        try:
            answers = [self.health(index) for index in sorted(asked)]
        except (OSError, ValueError):
            return False
        return all(
            answer["status"] != "red" and answer["number_of_nodes"] >= len(alive)
            for answer in answers
        )

    def _save(self) -> None:
        state = {
            "kind": self.kind,
            "ports": [one.ports for one in self._nodes],
            "heap": self.heap,
            "settings": self.settings,
            "api_keys": self.api_keys,
            "processes": [one.process for one in self._nodes],
        }
        part = self.folder / f"{STATE}.part"
        part.write_text(json.dumps(state, indent=1, default=str), encoding="utf-8")
        part.replace(self.folder / STATE)
