"""A masked LM from a folder, split into what comes before its output layer and that layer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import normalizers

from sparse_ir.errors import ConfigError, ModelError, brief
from sparse_ir.models.fingerprint import vocabulary_files
from sparse_ir.models.head import OutputLayer
from sparse_ir.models.int8 import use_int8
from sparse_ir.models.pretrained import load_pretrained, quiet

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_TELLING = 1e3  # larger logits are rounded too coarsely to find a scale by

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class _Captured(Exception):  # noqa: N818 - it ends the forward pass early, it is no error
    """Carries the input of the output layer out of the forward pass."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class MaskedLM:
    """A masked LM whose logits are never computed.

    The forward pass ends where the output layer begins, whatever the architecture calls its
    parts; ``head.py`` applies :attr:`layer`. Both ways are compared on a few tokens first.
    The model given belongs to this object then: it gives no logits any more.

    Attributes:
        config: The model's config.
        layer: Its output layer, float32.
        scale: What the model multiplies its output layer's logits by; the layer has it in.
    """

    def __init__(self, model: Any, folder: Path) -> None:
        self.config = model.config
        self._model = model
        output = model.get_output_embeddings()
        if not isinstance(getattr(output, "weight", None), torch.nn.Parameter):
            raise _unknown_head(folder, model)
        ids = torch.arange(min(4, len(output.weight))).unsqueeze(0)
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        output.register_forward_pre_hook(_capture)
        try:
            hidden = self.hidden(ids, torch.ones_like(ids))[0]
            self.scale, self.layer = _fitted_layer(output, hidden, logits)
        except (RuntimeError, AssertionError) as error:
            raise _unknown_head(folder, model) from error

    @property
    def size(self) -> int:
        """Number of terms."""
        return len(self.layer.weight)

    @torch.inference_mode()
    def hidden(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Run the model up to its output layer, without gradients; see ``captured_hidden``."""
        return captured_hidden(self._model, input_ids, attention_mask)

    def to(self, device: torch.device, precision: str) -> None:
        """Move to a device; the body takes the precision, the output layer stays float32.

        Raises:
            ConfigError: the device cannot do it.
        """
        dtype = PRECISIONS.get(precision, torch.float32)
        if precision == "int8":
            use_int8(self._model.base_model, device, spare=self._model.get_output_embeddings())
        elif dtype is not torch.float32:
            for parameter in self._model.parameters():
                # Parameters only: buffers, as tables of rotary positions, lose too much in 16 bits.
                # A new tensor each, so that the layer below keeps its own.
                parameter.data = parameter.data.to(dtype)
        self._model.to(device)
        self.layer = OutputLayer(self.layer.weight.to(device), self.layer.bias.to(device))


def captured_hidden(model: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Run a masked LM that a ``MaskedLM`` owns up to its output layer.

    Args:
        model: The transformers model.
        input_ids: (batch, tokens).
        attention_mask: 1 for tokens, 0 for padding, (batch, tokens).

    Returns:
        Inputs of the output layer, (batch, tokens, width).
    """
    try:
        model(input_ids=input_ids, attention_mask=attention_mask)
    except _Captured as captured:
        captured.__traceback__ = None  # it holds the frames with all hidden states
        return captured.hidden
    raise RuntimeError("the forward pass does not call the model's output embeddings")


@torch.inference_mode()
def _fitted_layer(output: Any, hidden: Tensor, logits: Tensor) -> tuple[float, OutputLayer]:
    """Find the scale and the bias that turn the output layer's weights into the model's logits.

    Some models add a bias of their own behind the layer, some scale the logits.

    Args:
        output: The module that holds the weights.
        hidden: What went into it for a few tokens, (tokens, width).
        logits: What the model made of that, (tokens, vocabulary).

    Raises:
        AssertionError: the model does something else with it.
        RuntimeError: the shapes do not fit.
    """
    weight = output.weight.detach()
    bare = hidden @ weight.T
    # A term that is switched off by a bias of -1e4 has lost the digits that would tell.
    telling = logits.abs().amax(dim=0) < _TELLING
    x, y = ((v - v.mean(dim=0))[:, telling] for v in (bare, logits))
    scale = float((x * y).sum() / (x * x).sum().clamp_min(1e-30))
    scale = 1.0 if abs(scale - 1.0) < 1e-4 else scale
    bias = (logits - scale * bare).mean(dim=0)
    torch.testing.assert_close(scale * bare + bias, logits, rtol=1e-3, atol=1e-3)
    own = getattr(output, "bias", None)
    if own is not None and torch.allclose(bias, scale * own, rtol=1e-5, atol=5e-5):
        bias = scale * own.detach()  # without the rounding of the subtraction
    return scale, OutputLayer(weight if scale == 1.0 else weight * scale, bias)


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
    try:
        model, info = load_pretrained(
            "AutoModelForMaskedLM", folder, trust_remote_code=trust_remote_code
        )
    except ModelError:
        raise
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
        raise ModelError(
            f"{folder}: the tokenizer cannot be loaded: {type(error).__name__}: {brief(error)}"
        ) from error
    if lowercase:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                f"{folder}: its texts are to be lower-cased (do_lower_case), which needs the "
                "tokenizer in its fast form (tokenizer.json). Save that beside it."
            )
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


def require_device(name: str) -> None:
    """Check that torch can use a device, and leave a GPU's memory alone.

    Raises:
        ConfigError: it cannot.
    """
    kind, _, number = name.partition(":")
    if kind != "cuda" or not torch.cuda.is_available():
        find_device(name)
    elif number and not (number.isdecimal() and int(number) < torch.cuda.device_count()):
        raise ConfigError(
            f"device is {name!r}, and there are {torch.cuda.device_count()} GPUs, counted from 0."
        )


def all_devices() -> tuple[str, ...]:
    """Every GPU that torch sees, else "mps" or "cpu".

    Under torchrun with several processes on a machine, it is the GPU of this process's number.
    """
    count = torch.cuda.device_count()
    if not count:
        return (find_device("auto").type,)
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
        own = int(os.environ.get("LOCAL_RANK", "0"))
        return (f"cuda:{own % count}",)
    return tuple(f"cuda:{i}" for i in range(count))


def _unloadable(folder: Path, error: Exception) -> ModelError:
    if "AutoModelForMaskedLM" in str(error):
        return ModelError(f"{folder} is no masked LM: transformers has no masked-LM head for it.")
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{folder} brings Python code of its own, which is not run unless you ask for it with "
            "trust_remote_code."
        )
    return ModelError(
        f"{folder}: the model cannot be loaded: {type(error).__name__}: {brief(error)}"
    )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
