"""The model that is exported, and the proof that an export gives the same vectors."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.batches import named_tokens, pad, tokenize
from sparse_ir.models.loading import find_model
from sparse_ir.models.onnx_graph import PooledTerms
from sparse_ir.models.pretrained import load_pretrained
from sparse_ir.models.saved_files import without_traces
from sparse_ir.models.sides import Sides, read_sides
from sparse_ir.models.splade import SpladeEncoder
from sparse_ir.models.unicoil_files import read_unicoil

if TYPE_CHECKING:
    from torch import Tensor

    from sparse_ir.vectors import SparseBatch

WITHIN = 1e-4
"""The largest difference of a weight that an export may have."""

_TEXTS = (
    "",
    " ",
    "a",
    "What is a learned sparse vector?",
    "Prices rose by 3.5 % in 2024, to $1,299.99 (before tax).",
    "café naïve Ångström Übergröße",
    "東京の天気は晴れ 🌤 здравствуйте مرحبا",
    "tokenisation " * 40,
    "one two three four five six seven eight nine ten " * 300,
)


class Source(NamedTuple):
    """A loaded model.

    Attributes:
        name: As ``load_encoder`` takes it.
        folder: Where it lies.
        sides: How it weighs documents and queries.
        encoder: Its document side, in float32 on the CPU: what an export is compared with.
    """

    name: str
    folder: Path
    sides: Sides
    encoder: SpladeEncoder

    @property
    def title(self) -> str:
        """The last part of the name, of letters, digits, "_", "." and "-"."""
        return re.sub(r"[^\w.-]+", "-", Path(self.name).name) or "model"

    def tokenizer(self, *, cut: bool = False) -> bytes:
        """The tokenizer as a tokenizer.json, lower-casing included.

        Args:
            cut: Let it cut texts at the length that the model reads.

        Raises:
            ModelError: it has no fast form.
        """
        backend = getattr(self.encoder.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                f"{self.folder} has no fast tokenizer (tokenizer.json), which an export needs."
            )
        content = without_traces("tokenizer.json", json.loads(backend.to_str()))
        if cut:
            side = self.encoder.tokenizer.truncation_side
            content["truncation"] = {
                "direction": side.capitalize(),
                "max_length": self.encoder.max_length,
                "strategy": "LongestFirst",
                "stride": 0,
            }
        return json.dumps(content, ensure_ascii=False).encode()

    def graph(self, *, terms: int = 0) -> PooledTerms:
        """The model as one module; ``terms`` as ``PooledTerms`` takes them.

        Raises:
            ModelError: it cannot be loaded in a form that can be traced.
        """
        layout = self.encoder.layout
        try:
            model, _ = load_pretrained(
                "AutoModelForMaskedLM", layout.model, attn_implementation="eager"
            )
        except ModelError:
            raise
        except Exception as error:  # whatever a file of unknown origin may make it raise
            line = " ".join(str(error).split())[:300]
            raise ModelError(f"{layout.model}: it cannot be exported: {line}") from error
        return PooledTerms(
            model.float().eval().requires_grad_(False),
            layout,
            size=len(self.encoder.vocabulary),
            dropped_positions=named_tokens(self.encoder.tokenizer, layout.drop_positions),
            dropped_columns=named_tokens(self.encoder.tokenizer, layout.drop_columns),
            terms=terms,
        ).eval()


def open_source(model: str | None, *, queries: bool = False) -> Source:
    """Load the model to be exported.

    Args:
        model: As ``load_encoder`` takes it; None for the bundled one.
        queries: Keep as many terms of a text as of a query, whatever prunes documents; by default
            as of a document.

    Raises:
        ModelError: there is no such model, it is no masked LM, or it prunes documents by a ratio.
    """
    name, folder = find_model(model)
    if read_unicoil(folder) is not None:
        raise ModelError(
            f"{folder} is a uniCOIL model, and only masked LMs are exported. Encode with "
            "sparse-ir, and export the vectors."
        )
    sides = read_sides(folder)
    layout = sides.documents
    if layout.prune_ratio and not queries:
        raise ModelError(
            f"{folder} prunes documents by a ratio (prune_ratio), which an export cannot hold. "
            "Take it out of a copy of the folder; index with --document-pruning ratio=R."
        )
    if queries:
        layout = replace(layout, document_terms=layout.query_terms, prune_ratio=0.0)
    encoder = SpladeEncoder(folder, name=name, device="cpu", layout=layout)
    return Source(name, folder, sides, encoder)


def sample_texts(source: Source, *, seed: int = 0) -> list[str]:
    """Texts of every length, the empty one among them, and of every corner of the vocabulary."""
    words = [t for t in source.encoder.vocabulary if not t.startswith(("[", "<"))]
    chance = random.Random(seed)  # noqa: S311 - no secret
    drawn = [" ".join(chance.choices(words, k=k)) for k in (1, 2, 3, 7, 20, 60)]
    return [*_TEXTS, *drawn]


def sample_tokens(source: Source) -> tuple[Tensor, Tensor]:
    """Token ids and mask of two texts, the second one padded, to trace a graph with."""
    # shorter than the longest that is read, so that no length is taken for the only one
    length = max(2, min(16, source.encoder.max_length // 2))
    rows = tokenize(source.encoder.tokenizer, _TEXTS[3:5], length).ids
    rows[1] = rows[1][: length // 2]
    ids, mask = pad(rows, source.encoder.tokenizer.pad_token_id or 0)
    return torch.from_numpy(ids), torch.from_numpy(mask)


def difference(ours: SparseBatch, theirs: SparseBatch) -> float:
    """The largest difference of any weight of two batches of the same texts."""
    if ours.weights.shape != theirs.weights.shape:
        return float("inf")
    apart: Any = abs(ours.weights - theirs.weights)
    return float(apart.max()) if apart.nnz else 0.0


def require_parity(found: float, what: str) -> None:
    """Refuse an export whose vectors are others.

    Raises:
        ModelError: saying by how much.
    """
    if not found <= WITHIN:
        raise ModelError(
            f"{what} gives weights that differ from the model's by up to {found:.3g}; at most "
            f"{WITHIN:g} is allowed. Nothing was written."
        )


def require_no_prompt(source: Source, where: str) -> None:
    """Refuse a model whose texts need words put in front, where nothing puts them there.

    Raises:
        ConfigError: naming the prompt.
    """
    layout = source.encoder.layout
    prompt = layout.document_prompt or layout.query_prompt
    if prompt:
        raise ConfigError(
            f"{source.folder} puts {prompt!r} in front of texts, and {where} sends them as they "
            "are. Use --format onnx."
        )
