"""A folder, a hub id or nothing at all -> the encoder that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.errors import ModelError

if TYPE_CHECKING:
    from sparse_ir.models.base import SparseEncoder

DEFAULT = "default"


def load_encoder(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    trust_remote_code: bool = False,
) -> SparseEncoder:
    """Load an encoder; what kind it is, the folder's files tell.

    Args:
        name_or_path: A model folder, a Hugging Face model id, or None (or "default") for the
            bundled model. A folder of that name comes before the id.
        device: "auto" (CUDA, then MPS, then CPU) or any name torch knows.
        precision: "fp32", "bf16" or "fp16".
        batch_tokens: Upper bound of texts times longest text in a batch.
        max_length: Read fewer tokens of a text than the model allows.
        trust_remote_code: Run Python code that the model brings.

    Raises:
        ModelError: there is no such model, or it is no sparse encoder.
        ConfigError: a setting is wrong.
    """
    if name_or_path is None or str(name_or_path) == DEFAULT:
        from sparse_ir.models.default_model import default_model

        name, folder = DEFAULT, default_model()
    else:
        name, folder = _find(str(name_or_path))
    if (folder / "bm25.json").is_file():
        from sparse_ir.models.bm25 import Bm25Encoder

        return Bm25Encoder.load(folder)
    from sparse_ir.models.splade import BATCH_TOKENS, SpladeEncoder

    return SpladeEncoder(
        folder,
        name=name,
        device=device,
        precision=precision,
        batch_tokens=batch_tokens or BATCH_TOKENS,
        max_length=max_length,
        trust_remote_code=trust_remote_code,
    )


def _find(name: str) -> tuple[str, Path]:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder.resolve()), folder
    if folder.is_file():
        raise ModelError(f"{name} is a file. Give the folder of the model.")
    raise ModelError(f"{name}: there is no such model folder.")
