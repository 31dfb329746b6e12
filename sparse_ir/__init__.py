"""sparse-ir: learned sparse retrieval from one end to the other."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine, SearchRequest
    from sparse_ir.engines.opening import open_engine
    from sparse_ir.engines.options import ClusterOptions
    from sparse_ir.errors import SparseIRError
    from sparse_ir.evaluating.compare_indexes import CompareSettings, compare_indexes
    from sparse_ir.evaluating.compare_runs import CompareRunsSettings, compare_runs
    from sparse_ir.evaluating.evaluate import evaluate
    from sparse_ir.evaluating.significance import compare_systems
    from sparse_ir.indexing.changes import update_index
    from sparse_ir.indexing.index import IndexSettings, index_corpus
    from sparse_ir.inspecting.verify import VerifySettings, verify
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.models.loading import load_dense, load_encoder
    from sparse_ir.models.saving import save_model
    from sparse_ir.models.splade import SpladeEncoder
    from sparse_ir.pruning import Pruning
    from sparse_ir.searching.search import Searcher, SearchSettings, search
    from sparse_ir.training.distill import DistillSettings, distill
    from sparse_ir.training.mine import MineSettings, mine
    from sparse_ir.training.settings import TrainSettings
    from sparse_ir.training.train import train
    from sparse_ir.types import Document, Entry, Qrels, Query, Run, ScoredDoc, SparseVector
    from sparse_ir.vectors import SparseBatch

__version__ = "0.1.0"

# Resolved on first use, so that `import sparse_ir` stays cheap and loads no torch.
_PUBLIC = {
    "ClusterOptions": "sparse_ir.engines.options",
    "CompareRunsSettings": "sparse_ir.evaluating.compare_runs",
    "CompareSettings": "sparse_ir.evaluating.compare_indexes",
    "DistillSettings": "sparse_ir.training.distill",
    "Document": "sparse_ir.types",
    "Engine": "sparse_ir.engines.base",
    "Entry": "sparse_ir.types",
    "IndexSettings": "sparse_ir.indexing.index",
    "MineSettings": "sparse_ir.training.mine",
    "Pruning": "sparse_ir.pruning",
    "Qrels": "sparse_ir.types",
    "Query": "sparse_ir.types",
    "Run": "sparse_ir.types",
    "ScoredDoc": "sparse_ir.types",
    "SearchRequest": "sparse_ir.engines.base",
    "SearchSettings": "sparse_ir.searching.search",
    "Searcher": "sparse_ir.searching.search",
    "SparseBatch": "sparse_ir.vectors",
    "SparseEncoder": "sparse_ir.models.base",
    "SparseIRError": "sparse_ir.errors",
    "SparseVector": "sparse_ir.types",
    "SpladeEncoder": "sparse_ir.models.splade",
    "TrainSettings": "sparse_ir.training.settings",
    "VerifySettings": "sparse_ir.inspecting.verify",
    "compare_indexes": "sparse_ir.evaluating.compare_indexes",
    "compare_runs": "sparse_ir.evaluating.compare_runs",
    "compare_systems": "sparse_ir.evaluating.significance",
    "distill": "sparse_ir.training.distill",
    "evaluate": "sparse_ir.evaluating.evaluate",
    "index_corpus": "sparse_ir.indexing.index",
    "load_dense": "sparse_ir.models.loading",
    "load_encoder": "sparse_ir.models.loading",
    "mine": "sparse_ir.training.mine",
    "open_engine": "sparse_ir.engines.opening",
    "save_model": "sparse_ir.models.saving",
    "search": "sparse_ir.searching.search",
    "train": "sparse_ir.training.train",
    "update_index": "sparse_ir.indexing.changes",
    "verify": "sparse_ir.inspecting.verify",
}

__all__ = [
    "ClusterOptions",
    "CompareRunsSettings",
    "CompareSettings",
    "DistillSettings",
    "Document",
    "Engine",
    "Entry",
    "IndexSettings",
    "MineSettings",
    "Pruning",
    "Qrels",
    "Query",
    "Run",
    "ScoredDoc",
    "SearchRequest",
    "SearchSettings",
    "Searcher",
    "SparseBatch",
    "SparseEncoder",
    "SparseIRError",
    "SparseVector",
    "SpladeEncoder",
    "TrainSettings",
    "VerifySettings",
    "__version__",
    "compare_indexes",
    "compare_runs",
    "compare_systems",
    "distill",
    "evaluate",
    "index_corpus",
    "load_dense",
    "load_encoder",
    "mine",
    "open_engine",
    "save_model",
    "search",
    "train",
    "update_index",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sparse_ir' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
