"""One of three nodes is killed."""

from __future__ import annotations

import threading

import pytest

from faults.checks import builds, index_settings, require_exact
from faults.collection import RELATIVE, make_collection, queries
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import EngineError

DOCUMENTS = 2500
K = 50


@pytest.fixture(scope="module")
def cluster(file_cluster):
    return file_cluster("opensearch", nodes=3, heap="256m")


@pytest.fixture(scope="module")
def address(cluster):
    return "opensearch:" + ",".join(cluster.urls)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("three-nodes"), DOCUMENTS, seed=4)


def holder(address, index):
    """The number of a node that holds a shard of an index, and is not the master."""
    engine = open_engine(address)
    try:
        master = engine.connection.call("GET", "/_cat/master", params={"format": "json"})
        rows = engine.connection.call("GET", f"/_cat/shards/{index}", params={"format": "json"})
        names = sorted({row["node"] for row in rows if row["node"]} - {master[0]["node"]})
        return int(names[0].removeprefix("node-"))
    finally:
        engine.close()


def test_a_run_waits_out_the_shards_of_a_dead_node(cluster, address, collection, start_job):
    job = start_job(address, "loading", collection, "--shards", "3")
    job.wait_for_chunks(5)
    job.pause()
    (build,) = builds(address, "loading")
    node = holder(address, build)
    job.go_on()
    cluster.kill(node)
    at_least_red(cluster, address)
    assert job.process.poll() is None
    cluster.start(node=node)
    ended = job.end()
    assert ended.exit_code == 0, ended.err
    require_exact(address, "loading", collection)


def at_least_red(cluster, address):
    """Wait until the cluster knows that shards are gone."""
    engine = open_engine(address)
    try:
        params = {"wait_for_nodes": "2", "timeout": "30s"}
        health = engine.connection.call("GET", "/_cluster/health", params=params)
        assert health["status"] == "red"
    finally:
        engine.close()


class Searcher(threading.Thread):
    """Searches all the time; every answer is whole or an error."""

    def __init__(self, address, index, collection):
        super().__init__(daemon=True)
        self.whole = 0
        self.errors = []
        self.short = []
        self._address, self._index = address, index
        self._queries = queries(21, 4, 40)
        self._right = [[s for _, s in collection.top(q, K)] for q in self._queries]
        self._enough = threading.Event()

    def run(self):
        engine = open_engine(self._address)
        requests = [SearchRequest(query, k=K) for query in self._queries]
        while not self._enough.is_set():
            for batch in ([requests[0]], requests):  # alone, and many in one call
                try:
                    answers = engine.search(self._index, batch)
                except EngineError as error:
                    self.errors.append(str(error))
                    continue
                for hits, right in zip(answers, self._right, strict=False):
                    if [hit.score for hit in hits] == pytest.approx(right, rel=RELATIVE):
                        self.whole += 1
                    else:
                        self.short.append(len(hits))
        engine.close()

    def stop(self):
        self._enough.set()
        self.join(120)

    def wait_for(self, answers):
        start = self.whole
        while self.whole < start + answers and self.is_alive():
            self._enough.wait(0.02)


def test_a_search_answers_whole_or_fails_while_a_node_dies(
    cluster, address, collection, index_whole
):
    index_whole(address, "searched", collection, "--shards", "3", "--replicas", "1")
    engine = open_engine(address)
    params = {"wait_for_status": "green", "timeout": "60s"}
    assert engine.connection.call("GET", "/_cluster/health", params=params)["status"] == "green"
    assert index_settings(engine, "searched")["number_of_replicas"] == "1"
    engine.close()
    searcher = Searcher(address, "searched", collection)
    searcher.start()
    searcher.wait_for(50)
    cluster.kill(holder(address, "searched"))
    searcher.wait_for(100)
    searcher.stop()
    assert searcher.short == []
    assert searcher.whole >= 150
    require_exact(address, "searched", collection)
