"""Weights that lie in a pickle, which is a program, are read only where they are asked for.

torch reads such a file with a reader that knows tensors and little else (``weights_only``). Before
2.6 that reader could be made to run code (CVE-2025-32434). What is looked at before a model is
loaded (``require_safe_weights``) is a kindness; what loads weights asks again (``load`` here, and
``require_readable`` before transformers does), for a folder may name other files than it seems to.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError
from sparse_ir.models.layouts import read_object

if TYPE_CHECKING:
    from pathlib import Path

PERMISSION = "SPARSE_IR_PICKLE"
"""The variable of the environment that allows it, set to 1."""

PICKLES = "pytorch_model*.bin"
_NEVER_READ = ("onnx", "openvino", "runs")
_SAFE, _SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLED_INDEX = "pytorch_model.bin.index.json"


def pickles_allowed() -> bool:
    """Whether weights may be read from pickles."""
    return os.environ.get(PERMISSION) == "1"


def require_safe_weights(folder: Path) -> None:
    """Check that no weights of a folder have to be read from a pickle, unless that is allowed.

    Args:
        folder: The model's; folders of modules in it are looked at too.

    Raises:
        ModelError: there is such a pickle.
    """
    for path in sorted(folder.rglob(PICKLES)):
        inner = path.relative_to(folder).parts[:-1]
        passed = any(name in _NEVER_READ or name.startswith("checkpoint-") for name in inner)
        if not passed and not any(path.parent.glob("*.safetensors")):
            _require_permission(path.parent)


def require_readable(folder: Path, *, fetched_as: str | None = None) -> None:
    """Check that transformers would read a folder's weights from where they are looked for.

    Args:
        folder: Of one transformers model.
        fetched_as: The hub id that it was fetched by without its pickles; None for a folder.

    Raises:
        ModelError: they would come from a pickle, which is not allowed, or from a file of another
            name or place.
    """
    if read_object(folder / "config.json").get("transformers_weights") is not None:
        raise ModelError(
            f"{folder}: config.json names a file of weights (transformers_weights), and weights "
            f"are read from {_SAFE} alone. Rename the file, and leave the setting away."
        )
    if (folder / _SAFE).is_file():
        return
    if (folder / _SAFE_INDEX).is_file():
        _require_parts(folder / _SAFE_INDEX, ".safetensors")
        return
    if (folder / _PICKLED_INDEX).is_file():
        _require_parts(folder / _PICKLED_INDEX, ".bin")
    if any(folder.glob(PICKLES)) or (folder / _PICKLED_INDEX).is_file():
        _require_permission(folder)
    elif fetched_as is not None and not pickles_allowed():
        raise refused(fetched_as)


def load(path: Path) -> Any:
    """Read the tensors of a pickle.

    Raises:
        ModelError: that is not allowed, or this torch cannot do it safely.
        Exception: whatever a file of unknown origin makes torch raise.
    """
    _require_permission(path.parent)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def refused(name: str) -> ModelError:
    """Say that there are no safetensors, and what to do."""
    return ModelError(
        f"{name} has no weights as safetensors, and a pickle (pytorch_model.bin) can run code when "
        "it is read. Have it converted (https://huggingface.co/spaces/safetensors/convert), or, if "
        f"you trust where it comes from, set {PERMISSION}=1 in the environment."
    )


def _require_parts(index: Path, suffix: str) -> None:
    """Refuse an index of parts of the weights that are no such files of its own folder."""
    parts = read_object(index).get("weight_map")
    names = list(parts.values()) if isinstance(parts, dict) else [None]
    for name in names:
        if not isinstance(name, str) or not name.endswith(suffix) or "/" in name or "\\" in name:
            raise ModelError(
                f"{index} names {name!r} as a part of the weights, which is no *{suffix} file of "
                "the folder. Save the model again."
            )


def _require_permission(folder: Path) -> None:
    if not pickles_allowed():
        raise refused(str(folder))
    major, minor = (int(part) for part in version("torch").split(".")[:2])
    if (major, minor) < (2, 6):
        raise ModelError(
            f"{folder} has its weights in a pickle, and torch {version('torch')} can be made to "
            "run code by one (CVE-2025-32434). Install torch 2.6 or later, or give safetensors."
        )
