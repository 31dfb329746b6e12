"""Fixtures that give tests real servers.

A server is taken from the environment (``SPARSE_IR_TEST_OPENSEARCH``, ``..._ELASTICSEARCH``,
``..._ELASTICSEARCH8``, ``..._ELASTICSEARCH7``, each a URL), or else started on this machine once a
test run. Where neither works the test is skipped with one line that says what is missing; with
``SPARSE_IR_REQUIRE_SERVERS=1`` it fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from clusters.failures import ClusterError
from clusters.servers import Servers, required, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from clusters.cluster import Cluster

NAMES = {"server_url", "own_cluster"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that takes one of these fixtures, so that nobody has to remember it."""
    for item in items:
        if NAMES & set(getattr(item, "fixturenames", ())):
            item.add_marker("server")


@pytest.fixture(scope="session")
def _servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def server_url(_servers: Servers) -> Callable[[str], str]:
    """``server_url("elasticsearch8")`` is the address of a server that all tests share.

    The kinds are opensearch, elasticsearch, elasticsearch8 and elasticsearch7. A test gives its
    indexes names of their own and leaves cluster settings as they were.
    """

    def url(kind: str) -> str:
        try:
            return _servers.url(kind)
        except ClusterError as error:
            reason = f"{error} Or set {variable(kind)} to the URL of a server."
        _do_without(reason)

    return url


@pytest.fixture
def own_cluster(_servers: Servers) -> Iterator[Callable[..., Cluster]]:
    """Start a throw-away cluster, which a test may kill, freeze and starve; it ends with the test.

    ``own_cluster("opensearch", nodes=3, settings={"thread_pool.write.queue_size": 1})``. Further
    keywords: heap, files (name in the config folder -> content, or path of the file), auth
    (``user:password``), api_keys (True: they work, on Elasticsearch 8 and 9), and start (False
    leaves the start to the test).
    """
    made: list[Cluster] = []

    def cluster(
        kind: str,
        nodes: int = 1,
        settings: Mapping[str, Any] | None = None,
        *,
        heap: str = "400m",
        files: Mapping[str, str | bytes | Path] | None = None,
        auth: str | None = None,
        api_keys: bool = False,
        start: bool = True,
    ) -> Cluster:
        try:
            new = _servers.cluster(
                kind, nodes, settings, heap=heap, files=files, auth=auth, api_keys=api_keys
            )
            made.append(new)
            if start:
                new.start()
            else:
                new.require()
            return new
        except ClusterError as error:
            reason = str(error)
        _do_without(reason)

    yield cluster
    for one in made:
        one.stop(wipe=True)


def _do_without(reason: str) -> NoReturn:
    if required():
        pytest.fail(f"no server: {reason}", pytrace=False)
    pytest.skip(f"no server: {reason}")
