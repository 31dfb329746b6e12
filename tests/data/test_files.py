from __future__ import annotations

import errno
import gzip
import io
import os
import sys
import threading
from pathlib import Path

import pytest
import zstandard

from sparse_ir.data.files import (
    open_binary,
    open_text,
    sha256_file,
    sha256_text,
    writing,
)
from sparse_ir.errors import InputError, StorageError

TEXT = "first line\nzweite Zeile: größer\n三行目\n"


def packed(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    return zstandard.compress(data) if kind == "zstd" else data


def text_of(path) -> str:
    with open_text(path) as stream:
        return stream.read()


def bytes_of(path) -> bytes:
    with open_binary(path) as stream:
        return stream.read()


def write_and_fail(path, text: str, failure: type[BaseException]) -> None:
    with writing(path) as stream:
        stream.write(text)
        raise failure


class Typed:
    """Stands in for sys.stdin, which has its bytes under .buffer."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz", "x.zst", "x"])
def test_open_text_tells_compression_by_content_not_by_name(tmp_path, kind, name):
    path = tmp_path / name
    path.write_bytes(packed(kind, TEXT.encode()))
    assert text_of(path) == TEXT


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_open_text_reads_standard_input_and_leaves_it_open(monkeypatch, kind):
    stdin = Typed(packed(kind, TEXT.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert text_of("-") == TEXT
    assert not stdin.buffer.closed


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_open_binary_reads_a_pipe_that_gives_single_bytes(kind):
    data = packed(kind, b"one\ntwo\n")
    reader, writer = os.pipe()
    thread = threading.Thread(target=write_byte_by_byte, args=(writer, data))
    thread.start()
    assert bytes_of(f"/dev/fd/{reader}") == b"one\ntwo\n"
    thread.join()
    os.close(reader)


def write_byte_by_byte(descriptor: int, data: bytes) -> None:
    for byte in data:
        os.write(descriptor, bytes([byte]))
    os.close(descriptor)


def test_closed_standard_input_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input: is closed"), open_binary("-"):
        pass


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbfa\n")
    assert text_of(tmp_path / "x") == "a\n"


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd"])
def test_invalid_utf8_names_its_line(tmp_path, kind):
    (tmp_path / "x").write_bytes(packed(kind, b"fine\n" * 5000 + b"bad \xff\n" + b"fine\n" * 5000))
    with pytest.raises(InputError, match="line 5001: is not UTF-8"):
        text_of(tmp_path / "x")


def test_members_and_frames_one_after_the_other_are_one_file(tmp_path):
    frames = (
        zstandard.compress(b"a") + b"\x50\x2a\x4d\x18\x02\x00\x00\x00xy" + zstandard.compress(b"b")
    )
    (tmp_path / "z").write_bytes(frames)
    (tmp_path / "g").write_bytes(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"))
    (tmp_path / "padded").write_bytes(gzip.compress(b"ab") + bytes(512))
    for name in ("z", "g", "padded"):
        assert bytes_of(tmp_path / name) == b"ab", name


def test_a_skippable_zstd_frame_may_come_first(tmp_path):
    (tmp_path / "z").write_bytes(b"\x50\x2a\x4d\x18\x01\x00\x00\x00x" + zstandard.compress(b"ab"))
    assert bytes_of(tmp_path / "z") == b"ab"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compressed_data_cut_short_is_an_error_never_a_shorter_file(tmp_path, kind):
    whole = packed(kind, os.urandom(300_000))
    for length in (5, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "x").write_bytes(whole[:length])
        with pytest.raises(InputError, match="cut short"):
            bytes_of(tmp_path / "x")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_damaged_compressed_data_is_one_clear_error(tmp_path, kind):
    whole = bytearray(packed(kind, b"some words " * 1000))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "x").write_bytes(whole + b"and something else behind")
    with pytest.raises(InputError, match=r"damaged|cut short"):
        bytes_of(tmp_path / "x")


def test_a_missing_file_proposes_the_nearest_name(tmp_path):
    (tmp_path / "corpus.jsonl").touch()
    message = r"corpsu\.jsonl: no such file.*Did you mean .*corpus\.jsonl"
    with pytest.raises(InputError, match=message):
        bytes_of(tmp_path / "corpsu.jsonl")


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300])
def test_names_that_no_file_can_have_are_input_errors(tmp_path, name):
    with pytest.raises(InputError), open_binary(f"{tmp_path}/{name}"):
        pass


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz", "x.txt.zst"])
def test_what_is_written_reads_back(tmp_path, name):
    path = tmp_path / "new" / "folder" / name
    with writing(path) as stream:
        stream.write(TEXT)
    assert text_of(path) == TEXT
    magic = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5"}.get(path.suffix, TEXT.encode()[:2])
    assert path.read_bytes()[:2] == magic
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_equal_contents_give_equal_gzip_files(tmp_path):
    for name in ("a.gz", "b.gz"):
        with writing(tmp_path / name, "wb") as stream:
            stream.write(b"same")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz", "x.txt.zst"])
@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, name, failure):
    path = tmp_path / name
    path.write_text("old")
    with pytest.raises(failure):
        write_and_fail(path, "new" * 100_000, failure)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_appears_only_when_the_file_is_whole(tmp_path):
    path = tmp_path / "x"
    with writing(path) as stream:
        stream.write("new")
        stream.flush()
        assert not path.exists()
    assert path.read_text() == "new"


def test_writing_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with writing(tmp_path / "link") as stream:
        stream.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_device_is_written_and_stays_a_device():
    with writing("/dev/null", "wb") as stream:
        stream.write(b"gone")
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("mode", ["w", "wb"])
def test_a_full_disk_is_a_storage_error_that_says_what_to_do(mode):
    message = r"/dev/full: cannot be written .*Make room"
    with pytest.raises(StorageError, match=message), writing("/dev/full", mode) as stream:
        stream.write("x" if mode == "w" else b"x")


def test_a_full_disk_under_the_writer_of_the_block_is_a_storage_error_too(tmp_path):
    with pytest.raises(StorageError, match="Make room"), writing(tmp_path / "x"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EFBIG])
def test_a_disk_that_refuses_is_a_storage_error(tmp_path, number):
    (tmp_path / "x").write_text("before")
    with (
        pytest.raises(StorageError, match=rf"x: cannot be written \({os.strerror(number)}\)"),
        writing(tmp_path / "x"),
    ):
        raise OSError(number, os.strerror(number))
    assert (tmp_path / "x").read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_file_that_cannot_take_its_name_is_a_storage_error(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match="Choose a place"), writing(tmp_path / "x") as stream:
        stream.write("text")
    assert list(tmp_path.iterdir()) == []


def test_what_else_goes_wrong_in_the_block_is_raised_as_it_is(tmp_path):
    with pytest.raises(ConnectionResetError), writing(tmp_path / "x"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


def test_other_errors_of_the_block_pass_unchanged(tmp_path):
    with pytest.raises(ConnectionResetError), writing(tmp_path / "x"):
        raise ConnectionResetError


def test_a_folder_cannot_be_written_as_a_file(tmp_path):
    with pytest.raises(StorageError, match="Is a directory"), writing(tmp_path):
        pass


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "x") == expected
    with pytest.raises(InputError, match="no such file"):
        sha256_file(tmp_path / "y")


def test_sha256_of_texts_knows_where_one_ends():
    assert sha256_text("ab", "c") != sha256_text("a", "bc")
    assert sha256_text("ab") == sha256_text("ab")
    assert len(sha256_text()) == 64
