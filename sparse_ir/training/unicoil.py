"""uniCOIL in training: a body, and a projection of each token's hidden state to its weight.

A projection drawn at random gives half of the tokens no weight, and the relu then gives those no
gradient. So it is fitted first: to the least squared error, it makes the IDF of a token out of its
hidden state, and training begins with lexical match instead of with noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sparse_ir.models.batches import named_tokens
from sparse_ir.models.loading import find_model
from sparse_ir.models.masked_lm import load_tokenizer
from sparse_ir.models.unicoil import load_body, load_unicoil, token_weights
from sparse_ir.models.unicoil_files import UnicoilWeights, read_unicoil
from sparse_ir.training.backbone import (
    Backbone,
    checkpoint_gradients,
    require_positions,
    set_dropout,
    transformer_folder,
)
from sparse_ir.training.tokens import token_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sparse_ir.training.settings import ModelSettings

START = 0.4
"""A token begins with about this times its IDF: sums of products then suit a temperature of 1."""

LEAST_START = 0.05
"""No token begins with less, or the relu would leave it without a gradient."""

_RIDGE = 1e-3  # of the mean variance of a hidden state's numbers


class UnicoilModel(nn.Module):
    """Weighs a text's own tokens, with gradients.

    Attributes:
        lm: The body.
        weight: The projection, (width,).
        bias: Its bias, ().
        prior: Added to the weights of a token, (vocabulary,), or None.
        dropped: Columns that stay 0.
        revive: Whether tokens can be raised again where they have fallen to 0.
        fitted: Whether the projection has been trained already.
    """

    never: Tensor

    def __init__(
        self, lm: Any, weights: UnicoilWeights, *, dropped: list[int], fitted: bool
    ) -> None:
        """Wrap a body; ``dropped`` are columns that never get a weight."""
        super().__init__()
        self.lm = lm
        self.weight, self.bias = nn.Parameter(weights.weight), nn.Parameter(weights.bias)
        self.prior = None if weights.prior is None else nn.Parameter(weights.prior)
        self.dropped, self.fitted, self.revive = dropped, fitted, False
        self.register_buffer("never", torch.tensor(dropped, dtype=torch.int64), persistent=False)

    @property
    def size(self) -> int:
        """Number of terms."""
        return len(self.lm.get_input_embeddings().weight)

    @property
    def weights(self) -> UnicoilWeights:
        """The projection and the prior."""
        return UnicoilWeights(self.weight, self.bias, self.prior)

    def part(self, name: str) -> str:
        """Which learning rate a parameter has: "body", "head" or "table"."""
        if name == "prior":
            return "table"
        return "body" if name.startswith("lm.") else "head"

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Weigh a padded batch of token ids: float32, (texts, vocabulary)."""
        hidden = self.lm(input_ids=ids, attention_mask=mask).last_hidden_state
        with torch.autocast(hidden.device.type, enabled=False):
            found = token_weights(hidden, ids, self.weights)
            found = _Revived.apply(found) if self.revive else found.relu()
            found = found.masked_fill(torch.isin(ids, self.never) | (mask == 0), 0.0)
            rows = found.new_zeros((len(ids), self.size))
            return rows.scatter_reduce(1, ids, found, "amax")


class _Revived(torch.autograd.Function):
    """Relu that lets a gradient pass where it would raise what is 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x > 0)
        return x.relu()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return torch.where(positive, upstream, upstream.clamp_max(0.0))


def load_unicoil_backbone(settings: ModelSettings, *, plain_attention: bool = False) -> Backbone:
    """Load a body, or a uniCOIL model to train on.

    Args:
        settings: What is trained.
        plain_attention: See ``load_backbone``.

    Raises:
        ConfigError: more tokens of a text are asked for than it has positions.
        ModelError: there is no body in the folder.
    """
    name, found = find_model(settings.backbone, trust_remote_code=settings.trust_remote_code)
    layout = read_unicoil(found)
    folder = found if layout is not None else transformer_folder(found)
    trusted = settings.trust_remote_code
    tokenizer = load_tokenizer(folder, trust_remote_code=trusted)
    more = {"attn_implementation": "eager"} if plain_attention else {}
    if layout is not None:
        lm, weights = load_unicoil(layout, trust_remote_code=trusted, **more)
    else:
        lm = load_body(folder, trust_remote_code=trusted, **more)
        weights = UnicoilWeights(torch.zeros(lm.config.hidden_size), torch.tensor(0.0))
    if settings.token_prior and weights.prior is None:
        size = len(lm.get_input_embeddings().weight)
        weights = weights._replace(prior=torch.zeros(size))
    require_positions(tokenizer, lm.config, settings)
    set_dropout(lm, settings.dropout)
    if settings.gradient_checkpointing:
        checkpoint_gradients(lm, settings.checkpoint_every, folder)
    # The tokenizer's own tokens are no words of a text.
    never = sorted({*named_tokens(tokenizer, settings.drop_columns), *tokenizer.all_special_ids})
    model = UnicoilModel(lm, weights, dropped=never, fitted=layout is not None)
    return Backbone(model, tokenizer, name, layout is None, 0.0)


@torch.no_grad()
def start_lexical(
    model: UnicoilModel, tokenizer: Any, texts: Sequence[str], idf: Tensor, max_length: int
) -> float:
    """Begin with ``START`` times the IDF of each token; with nothing where it is trained already.

    A prior holds the IDF itself, and the projection begins at 0. Without one the projection is
    fitted to the hidden states of some documents by ridge regression, in closed form.

    Args:
        model: What is to be trained.
        tokenizer: Its tokenizer.
        texts: Some hundred documents.
        idf: Of every token, (vocabulary,).
        max_length: Tokens read of a document.

    Returns:
        The share of the variance of the tokens' IDF that the weights explain, at most 1.
    """
    if model.fitted:
        return 1.0
    wanted = START * idf
    if model.prior is not None:
        model.prior.copy_(wanted.clamp_min(LEAST_START))
        return 1.0
    states, tokens = _hidden(model, tokenizer, texts, max_length)
    target = wanted[tokens].double()
    centre, level = states.mean(dim=0), target.mean()
    apart = states - centre
    square = apart.T @ apart
    ridge = _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    slope = torch.linalg.solve(square + ridge, apart.T @ (target - level))
    model.weight.copy_(slope.float())
    model.bias.copy_((level - centre @ slope).float())
    left = (target - level - apart @ slope).square().sum()
    return float(1 - left / (target - level).square().sum().clamp_min(1e-12))


def _hidden(
    model: UnicoilModel, tokenizer: Any, texts: Sequence[str], max_length: int
) -> tuple[Tensor, Tensor]:
    """Hidden states, float64, (n, width), and ids, (n,), of all tokens that can be weighed."""
    was = model.training
    model.eval()
    states, tokens = [], []
    for group in token_groups(tokenizer, texts, max_length, chunk_texts=16, split=False):
        ids, mask = group["ids"], group["mask"]
        hidden = model.lm(input_ids=ids, attention_mask=mask).last_hidden_state
        kept = mask.bool() & ~torch.isin(ids, model.never)
        states.append(hidden[kept].double())
        tokens.append(ids[kept])
    model.train(was)
    return torch.cat(states), torch.cat(tokens)
