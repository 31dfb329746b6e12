"""Bundles with which a search server runs a model itself: OpenSearch ML Commons, Elasticsearch.

Both run TorchScript. What they expect is said by ML Commons' documentation of custom local models
(https://docs.opensearch.org/latest/ml-commons-plugin/custom-local-models/) and by eland
(https://eland.readthedocs.io), whose text_expansion export lacks the pooling that is here.
"""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from tokenizers import Tokenizer

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models import saved_files
from sparse_ir.models.batches import pad, tokenize
from sparse_ir.models.export_source import (
    Source,
    difference,
    open_source,
    require_no_prompt,
    require_parity,
    sample_texts,
    sample_tokens,
)
from sparse_ir.models.fingerprint import content_digest
from sparse_ir.models.onnx_graph import WeightsByName, WeightsOfBert
from sparse_ir.models.pretrained import quiet
from sparse_ir.models.sides import TableLayout
from sparse_ir.vectors import SparseBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Weigh = Callable[[NDArray[Any], NDArray[Any]], torch.Tensor]

OPENSEARCH_CONFIG = "ml-commons_model_config.json"
ELAND_MODEL, ELAND_VOCABULARY, ELAND_CONFIG = (
    "traced_pytorch_model.pt",
    "vocabulary.json",
    "config.json",
)
_ELASTICSEARCH_TOKENS = 512  # the most that it lets a model read


class BundleReport(NamedTuple):
    """What was written.

    Attributes:
        folder: Where it lies.
        files: What the server gets, the model first.
        difference: The largest difference of a weight from the model's own; None for a table.
        texts: How many texts were compared.
    """

    folder: Path
    files: tuple[str, ...]
    difference: float | None
    texts: int


def export_opensearch(
    model: str | None,
    out: str | Path,
    *,
    queries: bool = False,
    version: str = "1.0.0",
    replace: bool = False,
) -> BundleReport:
    """Write the zip that ML Commons registers as a sparse encoding model, and its configuration.

    Args:
        model: As ``load_encoder`` takes it; None for the bundled one.
        out: The folder, new or of an earlier export.
        queries: Write the query side: of a model whose queries are weighed by a table it is that
            table with its tokenizer (SPARSE_TOKENIZE).
        version: The model's version on the server.
        replace: Replace what was exported there before.

    Raises:
        ModelError: the model cannot be exported, or the export gives other vectors.
        ConfigError: something lies there, or texts need a prompt, which ML Commons does not give.
        StorageError: it cannot be written.
    """
    folder = Path(out).expanduser().absolute()
    saved_files.require_free(folder, replace=replace)
    source = open_source(model, queries=queries)
    require_no_prompt(source, "ML Commons")
    table = _table(source, queries=queries)
    found: float | None = None
    texts = 0
    with saved_files.made_aside(folder, replace=replace) as made:
        packed = made / f"{source.title}.zip"
        if table is None:
            found, texts = _pack_model(source, packed)
        else:
            _pack_table(table, packed)
        config = {
            "name": source.title,
            "version": version,
            "description": f"Sparse term weights by {source.title}, pooled; exported by sparse-ir.",
            "model_format": "TORCH_SCRIPT",
            "function_name": "SPARSE_ENCODING" if table is None else "SPARSE_TOKENIZE",
            "model_content_size_in_bytes": packed.stat().st_size,
            "model_content_hash_value": content_digest(packed),
        }
        saved_files.put_json(made / OPENSEARCH_CONFIG, config)
    return BundleReport(folder, (packed.name, OPENSEARCH_CONFIG), found, texts)


def export_eland(
    model: str | None, out: str | Path, *, queries: bool = False, replace: bool = False
) -> BundleReport:
    """Write what eland's ``PyTorchModel.import_model`` sends to Elasticsearch for text_expansion.

    Args:
        model: As ``load_encoder`` takes it; None for the bundled one.
        out: The folder, new or of an earlier export.
        queries: Keep as many terms as of a query; by default as of a document.
        replace: Replace what was exported there before.

    Raises:
        ModelError: the model cannot be exported, or the export gives other vectors.
        ConfigError: something lies there, texts need a prompt, or the tokenizer is none that
            Elasticsearch has.
        StorageError: it cannot be written.
    """
    folder = Path(out).expanduser().absolute()
    saved_files.require_free(folder, replace=replace)
    source = open_source(model, queries=queries)
    require_no_prompt(source, "Elasticsearch")
    if queries and isinstance(source.sides.queries, TableLayout):
        raise ConfigError(
            f"{source.folder} weighs queries by a table, and Elasticsearch runs none. Encode "
            "queries with sparse-ir."
        )
    tokenization = _bert_tokenization(source)
    with saved_files.made_aside(folder, replace=replace) as made:
        ids, mask = sample_tokens(source)
        module = WeightsOfBert(source.graph(terms=source.encoder.layout.document_terms)).eval()
        zeros, places = torch.zeros_like(ids), torch.arange(ids.shape[1]).expand_as(ids)
        _trace(module, (ids, mask, zeros, places.contiguous()), made / ELAND_MODEL, source)
        traced = load_traced(made / ELAND_MODEL)

        def weigh(ids: NDArray[Any], mask: NDArray[Any]) -> torch.Tensor:
            given, counted = torch.from_numpy(ids), torch.from_numpy(mask)
            weights: torch.Tensor = traced(given, counted, given * 0, given * 0)
            return weights

        found, texts = _compare(source, weigh)
        vocabulary = {"vocabulary": list(source.encoder.vocabulary)}
        saved_files.put_json(made / ELAND_VOCABULARY, vocabulary)
        config = {
            "description": f"Sparse term weights by {source.title}, pooled; exported by sparse-ir.",
            "model_type": "pytorch",
            "input": {"field_names": ["text_field"]},
            "inference_config": {"text_expansion": {"tokenization": {"bert": tokenization}}},
        }
        saved_files.put_json(made / ELAND_CONFIG, config)
    return BundleReport(folder, (ELAND_MODEL, ELAND_VOCABULARY, ELAND_CONFIG), found, texts)


def _table(source: Source, *, queries: bool) -> TableLayout | None:
    own = source.sides.queries
    if not queries or own == source.sides.documents:
        return None
    if isinstance(own, TableLayout):
        return own
    raise ConfigError(
        f"{source.folder} weighs queries with a second model. Export that model's own folder."
    )


def _pack_model(source: Source, packed: Path) -> tuple[float, int]:
    """Zip a traced model with its tokenizer, and compare what comes out of the zip."""
    tokens = dict(zip(("input_ids", "attention_mask"), sample_tokens(source), strict=True))
    module = WeightsByName(source.graph(terms=source.encoder.layout.document_terms)).eval()
    with tempfile.TemporaryDirectory(dir=packed.parent) as temporary:
        path = Path(temporary) / f"{source.title}.pt"
        _trace(module, (tokens,), path, source)
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
            archive.writestr("tokenizer.json", source.tokenizer(cut=True))
        with zipfile.ZipFile(packed) as archive:
            path.write_bytes(archive.read(path.name))
            tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
        traced = load_traced(path)

        def weigh(ids: NDArray[Any], mask: NDArray[Any]) -> torch.Tensor:
            given = {
                "input_ids": torch.from_numpy(ids),
                "attention_mask": torch.from_numpy(mask),
            }
            weights: torch.Tensor = traced(given)["output"]
            return weights

        return _compare(source, weigh, tokenizer=tokenizer)


def _pack_table(table: TableLayout, packed: Path) -> None:
    if table.weights.suffix != ".json":
        raise ConfigError(
            f"{table.weights} holds the query weights in another form than ML Commons reads. Write "
            "them as idf.json, token -> weight."
        )
    if table.terms:
        raise ConfigError(
            f"{table.weights}: a query keeps its {table.terms} heaviest tokens, and "
            "SPARSE_TOKENIZE keeps all. Take the bound (query_terms, max_active_dims) out of a "
            "copy of the folder, or encode queries with sparse-ir."
        )
    if not (table.tokenizer / "tokenizer.json").is_file():
        raise ModelError(
            f"{table.tokenizer} has no fast tokenizer (tokenizer.json), which an export needs."
        )
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(table.weights, "idf.json")
        archive.write(table.tokenizer / "tokenizer.json", "tokenizer.json")


def load_traced(path: Path) -> Any:
    """Load a traced model as a server would; torch's advice to trace no more is kept quiet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load: Any = torch.jit.load
        return load(str(path))


def _trace(module: torch.nn.Module, example: tuple[Any, ...], path: Path, source: Source) -> None:
    try:
        with quiet(), torch.inference_mode():
            trace: Any = torch.jit.trace  # untyped
            traced = trace(module, example, strict=False, check_trace=False)
            torch.jit.save(traced, str(path))
    except Exception as error:  # whatever the tracer meets in a model of unknown kind
        line = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{source.folder}: the model cannot be traced: {type(error).__name__}: {line}"
        ) from error


def _compare(
    source: Source, weigh: Weigh, *, tokenizer: Tokenizer | None = None
) -> tuple[float, int]:
    """The largest difference of a weight, of texts alone and of all of them in one batch."""
    texts = sample_texts(source)
    encoder = source.encoder
    if tokenizer is None:
        rows = tokenize(encoder.tokenizer, texts, encoder.max_length).ids
    else:
        rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    alone = [_run(weigh, [row], encoder) for row in rows]
    together = _run(weigh, rows, encoder)
    expected = encoder.encode_documents(texts, on_cut=lambda _: None)
    found = max(
        difference(expected, SparseBatch(expected.ids, sparse.csr_array(np.vstack(alone)))),
        difference(expected, SparseBatch(expected.ids, sparse.csr_array(together))),
    )
    require_parity(found, "the traced model")
    return found, len(texts)


def _run(weigh: Weigh, rows: Sequence[Sequence[int]], encoder: Any) -> NDArray[Any]:
    ids, mask = pad(rows, encoder.tokenizer.pad_token_id or 0)
    if ids.size == 0:
        return np.zeros((len(rows), len(encoder.vocabulary)), np.float32)
    with torch.inference_mode():
        weights: NDArray[Any] = weigh(ids, mask).numpy()
    return weights


def _bert_tokenization(source: Source) -> dict[str, Any]:
    """Elasticsearch's settings for a WordPiece tokenizer, the only kind bundled here.

    Raises:
        ConfigError: it is of another kind, or cleans texts otherwise than Elasticsearch, which lets
            nobody choose: it strips accents where it lower-cases, and nowhere else, and sets blanks
            around Chinese characters.
    """
    content = json.loads(source.tokenizer())
    kind = (content.get("model") or {}).get("type")
    normalizer = content.get("normalizer") or {}
    if kind != "WordPiece" or normalizer.get("type") != "BertNormalizer":
        raise ConfigError(
            f"{source.folder} has a tokenizer of the kind {kind}; --format eland takes BERT's "
            "(WordPiece). Import others with eland's own tools, or encode with sparse-ir."
        )
    lowercase = bool(normalizer.get("lowercase"))
    accents = normalizer.get("strip_accents")
    for name, value, usual in (
        ("strip_accents", lowercase if accents is None else bool(accents), lowercase),
        ("handle_chinese_chars", bool(normalizer.get("handle_chinese_chars", True)), True),
        ("clean_text", bool(normalizer.get("clean_text", True)), True),
    ):
        if value != usual:
            raise ConfigError(
                f"{source.folder} has a tokenizer with {name} {str(value).lower()}, where "
                f"Elasticsearch's has {str(usual).lower()} and no setting for it. Encode with "
                "sparse-ir."
            )
    return {
        "do_lower_case": lowercase,
        "with_special_tokens": True,
        "max_sequence_length": min(source.encoder.max_length, _ELASTICSEARCH_TOKENS),
        "truncate": "first",
    }
