"""The servers of one test run: found through the environment, or started when first asked for."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

from clusters import caretaker
from clusters.cluster import Cluster
from clusters.failures import ClusterError
from clusters.folders import cache
from clusters.releases import release_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

REQUIRE = "SPARSE_IR_REQUIRE_SERVERS"


class Servers:
    """Starts clusters for tests and ends them all.

    A shared server that could not be started is not tried again: every later test that asks for
    it hears the same reason at once.
    """

    def __init__(self) -> None:
        self._folder = cache() / "clusters" / f"tests-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._shared: dict[str, str | ClusterError] = {}
        self._made: list[Cluster] = []
        self._caretaker: subprocess.Popen[bytes] | None = None

    def url(self, kind: str) -> str:
        """The address of a server that all tests share.

        Raises:
            ClusterError: It could not be started, and why.
        """
        named = os.environ.get(variable(release_of(kind).kind))
        if named:
            return named.rstrip("/")
        if kind not in self._shared:
            try:
                self._shared[kind] = self.cluster(kind).start().url
            except ClusterError as error:
                self._shared[kind] = error
        found = self._shared[kind]
        if isinstance(found, ClusterError):
            raise found
        return found

    def cluster(
        self,
        kind: str,
        nodes: int = 1,
        settings: Mapping[str, Any] | None = None,
        *,
        heap: str = "400m",
        files: Mapping[str, str | bytes | Path] | None = None,
        auth: str | None = None,
        api_keys: bool = False,
    ) -> Cluster:
        """Make a throw-away cluster on free ports; it is not started yet."""
        if self._caretaker is None:
            self._folder.mkdir(parents=True)
            self._caretaker = caretaker.watch(self._folder)
        new = Cluster.create(
            self._folder / f"{kind}-{len(self._made)}",
            kind,
            node_count=nodes,
            heap=heap,
            settings=settings,
            files=files,
            auth=auth,
            api_keys=api_keys,
        )
        self._made.append(new)
        return new

    def close(self) -> None:
        """End and wipe everything that was started."""
        for cluster in self._made:
            cluster.stop(wipe=True)
        if self._caretaker is not None:
            self._caretaker.communicate()
            self._caretaker = None


def variable(kind: str) -> str:
    """The environment variable that names a running server of a kind."""
    return f"SPARSE_IR_TEST_{kind.upper()}"


def required() -> bool:
    """Whether a server that cannot be started fails the tests, rather than skips them."""
    return os.environ.get(REQUIRE, "") not in ("", "0")
