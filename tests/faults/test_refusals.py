"""A server that takes no writes for a while, or for good, and documents it will never take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults.checks import SERVING, builds, require_exact, setup_of
from faults.collection import make_collection
from faults.job import CHUNK
from faults.proxy import BadProxy
from sparse_ir.engines.opening import open_engine

DOCUMENTS = 1500
LONGEST_TERM = 32766  # bytes, in Lucene
FIELDS = 1000  # that a mapping may have, by default


def block(address, index, value):
    """What a server does by itself to the indexes of a node whose disk is full."""
    engine = open_engine(address)
    try:
        setting = {"index.blocks.read_only_allow_delete": value}
        engine.connection.call("PUT", f"/{index}/_settings", setting)
    finally:
        engine.close()


def test_a_run_waits_until_the_disk_has_room_again(server_url, free_name, tmp_path, start_job):
    address = server_url("elasticsearch")
    name = free_name(address)
    collection = make_collection(tmp_path / "one", DOCUMENTS, seed=8)
    with BadProxy(address) as proxy:
        job = start_job(proxy.url, name, collection)
        job.wait_for_chunks(3)
        job.pause()
        (build,) = builds(address, name)
        block(address, build, value=True)
        job.go_on()
        job.wait_until(lambda: proxy.blocked >= 3)
        assert job.acknowledged() < DOCUMENTS // CHUNK
        block(address, build, value=None)
        ended = job.end()
    assert ended.exit_code == 0, ended.err
    require_exact(address, name, collection)


def test_a_run_gives_up_in_one_line_when_its_patience_ends(
    server_url, free_name, tmp_path, start_job, index_whole
):
    address = server_url("opensearch")
    name = free_name(address)
    collection = make_collection(tmp_path / "one", DOCUMENTS, seed=9)
    job = start_job(address, name, collection, "--patience", "2")
    job.wait_for_chunks(3)
    job.pause()
    (build,) = builds(address, name)
    block(address, build, value=True)
    job.go_on()
    ended = job.end()
    assert ended.exit_code == 5
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert errors == [ended.last_line]
    assert "took nothing for 2 s" in ended.last_line
    assert "read-only-allow-delete block" in ended.last_line
    assert "--resume" in ended.last_line
    block(address, build, value=None)
    index_whole(address, name, collection, "--resume")
    assert builds(address, name) == [build]
    require_exact(address, name, collection)


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_refused_documents_are_named_with_the_servers_reason_and_the_rest_is_in(
    kind, server_url, free_name, tmp_path, start_job
):
    address = server_url(kind)
    name = free_name(address)
    many = {f"field{i}": i for i in range(FIELDS)}
    collection = make_collection(
        tmp_path / "one",
        DOCUMENTS,
        seed=10,
        terms={"d250": "x" * (LONGEST_TERM + 1)},
        metadata={"d777": many},
    )
    kept = {i: v for i, v in collection.kept.items() if i not in ("d250", "d777")}
    ended = start_job(address, name, collection, "--json").end()
    assert ended.exit_code == 7
    assert "2 documents were refused" in ended.last_line
    report = json.loads(ended.out)
    assert (report["documents"], report["rejected"]) == (len(kept), 2)
    rejects = [json.loads(line) for line in Path(report["rejects"]).read_text().splitlines()]
    reasons = {row["doc_id"]: row["reason"] for row in rejects}
    assert set(reasons) == {"d250", "d777"}
    assert "immense term" in reasons["d250"] or "32766" in reasons["d250"]
    assert "Limit of total fields" in reasons["d777"]
    require_exact(address, name, collection._replace(kept=kept))
    again = start_job(address, name, collection, "--resume", "--json").end()
    assert again.exit_code == 7
    assert json.loads(again.out)["rejected"] == 2
    assert json.loads(again.out)["documents"] == len(kept)


def test_an_error_in_the_middle_leaves_a_build_as_a_searching_index_is_set_up(
    server_url, free_name, tmp_path, start_job, index_whole
):
    address = server_url("elasticsearch")
    name = free_name(address)
    collection = make_collection(tmp_path / "one", DOCUMENTS, seed=11)
    whole = collection.corpus.read_text()
    lines = whole.splitlines(keepends=True)
    collection.corpus.write_text("".join(lines[:1000]) + "no JSON\n" + "".join(lines[1000:]))
    ended = start_job(address, name, collection).end()
    assert ended.exit_code == 3
    assert "line 1001" in ended.last_line
    (build,) = builds(address, name)
    assert setup_of(address, build) == SERVING
    collection.corpus.write_text(whole)
    index_whole(address, name, collection, "--resume")
    assert builds(address, name) == [build]
    require_exact(address, name, collection)
