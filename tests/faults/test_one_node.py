"""The only node of a cluster is killed, or overwhelmed."""

from __future__ import annotations

import pytest

from faults.checks import require_exact
from faults.collection import make_collection
from sparse_ir.engines.opening import open_engine

DOCUMENTS = 2500
# one thread that writes and one request that waits: a third one at a time is refused
NARROW = {"node.processors": 1, "thread_pool.write.queue_size": 1}


@pytest.fixture(scope="module")
def cluster(file_cluster):
    return file_cluster("elasticsearch", settings=NARROW)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("one-node"), DOCUMENTS, seed=3)


def refused(cluster):
    """Requests that the write queue has turned away since the node started."""
    engine = open_engine(cluster.url)
    try:
        answer = engine.connection.call("GET", "/_nodes/stats/thread_pool")
        (node,) = answer["nodes"].values()
        return node["thread_pool"]["write"]["rejected"]
    finally:
        engine.close()


def test_what_a_full_write_queue_refuses_is_sent_again(cluster, collection, start_job):
    options = ("--in-flight", "8", "--bulk-documents", "20")
    ended = start_job(cluster.url, "narrow", collection, *options).end()
    assert ended.exit_code == 0, ended.err
    assert refused(cluster) > 0
    require_exact(cluster.url, "narrow", collection)


def test_a_run_waits_for_a_node_that_was_killed_and_comes_back(cluster, collection, start_job):
    job = start_job(cluster.url, "killed", collection)
    job.wait_for_chunks(5)
    cluster.kill()
    assert job.process.poll() is None
    cluster.start()
    ended = job.end()
    assert ended.exit_code == 0, ended.err
    require_exact(cluster.url, "killed", collection)
