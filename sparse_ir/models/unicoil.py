"""The uniCOIL encoder: a contextual weight for each of a text's own tokens, and no others.

Lin and Ma, 2021, https://arxiv.org/abs/2106.14807. The weight of a token is
relu(projection . hidden state + bias); of a token that a document has several times, the largest
counts. There is no head over the vocabulary, so encoding costs the body alone.
"""

from __future__ import annotations

import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers

from sparse_ir.errors import ConfigError, ModelError, brief
from sparse_ir.models.batched import BATCH_TOKENS, BatchedEncoder, on_device, sparse_rows
from sparse_ir.models.batches import maximal_length, named_tokens, tokenize
from sparse_ir.models.fingerprint import (
    content_digest,
    fingerprint,
    tokenizer_digest,
    weights_digest,
)
from sparse_ir.models.head import TermWeights
from sparse_ir.models.int8 import use_int8
from sparse_ir.models.layouts import read_object
from sparse_ir.models.masked_lm import PRECISIONS, find_device, load_tokenizer
from sparse_ir.models.pretrained import load_pretrained, quiet
from sparse_ir.models.unicoil_files import (
    PROJECTION,
    UnicoilLayout,
    UnicoilWeights,
    load_weights,
    read_unicoil,
)
from sparse_ir.pruning import keep_top_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from scipy import sparse
    from torch import Tensor

    from sparse_ir.models.base import Explanation
    from sparse_ir.vectors import SparseBatch


def token_weights(hidden: Tensor, ids: Tensor, weights: UnicoilWeights) -> Tensor:
    """Weigh each token, before the relu: float32, (texts, tokens).

    Args:
        hidden: The body's last hidden states, (texts, tokens, width).
        ids: (texts, tokens).
        weights: Projection and, where there is one, prior.
    """
    found = hidden.float() @ weights.weight + weights.bias
    return found if weights.prior is None else found + weights.prior[ids]


class _Model(NamedTuple):
    """What both sides of an encoder share.

    Attributes:
        body: The transformers model.
        weights: On its device.
        dropped: Tokens that are never weighed, (n,), on its device.
        size: Number of terms.
    """

    body: Any
    weights: UnicoilWeights
    dropped: Tensor
    size: int

    @torch.inference_mode()
    def weigh(self, ids: Tensor, mask: Tensor, pooling: str, *, positions: bool) -> TermWeights:
        """Weigh a padded batch of token ids."""
        device = self.dropped.device
        ids, mask = on_device(ids, device), on_device(mask, device)
        hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        found = token_weights(hidden, ids, self.weights).relu()
        found = found.masked_fill(torch.isin(ids, self.dropped) | (mask == 0), 0.0)
        rows = found.new_zeros((len(ids), self.size))
        rows.scatter_reduce_(1, ids, found, "amax" if pooling == "max" else "sum")
        if not positions:
            return TermWeights(rows)
        where = torch.zeros_like(rows, dtype=torch.int64)
        order = found.argsort(dim=1, stable=True)  # the heaviest is written last, place by place
        for place in order.T:
            where.scatter_(1, ids.gather(1, place.unsqueeze(1)), place.unsqueeze(1))
        return TermWeights(rows, where)


class _Side(BatchedEncoder):
    """Documents or queries: a length, a pooling and a bound of their own."""

    def __init__(
        self, model: _Model, tokenizer: Any, *, name: str, length: int, pooling: str, kept: int
    ) -> None:
        self._model, self.tokenizer, self.name = model, tokenizer, name
        self.max_length, self.pooling, self.kept = length, pooling, kept
        self.batch_tokens = BATCH_TOKENS
        self._device = model.dropped.device

    @property
    def size(self) -> int:
        return self._model.size

    def encode(self, texts: Sequence[str], ids: Sequence[str] | None, **more: Any) -> SparseBatch:
        found = self._encode(texts, "", ids, **more)
        return keep_top_terms(found, self.kept) if self.kept else found

    def foresee(self, texts: Sequence[str]) -> None:
        self._ahead.begin(texts, 0, "")

    def explain(self, text: str) -> Explanation:
        return self._explain(text, "", self.kept)

    def _weigh_batch(self, ids: NDArray[Any], mask: NDArray[Any]) -> sparse.csr_array:
        return sparse_rows(self._weigh(ids, mask, positions=False).weights)

    def _weigh_one(
        self, ids: NDArray[Any], mask: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        return self._weigh(ids, mask, positions=True).of_one()

    def _weigh(self, ids: NDArray[Any], mask: NDArray[Any], *, positions: bool) -> TermWeights:
        inputs = torch.from_numpy(ids), torch.from_numpy(mask)
        return self._model.weigh(*inputs, self.pooling, positions=positions)


class UnicoilEncoder:
    """Weighs a text's own tokens.

    Attributes:
        layout: How the folder is used.
        tokenizer: The model's transformers tokenizer.
        max_length: Tokens read of a document, special ones included.
        query_max_length: Tokens read of a query.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        batch_tokens: int | None = None,
        max_length: int | None = None,
        layout: UnicoilLayout | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        """Load a model folder; the arguments are those of ``SpladeEncoder``.

        Raises:
            ModelError: the folder holds no uniCOIL model with its tokenizer.
            ConfigError: a setting is wrong.
        """
        self.path = Path(path).resolve()
        self.name = name or str(self.path)
        self._batch_tokens = batch_tokens or BATCH_TOKENS
        if precision not in (*PRECISIONS, "int8"):
            raise ConfigError(f"precision is {precision!r}. Use fp32, bf16, fp16 or int8.")
        found = layout or read_unicoil(self.path)
        if found is None:
            raise ModelError(
                f"{self.path} holds no uniCOIL model (no unicoil.json, and no tok_proj among its "
                "weights)."
            )
        self.layout = found
        folder = found.model
        self.tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        body, weights = load_unicoil(found, trust_remote_code=trust_remote_code)
        size = len(body.get_input_embeddings().weight)
        if len(self.tokenizer) > size:
            raise ModelError(
                f"{folder}: the tokenizer knows {len(self.tokenizer)} tokens, the model only "
                f"{size}. They do not belong together."
            )
        target = find_device(device)
        _move(body, target, precision)
        self._model = _Model(
            body,
            UnicoilWeights(*(None if t is None else t.to(target) for t in weights)),  # type: ignore[arg-type]
            torch.tensor(named_tokens(self.tokenizer, found.drop_columns), device=target),
            size,
        )

        def length(saved: int | None) -> int:
            return maximal_length(self.tokenizer, body.config, chosen=max_length, saved=saved)

        self.max_length = length(found.max_length)
        self.query_max_length = length(found.query_max_length or found.max_length)

    @cached_property
    def documents(self) -> _Side:
        """The document side."""
        kept = self.layout.document_terms
        return self._side(self.tokenizer, length=self.max_length, pooling="max", kept=kept)

    @cached_property
    def queries(self) -> _Side:
        """The query side, with a tokenizer of its own: two threads cannot share one."""
        return self._side(
            copy.deepcopy(self.tokenizer),
            length=self.query_max_length,
            pooling=self.layout.query_pooling,
            kept=self.layout.query_terms,
        )

    def _side(self, tokenizer: Any, **own: Any) -> _Side:
        side = _Side(self._model, tokenizer, name=self.name, **own)
        side.batch_tokens = self._batch_tokens
        return side

    @property
    def size(self) -> int:
        """Number of terms."""
        return self._model.size

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The token of every column; a column without a token of its own is "[id:N]"."""
        return self.documents.vocabulary

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hex, of weights, tokenizer, length, bound and drops."""
        return self._fingerprint(self.documents)

    @cached_property
    def query_fingerprint(self) -> str:
        """As ``fingerprint``, of what decides queries."""
        return self._fingerprint(self.queries)

    @property
    def query_fingerprints(self) -> tuple[str, ...]:
        """Its own alone."""
        return (self.query_fingerprint,)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents, in the order given; see ``SparseEncoder``."""
        return self.documents.encode(texts, ids, on_cut=on_cut, advance=advance)

    def foresee(self, texts: Sequence[str]) -> None:
        """Begin to tokenise what ``encode_documents`` will get next: this very sequence."""
        self.documents.foresee(texts)

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries, in the order given; see ``SparseEncoder``."""
        return self.queries.encode(texts, ids)

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the word behind each token; see ``SparseEncoder``."""
        return (self.queries if query else self.documents).explain(text)

    def text_terms(self, text: str) -> list[str]:
        """The text's own tokens that can be weighed, each once, as they come."""
        tokens = tokenize(self.queries.tokenizer, [text], self.query_max_length).ids[0]
        never = set(self._model.dropped.tolist())
        return list(dict.fromkeys(self.vocabulary[i] for i in tokens if i not in never))

    def _fingerprint(self, side: _Side) -> str:
        folder = self.layout.model
        own = {} if self.layout.castorini else {"projection": content_digest(folder / PROJECTION)}
        return fingerprint(
            {
                "encoder": "unicoil",
                "weights": weights_digest(folder),
                "tokenizer": tokenizer_digest(folder),
                "max_length": side.max_length,
                "pooling": side.pooling,
                "terms": side.kept,
                "drop_columns": sorted(self.layout.drop_columns),
                **own,
            }
        )


def load_unicoil(
    layout: UnicoilLayout, *, trust_remote_code: bool = False, **more: Any
) -> tuple[Any, UnicoilWeights]:
    """Load body and projection of a uniCOIL folder in float32, on the CPU.

    Raises:
        ModelError: weights are missing or damaged.
    """
    body = (
        _empty_body(layout.model, **more)
        if layout.castorini
        else load_body(layout.model, trust_remote_code=trust_remote_code, **more)
    )
    weights = load_weights(layout, body)
    for name, parameter in body.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(f"{layout.model}: the weights of {name} are not all finite numbers.")
    return body.float().eval(), weights


def load_body(folder: Path, *, trust_remote_code: bool = False, **more: Any) -> Any:
    """Load a transformers model without a head, and without a pooler where it need not have one.

    Raises:
        ModelError: there is none, or weights of it are missing.
    """
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, **more}
    try:
        try:
            body, info = load_pretrained("AutoModel", folder, **options, add_pooling_layer=False)
        except TypeError:  # an architecture that never has one
            body, info = load_pretrained("AutoModel", folder, **options)
    except ModelError:
        raise
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise ModelError(
            f"{folder}: the model cannot be loaded ({type(error).__name__}: {brief(error)})."
        ) from error
    lacking = sorted(
        key for key in map(str, info["missing_keys"])
        if "pooler" not in key and not key.endswith("position_ids")
    )  # fmt: skip
    if lacking:
        raise ModelError(
            f"{folder} holds no weights for {lacking[0]} and {len(lacking) - 1} more: the body of "
            "the model is not whole."
        )
    return body.float().eval()


def _empty_body(folder: Path, **more: Any) -> Any:
    """A body as the config says, its weights still to be filled in."""
    kind = read_object(folder / "config.json").get("model_type", "bert")
    auto: Any = transformers.AutoModel  # in part untyped
    with quiet():
        try:
            config = transformers.AutoConfig.for_model(kind).from_pretrained(str(folder))
            return auto.from_config(config, add_pooling_layer=False, **more)
        except Exception as error:  # whatever a file of unknown origin may make it raise
            raise ModelError(f"{folder}: no BERT can be made of it ({brief(error)}).") from error


def _move(body: Any, device: torch.device, precision: str) -> None:
    if precision == "int8":
        use_int8(body, device)
    else:
        for parameter in body.parameters():  # buffers lose too much in 16 bits
            parameter.data = parameter.data.to(PRECISIONS[precision])
    body.to(device)
