"""Files as they are met: plain, gzip, zstd or standard input; and files that appear only whole."""

from __future__ import annotations

import difflib
import errno
import gzip
import hashlib
import io
import os
import secrets
import sys
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, cast, overload

import zstandard

from sparse_ir.data.compression import Decompressed, compression_of
from sparse_ir.errors import InputError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

STANDARD_INPUT = "-"
_BUFFER_BYTES = 1 << 18
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = _FULL | {errno.EIO, errno.EROFS, errno.EFBIG}  # of a disk, and of no pipe


@contextmanager
def open_binary(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file, or standard input for "-", and read what it holds once decompressed.

    gzip and zstd are known by their first bytes, whatever the name says.

    Raises:
        InputError: there is no such file (the nearest name is proposed), it cannot be read, or, on
            reading, its compressed data is damaged or cut short.
    """
    if str(path) == STANDARD_INPUT:
        if sys.stdin is None:
            raise InputError("is closed. Give a file or pipe something in.", path="standard input")
        yield _decompressing(sys.stdin.buffer, "standard input")
        return
    try:
        raw = Path(path).open("rb", buffering=_BUFFER_BYTES)  # noqa: SIM115  closed below
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    with raw:
        try:
            stream = _decompressing(raw, path)
        except OSError as error:
            raise unreadable(path, error) from None
        yield stream


def _decompressing(raw: BinaryIO, path: str | Path) -> BinaryIO:
    head = raw.read(4)  # peek may give fewer bytes from a slow pipe
    kind = compression_of(head)
    if kind is None and raw.seekable():
        raw.seek(-len(head), os.SEEK_CUR)
        return raw
    source = Decompressed(raw, head, kind, path=path)
    return cast("BinaryIO", io.BufferedReader(source, _BUFFER_BYTES))


@contextmanager
def open_text(path: str | Path) -> Iterator[IO[str]]:
    """Open as ``open_binary`` and read UTF-8 text; a byte order mark is passed over.

    Raises:
        InputError: as ``open_binary``, or the text is not UTF-8 (the line is named).
    """
    with open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig")
        try:
            yield text
        except UnicodeDecodeError:
            raise InputError(
                "is not UTF-8 text. Convert it, for example with iconv.",
                path=path,
                line=_undecodable_line(path),
            ) from None
        finally:
            with suppress(ValueError):  # the caller has closed it
                text.detach()


def _undecodable_line(path: str | Path) -> int | None:
    if str(path) == STANDARD_INPUT:
        return None
    with open_binary(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return None


@overload
def writing(path: str | Path, mode: Literal["w"] = "w") -> AbstractContextManager[IO[str]]: ...


@overload
def writing(path: str | Path, mode: Literal["wb"]) -> AbstractContextManager[IO[bytes]]: ...


@contextmanager
def writing(path: str | Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Write a file that takes its name only when the block ends well.

    Until then the bytes lie in a hidden file beside it, which is removed if the block fails. A name
    that ends with ``.gz`` or ``.zst`` is compressed. Missing folders are made. What is no ordinary
    file (``/dev/stdout``, a named pipe) is written directly.

    Args:
        path: The final name; a file that is there is replaced.
        mode: "w" for UTF-8 text with plain line feeds, "wb" for bytes.

    Raises:
        StorageError: the file cannot be written, or the disk is full.
    """
    target = Path(path)
    final, temporary = _places(target)
    try:
        raw = _create(final, temporary)
    except OSError as error:
        raise unwritable(target, error) from None
    own = False  # whether what fails is this file, and not what the block reads
    try:
        with raw:
            with _encoded(raw, target.suffix, mode) as stream:
                yield stream
            own = temporary != final
            raw.flush()
            if temporary != final:
                os.fsync(raw.fileno())
        if temporary != final:
            temporary.replace(final)
            _sync_folder(final.parent)
    except OSError as error:
        if own or error.errno in _REFUSED:
            raise unwritable(target, error) from None
        raise
    finally:
        if temporary != final:
            temporary.unlink(missing_ok=True)


def _places(target: Path) -> tuple[Path, Path]:
    """Where the bytes end up, and where they are collected until then."""
    with suppress(OSError):
        if target.exists() and not target.is_file() and not target.is_dir():
            return target, target
    final = target.resolve()  # a link goes on being a link
    return final, final.with_name(f".{final.name[:40]}.{secrets.token_hex(6)}.tmp")


def _create(final: Path, temporary: Path) -> BinaryIO:
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    final.parent.mkdir(parents=True, exist_ok=True)
    return temporary.open("wb" if temporary == final else "xb", buffering=_BUFFER_BYTES)


@contextmanager
def _encoded(raw: BinaryIO, suffix: str, mode: str) -> Iterator[IO[Any]]:
    """Compress and encode on the way to raw, which stays open."""
    with ExitStack() as stack:
        stream = raw
        if suffix == ".gz":  # no name, no time: equal contents give equal files
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
            stream = cast("BinaryIO", stack.enter_context(packed))
        elif suffix == ".zst":
            writer = zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
            stream = cast("BinaryIO", stack.enter_context(writer))
        if mode == "wb":
            yield stream
            return
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")
        try:
            yield text
            text.flush()
        finally:
            text.detach()


def sync(folder: Path) -> None:
    """Wait until the files of a folder are on the disk.

    Raises:
        StorageError: they are not: the disk is full, or broken.
    """
    for path in folder.iterdir():
        if path.is_file():
            try:
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
            except OSError as error:
                raise unwritable(path, error) from None
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def unwritable(path: str | Path, error: OSError) -> StorageError:
    """Say that a file cannot be written, why, and what to do."""
    if error.errno in _FULL:
        what = "Make room or write elsewhere, then run the same command again."
    elif error.errno in _REFUSED:
        what = "Write elsewhere, then run the same command again."
    else:
        what = "Choose a place where you may write."
    return StorageError(f"{path}: cannot be written ({error.strerror or error}). {what}")


def unreadable(path: str | Path, error: Exception) -> InputError:
    """Say that a file cannot be read, and why."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return missing(path)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return InputError(f"cannot be read ({reason}).", path=path)


def missing(path: str | Path) -> InputError:
    """Say that there is no such file, and which near name exists."""
    return InputError(f"no such file or folder.{_near_name(path)}", path=path)


def _near_name(path: str | Path) -> str:
    wanted = Path(path)
    try:
        names = [entry.name for entry in wanted.parent.iterdir()]
    except (OSError, ValueError):
        return ""
    close = difflib.get_close_matches(wanted.name, names, n=1)
    return f" Did you mean {wanted.with_name(close[0])}?" if close else ""


def sha256_file(path: str | Path) -> str:
    """SHA-256, hex, of a file's bytes as they lie on disk.

    Raises:
        InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(_BUFFER_BYTES):
                digest.update(block)
    except OSError as error:
        raise unreadable(path, error) from None
    return digest.hexdigest()


def sha256_text(*parts: str) -> str:
    """SHA-256, hex, of several texts; ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(encoded)}:".encode() + encoded)
    return digest.hexdigest()
