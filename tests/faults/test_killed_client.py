"""The program that indexes dies or is stopped in the middle."""

from __future__ import annotations

from faults.checks import LOADING, SERVING, builds, require_exact, setup_of
from faults.collection import make_collection
from faults.reader import Reader

OLD, NEW = 300, 2500


def test_a_killed_run_resumes_to_an_uninterrupted_one_and_readers_see_no_gap(
    server_url, free_name, tmp_path, start_job, index_whole
):
    address = server_url("opensearch")
    name = free_name(address)
    old = make_collection(tmp_path / "old", OLD, seed=1)
    new = make_collection(tmp_path / "new", NEW, seed=2)
    index_whole(address, name, old)
    reader = Reader(address, name, old, new)
    reader.start()
    try:
        for option in ("--replace", "--resume"):  # killed twice
            job = start_job(address, name, new, option, "--drop-old")
            job.wait_for_chunks(job.acknowledged() + 4)
            job.kill()
            reader.wait_for(20, "old")
        killed = builds(address, name)[-1]
        assert setup_of(address, killed) == LOADING
        index_whole(address, name, new, "--resume", "--drop-old")
        reader.wait_for(20, "new")
    finally:
        reader.stop()
    reader.require_whole(OLD, NEW)
    assert builds(address, name) == [killed]
    require_exact(address, name, new)


def test_ctrl_c_leaves_a_build_as_a_searching_index_is_set_up(
    server_url, free_name, tmp_path, start_job, index_whole
):
    address = server_url("elasticsearch")
    name = free_name(address)
    new = make_collection(tmp_path / "new", NEW, seed=2)
    job = start_job(address, name, new)
    job.wait_for_chunks(3)
    job.pause()
    (build,) = builds(address, name)
    assert setup_of(address, build) == LOADING
    stopped = job.interrupt()
    assert stopped.exit_code == 130
    assert stopped.last_line.endswith("--resume")
    assert setup_of(address, build) == SERVING
    index_whole(address, name, new, "--resume")
    assert builds(address, name) == [build]
    require_exact(address, name, new)
