"""A small BERT that is trained from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

from sparse_ir.models.layouts import read_json
from sparse_ir.models.masked_lm import quiet
from sparse_ir.models.saved_files import clean_tokenizer, made_aside, put_json, without_traces
from sparse_ir.training.masking import IGNORED

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from sparse_ir.training.pretrain import PretrainSettings


class MaskedBert(transformers.BertForMaskedLM):  # type: ignore[no-untyped-call]
    """A BERT that makes logits of the hidden tokens only, which most of a step would go to."""

    def forward(self, input_ids: Tensor, labels: Tensor, total: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the hidden tokens, summed, over the number of them on all devices."""
        hidden = self.bert(input_ids).last_hidden_state
        chosen = labels != IGNORED
        logits = self.cls(hidden[chosen]).float()
        loss = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="sum")
        return {"loss": loss / total}


def new_bert(settings: PretrainSettings, vocabulary: int, *, on_cpu: bool) -> MaskedBert:
    """Draw a BERT of the settings' size; the global seed decides its weights."""
    config_type: Any = transformers.BertConfig  # typed without what it takes for all models
    config = config_type(
        vocab_size=vocabulary,
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.width,
        max_position_embeddings=settings.max_tokens,
        type_vocab_size=1,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        pad_token_id=0,
        # torch's fused attention is slow on the way back on CPUs
        attn_implementation="eager" if on_cpu else "sdpa",
    )
    return MaskedBert(config)


def plain(model: MaskedBert) -> Any:
    """The same model under the name that transformers knows."""
    plain = transformers.BertForMaskedLM(model.config)
    plain.load_state_dict(model.state_dict())
    return plain


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write the model folder, whole or not at all; a model that lies there is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    with made_aside(out, replace=True) as made, quiet():
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        config = made / "config.json"
        put_json(config, without_traces(config.name, read_json(config)))
        clean_tokenizer(made, max_length=model.config.max_position_embeddings)
