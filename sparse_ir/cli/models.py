"""How a command line names a model."""

from __future__ import annotations

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
        return _of_index(name.removeprefix("index:"), engine, queries), name
    if name == "bm25":
        from sparse_ir.models.bm25 import Bm25Encoder

        return Bm25Encoder.fit(texts), "bm25 (statistics of these texts)"
    encoder = load_encoder(name, queries=queries)
    return encoder, name or encoder.name


def _of_index(index: str, engine_address: str, queries: str) -> SparseEncoder:
    from sparse_ir.engines.opening import open_engine
    from sparse_ir.models.loading import load_encoder

    engine = open_engine(engine_address)
    try:
        return load_encoder(engine.describe(index).model, queries=queries)
    finally:
        engine.close()
