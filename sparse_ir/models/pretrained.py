"""Models as transformers loads them: from a folder, in float32, without a word on the terminal."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers.utils import logging as transformers_logging

from sparse_ir.models.pickles import pickles_allowed, require_readable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def load_pretrained(
    auto: str, folder: Path, *, trust_remote_code: bool = False, **more: Any
) -> tuple[Any, dict[str, Any]]:
    """Load a folder's model in float32, on the CPU.

    Args:
        auto: The transformers class that loads it, such as "AutoModelForMaskedLM".
        folder: Holds configuration and weights.
        trust_remote_code: Run Python code that the folder brings.
        more: Further arguments of ``from_pretrained``.

    Returns:
        The model, and what transformers says about the loading: "missing_keys" and the like.

    Raises:
        ModelError: the weights are a pickle, which is not allowed, or lie elsewhere.
        Exception: whatever a file of unknown origin makes transformers raise.
    """
    require_readable(folder)
    major, minor = (int(part) for part in transformers.__version__.split(".")[:2])
    dtype = "dtype" if (major, minor) >= (4, 56) else "torch_dtype"
    with quiet():
        model, info = getattr(transformers, auto).from_pretrained(
            str(folder),
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            use_safetensors=None if pickles_allowed() else True,
            **{dtype: torch.float32},
            **more,
        )
    return model, info


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars, reports and warnings off the terminal, and put all back after."""
    log: Any = transformers_logging  # in part untyped
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
