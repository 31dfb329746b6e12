"""An exported folder -> the encoder that it holds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.inference_free import InferenceFreeQueries
from sparse_ir.models.onnx import OnnxEncoder
from sparse_ir.models.onnx_folder import read_settings
from sparse_ir.models.two_sided import TwoSidedEncoder

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.models.base import SparseEncoder


def load_onnx(
    folder: Path,
    *,
    name: str,
    device: str,
    precision: str,
    batch_tokens: int | None,
    max_length: int | None,
    by_table: bool,
) -> SparseEncoder:
    """Load an exported folder; arguments and errors as ``load_encoder``.

    Args:
        folder: The folder.
        name: What ``load_encoder`` takes to load it again.
        device: See ``OnnxEncoder``.
        precision: That of the graph, "fp32".
        batch_tokens: See ``OnnxEncoder``.
        max_length: See ``OnnxEncoder``.
        by_table: Weigh queries by the table of token weights.

    Raises:
        ModelError: there is no such table.
        ConfigError: another precision is asked for.
    """
    if precision != "fp32":
        raise ConfigError(f"precision is {precision!r}; an exported graph computes in fp32.")
    settings = read_settings(folder)
    table = settings.table_layout(folder)
    graph = partial(
        OnnxEncoder,
        folder,
        name=name,
        device=device,
        batch_tokens=batch_tokens,
        max_length=max_length,
    )
    if not by_table and not settings.queries_by_table:
        return graph()
    if table is None:
        raise ModelError(f"{name} has no inference-free query side. Leave --query-encoder away.")
    queries = partial(InferenceFreeQueries, table, size=settings.size, max_length=max_length)
    encoder = TwoSidedEncoder(
        name=name,
        path=folder,
        documents=graph,
        queries=queries,
        others=lambda: () if settings.queries_by_table else (encoder.documents.query_fingerprint,),
    )
    return encoder
