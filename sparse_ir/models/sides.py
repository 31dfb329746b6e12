"""The two sides of a model folder: how documents are weighed, and how queries are.

Most folders have one model for both. Others come apart:

- a sentence-transformers ``Router``: a route for documents and one for queries, which is either a
  second SPLADE model or a ``SparseStaticEmbedding``, a weight for each token (inference-free);
- ``idf.json`` or ``query_token_weights.txt`` beside a plain masked LM: the query side of
  OpenSearch's doc models;
- ``query_model/`` below a plain masked LM: a second one for queries, as light-splade saves it;
- ``query_table.json`` beside a model that weighs queries itself: an inference-free side that may be
  chosen in its place.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError
from sparse_ir.models.layouts import (
    IDF_TABLES,
    Module,
    SpladeLayout,
    inside,
    listed_modules,
    module,
    read_layout,
    read_object,
    read_prompts,
    splade_layout,
)

if TYPE_CHECKING:
    from pathlib import Path

QUERY_TABLE = "query_table.json"
"""Token -> weight: a query side that needs no model, beside one that does."""

QUERY_MODEL = "query_model"
IDF = "idf.json"
_ROUTERS = ("Router", "Asym")  # the second is the name of before version 5


@dataclass(frozen=True)
class TableLayout:
    """A weight for each token, and the tokenizer that finds the tokens.

    Attributes:
        weights: A JSON file (token -> weight), a text file (token, tab, weight), or safetensors
            with one vector, ``weight``.
        tokenizer: The folder of the tokenizer.
        lowercase: Whether texts are lower-cased before the tokenizer sees them.
        prompt: Put in front of every query.
        terms: A query keeps at most so many of its heaviest tokens; 0 for all.
    """

    weights: Path
    tokenizer: Path
    lowercase: bool = False
    prompt: str = ""
    terms: int = 0


@dataclass(frozen=True)
class Sides:
    """How a folder weighs documents and queries.

    Attributes:
        documents: The document side.
        queries: The folder's own query side; equal to ``documents`` where one model does both.
        table: The inference-free query side, whether it is the folder's own or may be chosen.
    """

    documents: SpladeLayout
    queries: SpladeLayout | TableLayout
    table: TableLayout | None


def read_sides(folder: Path) -> Sides:
    """Read how a folder weighs documents and queries, from its files alone.

    Raises:
        ModelError: a file is missing, is no JSON, or describes no sparse encoder.
    """
    modules = listed_modules(folder)
    if modules and modules[0].kind in _ROUTERS:
        documents, queries = _routes(folder, modules)
    else:
        documents = read_layout(folder)
        queries = documents
        beside = [folder / name for name in IDF_TABLES if (folder / name).is_file()]
        if not modules and (folder / QUERY_MODEL / "config.json").is_file():
            queries = read_layout(folder / QUERY_MODEL)
        elif not modules and beside:
            queries = TableLayout(beside[0], documents.model, terms=documents.query_terms)
    table = queries if isinstance(queries, TableLayout) else None
    if (folder / QUERY_TABLE).is_file():
        # The words of a prompt would weigh in every query, so the table goes without.
        table = TableLayout(
            folder / QUERY_TABLE,
            documents.model,
            lowercase=documents.lowercase,
            terms=documents.query_terms,
        )
    return Sides(documents, queries, table)


def vocabulary_size(model: Path) -> int | None:
    """Columns of a masked LM's vectors, as its ``config.json`` says; None where it does not."""
    size = read_object(model / "config.json").get("vocab_size")
    return size if isinstance(size, int) else None


def _routes(folder: Path, modules: list[Module]) -> tuple[SpladeLayout, SpladeLayout | TableLayout]:
    router = modules[0].path
    # The second name is that of before version 5.
    config = read_object(router / "router_config.json") or read_object(router / "config.json")
    try:
        routes = {
            name: [module(config["types"][i], inside(router, i)) for i in ids]
            for name, ids in config["structure"].items()
        }
        ways = {task: routes[_route(task, config)] for task in ("document", "query")}
    except (KeyError, TypeError, AttributeError, ValueError, SyntaxError):
        raise ModelError(
            f"{router}: the router_config.json is damaged, or has no routes for query and document."
        ) from None
    if len(modules) > 1:
        kinds = ", ".join(m.kind for m in modules)
        raise ModelError(f"{folder}: modules.json lists {kinds}; a Router must be alone.")
    documents = splade_layout(folder, ways["document"])
    if [m.kind for m in ways["query"]] == ["SparseStaticEmbedding"]:
        # What a table keeps of a query stands where all bounds do: beside the document model.
        return documents, _static(folder, ways["query"][0].path, terms=documents.query_terms)
    return documents, splade_layout(folder, ways["query"])


def _route(task: str, config: dict[str, Any]) -> str:
    """Name the route of a text, in the order in which sentence-transformers looks."""
    mappings = (config.get("parameters") or {}).get("route_mappings") or {}
    known = {ast.literal_eval(key): name for key, name in mappings.items()}
    for key in ((task, "text"), (task, None), (None, "text"), (None, None)):
        if key in known:
            return str(known[key])
    return task


def _static(folder: Path, path: Path, *, terms: int) -> TableLayout:
    named = read_object(path / "config.json").get("path")
    weights = path / "model.safetensors"
    if isinstance(named, str) and named:
        places = [path / named, folder / named, folder / IDF]
        weights = next((place for place in places if place.is_file()), places[0])
    return TableLayout(weights, path, prompt=read_prompts(folder)[1], terms=terms)
