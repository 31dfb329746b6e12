"""Weights that lie in a pickle, which is a program, are read only where they are asked for.

torch reads such a file with a reader that knows tensors and little else (``weights_only``). Before
2.6 that reader could be made to run code (CVE-2025-32434).
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from sparse_ir.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

PERMISSION = "SPARSE_IR_PICKLE"
"""The variable of the environment that allows it, set to 1."""

PICKLES = "pytorch_model*.bin"
_NEVER_READ = ("onnx", "openvino", "runs")


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


def refused(name: str) -> ModelError:
    """Say that there are no safetensors, and what to do."""
    return ModelError(
        f"{name} has no weights as safetensors, and a pickle (pytorch_model.bin) can run code when "
        "it is read. Have it converted (https://huggingface.co/spaces/safetensors/convert), or, if "
        f"you trust where it comes from, set {PERMISSION}=1 in the environment."
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
