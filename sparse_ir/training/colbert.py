"""ColBERT: one vector a token, and MaxSim between them (https://arxiv.org/abs/2004.12832).

Three kinds of folder are read: checkpoints of ColBERT itself (``artifact.metadata`` and a
``linear.weight`` beside the BERT), PyLate's (sentence-transformers modules: Transformer, then
Dense), and any plain transformers model, whose hidden states are compared as they are.
"""

from __future__ import annotations

import hashlib
import string
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from sparse_ir.errors import ModelError
from sparse_ir.models import pickles
from sparse_ir.models.backbone import Backbone, Options
from sparse_ir.models.batches import token_batches, tokenize
from sparse_ir.models.layouts import listed_modules, read_object, saved_length
from sparse_ir.models.tokens_ahead import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

_IDENTITY = ("Identity", "")


class ColbertLayout(NamedTuple):
    """How a folder is used.

    Attributes:
        model: Folder of the transformers model and its tokenizer.
        projections: Files of linear layers, in order, and the names of their weights.
        query_marker: Token put behind the first token of a query; "" for none.
        document_marker: The same for documents.
        query_length: Tokens of a query; None for as many as the model reads.
        document_length: The same for documents.
        expand: Whether queries are filled up to their length with the mask token.
        attend: Whether those are read by the others.
        skip: Words whose tokens give no vector in documents.
    """

    model: Path
    projections: tuple[tuple[Path, str], ...] = ()
    query_marker: str = ""
    document_marker: str = ""
    query_length: int | None = None
    document_length: int | None = None
    expand: bool = False
    attend: bool = False
    skip: tuple[str, ...] = ()


def read_colbert_layout(folder: Path) -> ColbertLayout:
    """Read how a folder is used.

    Raises:
        ModelError: modules that are not a Transformer and linear layers.
    """
    if (folder / "modules.json").is_file():
        return _pylate(folder)
    own = read_object(folder / "artifact.metadata")
    if not own:
        return ColbertLayout(folder)
    return ColbertLayout(
        folder,
        ((folder, "linear.weight"),),
        own.get("query_token_id", "[unused0]"),
        own.get("doc_token_id", "[unused1]"),
        own.get("query_maxlen", 32),
        own.get("doc_maxlen", 220),
        expand=True,
        attend=bool(own.get("attend_to_mask_tokens", False)),
        skip=tuple(string.punctuation) if own.get("mask_punctuation", True) else (),
    )


def _pylate(folder: Path) -> ColbertLayout:
    modules = listed_modules(folder)
    kinds = [module.kind for module in modules]
    if kinds[:1] != ["Transformer"] or set(kinds[1:]) - {"Dense"}:
        raise ModelError(
            f"{folder}: modules.json lists {', '.join(kinds) or 'nothing'}; a ColBERT model is a "
            "Transformer and linear layers (Dense) behind it."
        )
    layers = [module.path for module in modules[1:]]
    for layer in layers:
        config = read_object(layer / "config.json")
        activation = str(config.get("activation_function", "")).rpartition(".")[2]
        if activation not in _IDENTITY or config.get("use_residual"):
            raise ModelError(f"{layer} is not only linear ({activation}), which is not known here.")
    model = modules[0].path
    own = read_object(folder / "config_sentence_transformers.json")
    return ColbertLayout(
        model,
        tuple((layer, "linear.weight") for layer in layers),
        own.get("query_prefix") or "",
        own.get("document_prefix") or "",
        own.get("query_length"),
        own.get("document_length")
        or saved_length(read_object(model / "sentence_bert_config.json"), model),
        expand=bool(own.get("do_query_expansion", True)) and bool(own.get("query_length")),
        attend=bool(own.get("attend_to_expansion_tokens", False)),
        skip=tuple(own.get("skiplist_words") or ()),
    )


class ColbertTeacher:
    """Scores by MaxSim: for each query token its best document token, summed."""

    def __init__(self, folder: Path, options: Options) -> None:
        """Load a folder.

        Raises:
            ModelError: it holds no such model.
        """
        layout = self._layout = read_colbert_layout(folder)
        self._backbone = Backbone(layout.model, options)
        self._tokenizer = self._backbone.tokenizer
        loaded = [_linear(*one) for one in layout.projections]
        parts = [hashlib.sha256(w.contiguous().numpy().tobytes()).hexdigest() for w in loaded]
        self._projections = [weight.to(self._backbone.device) for weight in loaded]
        self._skipped = torch.tensor(
            sorted({i for word in layout.skip for i in self._ids_of(word)}),
            device=self._backbone.device,
        )
        self._width = self._backbone.config.hidden_size
        for weight in self._projections:
            if weight.shape[1] != self._width:
                raise ModelError(
                    f"{folder}: a linear layer takes {weight.shape[1]} numbers a token, and gets "
                    f"{self._width}."
                )
            self._width = len(weight)
        own = {**layout._asdict(), "model": "", "projections": parts}
        self.fingerprint = self._backbone.fingerprint(
            {"kind": "colbert", "precision": options.precision, **own}
        )

    def _ids_of(self, word: str) -> list[int]:
        return list(self._tokenizer.encode(word, add_special_tokens=False))[:1]

    def encode(
        self, texts: Sequence[str], *, query: bool, advance: Callable[[int], None]
    ) -> list[bytes]:
        """Encode texts: float16 rows of length 1, one a token that counts.

        Raises:
            ModelError: a number is not finite.
        """
        vectors: list[bytes] = []
        for start in range(0, len(texts), WINDOW):
            vectors += self._encode(texts[start : start + WINDOW], query, advance)
        return vectors

    def compare(self, query: bytes, documents: Sequence[bytes]) -> NDArray[np.float64]:
        """Score one query with documents, (n,); 0 for a document without a token that counts."""
        asked = self._rows(query)
        scores = np.zeros(len(documents))
        for i, document in enumerate(documents):
            rows = self._rows(document)
            if len(rows) and len(asked):
                scores[i] = (asked @ rows.T).max(axis=1).sum(dtype=np.float64)
        return scores

    def _rows(self, stored: bytes) -> NDArray[np.float32]:
        return np.frombuffer(stored, np.float16).reshape(-1, self._width).astype(np.float32)

    def _encode(
        self, texts: Sequence[str], query: bool, advance: Callable[[int], None]
    ) -> list[bytes]:
        rows = self._tokens(texts, query=query)
        read = [len(row) for row in rows]
        if query and self._layout.expand:
            length, mask = self._length(query=True), self._tokenizer.mask_token_id
            rows = [row + [mask] * (length - len(row)) for row in rows]
        found: list[bytes] = [b""] * len(rows)
        budget = self._backbone.batch_tokens
        for batch in token_batches([len(row) for row in rows], batch_tokens=budget):
            chosen = [rows[i] for i in batch]
            lengths = torch.tensor(
                [
                    len(row) if self._layout.attend else read[i]
                    for i, row in zip(batch, chosen, strict=True)
                ]
            )
            attention = torch.arange(max(map(len, chosen))) < lengths.unsqueeze(1)
            ids, mask, output = self._backbone.forward(chosen, attention=attention.long())
            vectors = self._project(output.last_hidden_state)
            counted = mask.bool()
            if not query:
                counted &= ~torch.isin(ids, self._skipped)
            for i, own, kept in zip(batch, vectors, counted, strict=True):
                found[i] = own[kept].half().cpu().numpy().tobytes()
            advance(len(batch))
        return found

    def _length(self, *, query: bool) -> int:
        own = self._layout.query_length if query else self._layout.document_length
        return min(own or self._backbone.max_length, self._backbone.max_length)

    def _tokens(self, texts: Sequence[str], *, query: bool) -> list[list[int]]:
        marker = self._layout.query_marker if query else self._layout.document_marker
        marked = self._tokenizer.get_vocab().get(marker) if marker else None
        if marker and marked is None:
            raise ModelError(f"{self._backbone.folder}: the tokenizer lacks its marker {marker!r}.")
        length = self._length(query=query) - (marked is not None)
        rows = tokenize(self._tokenizer, texts, length).ids
        return rows if marked is None else [[*row[:1], marked, *row[1:]] for row in rows]

    @torch.inference_mode()
    def _project(self, hidden: Tensor) -> Tensor:
        vectors = hidden.float()
        for weight in self._projections:
            vectors = vectors @ weight.T
        if not torch.isfinite(vectors).all():
            raise ModelError(
                f"{self._backbone.folder} gives vectors that are not finite numbers. If you asked "
                "for fp16, use bf16 or fp32."
            )
        return torch.nn.functional.normalize(vectors, dim=-1)


def _linear(folder: Path, name: str) -> Tensor:
    """Read the weight of a linear layer without a bias, (out, in)."""
    path = folder / "model.safetensors"
    if not path.is_file():
        return _pickled(folder / "pytorch_model.bin", name)
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
            weight: Tensor = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} holds no {name}: {error}") from error
    if name.replace("weight", "bias") in names:
        raise ModelError(f"{path}: the linear layer has a bias, which ColBERT's has not.")
    return weight.float()


def _pickled(path: Path, name: str) -> Tensor:
    try:
        return torch.as_tensor(pickles.load(path)[name]).float()
    except ModelError:
        raise
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise ModelError(f"{path} holds no {name} ({type(error).__name__}).") from error
