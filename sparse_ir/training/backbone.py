"""A masked LM, or an encoder without a head, made ready to be trained."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sparse_ir.errors import ConfigError, ModelError, brief
from sparse_ir.models.batches import maximal_length, named_tokens
from sparse_ir.models.head import tiles
from sparse_ir.models.layouts import listed_modules, read_layout
from sparse_ir.models.loading import find_model
from sparse_ir.models.masked_lm import MaskedLM, captured_hidden, load_tokenizer
from sparse_ir.models.pretrained import load_pretrained, quiet
from sparse_ir.models.saving import require_droppable
from sparse_ir.models.sides import read_sides
from sparse_ir.models.unicoil_files import read_unicoil
from sparse_ir.training.model import TermModel
from sparse_ir.training.starting import require_plain
from sparse_ir.training.tokens import token_groups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from sparse_ir.training.settings import ModelSettings

START_TERMS = 600
"""Terms a document begins with where the head is new or would begin dense."""

_FLAT = 1e-3  # logits that differ by less across the vocabulary carry no information
_log = logging.getLogger(__name__)


class Backbone(NamedTuple):
    """What a run starts from.

    Attributes:
        model: A ``TermModel``, or a ``UnicoilModel``, with gradients.
        tokenizer: Its tokenizer.
        name: As the settings call it, for the model card.
        new_head: Whether the masked-LM head was made here.
        start_terms: Terms of a sample document before the first step.
    """

    model: Any
    tokenizer: Any
    name: str
    new_head: bool
    start_terms: float


def load_backbone(
    settings: ModelSettings, sample: Sequence[str], *, seed: int, plain_attention: bool = False
) -> Backbone:
    """Load the backbone, give it a head where it has none, and check that it can be trained.

    A new head passes the hidden states on as they are (identity, unit layer norm) to the tied
    embeddings; its bias, or that of a head whose every logit is above 0, is set so that a document
    begins with about ``START_TERMS`` terms: from an all-dense start FLOPS leads nowhere
    (https://github.com/huggingface/sentence-transformers/issues/3431).

    Args:
        settings: What is trained.
        sample: Documents to look at, some dozens.
        seed: For weights that must be drawn.
        plain_attention: Compute attention step by step instead of by torch's fused kernel, which
            saves memory everywhere, but in bfloat16 on CPUs is slow on the way back.

    Raises:
        ConfigError: more tokens of a text are asked for than it has positions, or terms are to be
            dropped and it has nothing to switch them off by.
        ModelError: the folder is a uniCOIL model, or a SPLADE model with what training does not
            know (prompts, lower-casing, dropped positions, a prune ratio), or no masked LM can be
            made of it, or it gives every term of every text the same weight, or it begins dense
            and has no output bias.
    """
    name, found = find_model(settings.backbone, trust_remote_code=settings.trust_remote_code)
    if read_unicoil(found) is not None:
        raise ModelError(
            f"{name} is a uniCOIL model, whose projection a SPLADE model has no place for. Train "
            "it on with model.architecture: unicoil, or give another backbone."
        )
    folder = transformer_folder(found)
    if (found / "sparse_ir.json").is_file() or _pools_terms(found):
        require_plain(name, read_layout(found))
    tokenizer = load_tokenizer(folder, trust_remote_code=settings.trust_remote_code)
    torch.manual_seed(seed)
    lm, new = _load(folder, settings, plain_attention=plain_attention)
    require_positions(tokenizer, lm.config, settings)
    lm.eval()
    fitted = MaskedLM(lm, folder)
    output = lm.get_output_embeddings()
    own = getattr(output, "bias", None)
    has_own = own is not None and torch.allclose(
        fitted.layer.bias, fitted.scale * own.detach(), rtol=1e-4, atol=1e-4
    )
    model = TermModel(
        lm,
        scale=fitted.scale,
        bias=None if has_own else fitted.layer.bias.clone(),
        pooling=settings.pooling,
        activation=settings.activation,
        dropped=named_tokens(tokenizer, settings.drop_columns),
    )
    if model.dropped:
        require_droppable(lm)
    terms = _start(model, tokenizer, settings, sample, new=new, folder=folder)
    set_dropout(lm, settings.dropout)
    if settings.gradient_checkpointing:
        checkpoint_gradients(lm, settings.checkpoint_every, folder)
    return Backbone(model, tokenizer, name, new, terms)


def checkpoint_gradients(lm: Any, every: int, folder: Path) -> None:
    """Let every so-manieth layer compute its hidden states again on the way back.

    Raises:
        ModelError: the architecture cannot, or its layers cannot be chosen.
    """
    if not lm.supports_gradient_checkpointing:
        raise ModelError(f"{folder}: this architecture has no gradient_checkpointing.")
    with quiet():
        lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if every == 1:
        return
    layers = _layers_with_a_flag(lm)
    if not layers:
        raise ModelError(
            f"{folder}: its layers cannot be checkpointed one by one with this transformers. Leave "
            "checkpoint_every away."
        )
    for number, layer in enumerate(layers):
        layer.gradient_checkpointing = number % every == 0


def _layers_with_a_flag(lm: Any) -> list[Any]:
    try:
        from transformers.modeling_layers import GradientCheckpointingLayer
    except ImportError:  # before 4.52 one flag is for all layers
        return []
    return [module for module in lm.modules() if isinstance(module, GradientCheckpointingLayer)]


def require_positions(tokenizer: Any, config: Any, settings: ModelSettings) -> None:
    """Refuse lengths of more tokens than a model has positions (ConfigError)."""
    for name in ("query_tokens", "document_tokens", "max_length"):
        length = getattr(settings, name)
        try:
            maximal_length(tokenizer, config, chosen=length or None, saved=None)
        except ConfigError as error:
            raise ConfigError(f"model.{name}: {error}") from None


def transformer_folder(folder: Path) -> Path:
    """The folder of the transformer itself: sentence-transformers may keep it one level down."""
    if (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        modules = listed_modules(folder)
        if not modules:
            raise ModelError(f"{folder}: modules.json lists no module. Save the model again.")
        if modules[0].kind in ("Router", "Asym"):
            raise ModelError(
                f"{folder} has two sides, and training starts from one model. Give its folder: "
                f"{read_sides(folder).documents.model}"
            )
        return modules[0].path
    return folder


def _pools_terms(folder: Path) -> bool:
    """Whether its modules are those of a SPLADE model."""
    return any(one.kind == "SpladePooling" for one in listed_modules(folder))


def _load(folder: Path, settings: ModelSettings, *, plain_attention: bool) -> tuple[Any, bool]:
    try:
        lm, info = load_pretrained(
            "AutoModelForMaskedLM",
            folder,
            trust_remote_code=settings.trust_remote_code,
            **({"attn_implementation": "eager"} if plain_attention else {}),
        )
    except ModelError:
        raise
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise ModelError(
            f"{folder}: no masked LM can be made of it ({type(error).__name__}: {brief(error)})."
        ) from error
    lacking = set(info["missing_keys"])
    if not lacking:
        return lm, False
    body = {key for key in lacking if key.startswith(f"{lm.base_model_prefix}.")}
    body = {key for key in body if not key.endswith("position_ids")}
    if body:
        raise ModelError(
            f"{folder} holds no weights for {sorted(body)[0]} and {len(body) - 1} more: the body "
            "of the model is not whole."
        )
    _new_head(lm, lacking)
    return lm, True


@torch.no_grad()
def _new_head(lm: Any, lacking: set[str]) -> None:
    """Pass hidden states through to the embeddings: identity, unit norm, no bias."""
    embeddings = lm.get_input_embeddings().weight
    for name, module in lm.named_modules():
        if not any(key.rpartition(".")[0] == name for key in lacking):
            continue
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.nn.Parameter) and weight is not embeddings:
            if weight.ndim == 2 and weight.shape[0] == weight.shape[1]:
                torch.nn.init.eye_(weight)
            elif weight.ndim == 1:
                weight.fill_(1.0)
            elif weight.shape == embeddings.shape:
                weight.copy_(embeddings)
        if isinstance(getattr(module, "bias", None), torch.nn.Parameter):
            module.bias.zero_()


@torch.no_grad()
def _start(
    model: TermModel,
    tokenizer: Any,
    settings: ModelSettings,
    sample: Sequence[str],
    *,
    new: bool,
    folder: Path,
) -> float:
    """Look at the logits of a sample; lower the bias where training would begin dense."""
    highest = _highest_logits(model, tokenizer, settings, sample)
    spread = float(highest.std(dim=1).mean())
    if not spread > _FLAT:  # also where it is not a number
        raise ModelError(
            f"{folder}: the logits of a text are the same for every term (spread {spread:.1e}), "
            "so there is nothing to train from. Use another backbone."
        )
    terms = float((highest > 0).sum(dim=1).float().mean())
    if new or terms > 0.5 * highest.shape[1]:
        if model.fixed_bias is not None:  # one lowered here would not be saved with the model
            raise ModelError(
                f"{folder}: a document begins with {terms:.0f} of {highest.shape[1]} terms, and "
                f"{type(model.lm).__name__} has no output bias that could be lowered for a sparse "
                "start. Use another backbone."
            )
        wanted = min(START_TERMS, highest.shape[1] // 8)
        level = float(highest.flatten().kthvalue(highest.numel() - wanted * len(highest)).values)
        model.output.bias.sub_(level / model.scale)
        _log.info("the output bias is lowered by %.2f, so that training starts sparse", level)
        terms = float((highest > level).sum(dim=1).float().mean())
    return terms


def _highest_logits(
    model: TermModel, tokenizer: Any, settings: ModelSettings, sample: Sequence[str]
) -> Tensor:
    """The largest logit of each term over the tokens of each text, (texts, vocabulary)."""
    rows = []
    for group in token_groups(
        tokenizer, sample, settings.document_tokens, chunk_texts=8, split=False
    ):
        hidden = captured_hidden(model.lm, group["ids"], group["mask"]) * model.scale
        out = torch.empty((len(hidden), len(model.output.weight)))
        hidden = hidden.masked_fill(group["mask"].unsqueeze(-1) == 0, 0.0)
        for start, stop in tiles(out.shape[1], hidden.shape[0] * hidden.shape[1]):
            logits = hidden @ model.output.weight[start:stop].T + model.bias[start:stop]
            logits = logits.masked_fill(group["mask"].unsqueeze(-1) == 0, -torch.inf)
            out[:, start:stop] = logits.amax(dim=1)
        rows.append(out)
    highest = torch.cat(rows)
    dropped = set(model.dropped)
    kept = [c for c in range(highest.shape[1]) if c not in dropped]
    return highest[:, kept]


def set_dropout(lm: Any, dropout: float | None) -> None:
    """Put a rate in the place of a model's own; None leaves it."""
    if dropout is None:
        return
    for module in lm.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
        for name in ("attention_dropout", "dropout_prob", "dropout"):  # kept as numbers by some
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, dropout)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout"):
        if isinstance(getattr(lm.config, name, None), float):
            setattr(lm.config, name, dropout)
