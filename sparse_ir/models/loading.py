"""A folder, a hub id or nothing at all -> the encoder that it holds."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.memory import keep_memory_flat
from sparse_ir.models.onnx_folder import GRAPH, is_onnx
from sparse_ir.models.pickles import (
    PICKLES,
    pickles_allowed,
    refused,
    require_readable,
    require_safe_weights,
)
from sparse_ir.models.sides import QUERY_TABLE, Sides, TableLayout, read_sides, vocabulary_size
from sparse_ir.models.unicoil_files import read_unicoil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.models.dense import DenseEncoder
    from sparse_ir.models.layouts import SpladeLayout
    from sparse_ir.models.splade import SpladeEncoder

DEFAULT = "default"
"""The name of the bundled model."""

MODEL, INFERENCE_FREE = "model", "inference-free"
QUERY_ENCODERS = (MODEL, INFERENCE_FREE)
"""The query sides that may be asked for: the folder's own, or its table of token weights."""

READY = "ready"
"""No query side at all: a search brings the terms and their weights itself."""

READY_VECTORS = "ready vectors"
"""What stands for the model where vectors were made elsewhere, and nobody said by which."""

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]  # all that is read, but for a graph
_NOT_READ = ["onnx/*", "openvino/*", "checkpoint-*", "runs/*"]


def load_encoder(
    name_or_path: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    queries: str = MODEL,
    trust_remote_code: bool = False,
) -> SparseEncoder:
    """Load an encoder; what kind it is, the folder's files tell.

    Args:
        name_or_path: A model folder, a Hugging Face model id, or None (or "default") for the
            bundled model. A folder of that name comes before the id.
        device: "auto" (CUDA, then MPS, then CPU) or any name torch knows.
        precision: "fp32", "bf16", "fp16", or "int8" on a CPU with VNNI.
        batch_tokens: Upper bound of texts times longest text in a batch.
        max_length: Tokens read of a text, special ones included; the model's own by default.
        queries: "model": weigh queries as the folder says; "inference-free": by its table of
            token weights, for which nothing loads torch until a document is weighed.
        trust_remote_code: Run Python code that the model brings.

    Raises:
        ModelError: there is no such model, it is no sparse encoder, or it has no such query side.
        ConfigError: a setting is wrong.
        StorageError: the bundled model cannot be unpacked into the cache.
    """
    keep_memory_flat()
    name, folder = _find(name_or_path, trust_remote_code=trust_remote_code, weights=False)
    if queries not in QUERY_ENCODERS:
        raise ConfigError(f"query encoder is {queries!r}. Use {' or '.join(QUERY_ENCODERS)}.")
    by_table = queries == INFERENCE_FREE
    options: dict[str, Any] = {
        "name": name,
        "device": device,
        "precision": precision,
        "batch_tokens": batch_tokens,
        "max_length": max_length,
    }
    if is_onnx(folder):
        from sparse_ir.models.onnx_loading import load_onnx

        return load_onnx(folder, by_table=by_table, **options)
    if (folder / "bm25.json").is_file():
        if by_table:
            raise _no_table(name)
        from sparse_ir.models.bm25 import Bm25Encoder

        return Bm25Encoder.load(folder)
    options["trust_remote_code"] = trust_remote_code
    unicoil = read_unicoil(folder)
    if unicoil is not None:
        require_safe_weights(folder)
        if by_table:
            raise _no_table(name)
        from sparse_ir.models.unicoil import UnicoilEncoder

        return UnicoilEncoder(folder, layout=unicoil, **options)
    sides = read_sides(folder)
    if by_table and sides.table is None:
        raise _no_table(name)
    splade = partial(_splade, folder, **options)
    if not by_table and sides.queries == sides.documents:
        return splade(layout=sides.documents, table=sides.table)
    return _two_sided(folder, name, sides, splade, table=by_table, cut=max_length)


def _splade(folder: Path, *, name: str, layout: SpladeLayout, **options: Any) -> SpladeEncoder:
    require_readable(layout.model, fetched_as=None if name == str(folder) else name)
    from sparse_ir.models.splade import SpladeEncoder

    return SpladeEncoder(folder, name=name, layout=layout, **options)


def _two_sided(
    folder: Path,
    name: str,
    sides: Sides,
    splade: Callable[..., SpladeEncoder],
    *,
    table: bool,
    cut: int | None,
) -> SparseEncoder:
    from sparse_ir.models.two_sided import QuerySide, TwoSidedEncoder

    def side(layout: SpladeLayout | TableLayout) -> QuerySide:
        if not isinstance(layout, TableLayout):
            return splade(layout=layout)
        from sparse_ir.models.inference_free import InferenceFreeQueries

        size = vocabulary_size(sides.documents.model)
        return InferenceFreeQueries(layout, size=size, max_length=cut)

    used = sides.table if table and sides.table is not None else sides.queries
    every = [layout for layout in (sides.queries, sides.table) if layout is not None]
    encoder = TwoSidedEncoder(
        name=name,
        path=folder,
        documents=lambda: splade(layout=sides.documents),
        queries=lambda: side(used),
        others=lambda: tuple(
            encoder.documents.query_fingerprint
            if layout == sides.documents
            else side(layout).query_fingerprint
            for layout in every
            if layout != used
        ),
    )
    return encoder


def _no_table(name: str) -> ModelError:
    return ModelError(
        f"{name} has no inference-free query side (no {QUERY_TABLE}, no SparseStaticEmbedding). "
        "Leave --query-encoder away."
    )


def load_dense(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    precision: str = "fp32",
    batch_tokens: int | None = None,
    max_length: int | None = None,
    trust_remote_code: bool = False,
) -> DenseEncoder:
    """Load a dense encoder; the arguments are those of ``load_encoder``.

    Args:
        name_or_path: A sentence-transformers folder, a plain transformers folder (mean pooling),
            or a Hugging Face model id.
        device: See ``load_encoder``; so are the others.
        precision: "fp32", "bf16" or "fp16"; vectors are float32 in each.
        batch_tokens: Upper bound of texts times longest text in a batch.
        max_length: Tokens read of a text.
        trust_remote_code: Run Python code that the model brings.

    Raises:
        ModelError: there is no such model, or it is no dense encoder.
        ConfigError: a setting is wrong.
    """
    keep_memory_flat()
    name, folder = find_model(name_or_path, trust_remote_code=trust_remote_code)
    from sparse_ir.models.backbone import Options
    from sparse_ir.models.dense import DenseEncoder

    options = Options(device, precision, batch_tokens, max_length, trust_remote_code)
    return DenseEncoder(folder, name=name, options=options)


def find_model(
    name_or_path: str | Path | None, *, trust_remote_code: bool = False
) -> tuple[str, Path]:
    """Return a model's lasting name and its folder, fetched from the hub where it must be.

    Raises:
        ModelError: there is no such model.
        StorageError: the bundled model cannot be unpacked into the cache.
    """
    return _find(name_or_path, trust_remote_code=trust_remote_code)


def _find(
    name_or_path: str | Path | None, *, trust_remote_code: bool, weights: bool = True
) -> tuple[str, Path]:
    """Return the encoder's lasting name and its folder.

    Without ``weights`` nothing is said of a pickle yet: a query side may need none.
    """
    if str(name_or_path) == READY_VECTORS:
        raise ModelError(
            "these documents were indexed with ready vectors, and nothing says which model made "
            "them. Give query vectors (--query-encoder ready, or rows with a vector), or index "
            "again with --model NAME."
        )
    if name_or_path is None or str(name_or_path) == DEFAULT:
        from sparse_ir.models.default_model import default_model

        return DEFAULT, default_model()
    name = str(name_or_path)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if weights:
            require_safe_weights(folder)
        return str(folder.resolve()), folder.resolve()
    if name == "bm25":
        raise ModelError(
            "bm25 is made of a corpus by index and encode and has no folder of its own. Leave "
            "--model away: an index knows its model."
        )
    if folder.is_file():
        raise ModelError(f"{name} is a file. Give the folder of the model.")
    if isinstance(name_or_path, Path) or not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise ModelError(f"{name}: there is no such model folder.")
    return name, _download(name, trust_remote_code=trust_remote_code, weights=weights)


def _download(name: str, *, trust_remote_code: bool, weights: bool) -> Path:
    """Fetch a model from the Hugging Face hub, or find it in its cache."""
    from huggingface_hub import errors

    code = ["*.py"] if trust_remote_code else []
    pickled = [PICKLES, f"*/{PICKLES}"] if pickles_allowed() else []
    try:
        folder = _snapshot(name, [*_FILES, *code, *pickled])
        if is_onnx(folder):
            return _snapshot(name, [*_FILES, f"{GRAPH}*"])
        if weights:
            if not pickled and _lacks_weights(folder):
                raise refused(name)
            require_safe_weights(folder)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{name} is gated: accept its terms at https://huggingface.co/{name}, then log in "
            "with: hf auth login"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{name} is neither a folder here nor a model on the Hugging Face hub."
        ) from error
    except (OSError, ValueError) as error:  # no network, and not in the cache
        raise ModelError(
            f"{name} is no folder here, and it could not be had from the Hugging Face hub "
            f"({type(error).__name__}). Give a model folder, or try again with a network."
        ) from error
    return folder


def _lacks_weights(folder: Path) -> bool:
    """Whether something was fetched that has a model's config, and no weights that were allowed."""
    return any(folder.rglob("config.json")) and not any(folder.rglob("*.safetensors"))


def _snapshot(name: str, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    with no_bars():
        return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=_NOT_READ))


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep the bars of the hub's client off the terminal within the block."""
    from huggingface_hub import utils as typed

    utils: Any = typed  # it does not export what it documents
    shown = not utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()
