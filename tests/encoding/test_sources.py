"""What a run reads: standard input twice, and nothing of it left behind."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from sparse_ir.encoding.sources import readable_twice
from sparse_ir.errors import StorageError
from sparse_ir.resources import cache


def left_behind():
    return [path.name for path in cache().rglob("*.spool")]


def test_standard_input_is_read_twice_and_not_left_behind(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"a line")))
    with readable_twice("-", "bm25") as spool:
        assert [Path(spool).read_bytes() for _ in range(2)] == [b"a line", b"a line"]
    assert left_behind() == []


@pytest.mark.parametrize(
    ("raised", "expected", "said"),
    [
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
        (OSError(errno.ENOSPC, "No space left on device"), StorageError, "Make room"),
    ],
)
def test_a_copy_that_is_broken_off_leaves_nothing_behind(monkeypatch, raised, expected, said):
    class Broken(io.RawIOBase):
        def read(self, size=-1):  # noqa: ARG002
            assert left_behind()  # the copy has begun
            raise raised

    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=Broken()))
    with pytest.raises(expected, match=said), readable_twice("-", "bm25"):
        pass
    assert left_behind() == []
