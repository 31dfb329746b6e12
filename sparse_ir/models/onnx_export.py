"""Export a model as an ONNX graph with its pooling inside, proven to give the same vectors."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from sparse_ir.errors import ConfigError, MissingExtraError, ModelError
from sparse_ir.models import saved_files
from sparse_ir.models.export_source import (
    Source,
    difference,
    open_source,
    require_parity,
    sample_texts,
    sample_tokens,
)
from sparse_ir.models.fingerprint import content_digest, tokenizer_digest, weights_digest
from sparse_ir.models.onnx import OnnxEncoder
from sparse_ir.models.onnx_folder import GRAPH, QUERIES, SETTINGS, TOKENIZER, OnnxSettings
from sparse_ir.models.sides import TableLayout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparse_ir.models.onnx_graph import PooledTerms

OPSET = 18
_LARGEST = 1_500_000_000  # bytes; one file of the format holds 2 GiB
_BATCHES = (64, 4096)  # texts are compared alone or few at a time, and many at a time


class OnnxReport(NamedTuple):
    """What was exported.

    Attributes:
        folder: Where it lies.
        opset: Of the graph.
        difference: The largest difference of a weight from the model's own.
        texts: How many texts were compared.
        bytes: Of the graph.
    """

    folder: Path
    opset: int
    difference: float
    texts: int
    bytes: int


def export_onnx(
    model: str | None, out: str | Path, *, opset: int = OPSET, replace: bool = False
) -> OnnxReport:
    """Write a folder that ``load_encoder`` runs with ONNX Runtime, without torch.

    The graph takes "input_ids" and "attention_mask", int64, (batch, tokens), both sizes free, and
    gives "weights", float32, (batch, vocabulary), and "positions", which say where each came from.

    Args:
        model: As ``load_encoder`` takes it; None for the bundled one.
        out: The folder, new or of an earlier export.
        opset: Of the operators.
        replace: Replace what was exported there before.

    Raises:
        ModelError: the model cannot be exported, or the export gives other vectors; nothing is
            left then.
        ConfigError: something lies there, or queries have a second model.
        MissingExtraError: the ONNX packages are not installed.
        StorageError: it cannot be written.
    """
    _require_packages()
    folder = Path(out).expanduser().absolute()
    saved_files.require_free(folder, replace=replace)
    source = open_source(model)
    if source.sides.queries != source.sides.documents and not isinstance(
        source.sides.queries, TableLayout
    ):
        raise ConfigError(
            f"{source.folder} weighs queries with a second model. Export the folder of each side."
        )
    with saved_files.made_aside(folder, replace=replace) as made:
        _write_graph(source.graph(), source, made / GRAPH, opset)
        saved_files.put(made / TOKENIZER, source.tokenizer())
        settings = _settings(source, made, opset)
        saved_files.put_json(made / SETTINGS, settings.to_json())
        found, texts = _compare(source, made)
        require_parity(found, "the graph")
        settings = dataclasses.replace(settings, within=found)
        saved_files.put_json(made / SETTINGS, settings.to_json())
    size = sum(path.stat().st_size for path in folder.glob(f"{GRAPH}*"))
    return OnnxReport(folder, opset, found, texts, size)


def _write_graph(graph: PooledTerms, source: Source, path: Path, opset: int) -> None:
    ids, mask = sample_tokens(source)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    free = {0: batch, 1: tokens}
    size = sum(p.numel() * p.element_size() for p in graph.parameters())
    try:
        with _silence(), torch.inference_mode():
            torch.onnx.export(
                graph,
                (ids, mask),
                str(path),
                input_names=["input_ids", "attention_mask"],
                output_names=["weights", "positions"],
                dynamic_shapes={"input_ids": free, "attention_mask": free},
                opset_version=opset,
                dynamo=True,
                external_data=size > _LARGEST,
                verbose=False,
            )
    except Exception as error:  # whatever the exporter meets in a model of unknown kind
        line = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{source.folder}: {type(graph.model).__name__} cannot be exported to ONNX: "
            f"{type(error).__name__}: {line}"
        ) from error


def _settings(source: Source, made: Path, opset: int) -> OnnxSettings:
    layout, tokenizer = source.encoder.layout, source.encoder.tokenizer
    files = {p.name: content_digest(p) for p in [*made.glob(f"{GRAPH}*"), made / TOKENIZER]}
    table = source.sides.table
    return OnnxSettings(
        model=source.name,
        weights=weights_digest(layout.model),
        tokenizer=tokenizer_digest(layout.model),
        pooling=layout.pooling,
        activation=layout.activation,
        lowercase=layout.lowercase,
        document_prompt=layout.document_prompt,
        query_prompt=layout.query_prompt,
        query_terms=layout.query_terms,
        document_terms=layout.document_terms,
        drop_positions=layout.drop_positions,
        drop_columns=layout.drop_columns,
        max_length=source.encoder.max_length,
        size=len(source.encoder.vocabulary),
        truncation_side=tokenizer.truncation_side,
        pad_token_id=tokenizer.pad_token_id or 0,
        opset=opset,
        within=0.0,
        files=dict(sorted(files.items())),
        table=None if table is None else _copy_table(table, made / QUERIES),
        queries_by_table=isinstance(source.sides.queries, TableLayout),
    )


def _copy_table(table: TableLayout, target: Path) -> dict[str, Any]:
    """Copy a query table with the tokenizer that finds its tokens."""
    target.mkdir()
    shutil.copyfile(table.weights, target / table.weights.name)
    for name in (TOKENIZER, "tokenizer_config.json"):
        if (table.tokenizer / name).is_file():
            shutil.copyfile(table.tokenizer / name, target / name)
    return {
        "weights": table.weights.name,
        "lowercase": table.lowercase,
        "prompt": table.prompt,
        "terms": table.terms,
    }


def _compare(source: Source, made: Path) -> tuple[float, int]:
    texts = sample_texts(source)
    expected = source.encoder.encode_documents(texts, on_cut=lambda _: None)
    found = 0.0
    for batch_tokens in _BATCHES:
        exported = OnnxEncoder(made, device="cpu", batch_tokens=batch_tokens)
        got = exported.encode_documents(texts, on_cut=lambda _: None)
        found = max(found, difference(expected, got))
    return found, len(texts)


def _require_packages() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise MissingExtraError(package, extra="onnx") from None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the exporter prints, warns of and logs off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
