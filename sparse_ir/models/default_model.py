"""The bundled model: shipped as int8 rows, made into an ordinary folder once.

``python -m sparse_ir.models.default_model SOURCE PACKAGE`` makes the shipped folder from a model
folder with float weights.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_ir import resources
from sparse_ir.errors import ModelError, StorageError
from sparse_ir.models.fingerprint import content_digest
from sparse_ir.models.layouts import read_json, read_layout
from sparse_ir.models.saved_files import (
    options,
    put,
    put_json,
    small_table,
    splade_files,
    without_traces,
)
from sparse_ir.models.sides import QUERY_TABLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS = "model.int8.safetensors"
CHECKSUMS = "sha256.json"
CARD = "README.md"

_SCALE = ":scale"  # behind the name of a tensor of int8 rows


def default_model(package: Path | None = None) -> Path:
    """Return the bundled model as an ordinary folder, made in the user's cache on first use.

    transformers and sentence-transformers load the folder as well. Several processes may ask for
    it at once; a damaged one is made again.

    Args:
        package: The folder as shipped; the package's own by default.

    Raises:
        ModelError: a shipped file is missing or damaged.
        StorageError: the cache cannot be written.
    """
    package = package or resources.default_model_folder()
    try:
        version = content_digest(package / CHECKSUMS)
    except OSError as error:
        raise _damaged(package / CHECKSUMS) from error
    folder = resources.cache() / "models" / f"default-{version[:16]}"
    if _fault(folder) is None:
        return folder
    fault = _fault(package)
    if fault is not None:
        raise _damaged(package / fault)
    try:
        _build(package, folder)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}. Free 200 MB, or set "
            "SPARSE_IR_HOME to a folder with room."
        ) from error
    return folder


def _fault(folder: Path) -> str | None:
    """Name the first file that is missing or not what the folder's checksums say."""
    name = CHECKSUMS
    try:
        listed = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        for name, digest in listed.items():
            if content_digest(folder / name) != digest:
                return str(name)
    except (OSError, ValueError, AttributeError, ModelError):
        return name
    return None


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is damaged or missing. Reinstall sparse-ir.")


def _build(package: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        _write(package, made)
        if folder.exists() and _fault(folder) is not None:
            folder.rename(Path(temporary) / "damaged")
        try:
            made.rename(folder)
        except OSError:
            if _fault(folder) is not None:  # else another process was quicker
                raise


def _write(package: Path, made: Path) -> None:
    from safetensors.numpy import load_file, save

    for name in json.loads((package / CHECKSUMS).read_text(encoding="utf-8")):
        if name != WEIGHTS:
            put(made / name, (package / name).read_bytes())
    tensors = dequantize(load_file(package / WEIGHTS))
    put(made / "model.safetensors", save(tensors, {"format": "pt"}))
    _write_checksums(made)


def quantize(tensors: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Store matrices as int8 rows with a float32 scale each; vectors become float16."""
    small: dict[str, NDArray[Any]] = {}
    for name, tensor in tensors.items():
        values = np.asarray(tensor, np.float32)
        if values.ndim != 2:
            small[name] = values.astype(np.float16)
            continue
        scale = np.abs(values).max(axis=1) / 127
        scale[scale == 0] = 1
        small[name] = np.rint(values / scale[:, None]).astype(np.int8)
        small[name + _SCALE] = scale
    return small


def dequantize(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Undo ``quantize``, but for its rounding: all tensors in float32."""
    whole: dict[str, NDArray[Any]] = {}
    for name, values in tensors.items():
        if name.endswith(_SCALE):
            continue
        whole[name] = values.astype(np.float32)
        scale = tensors.get(name + _SCALE)
        if scale is not None:
            whole[name] *= scale[:, None]
    return whole


def pack(source: Path, package: Path) -> None:
    """Make the shipped folder from a model folder with float weights.

    Args:
        source: A SPLADE model of one side with its tokenizer, as transformers or ``save_model``
            saved it; with a ``query_table.json`` where it has an inference-free side too.
        package: The folder to write; the card in it stays.
    """
    from safetensors.numpy import load_file, save

    put(package / WEIGHTS, save(quantize(load_file(source / "model.safetensors"))))
    for file in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        content = json.loads((source / file).read_text(encoding="utf-8"))
        put_json(package / file, without_traces(file, content))
    layout = read_layout(source)
    files = splade_files(
        pooling=layout.pooling, activation=layout.activation, max_length=layout.max_length or 512
    ) | options(query_terms=layout.query_terms, document_terms=layout.document_terms)
    for file, content in files.items():
        put_json(package / file, content)
    if (source / QUERY_TABLE).is_file():
        put_json(package / QUERY_TABLE, small_table(read_json(source / QUERY_TABLE)))
    _write_checksums(package)


def _write_checksums(folder: Path) -> None:
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = sorted(name for name in files if name not in (CHECKSUMS, CARD))
    digests = {name: content_digest(folder / name) for name in names}
    put_json(folder / CHECKSUMS, digests)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
