"""Clusters that the tests of one file share: a start takes half a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clusters.failures import ClusterError
from clusters.fixtures import _do_without

from faults.job import Ended, Job
from sparse_ir.engines.opening import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clusters.cluster import Cluster
    from clusters.servers import Servers

    from faults.collection import Collection


@pytest.fixture(scope="module")
def file_cluster(_servers: Servers) -> Iterator[Callable[..., Cluster]]:
    """As ``own_cluster``; it ends with the file."""
    made: list[Cluster] = []

    def cluster(kind: str, **options: Any) -> Cluster:
        try:
            made.append(_servers.cluster(kind, **options))
            return made[-1].start()
        except ClusterError as error:
            _do_without(error)

    yield cluster
    for one in made:
        one.stop(wipe=True)


@pytest.fixture
def start_job() -> Iterator[Callable[..., Job]]:
    """Start a ``Job``; it ends with the test at the latest."""
    started: list[Job] = []

    def start(address: str, index: str, collection: Collection, *options: str) -> Job:
        started.append(Job(address, index, collection, *options))
        return started[-1]

    yield start
    for job in started:
        job.leave_nothing()


@pytest.fixture
def index_whole(start_job: Callable[..., Job]) -> Callable[..., Ended]:
    """Index without any fault."""

    def index(address: str, index: str, collection: Collection, *options: str) -> Ended:
        ended = start_job(address, index, collection, *options).end()
        assert ended.exit_code == 0, ended.err
        return ended

    return index


@pytest.fixture
def free_name(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """The name of an index of this test alone in a cluster that others use too."""
    used: list[str] = []

    def name(address: str) -> str:
        drop_builds(address, "faults")
        used.append(address)
        return "faults"

    yield name
    for address in used:
        drop_builds(address, "faults")


def drop_builds(address: str, index: str) -> None:
    """Remove an index and every build of it."""
    engine = open_engine(address)
    try:
        for build in engine.builds(index):
            engine.drop(build)
    finally:
        engine.close()
