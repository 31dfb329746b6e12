"""The files of a model folder that transformers, sentence-transformers and sparse-ir all read."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ConfigError, ModelError, StorageError
from sparse_ir.models.layouts import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POOLING_FOLDER = "1_SpladePooling"
DOCUMENTS = ("document_0_MLMTransformer", "document_1_SpladePooling")
QUERIES = ("query_0_MLMTransformer", "query_1_SpladePooling")
QUERY_WEIGHTS = "query_0_SparseStaticEmbedding"

_MODELS = ("modules.json", "sparse_ir_onnx.json", "ml-commons_model_config.json")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "idf.json")
# The names that sentence-transformers 5.1 gave its modules; 6 reads them as well.
_SPARSE = "sentence_transformers.sparse_encoder.models"
_ROUTER = "sentence_transformers.models.Router"
_FUNCTIONS = {"log1p": "relu", "log1p_log1p": "log1p_relu"}
# A length that a tokenizer was once called with, and where it was loaded from, are no facts.
_NO_FACTS = {
    "tokenizer_config.json": (
        "max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "is_local",
        "local_files_only", "name_or_path", "_name_or_path",
    ),
    "config.json": ("dtype", "torch_dtype", "_name_or_path"),
}  # fmt: skip


def splade_files(
    *,
    pooling: str = "max",
    activation: str = "log1p",
    max_length: int = 512,
    lowercase: bool = False,
    document_prompt: str = "",
    query_prompt: str = "",
) -> dict[str, Any]:
    """What makes a masked LM's folder a sparse encoder: file -> JSON content."""
    return {
        "modules.json": _modules(
            {"": f"{_SPARSE}.MLMTransformer", POOLING_FOLDER: f"{_SPARSE}.SpladePooling"}
        ),
        "sentence_bert_config.json": reader(max_length, lowercase=lowercase),
        f"{POOLING_FOLDER}/config.json": pooled(pooling, activation),
        "config_sentence_transformers.json": _prompts(document_prompt, query_prompt),
    }


def options(*, query_terms: int = 0, document_terms: int = 0) -> dict[str, Any]:
    """What sparse-ir alone reads, beside a masked LM's ``config.json``: file -> JSON content."""
    bounds = {"query_terms": query_terms, "document_terms": document_terms}
    set_ = {name: terms for name, terms in bounds.items() if terms}
    return {"sparse_ir.json": set_} if set_ else {}


def router_files(
    *, table: bool, document_prompt: str = "", query_prompt: str = ""
) -> dict[str, Any]:
    """What joins two sides in one folder: file -> JSON content.

    Args:
        table: Queries are weighed by a table of token weights, else by a second masked LM.
        document_prompt: Put in front of every document.
        query_prompt: Put in front of every query.
    """
    queries = (QUERY_WEIGHTS,) if table else QUERIES
    names = (*queries, *DOCUMENTS)
    return {
        "modules.json": _modules({"": _ROUTER}),
        "router_config.json": {
            "types": {name: f"{_SPARSE}.{name.rpartition('_')[2]}" for name in names},
            "structure": {"query": list(queries), "document": list(DOCUMENTS)},
            "parameters": {"default_route": "document", "allow_empty_key": True},
        },
        "config_sentence_transformers.json": _prompts(document_prompt, query_prompt),
    }


def reader(max_length: int, *, lowercase: bool) -> dict[str, Any]:
    """``sentence_bert_config.json``: how much of a text is read."""
    return {"max_seq_length": max_length, "do_lower_case": lowercase}


def pooled(pooling: str, activation: str) -> dict[str, Any]:
    """``config.json`` of ``SpladePooling``."""
    return {"pooling_strategy": pooling, "activation_function": _FUNCTIONS[activation]}


def without_traces(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a saved file what is true only of the process that saved it.

    Args:
        name: "tokenizer.json", "tokenizer_config.json" or "config.json".
        content: What it holds.
    """
    if name == "tokenizer.json":  # else the length of the last batch would cut the next texts
        return {**content, "truncation": None, "padding": None}
    return {k: v for k, v in content.items() if k not in _NO_FACTS[name]}


def put_json(path: Path, content: Any) -> None:
    """Write JSON as a person may read it."""
    put(path, readable_json(content))


def readable_json(content: Any) -> bytes:
    """JSON as a person may read it."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def put(path: Path, content: bytes) -> None:
    """Write a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def small_table(table: Mapping[str, float]) -> dict[str, float]:
    """A table for a file: four decimals, without the tokens that weigh nothing."""
    rounded = {token: round(float(weight), 4) for token, weight in table.items()}
    return {token: weight for token, weight in rounded.items() if weight != 0}


@contextmanager
def made_aside(folder: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give an empty folder that takes the final name when the block ends well.

    Args:
        folder: The final name.
        replace: A model that lies there may be replaced.

    Raises:
        ConfigError: something else lies there.
        StorageError: it cannot be written.
    """
    folder = folder.expanduser().absolute()
    require_free(folder, replace=replace)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            yield made
            old = Path(temporary) / "old"
            try:
                if folder.exists():
                    folder.rename(old)
                made.rename(folder)
            except BaseException:
                if old.exists():  # it must not go with the temporary folder
                    free = not folder.exists()
                    old.rename(folder if free else folder.with_name(f"{folder.name}.old"))
                raise
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}. Make room there, or name "
            "another folder."
        ) from error


def put_whole(path: Path, content: bytes) -> None:
    """Write a file that takes its name once it is whole; one that is there is replaced.

    Raises:
        StorageError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}. Make room there, or name "
            "another folder."
        ) from error


def holds_model(folder: Path) -> bool:
    """Whether a finished model, or an export of one, lies in a folder.

    A ``config.json`` alone tells nothing: many programs have one.
    """
    if any((folder / name).is_file() for name in _MODELS):
        return True
    config = folder / "config.json"
    if not config.is_file():
        return False
    if any(path.is_file() for name in _WEIGHTS for path in folder.glob(name)):
        return True
    try:
        found = read_json(config)
    except ModelError:  # no JSON
        return False
    return isinstance(found, dict) and isinstance(found.get("model_type"), str)


def require_free(folder: Path, *, replace: bool) -> None:
    """Refuse a folder that holds something else, or a model that is not to be replaced.

    Raises:
        ConfigError: naming the folder.
    """
    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if taken and not holds_model(folder):
        raise ConfigError(f"{folder} holds something that is no model. Name another folder.")
    if taken and not replace:
        raise ConfigError(
            f"{folder} holds a finished model. Choose another folder, or --replace it."
        )


def copy_tree(source: Path, names: list[str], target: Path) -> None:
    """Copy files, named relative to a folder, into another folder."""
    for name in names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, place)


def clean_tokenizer(folder: Path, *, max_length: int | None = None) -> None:
    """Take the traces of use out of a saved tokenizer, and say how much it reads."""
    path = folder / "tokenizer.json"
    if path.is_file():
        put_json(path, without_traces(path.name, read_json(path)))
    path = folder / "tokenizer_config.json"
    settings = without_traces(path.name, read_json(path))
    if settings.get("tokenizer_class") == "TokenizersBackend":  # transformers 4 knows the old name
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    put_json(path, settings if max_length is None else {**settings, "model_max_length": max_length})


def _modules(types: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"idx": i, "name": str(i), "path": path, "type": kind}
        for i, (path, kind) in enumerate(types.items())
    ]


def _prompts(document: str, query: str) -> dict[str, Any]:
    return {
        "model_type": "SparseEncoder",
        "prompts": {"query": query, "document": document},
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    }
