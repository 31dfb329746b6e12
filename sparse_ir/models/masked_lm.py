"""A masked LM from a folder, split into what comes before its output layer and that layer."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import normalizers
from transformers.utils import logging as transformers_logging

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.fingerprint import vocabulary_files
from sparse_ir.models.head import OutputLayer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class _Captured(Exception):  # noqa: N818 - it ends the forward pass early, it is no error
    """Carries the input of the output layer out of the forward pass."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class MaskedLM:
    """A masked LM whose logits are never computed.

    The forward pass ends where the output layer begins, whatever the architecture calls its
    parts; :attr:`layer` is applied by ``head.py``. Loading compares both ways on a few tokens.
    """

    def __init__(self, model: Any, folder: Path) -> None:
        self.model = model
        self.config = model.config
        output = model.get_output_embeddings()
        if not isinstance(getattr(output, "weight", None), torch.nn.Parameter):
            raise _unknown_head(folder, model)
        self._output = output
        self.layer = self._checked_layer(folder)

    @property
    def size(self) -> int:
        """Number of terms."""
        return len(self.layer.weight)

    @torch.inference_mode()
    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Run the model up to its output layer.

        Args:
            input_ids: (batch, tokens).
            attention_mask: 1 for tokens, 0 for padding, (batch, tokens).

        Returns:
            Inputs of the output layer, (batch, tokens, width).
        """
        hook = self._output.register_forward_pre_hook(_capture)
        try:
            self.model(input_ids=input_ids, attention_mask=attention_mask)
        except _Captured as captured:
            captured.__traceback__ = None  # it holds the frames with all hidden states
            return captured.hidden
        finally:
            hook.remove()
        raise RuntimeError("the forward pass does not call the model's output embeddings")

    def to(self, device: torch.device, precision: str) -> None:
        """Move to a device; the parameters take the precision, the output layer stays float32."""
        dtype = PRECISIONS[precision]
        if dtype is not torch.float32:
            for parameter in self.model.parameters():
                # Parameters only: buffers, as tables of rotary positions, lose too much in 16 bits.
                # A new tensor each, so that the layer below keeps its own.
                parameter.data = parameter.data.to(dtype)
        self.model.to(device)
        self.layer = OutputLayer(self.layer.weight.to(device), self.layer.bias.to(device))

    @torch.inference_mode()
    def _checked_layer(self, folder: Path) -> OutputLayer:
        """Find the output layer's scale and bias and prove that they give the model's logits.

        Some models add a bias of their own behind the layer, some scale the logits.
        """
        ids = torch.arange(4).clamp_(max=len(self._output.weight) - 1).unsqueeze(0)
        mask = torch.ones_like(ids)
        logits = self.model(input_ids=ids, attention_mask=mask).logits[0].float()
        try:
            hidden = self.hidden(ids, mask)[0].float()
            weight = self._output.weight.detach().float()
            bare = hidden @ weight.T
            scale = _scale(bare, logits)
            bias = (logits - scale * bare).mean(dim=0)
            own = getattr(self._output, "bias", None)
            if own is not None and torch.allclose(bias, scale * own, rtol=1e-4, atol=1e-4):
                bias = scale * own.detach().float()
            torch.testing.assert_close(scale * bare + bias, logits, rtol=1e-3, atol=1e-3)
        except (RuntimeError, AssertionError) as error:
            raise _unknown_head(folder, self.model) from error
        return OutputLayer(weight if scale == 1.0 else weight * scale, bias)


def _scale(bare: Tensor, logits: Tensor) -> float:
    x, y = bare - bare.mean(dim=0), logits - logits.mean(dim=0)
    scale = float((x * y).sum() / (x * x).sum().clamp_min(1e-30))
    return 1.0 if abs(scale - 1.0) < 1e-4 else scale


def _capture(_module: Any, inputs: tuple[Tensor, ...]) -> None:
    raise _Captured(inputs[0])


def _unknown_head(folder: Path, model: Any) -> ModelError:
    return ModelError(
        f"{folder}: {type(model).__name__} does not end in one output layer over its vocabulary, "
        "so sparse-ir cannot weigh terms with it. Use a BERT-like masked LM."
    )


def load_masked_lm(folder: Path, *, trust_remote_code: bool = False) -> MaskedLM:
    """Load the masked LM of a folder in float32, on the CPU.

    Raises:
        ModelError: there is no masked LM in the folder, weights of it are missing or damaged, or
            its head is of an unknown kind.
    """
    dtype = "dtype" if _version() >= (4, 56) else "torch_dtype"
    try:
        with quiet():
            model, info = transformers.AutoModelForMaskedLM.from_pretrained(
                str(folder),
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                **{dtype: torch.float32},
            )
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise _unloadable(folder, error) from error
    lacking = sorted(str(key) for key in info["missing_keys"])
    if lacking:
        raise ModelError(
            f"{folder} holds no weights for {_few(lacking)}; a SPLADE encoder needs a model saved "
            "with its masked-LM head (AutoModelForMaskedLM)."
        )
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(f"{folder}: the weights of {name} are not all finite numbers.")
    return MaskedLM(model.float().eval(), folder)


def load_tokenizer(
    folder: Path, *, lowercase: bool = False, trust_remote_code: bool = False
) -> Any:
    """Load the tokenizer of a folder.

    Args:
        folder: A model folder.
        lowercase: Lower-case texts first, whatever the tokenizer does after.
        trust_remote_code: Run Python code that the folder brings.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    if not vocabulary_files(folder):
        raise ModelError(f"{folder} holds no tokenizer. Save the model's tokenizer beside it.")
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(folder), trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:
        raise ModelError(f"{folder}: the tokenizer cannot be loaded: {_line(error)}") from error
    if lowercase:
        backend = tokenizer.backend_tokenizer
        own = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return tokenizer


def find_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is CUDA, then MPS, then CPU.

    Raises:
        ConfigError: torch cannot use it here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device is {name!r}, which torch cannot use here. Use cpu.") from error
    return device


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


def _unloadable(folder: Path, error: Exception) -> ModelError:
    if "AutoModelForMaskedLM" in str(error):
        return ModelError(f"{folder} is no masked LM: transformers has no masked-LM head for it.")
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{folder} brings Python code of its own, which is not run unless you ask for it with "
            "trust_remote_code."
        )
    return ModelError(f"{folder}: the model cannot be loaded: {_line(error)}")


def _version() -> tuple[int, int]:
    major, minor = transformers.__version__.split(".")[:2]
    return int(major), int(minor)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
