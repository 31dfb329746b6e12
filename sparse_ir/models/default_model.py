"""The bundled model: shipped as int8 rows, made into an ordinary folder once."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sparse_ir import resources
from sparse_ir.errors import ModelError, StorageError
from sparse_ir.models.fingerprint import file_digest

WEIGHTS = "model.int8.safetensors"
CHECKSUMS = "sha256.json"
_SCALE = ":scale"  # behind the name of a tensor of int8 rows


def default_model(package: Path | None = None) -> Path:
    """Return the bundled model as an ordinary folder, made in the user's cache on first use.

    Raises:
        ModelError: a file of the package is missing or damaged.
        StorageError: the cache cannot be written.
    """
    package = package or resources.default_model_folder()
    version = _package_version(package)
    folder = resources.cache() / "models" / f"default-{version[:16]}"
    if not _intact(folder):
        _check(package)
        try:
            _build(package, folder)
        except OSError as error:
            raise StorageError(
                f"{folder} cannot be written: {error.strerror or error}. Free some space (100 MB) "
                "or set SPARSE_IR_HOME to another folder."
            ) from error
    return folder


def _package_version(package: Path) -> str:
    try:
        return file_digest(package / CHECKSUMS)
    except OSError as error:
        raise _damaged(package / CHECKSUMS) from error


def _check(package: Path) -> None:
    try:
        listed = json.loads((package / CHECKSUMS).read_text(encoding="utf-8"))
        for name, digest in listed.items():
            if file_digest(package / name) != digest:
                raise _damaged(package / name)
    except (OSError, ValueError) as error:
        raise _damaged(package) from error


def _damaged(path: Path) -> ModelError:
    return ModelError(f"{path} is damaged or missing. Reinstall sparse-ir.")


def _intact(folder: Path) -> bool:
    try:
        listed = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))
        return all(file_digest(folder / name) == digest for name, digest in listed.items())
    except (OSError, ValueError, AttributeError):
        return False


def _build(package: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as temporary:
        made = Path(temporary) / "model"
        _write(package, made)
        with contextlib.suppress(FileNotFoundError):  # a damaged one
            folder.rename(Path(temporary) / "damaged")
        try:
            made.rename(folder)
        except OSError:
            if not _intact(folder):  # else another process was quicker
                raise


def _write(package: Path, made: Path) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(package, made, ignore=shutil.ignore_patterns(WEIGHTS, CHECKSUMS, "__pycache__"))
    save_file(
        dequantize(load_file(package / WEIGHTS)), made / "model.safetensors", {"format": "pt"}
    )
    names = sorted(p.relative_to(made).as_posix() for p in made.rglob("*") if p.is_file())
    digests = {name: file_digest(made / name) for name in names}
    (made / CHECKSUMS).write_text(json.dumps(digests, indent=1), encoding="utf-8")


def quantize(tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    """Store matrices as int8 rows with one float32 scale a row; vectors stay float16."""
    small: dict[str, np.ndarray] = {}
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


def dequantize(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undo ``quantize``: all tensors in float32."""
    whole: dict[str, np.ndarray] = {}
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
        source: A masked LM with tokenizer, as transformers or sentence-transformers saved it.
        package: The folder to write; a card (README.md) in it stays.
    """
    from safetensors.numpy import load_file, save_file

    package.mkdir(parents=True, exist_ok=True)
    save_file(quantize(load_file(source / "model.safetensors")), package / WEIGHTS)
    _pack_tokenizer(source, package)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    _write_json(package / "config.json", config)
    _write_json(package / "modules.json", _MODULES)
    _write_json(package / "sentence_bert_config.json", _READER)
    _write_json(package / "config_sentence_transformers.json", _KIND)
    (package / "1_SpladePooling").mkdir(exist_ok=True)
    _write_json(package / "1_SpladePooling" / "config.json", _POOLING)
    files = (p for p in package.rglob("*") if p.is_file() and p.name != CHECKSUMS)
    names = sorted(p.relative_to(package).as_posix() for p in files)
    _write_json(package / CHECKSUMS, {name: file_digest(package / name) for name in names})


# The module names of sentence-transformers 5.1, which 6 reads as well.
_MODULES = [
    {
        "idx": 0,
        "name": "0",
        "path": "",
        "type": "sentence_transformers.sparse_encoder.models.MLMTransformer",
    },
    {
        "idx": 1,
        "name": "1",
        "path": "1_SpladePooling",
        "type": "sentence_transformers.sparse_encoder.models.SpladePooling",
    },
]
_KIND = {
    "model_type": "SparseEncoder",
    "prompts": {"query": "", "document": ""},
    "default_prompt_name": None,
    "similarity_fn_name": "dot",
}
_READER = {"max_seq_length": 512, "do_lower_case": False}
_POOLING = {"pooling_strategy": "max", "activation_function": "relu"}


def _pack_tokenizer(source: Path, package: Path) -> None:
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    _write_json(package / "tokenizer.json", tokenizer)
    config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    for name in ("max_length", "is_local", "local_files_only"):
        config.pop(name, None)
    _write_json(package / "tokenizer_config.json", config)


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")
