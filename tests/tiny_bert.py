"""A random BERT of a few layers with its tokenizer, where a test needs any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def make_bert(
    folder: Path,
    vocabulary: Iterable[str],
    kind: str = "BertForMaskedLM",
    *,
    seed: int,
    length: int,
    width: int = 32,
    inner: int = 64,
    layers: int = 2,
    heads: int = 4,
    **more: Any,
) -> Any:
    """Save tokenizer and model, and return the model; its weights tell texts apart.

    Args:
        folder: Is made where it is missing.
        vocabulary: Tokens beside the special ones; one that comes twice counts once.
        kind: The class of transformers.
        seed: Of the weights.
        length: Tokens of a text at most.
        width: Of the hidden states.
        inner: Of the layers' inner states.
        layers: How many.
        heads: Of attention.
        more: Further settings of the configuration.
    """
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    tokens = dict.fromkeys(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary))
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=length)
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(tokens), hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=heads, intermediate_size=inner, max_position_embeddings=length, **more,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.5)
    model.save_pretrained(folder)
    return model
