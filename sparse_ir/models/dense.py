"""Dense text vectors, as sentence-transformers makes them: a model, a pooling, a length of 1."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from sparse_ir.errors import ModelError
from sparse_ir.models.backbone import Backbone, Options
from sparse_ir.models.layouts import listed_modules, read_object, read_prompts, saved_length

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

POOLINGS = ("mean", "cls", "max")
_POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class DenseLayout(NamedTuple):
    """How a model's hidden states become one vector a text.

    Attributes:
        model: Folder of the transformers model and its tokenizer.
        pooling: "mean", "cls" or "max" over the tokens of a text.
        normalize: Whether vectors are brought to length 1.
        max_length: Tokens read of a text; None where the tokenizer decides.
        lowercase: Whether texts are lower-cased first.
        document_prompt: Put in front of every document.
        query_prompt: Put in front of every query.
    """

    model: Path
    pooling: str = "mean"
    normalize: bool = False
    max_length: int | None = None
    lowercase: bool = False
    document_prompt: str = ""
    query_prompt: str = ""


class DenseEncoder:
    """Gives a text a dense vector.

    Attributes:
        name: What ``load_dense`` takes to load it again.
        path: The folder it was loaded from.
        layout: Pooling, normalisation, prompts.
        max_length: Tokens read of a text, special ones included.
        width: Numbers in a vector.
    """

    def __init__(
        self, path: str | Path, *, name: str | None = None, options: Options | None = None
    ) -> None:
        """Load a sentence-transformers folder, or a plain transformers one (mean pooling).

        Args:
            path: The folder.
            name: What ``load_dense`` takes to load it again; the folder by default.
            options: Device, precision, batches.

        Raises:
            ModelError: the folder holds no such model, or makes vectors otherwise.
            ConfigError: an option is wrong.
        """
        self.path = Path(path).resolve()
        self.name = name or str(self.path)
        self.layout = read_dense_layout(self.path)
        self.backbone = Backbone(
            self.layout.model,
            options or Options(),
            saved_length=self.layout.max_length,
            lowercase=self.layout.lowercase,
        )
        self.max_length = self.backbone.max_length
        self.width = int(self.backbone.config.hidden_size)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hex, of weights, tokenizer and layout: all that decides vectors."""
        layout = self.layout._asdict()
        del layout["model"], layout["max_length"]  # the length in force is added below
        return self.backbone.fingerprint({"kind": "dense", **layout})

    @cached_property
    def similarity(self) -> str:
        """How its vectors are compared, as the folder says: "cosine", its default, or "dot"."""
        config = read_object(self.path / "config_sentence_transformers.json")
        return "dot" if str(config.get("similarity_fn_name")).startswith("dot") else "cosine"

    def encode(
        self,
        texts: Sequence[str],
        *,
        query: bool = False,
        advance: Callable[[int], None] = lambda n: None,
    ) -> NDArray[np.float32]:
        """Encode texts, in the order given.

        Args:
            texts: n texts.
            query: Whether they are queries; matters where the model has a prompt of their own.
            advance: Called with the number of texts finished, as they are.

        Returns:
            One row a text, (n, width).

        Raises:
            ModelError: a vector holds what is no finite number.
        """
        if isinstance(texts, str):
            raise ValueError("texts is one string. Give a list of texts.")
        prompt = self.layout.query_prompt if query else self.layout.document_prompt
        vectors = np.zeros((len(texts), self.width), np.float32)
        for batch in self.backbone.run([prompt + text for text in texts] if prompt else texts):
            pooled = self._pool(batch.output.last_hidden_state, batch.mask)
            vectors[batch.rows] = pooled.cpu().numpy()
            advance(len(batch.rows))
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"{self.name} gives vectors that are not finite numbers. If you asked for fp16, "
                "use bf16 or fp32."
            )
        return vectors

    @torch.inference_mode()
    def _pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        vectors = pool(hidden.float(), mask, self.layout.pooling)
        return torch.nn.functional.normalize(vectors, dim=1) if self.layout.normalize else vectors


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Make one vector a text of its tokens' vectors; padding counts for nothing.

    Args:
        hidden: (batch, tokens, width), padded on the right.
        mask: 1 for tokens, 0 for padding, (batch, tokens).
        pooling: "mean", "cls" (the first token) or "max".

    Returns:
        (batch, width).
    """
    if pooling == "cls":
        return hidden[:, 0]
    counted = mask.unsqueeze(-1)
    if pooling == "max":
        return hidden.masked_fill(counted == 0, float("-inf")).amax(dim=1)
    # A product instead of a masked copy: (batch, 1, tokens) @ (batch, tokens, width).
    sums = torch.bmm(mask.to(hidden.dtype).unsqueeze(1), hidden).squeeze(1)
    return sums / counted.sum(dim=1).clamp_min(1)


def read_dense_layout(folder: Path) -> DenseLayout:
    """Read how a folder makes vectors: sentence-transformers modules, else mean pooling.

    Raises:
        ModelError: modules that are not Transformer, Pooling and perhaps Normalize, or a pooling
            that is not known.
    """
    if not (folder / "modules.json").is_file():
        return DenseLayout(folder)
    modules = listed_modules(folder)
    kinds = [module.kind for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(
            f"{folder}: modules.json lists {', '.join(kinds) or 'nothing'}; a dense encoder is a "
            "Transformer and a Pooling, with or without a Normalize behind them."
        )
    model = modules[0].path
    reader = read_object(model / "sentence_bert_config.json")
    document, query = read_prompts(folder)
    pooling = read_object(modules[1].path / "config.json")
    if (document or query) and not pooling.get("include_prompt", True):
        raise ModelError(
            f"{folder}: its pooling leaves the prompt out, which sparse-ir does not do. Use "
            "another model."
        )
    return DenseLayout(
        model,
        pooling=_pooling(pooling, folder),
        normalize=kinds[-1] == "Normalize",
        max_length=saved_length(reader, model),
        lowercase=bool(reader.get("do_lower_case", False)),
        document_prompt=document,
        query_prompt=query,
    )


def _pooling(config: dict[str, Any], folder: Path) -> str:
    flagged = [name for flag, name in _POOLING_FLAGS.items() if config.get(flag)]
    modes = config.get("pooling_mode") or flagged or ["mean"]
    mode = modes if isinstance(modes, str) else "+".join(modes)
    if mode not in POOLINGS:
        raise ModelError(
            f"{folder}: its pooling is {mode}. Use a model with {' or '.join(POOLINGS)}."
        )
    return mode
