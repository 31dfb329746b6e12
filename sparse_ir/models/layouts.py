"""What a model folder says about itself: how its logits become weights, and how far it reads.

Three layouts are read here, from their files alone: a plain Hugging Face masked LM; one of
OpenSearch's doc models, which is the same with a table of query weights beside it; and a
sentence-transformers sparse folder as versions 5.1 to 6.2 write it. A ``sparse_ir.json`` beside
``config.json`` may add to each (:data:`OPTIONS`). ``sides.py`` reads folders whose queries are
weighed otherwise than their documents.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

POOLINGS = ("max", "sum")
ACTIVATIONS = ("log1p", "log1p_log1p")
OPTIONS = (
    "pooling", "activation", "max_length", "query_terms", "document_terms", "drop_positions",
    "drop_columns", "prune_ratio",
)  # fmt: skip
"""What ``sparse_ir.json`` may set. The two ``drop_`` lists hold tokens, "special" or "unused"."""

_KINDS = {
    "pooling": "text", "activation": "text", "prune_ratio": "number",
    "drop_positions": "list of tokens", "drop_columns": "list of tokens",
}  # fmt: skip

IDF_TABLES = ("idf.json", "query_token_weights.txt")
"""The query side of OpenSearch's doc models: two forms of one table, beside the masked LM."""

# Its third generation takes the logarithm twice (arXiv 2504.14839); no file of the folder says so.
_TWICE = re.compile(r"opensearch-neural-sparse-encoding\S*doc-v3")

# sentence-transformers applies log1p to its activation function; its own names on the left.
_ACTIVATION_FUNCTIONS = {"relu": "log1p", "log1p_relu": "log1p_log1p"}
_TRANSFORMERS = ("Transformer", "MLMTransformer")


@dataclass(frozen=True)
class SpladeLayout:
    """How a masked LM in a folder is to be used as a SPLADE encoder.

    Attributes:
        model: Folder of the masked LM and its tokenizer.
        pooling: "max" or "sum" over the tokens of a text.
        activation: "log1p": log(1 + relu(x)); "log1p_log1p": the logarithm taken twice.
        max_length: Tokens read of a text, special ones included; None where the folder has no
            setting of its own and the tokenizer decides.
        lowercase: Whether texts are lower-cased before the tokenizer sees them.
        document_prompt: Put in front of every document.
        query_prompt: Put in front of every query.
        query_terms: A query keeps at most so many of its heaviest terms; 0 for all.
        document_terms: A document keeps at most so many of its heaviest terms; 0 for all.
        drop_positions: Tokens that give no weight to any term: tokens, "special" or "unused".
        drop_columns: Terms that are never weighed: tokens, "special" or "unused".
        prune_ratio: A document keeps the terms of at least this share of its largest weight.
    """

    model: Path
    pooling: str = "max"
    activation: str = "log1p"
    max_length: int | None = None
    lowercase: bool = False
    document_prompt: str = ""
    query_prompt: str = ""
    query_terms: int = 0
    document_terms: int = 0
    drop_positions: tuple[str, ...] = ()
    drop_columns: tuple[str, ...] = ()
    prune_ratio: float = 0.0

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ModelError(f"{self.model}: pooling is {self.pooling!r}. Use max or sum.")
        if self.activation not in ACTIVATIONS:
            raise ModelError(
                f"{self.model}: activation is {self.activation!r}. Use log1p or log1p_log1p."
            )
        if self.max_length is not None and self.max_length < 1:
            raise ModelError(f"{self.model}: max_length is {self.max_length}. Use at least 1.")
        for name in ("query_terms", "document_terms"):
            if getattr(self, name) < 0:
                raise ModelError(f"{self.model}: {name} is {getattr(self, name)}. Use 0 or more.")
        if not 0 <= self.prune_ratio < 1:
            raise ModelError(
                f"{self.model}: prune_ratio is {self.prune_ratio}. Use 0 to 1, without 1 itself."
            )


class Module(NamedTuple):
    """One module of a sentence-transformers folder: the name of its class, and where it lies."""

    kind: str
    path: Path


def read_layout(folder: Path) -> SpladeLayout:
    """Read how a folder is to be used whose queries and documents are weighed by one model.

    Raises:
        ModelError: no ``config.json``, a file that is not JSON, or sentence-transformers modules
            that are no SPLADE encoder.
    """
    if (folder / "modules.json").is_file():
        return splade_layout(folder, listed_modules(folder))
    if any((folder / name).is_file() for name in IDF_TABLES):
        activation = "log1p_log1p" if _TWICE.search(str(folder.resolve())) else "log1p"
        return checked(SpladeLayout(folder, activation=activation, drop_columns=("special",)))
    return checked(SpladeLayout(folder))


def listed_modules(folder: Path) -> list[Module]:
    """The modules that a folder's ``modules.json`` lists; none where there is no such file.

    Raises:
        ModelError: it is no list of modules, or one lies outside the folder.
    """
    path = folder / "modules.json"
    listed = read_json(path) or []
    if not isinstance(listed, list) or not all(isinstance(m, dict) for m in listed):
        raise ModelError(f"{path} is no list of modules. Save the model again.")
    return [module(str(m.get("type", "")), inside(folder, m.get("path", ""))) for m in listed]


def inside(folder: Path, path: object) -> Path:
    """A path below a folder, as ``modules.json`` names it; links are left as they are.

    Raises:
        ModelError: it leads out of the folder.
    """
    if not isinstance(path, str):
        raise ModelError(f"{folder}: modules.json has the path {path!r}. Save the model again.")
    named = PureWindowsPath(path)  # knows both kinds of slash, and drives
    if named.anchor or ".." in named.parts:
        raise ModelError(
            f"{folder}: modules.json names {path!r}, which is outside the folder. Put the module "
            "into it."
        )
    return folder / path


def module(kind: str, path: Path) -> Module:
    """A module by the dotted name of its class."""
    return Module(kind.rpartition(".")[2], path)


def splade_layout(folder: Path, modules: Sequence[Module]) -> SpladeLayout:
    """Read two modules as one SPLADE encoder.

    Args:
        folder: The folder of the whole, which holds the prompts.
        modules: A masked LM and what pools its logits.

    Raises:
        ModelError: they are something else, or a file of theirs is missing or wrong.
    """
    kinds = [m.kind for m in modules]
    if len(kinds) != 2 or kinds[0] not in _TRANSFORMERS or kinds[1] != "SpladePooling":
        raise ModelError(
            f"{folder}: modules.json lists {', '.join(kinds) or 'nothing'}; a SPLADE encoder is a "
            "Transformer (or MLMTransformer) followed by SpladePooling."
        )
    model = modules[0].path
    pooling = read_object(modules[1].path / "config.json")
    reader = read_object(model / "sentence_bert_config.json")
    document_prompt, query_prompt = read_prompts(folder)
    function = str(pooling.get("activation_function", "relu"))
    terms = read_bound(folder)
    return checked(
        SpladeLayout(
            model,
            pooling=pooling.get("pooling_strategy", "max"),
            activation=_ACTIVATION_FUNCTIONS.get(function, function),
            max_length=saved_length(reader, model),
            lowercase=bool(reader.get("do_lower_case", False)),
            document_prompt=document_prompt,
            query_prompt=query_prompt,
            query_terms=terms,
            document_terms=terms,
        )
    )


def checked(layout: SpladeLayout) -> SpladeLayout:
    """Add what ``sparse_ir.json`` sets.

    Raises:
        ModelError: the folder holds no model, or the file sets what is not known.
    """
    if not (layout.model / "config.json").is_file():
        raise ModelError(
            f"{layout.model} holds no config.json, so it is no model folder. Give a folder that "
            "transformers or sentence-transformers saved."
        )
    options = read_object(layout.model / "sparse_ir.json")
    for name in options:
        if name not in OPTIONS:
            raise ModelError(
                f"{layout.model}: sparse_ir.json sets {name!r}. Known are {', '.join(OPTIONS)}."
            )
    for name, value in options.items():
        if not _fits(name, value):
            raise ModelError(
                f"{layout.model}: sparse_ir.json sets {name} to {json.dumps(value)}, which is no "
                f"{_KINDS.get(name, 'whole number')}."
            )
    lists = {k: tuple(v) for k, v in options.items() if k.startswith("drop_")}
    return replace(layout, **{**options, **lists})


def _fits(name: str, value: Any) -> bool:
    """Whether a value of ``sparse_ir.json`` is of the type that it must have."""
    if name.startswith("drop_"):
        return isinstance(value, list) and all(isinstance(token, str) for token in value)
    if name in ("pooling", "activation"):
        return isinstance(value, str)
    if value is None:
        return name == "max_length"
    number = int if name != "prune_ratio" else (int, float)
    return isinstance(value, number) and not isinstance(value, bool)


def saved_length(reader: dict[str, Any], folder: Path) -> int | None:
    """The tokens that ``sentence_bert_config.json`` says are read, or None.

    Raises:
        ModelError: it says so by what is no number.
    """
    # Version 6 writes what was given to the tokenizer instead of a setting of its own.
    processor = reader.get("processor_kwargs") or reader.get("tokenizer_args") or {}
    try:
        length = reader.get("max_seq_length") or processor.get("model_max_length")
        return None if length is None else int(length)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ModelError(
            f"{folder}: sentence_bert_config.json names no length in tokens (max_seq_length). "
            "Write a whole number."
        ) from None


def read_prompts(folder: Path) -> tuple[str, str]:
    """The prompts of documents and queries: each kind's own, else the default one.

    Raises:
        ModelError: they are no texts.
    """
    config = read_object(folder / "config_sentence_transformers.json")
    prompts = config.get("prompts") or {}
    named = config.get("default_prompt_name") or ""
    kinds = isinstance(prompts, dict) and isinstance(named, str)
    if not kinds or not all(isinstance(text, str | None) for text in prompts.values()):
        raise ModelError(
            f"{folder}: config_sentence_transformers.json has prompts that are no texts by name."
        )
    default = prompts.get(named) or ""
    document = [prompts[n] for n in ("document", "passage", "corpus") if prompts.get(n) is not None]
    query = prompts.get("query")
    return (document[0] if document else default), (default if query is None else query)


def read_bound(folder: Path) -> int:
    """``max_active_dims`` of a sentence-transformers folder: terms of any text; 0 for all.

    Raises:
        ModelError: it is no such number.
    """
    terms = read_object(folder / "config_sentence_transformers.json").get("max_active_dims") or 0
    if not isinstance(terms, int) or terms < 0:
        raise ModelError(f"{folder}: max_active_dims is {terms!r}. Use a whole number above 0.")
    return terms


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object, or {} where there is no such file.

    Raises:
        ModelError: it cannot be read, or is something else.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no JSON object. Save the model again.")
    return found


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, or {} where there is no such file.

    Raises:
        ModelError: it cannot be read, or is no JSON.
    """
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
