"""A full disk: one line, nothing lost, and the run goes on once there is room."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own of 60 MB, and a function to enlarge it."""
    if not shutil.which("mount") or not sys.platform.startswith("linux"):
        pytest.skip("this system has no tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    if not mount("size=60m"):
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder, lambda: mount("remount,size=600m")
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_index_on_a_full_disk_goes_on_when_there_is_room(sparse_ir, fruit, small_disk, monkeypatch):
    folder, enlarge = small_disk
    monkeypatch.setenv("SPARSE_IR_HOME", str(folder))
    full = sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    assert full.exit_code == 6
    assert "Make room" in full.err.strip().splitlines()[-1]
    assert sparse_ir("search", "apple").exit_code == 5  # nothing half-written can be searched
    assert enlarge()
    done = sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--resume")
    assert done.exit_code == 0, done.err
    assert "d1" in sparse_ir("search", "apple").out


def test_encode_on_a_full_disk_goes_on_when_there_is_room(sparse_ir, fruit, small_disk):
    folder, _ = small_disk
    filler = folder / "filler"
    try:
        with filler.open("wb") as stream:
            while True:
                stream.write(b"x" * 65536)
    except OSError:
        pass
    out = folder / "vectors"
    full = sparse_ir("encode", "--corpus", fruit, "--out", out, "--model", "bm25")
    assert full.exit_code == 6, full
    assert "\n" not in full.err.strip()
    filler.unlink()
    done = sparse_ir("encode", "--corpus", fruit, "--out", out, "--model", "bm25", "--resume")
    assert done.exit_code == 0, done.err
    assert "holds 4 vectors" in done.out
