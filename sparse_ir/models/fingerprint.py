"""SHA-256 of what decides a model's vectors, each file read once a process."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

from sparse_ir.errors import ModelError
from sparse_ir.models.layouts import read_object

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sparse_ir.models.layouts import SpladeLayout

_BLOCK = 1 << 20
_VOCABULARY_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


def fingerprint(parts: dict[str, Any]) -> str:
    """SHA-256, hex, of names with their JSON values, whatever their order."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def splade_fingerprint(
    layout: SpladeLayout,
    *,
    weights: str,
    tokenizer: str,
    max_length: int,
    prompt: str,
    **more: float,
) -> str:
    """SHA-256, hex, of everything that decides a SPLADE encoder's vectors.

    Args:
        layout: How the masked LM is used.
        weights: As ``weights_digest`` gives it.
        tokenizer: As ``tokenizer_digest`` gives it.
        max_length: Tokens read of a text.
        prompt: Put in front of each text.
        more: What else is set, by name.
    """
    return fingerprint(
        {
            "weights": weights,
            "tokenizer": tokenizer,
            "pooling": layout.pooling,
            "activation": layout.activation,
            "max_length": max_length,
            "lowercase": layout.lowercase,
            "prompt": prompt,
            "drop_positions": sorted(layout.drop_positions),
            "drop_columns": sorted(layout.drop_columns),
            **more,
        }
    )


def weights_digest(folder: Path) -> str:
    """SHA-256, hex, of a model folder's weights; safetensors come before other formats.

    Raises:
        ModelError: the folder holds no weights, or a damaged file.
    """
    files = _weight_files(folder, "model", "safetensors")
    files = files or _weight_files(folder, "pytorch_model", "bin")
    if not files:
        raise ModelError(f"{folder} holds no weights (model.safetensors).")
    return _joined(content_digest(path) for path in files)


def vocabulary_files(folder: Path) -> list[Path]:
    """List the files that hold a tokenizer's vocabulary; tokenizer.json alone where there is one.

    transformers makes up a tokenizer of a few tokens where a folder holds none of them.
    """
    found = [path for name in _VOCABULARY_FILES for path in sorted(folder.glob(name))]
    return found[:1] if found and found[0].name == "tokenizer.json" else found


def tokenizer_digest(folder: Path) -> str:
    """SHA-256, hex, of a folder's tokenizer, whatever truncation and padding it was saved with.

    Raises:
        ModelError: tokenizer.json is damaged.
    """
    files = vocabulary_files(folder)
    if [path.name for path in files] == ["tokenizer.json"]:
        content = read_object(files[0])
        return fingerprint({k: v for k, v in content.items() if k not in ("truncation", "padding")})
    others = (
        path for name in ("merges.txt", "tokenizer_config.json") for path in folder.glob(name)
    )
    return _joined(content_digest(path) for path in (*files, *others))


def content_digest(path: Path) -> str:
    """SHA-256, hex, of a file's content.

    Safetensors count by their tensors: files that differ in header or order alone hold the same
    model. Anything else counts by its bytes. An unchanged file is read once a process.

    Raises:
        OSError: the file cannot be read.
        ModelError: the safetensors are damaged.
    """
    status = path.stat()
    return _content_digest(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _content_digest(path: Path, _size: int, _changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if path.suffix != ".safetensors":
            while block := file.read(_BLOCK):
                digest.update(block)
            return digest.hexdigest()
        try:
            _add_tensors(digest, file)
        except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ModelError(f"{path} is damaged: it holds no whole safetensors.") from error
    return digest.hexdigest()


def _add_tensors(digest: Any, file: BinaryIO) -> None:
    """Add tensors in the order of their names (https://huggingface.co/docs/safetensors)."""
    (length,) = struct.unpack("<Q", file.read(8))
    header = json.loads(file.read(min(length, 100_000_000)))
    header.pop("__metadata__", None)
    for name, entry in sorted(header.items()):
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        start, stop = entry["data_offsets"]
        file.seek(8 + length + start)
        while start < stop:
            block = file.read(min(stop - start, _BLOCK))
            if not block:
                raise ValueError("the file ends early")
            digest.update(block)
            start += len(block)


def _weight_files(folder: Path, stem: str, kind: str) -> list[Path]:
    whole, index = folder / f"{stem}.{kind}", folder / f"{stem}.{kind}.index.json"
    if whole.is_file():
        return [whole]
    if not index.is_file():
        return []
    names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted(set(names))]


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
