"""SHA-256 of what decides a model's vectors, each file read once a process."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_BLOCK = 1 << 20


def fingerprint(parts: dict[str, Any]) -> str:
    """SHA-256, hex, of names and JSON values in a fixed order."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_digest(folder: Path) -> str:
    """SHA-256, hex, of a model folder's weights.

    Safetensors count by their tensors, so that files which differ in header or order alone are
    the same model; anything else counts by its bytes.

    Raises:
        ModelError: the folder holds no weights, or a damaged file.
    """
    tensors = _weight_files(folder, "safetensors")
    if tensors:
        return _hash(_digest(*_state(path)) for path in tensors)
    others = _weight_files(folder, "bin")
    if not others:
        raise ModelError(f"{folder} holds no weights (model.safetensors).")
    return _hash(file_digest(path) for path in others)


def tokenizer_digest(folder: Path) -> str:
    """SHA-256, hex, of a folder's tokenizer, whatever truncation and padding it was saved with."""
    path = folder / "tokenizer.json"
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        return fingerprint({k: v for k, v in content.items() if k not in ("truncation", "padding")})
    names = ("vocab.txt", "vocab.json", "merges.txt", "*.model", "tokenizer_config.json")
    return _hash(file_digest(path) for name in names for path in sorted(folder.glob(name)))


def file_digest(path: Path) -> str:
    """SHA-256, hex, of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _weight_files(folder: Path, kind: str) -> list[Path]:
    stem = "model" if kind == "safetensors" else "pytorch_model"
    whole, index = folder / f"{stem}.{kind}", folder / f"{stem}.{kind}.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return []
    files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted(set(files))]


def _state(path: Path) -> tuple[Path, int, int]:
    status = path.stat()
    return path, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=32)
def _digest(path: Path, _size: int, _changed: int) -> str:
    """Hash the tensors of a safetensors file by name (https://huggingface.co/docs/safetensors)."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        try:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 100_000_000)))
            header.pop("__metadata__", None)
            for name in sorted(header):
                entry = header[name]
                digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
                start, stop = entry["data_offsets"]
                file.seek(8 + length + start)
                _read_into(digest, file, stop - start)
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ModelError(f"{path} is damaged: it is no safetensors file.") from error
    return digest.hexdigest()


def _read_into(digest: Any, file: Any, left: int) -> None:
    while left > 0:
        block = file.read(min(left, _BLOCK))
        if not block:
            raise ValueError("file ends early")
        digest.update(block)
        left -= len(block)


def _hash(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
