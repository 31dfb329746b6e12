"""How a command line names a model."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.models.base import SparseEncoder


def load_named(
    name: str | None, *, engine: str, texts: Sequence[str], queries: str = "model"
) -> tuple[SparseEncoder, str]:
    """Load the model that a command line names, and say what it is.

    Args:
        name: As ``load_encoder`` takes it; "index:NAME" for the model that made an index; "bm25"
            for BM25 with the statistics of the texts at hand, since there is no corpus.
        engine: Where to look for an index.
        texts: What bare "bm25" is fitted to.
        queries: As ``load_encoder`` takes it.
    """
    from sparse_ir.models.loading import load_encoder

    if name is not None and name.startswith("index:"):
        from sparse_ir.engines.opening import open_engine

        with closing(open_engine(engine)) as opened:
            made_by = opened.describe(name.removeprefix("index:")).model
        return load_encoder(made_by, queries=queries), name
    if name == "bm25":
        from sparse_ir.models.bm25 import Bm25Encoder

        return Bm25Encoder.fit(texts), "bm25 (statistics of these texts)"
    encoder = load_encoder(name, queries=queries)
    return encoder, name or encoder.name
