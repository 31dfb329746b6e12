"""An exported model in ONNX Runtime: the same vectors as the model's own, and no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.errors import ConfigError, EncodingError, MissingExtraError, ModelError
from sparse_ir.models.fast_tokenizer import FastTokenizer
from sparse_ir.models.fingerprint import splade_fingerprint
from sparse_ir.models.layout_encoder import LayoutEncoder
from sparse_ir.models.onnx_folder import GRAPH, read_settings, require_whole

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BATCH_TOKENS = 1024
"""Texts times longest text of a batch: the graph makes a number of each token and term."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEncoder(LayoutEncoder):
    """Weighs texts with an exported graph; see ``onnx_export.py``.

    Its fingerprints are those of the model it was exported from: the export compared their vectors,
    and the files are checked to be those that were compared.

    Attributes:
        path: The folder.
        settings: What the folder says about itself.
    """

    _device = "cpu"  # where memory may run out; the runtime tells of its own

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        device: str = "auto",
        batch_tokens: int | None = None,
        max_length: int | None = None,
    ) -> None:
        """Load an exported folder.

        Args:
            path: The folder.
            name: What ``load_encoder`` takes to load it again; the folder by default.
            device: "auto" or "cpu", or "cuda" where ONNX Runtime can use it.
            batch_tokens: Upper bound of texts times longest text in a batch.
            max_length: Read fewer tokens of a text than the model does.

        Raises:
            ModelError: a file is missing or damaged.
            ConfigError: a setting is wrong.
            MissingExtraError: ONNX Runtime is not installed.
        """
        self.path = path
        self.name = name or str(path)
        self.settings = read_settings(path)
        longest = self.settings.max_length
        if max_length is not None and not 1 <= max_length <= longest:
            raise ConfigError(
                f"max_length is {max_length}. This export reads 1 to {longest} tokens."
            )
        self.max_length = max_length or longest
        self.batch_tokens = batch_tokens or BATCH_TOKENS
        self.layout = self.settings.layout(path)
        self._chosen_length = max_length
        self._table = self.settings.table_layout(path)
        self.tokenizer = FastTokenizer(
            path,
            max_length=self.max_length,
            truncation_side=self.settings.truncation_side,
            pad_token_id=self.settings.pad_token_id,
        )
        self._session = _session(path / GRAPH, device)

    @property
    def size(self) -> int:
        """Number of terms."""
        return self.settings.size

    def _weigh_batch(self, ids: NDArray[Any], mask: NDArray[Any]) -> sparse.csr_array:
        (weights,) = self._run(ids, mask, ["weights"])
        if not np.isfinite(weights).all():
            raise ModelError(f"{self.name} gives weights that are not finite numbers.")
        return sparse.csr_array(weights)

    def _weigh_one(
        self, ids: NDArray[Any], mask: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        weights, positions = self._run(ids, mask, ["weights", "positions"])
        return weights[0], positions[0]

    def _run(self, ids: NDArray[Any], mask: NDArray[Any], outputs: list[str]) -> list[NDArray[Any]]:
        """Run the graph on one batch of token ids."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True  # positions are for explanations alone
        try:
            found: list[NDArray[Any]] = self._session.run(
                outputs, {"input_ids": ids, "attention_mask": mask}, options
            )
        except Exception as error:  # the runtime's own kinds have no common name
            raise EncodingError(
                f"ONNX Runtime could not weigh {len(ids)} texts of up to {ids.shape[1]} tokens: "
                f"{_line(error)}. If memory ran out, use a smaller --batch-tokens."
            ) from error
        return found

    def _fingerprint(self, prompt: str, **bounds: float) -> str:
        require_whole(self.path, self.settings)
        return splade_fingerprint(
            self.layout,
            weights=self.settings.weights,
            tokenizer=self.settings.tokenizer,
            max_length=self.max_length,
            prompt=prompt,
            **bounds,
        )


def _session(graph: Path, device: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnxruntime", extra="onnx") from None
    kind = "cpu" if device == "auto" else device.partition(":")[0]
    provider = _PROVIDERS.get(kind)
    if provider not in onnxruntime.get_available_providers():
        raise ConfigError(
            f"device is {device!r}, and the ONNX Runtime that is installed runs on "
            f"{', '.join(onnxruntime.get_available_providers())}. Use cpu."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    options.log_severity_level = 3  # errors: the library does not write to the terminal
    if not graph.is_file():
        raise ModelError(f"{graph.parent} holds no {graph.name}. Export the model again.")
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=[provider])
    except Exception as error:
        raise ModelError(f"{graph} cannot be loaded: {_line(error)}. Export again.") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
