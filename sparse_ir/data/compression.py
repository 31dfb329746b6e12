"""gzip and zstd streams: known by their first bytes, read piece by piece, damage noticed."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, TypeAlias

import zstandard

from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import Buffer

Compression: TypeAlias = Literal["gzip", "zstd"]

_PIECE_BYTES = 1 << 15  # compressed bytes at a time; a bomb of zeros grows them about 1000 times


class _Frame(Protocol):
    """One gzip member or zstd frame being read."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip_member() -> _Frame:
    return zlib.decompressobj(wbits=31)


def _zstd_frame() -> _Frame:
    return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()  # zstd --long


_FRAMES: dict[Compression, Callable[[], _Frame]] = {"gzip": _gzip_member, "zstd": _zstd_frame}


def compression_of(head: bytes) -> Compression | None:
    """Name the compression of a file by its first four bytes, or None for plain bytes."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head == b"\x28\xb5\x2f\xfd" or (head[1:] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F):
        return "zstd"  # the second form is a skippable frame, as pzstd writes first
    return None


class Decompressed(io.RawIOBase):
    """The bytes behind a compressed stream, member after member.

    The readers of the two libraries differ in what they overlook: a zstd frame cut short ends
    silently there, so frames are driven here and must end by themselves.
    """

    def __init__(
        self, raw: BinaryIO, head: bytes, kind: Compression | None, *, path: str | Path
    ) -> None:
        """Read on from raw, of which ``head`` has been read; closing leaves raw open.

        Args:
            raw: The compressed bytes.
            head: Bytes that come before the rest of raw.
            kind: None passes the bytes through.
            path: For messages.
        """
        self._read = getattr(raw, "read1", raw.read)  # what a pipe has now, not what it will have
        self._pending = head
        self._kind = kind
        self._start = None if kind is None else _FRAMES[kind]
        self._path = path
        self._frame: _Frame | None = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill the buffer as far as one piece reaches; 0 at the end.

        Raises:
            InputError: the compressed data is damaged or cut short.
        """
        while not self._ready:
            piece = self._pending or self._read(_PIECE_BYTES)
            self._pending = b""
            if not piece:
                return self._end()
            self._ready = memoryview(self._decompress(piece, self._start) if self._start else piece)
        target = memoryview(buffer).cast("B")
        n = min(len(target), len(self._ready))
        target[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _decompress(self, piece: bytes, start: Callable[[], _Frame]) -> bytes:
        if self._frame is None:
            piece = piece.lstrip(b"\x00")  # gzip files may be padded with zeros
            if not piece:
                return b""
            self._frame = start()
        try:
            data = self._frame.decompress(piece)
        except (zlib.error, zstandard.ZstdError) as error:
            raise InputError(
                f"its {self._kind} data is damaged ({error}). Fetch or make the file again.",
                path=self._path,
            ) from None
        if self._frame.eof:
            self._pending = self._frame.unused_data
            self._frame = None
        return data

    def _end(self) -> int:
        if self._frame is not None:
            raise InputError(
                f"its {self._kind} data is cut short. Fetch or make the file again.",
                path=self._path,
            )
        return 0
