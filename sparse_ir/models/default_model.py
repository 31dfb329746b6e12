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

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS = "model.int8.safetensors"
CHECKSUMS = "sha256.json"
CARD = "README.md"

_SCALE = ":scale"  # behind the name of a tensor of int8 rows
_LAYOUT: dict[str, Any] = {
    # The names that sentence-transformers 5.1 gave its modules; 6 reads them as well.
    "modules.json": [
        {
            "idx": i,
            "name": str(i),
            "path": path,
            "type": f"sentence_transformers.sparse_encoder.models.{kind}",
        }
        for i, (kind, path) in enumerate(
            [("MLMTransformer", ""), ("SpladePooling", "1_SpladePooling")]
        )
    ],
    "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False},
    "1_SpladePooling/config.json": {"pooling_strategy": "max", "activation_function": "relu"},
    "config_sentence_transformers.json": {
        "model_type": "SparseEncoder",
        "prompts": {"query": "", "document": ""},
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    },
}


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
            _put(made / name, (package / name).read_bytes())
    tensors = dequantize(load_file(package / WEIGHTS))
    _put(made / "model.safetensors", save(tensors, {"format": "pt"}))
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
        source: A SPLADE-max masked LM with its tokenizer, as transformers saved it.
        package: The folder to write; the card in it stays.
    """
    from safetensors.numpy import load_file, save

    _put(package / WEIGHTS, save(quantize(load_file(source / "model.safetensors"))))
    tokenizer = _read_json(source / "tokenizer.json")
    _put_json(package / "tokenizer.json", {**tokenizer, "truncation": None, "padding": None})
    # A length that a tokenizer was once called with, and where it was loaded from, are no facts.
    for file, left_out in (
        ("tokenizer_config.json", ("max_length", "is_local", "local_files_only")),
        ("config.json", ("dtype", "torch_dtype", "_name_or_path")),
    ):
        kept = {k: v for k, v in _read_json(source / file).items() if k not in left_out}
        _put_json(package / file, kept)
    for file, content in _LAYOUT.items():
        _put_json(package / file, content)
    _write_checksums(package)


def _write_checksums(folder: Path) -> None:
    files = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    names = sorted(name for name in files if name not in (CHECKSUMS, CARD))
    digests = {name: content_digest(folder / name) for name in names}
    _put_json(folder / CHECKSUMS, digests)


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _put_json(path: Path, content: Any) -> None:
    _put(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
