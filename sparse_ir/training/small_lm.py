"""A small masked LM that is trained from little text.

ModernBERT's layers (Warner et al., 2024, https://arxiv.org/abs/2412.13663) normalise before they
compute, so that a token's embedding reaches the output as it is; a small BERT, which normalises
after, learns for thousands of steps hardly more than how frequent words are. Two things are
counted rather than learnt: embeddings begin as word vectors, and log frequencies are added to
the logits throughout, so that the weights have to tell only what a text makes likelier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

from sparse_ir.models.layouts import read_json
from sparse_ir.models.pretrained import quiet
from sparse_ir.models.saved_files import clean_tokenizer, made_aside, put_json, without_traces
from sparse_ir.training.masking import IGNORED
from sparse_ir.training.word_vectors import log_frequencies, word_vectors

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from sparse_ir.training.pretrain import PretrainSettings

_CLS, _SEP = 2, 3  # places in vocabulary.SPECIAL


class SmallLM(transformers.ModernBertForMaskedLM):  # type: ignore[no-untyped-call]
    """Makes logits of the hidden tokens only, which most of a step would go to.

    Attributes:
        prior: Log frequencies, added to the logits, (vocabulary,).
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("prior", torch.zeros(config.vocab_size), persistent=False)

    def forward(self, input_ids: Tensor, labels: Tensor, total: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the hidden tokens, summed, over the number of them on all devices."""
        hidden = self.model(input_ids=input_ids).last_hidden_state
        chosen = labels != IGNORED
        logits = self.decoder(self.head(hidden[chosen])).float() + self.prior
        loss = torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="sum")
        return {"loss": loss / total}


def new_lm(settings: PretrainSettings, blocks: NDArray[Any], tokens: int, *, on_cpu: bool) -> Any:
    """Make a model of the settings' size; the global seed decides what is drawn.

    Args:
        settings: Of the run.
        blocks: The packed corpus, whose words are counted.
        tokens: Size of the vocabulary.
        on_cpu: Whether it is trained on a CPU.
    """
    # torch's fused attention is slow on the way back in bfloat16 on CPUs
    plain = on_cpu and settings.precision != "fp32"
    kind: Any = transformers.ModernBertConfig  # typed without what it takes for all models
    config = kind(
        vocab_size=tokens,
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=5 * settings.width // 2,
        max_position_embeddings=settings.max_tokens,
        attention_dropout=settings.dropout,
        embedding_dropout=settings.dropout,
        mlp_dropout=settings.dropout,
        decoder_bias=True,
        pad_token_id=0,
        bos_token_id=_CLS,
        cls_token_id=_CLS,
        eos_token_id=_SEP,
        sep_token_id=_SEP,
        attn_implementation="eager" if plain else "sdpa",
    )
    lm: Any = SmallLM(config)
    vectors = word_vectors(blocks, tokens, settings.width, seed=settings.seed)
    with torch.no_grad():
        table = lm.get_input_embeddings().weight
        usual = table.norm(dim=1).mean()
        known = torch.from_numpy(vectors).norm(dim=1) > 0
        table[known] = torch.from_numpy(vectors)[known] * usual
        lm.prior.copy_(torch.from_numpy(log_frequencies(blocks, tokens)))
    return lm


def plain_lm(lm: SmallLM, *, with_prior: bool) -> Any:
    """The same model under the name that transformers knows.

    Args:
        lm: The trained model.
        with_prior: Move the log frequencies into the output bias, else leave them out.
    """
    plain = transformers.ModernBertForMaskedLM(lm.config)
    plain.load_state_dict(lm.state_dict())
    if with_prior:
        with torch.no_grad():
            plain.decoder.bias.add_(torch.as_tensor(lm.prior).cpu())
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
