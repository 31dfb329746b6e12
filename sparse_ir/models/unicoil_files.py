"""Folders of uniCOIL models: our own layout, and that of the castorini checkpoints.

Ours is a transformers folder of the body (``config.json``, ``model.safetensors``, tokenizer) with
``unicoil.json`` (:data:`OPTIONS`) and ``unicoil.safetensors`` (the projection) beside it. The
castorini checkpoints (``castorini/unicoil-msmarco-passage`` and its like) hold body and projection
under names of their own in one file, which Pyserini reads: ``coil_encoder.bert.…`` and
``coil_encoder.tok_proj.…``, or the same without the prefix.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.errors import ModelError, brief
from sparse_ir.models import pickles
from sparse_ir.models.layouts import read_object

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

SETTINGS, PROJECTION = "unicoil.json", "unicoil.safetensors"
POOLINGS = ("max", "sum")

_CASTORINI_FILES = ("model.safetensors", "pytorch_model.bin")
_PROJECTIONS = ("tok_proj", "coil")
_PREFIX = "coil_encoder."
_NO_PARAMETER = ("position_ids", "token_type_ids")  # buffers that older transformers saved
_HEADER = 100_000_000


@dataclass(frozen=True)
class UnicoilLayout:
    """How a folder is to be used as a uniCOIL encoder.

    Attributes:
        model: The folder.
        castorini: Whether body and projection lie in one file, under castorini's names.
        max_length: Tokens read of a document, special ones included; None for what the tokenizer
            says.
        query_max_length: Tokens read of a query; None for as many.
        query_pooling: What a token weighs that a query has several times: the "max" of its
            weights, or their "sum". In documents it is the maximum.
        query_terms: A query keeps at most so many of its heaviest tokens; 0 for all.
        document_terms: A document keeps at most so many of its heaviest tokens; 0 for all.
        drop_columns: Tokens that are never weighed: tokens, "special" or "unused".
    """

    model: Path
    castorini: bool = False
    max_length: int | None = None
    query_max_length: int | None = None
    query_pooling: str = "max"
    query_terms: int = 0
    document_terms: int = 0
    drop_columns: tuple[str, ...] = ("special", "unused")

    def __post_init__(self) -> None:
        if self.query_pooling not in POOLINGS:
            raise ModelError(
                f"{self.model}: query_pooling is {self.query_pooling!r}. Use max or sum."
            )
        for name in ("query_terms", "document_terms"):
            if getattr(self, name) < 0:
                raise ModelError(f"{self.model}: {name} is {getattr(self, name)}. Use 0 or more.")
        for name in ("max_length", "query_max_length"):
            length = getattr(self, name)
            if length is not None and length < 1:
                raise ModelError(f"{self.model}: {name} is {length}. Use at least 1.")


OPTIONS = tuple(
    field.name for field in fields(UnicoilLayout) if field.name not in ("model", "castorini")
)
"""What ``unicoil.json`` may set."""


class UnicoilWeights(NamedTuple):
    """What a uniCOIL model adds to its body, float32.

    Attributes:
        weight: Of the projection, (width,).
        bias: Of the projection, ().
        prior: Added to every weight of a token before the relu, (vocabulary,); None for nothing.
    """

    weight: Tensor
    bias: Tensor
    prior: Tensor | None = None


def read_unicoil(folder: Path) -> UnicoilLayout | None:
    """Read how a folder is to be used as a uniCOIL encoder; None where it is no such model.

    Only names are read: no weights, and no pickle is run.

    Raises:
        ModelError: a file is damaged, or sets what is not known.
    """
    if (folder / SETTINGS).is_file():
        set_ = read_object(folder / SETTINGS)
        for name in set_:
            if name not in OPTIONS:
                raise ModelError(
                    f"{folder}: {SETTINGS} sets {name!r}. Known are {', '.join(OPTIONS)}."
                )
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in set_.items()
        }
        try:
            return UnicoilLayout(folder, **values)
        except TypeError as error:  # a text where a number belongs
            raise ModelError(f"{folder}: {SETTINGS} is damaged: {error}") from None
    if not (folder / "config.json").is_file() or (folder / "modules.json").is_file():
        return None
    named = read_object(folder / "config.json").get("architectures") or []
    if any(str(name).endswith("ForMaskedLM") for name in named):
        return None
    if not _names_projection(folder):
        return None
    # Pyserini's own: 512 tokens of a document, 128 of a query; [CLS] weighs nothing, [SEP] does;
    # a query adds up the weights of a token that it has several times.
    return UnicoilLayout(
        folder,
        castorini=True,
        max_length=512,
        query_max_length=128,
        query_pooling="sum",
        drop_columns=("[CLS]", "[PAD]"),
    )


def _names_projection(folder: Path) -> bool:
    path = _castorini_file(folder)
    if path is None:
        return False
    names = _header(path) if path.suffix == ".safetensors" else _pickled_names(path)
    return any(f"{name}.weight".encode() in names for name in _PROJECTIONS)


def _castorini_file(folder: Path) -> Path | None:
    found = (folder / name for name in _CASTORINI_FILES)
    return next((path for path in found if path.is_file()), None)


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(min(int.from_bytes(file.read(8), "little"), _HEADER))


def _pickled_names(path: Path) -> bytes:
    """The part of a PyTorch file that holds the names of its tensors, as it is, not unpickled."""
    if not zipfile.is_zipfile(path):  # from before PyTorch 1.6: the names come first
        with path.open("rb") as file:
            return file.read(1 << 20)
    with zipfile.ZipFile(path) as archive:
        inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
        return archive.read(inner[0]) if inner else b""


def load_weights(layout: UnicoilLayout, body: Any) -> UnicoilWeights:
    """Read the projection; where the body lies in the same file, fill it too.

    Args:
        layout: The folder.
        body: The transformers model that stands before the projection.

    Raises:
        ModelError: weights are missing, damaged, or of another shape.
    """
    import torch

    folder = layout.model
    if layout.castorini:
        tensors = _split(_tensors(folder), body, folder)
    else:
        tensors = _read(folder / PROJECTION)
    try:
        width = body.get_input_embeddings().weight.shape[0], body.config.hidden_size
        weight = tensors["tok_proj.weight"].float().reshape(width[1])
        bias = tensors["tok_proj.bias"].float().reshape(())
        prior = tensors.get("tok_prior")
        prior = None if prior is None else prior.float().reshape(width[0])
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{folder} holds no projection of {body.config.hidden_size} numbers to one "
            f"(tok_proj.weight and tok_proj.bias): {brief(error)}"
        ) from None
    found = UnicoilWeights(weight, bias, prior)
    if not all(torch.isfinite(t).all() for t in found if t is not None):
        raise ModelError(f"{folder}: the weights of the projection are not all finite numbers.")
    return found


def _tensors(folder: Path) -> dict[str, Tensor]:
    path = _castorini_file(folder)
    if path is None:
        raise ModelError(f"{folder} holds no weights ({' or '.join(_CASTORINI_FILES)}).")
    return _read(path)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found: dict[str, Tensor] = pickles.load(path)
    except ModelError:
        raise
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise ModelError(f"{path} cannot be read: {brief(error)}") from error
    return found


def _split(tensors: dict[str, Tensor], body: Any, folder: Path) -> dict[str, Tensor]:
    """Put the body's weights into the body; return the projection's, by our names."""
    plain = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    projection = {}
    for kind in _PROJECTIONS:
        for part in ("weight", "bias"):
            if (tensor := plain.pop(f"{kind}.{part}", None)) is not None:
                projection[f"tok_proj.{part}"] = tensor
    inner = f"{body.config.model_type}."
    own = {
        name.removeprefix(inner): tensor.float()
        for name, tensor in plain.items()
        if not name.endswith(_NO_PARAMETER)
    }
    try:
        result = body.load_state_dict(own, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{folder}: {str(error).splitlines()[-1].strip()}") from None
    lacking = [key for key in result.missing_keys if not key.endswith(_NO_PARAMETER)]
    if lacking:
        raise ModelError(f"{folder} holds no weights for {lacking[0]} of the body.")
    return projection


def castorini_tensors(body: Any, weights: UnicoilWeights) -> dict[str, Tensor]:
    """The state dict of a model under castorini's names.

    Raises:
        ModelError: the model is no BERT, or has a prior, which that layout has no place for.
    """
    if body.config.model_type != "bert":
        raise ModelError(
            f"the castorini layout is BERT's, and this model's body is {body.config.model_type}. "
            "Save it in sparse-ir's own layout."
        )
    if weights.prior is not None:
        raise ModelError(
            "the castorini layout has no place for a prior of tokens. Train with "
            "model.token_prior: false, or save it in sparse-ir's own layout."
        )
    own = {f"{_PREFIX}bert.{name}": tensor for name, tensor in body.state_dict().items()}
    return {
        **{name: tensor.detach().cpu().float().contiguous() for name, tensor in own.items()},
        f"{_PREFIX}tok_proj.weight": weights.weight.detach().cpu().reshape(1, -1).contiguous(),
        f"{_PREFIX}tok_proj.bias": weights.bias.detach().cpu().reshape(1),
    }


def settings_file(layout: UnicoilLayout) -> dict[str, Any]:
    """``unicoil.json``: all that is not as usual."""
    usual = UnicoilLayout(layout.model)
    found = {name: getattr(layout, name) for name in OPTIONS}
    return json.loads(json.dumps({n: v for n, v in found.items() if v != getattr(usual, n)}))  # type: ignore[no-any-return]
