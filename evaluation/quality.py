"""A model with both its query sides, beside BM25, on collections in BEIR layout.

    python evaluation/quality.py --data FOLDER [--collections NAME …] [--model FOLDER]
        [--split test] [--precision fp32] [--engine embedded] [--out FILE.md]

FOLDER holds one folder a collection (corpus.jsonl[.gz], queries.jsonl, qrels/SPLIT.tsv). Each is
indexed with the model and with BM25, and searched with its judged queries: weighed by the model,
by the model's table (inference-free), and by BM25. A stopped run goes on where it was. Prints a
Markdown page and writes it to OUT, with a paired randomisation test's p-value for each difference
in nDCG@10, corrected for the two comparisons of a collection, and the means of two groups:
collections that neither the bundled model nor its backbone was trained on, and the others.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir import IndexSettings, __version__, index_corpus, load_encoder
from sparse_ir.data.corpora import read_queries
from sparse_ir.data.trec import read_qrels
from sparse_ir.engines.opening import open_engine
from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index
from sparse_ir.evaluating.significance import compare_systems
from sparse_ir.inspecting.inspect import sample_terms
from sparse_ir.models.loading import INFERENCE_FREE, MODEL

if TYPE_CHECKING:
    from sparse_ir.evaluating.metrics import Evaluation

UNSEEN = ("cranfield", "nfcorpus_filtered", "cisi", "cacm")
SEEN = ("msmarco_v1", "stackfaq", "nq_gold", "medquad", "squad_sent")
GROUPS = {
    "neither the model nor its backbone was trained on these": UNSEEN,
    "the backbone, or the model, was trained on text of this kind": SEEN,
}
# TREC Deep Learning counts grade 1 as not relevant (all metrics but nDCG).
MIN_GRADE = {("msmarco_v1", "test"): 2}
METRICS = ("ndcg@10", "mrr@10", "recall@100")
SYSTEMS = ("BM25", "model", "table")


class Found(NamedTuple):
    """What one system reached on one collection."""

    evaluation: Evaluation
    query_terms: float
    document_terms: float
    documents: int


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=[*UNSEEN, *SEEN])
    parser.add_argument("--model", default=None)
    parser.add_argument("--split", default="test")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    found: dict[str, dict[str, Found]] = {}
    for name in options.collections:
        found[name] = {}
        for system in SYSTEMS:
            found[name][system] = measure(options.data / name, system, options)
            print(told(name, system, found[name][system]), flush=True)
    text = page(found, options)
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


def measure(folder: Path, system: str, options: argparse.Namespace) -> Found:
    """Index a collection, if it is not yet indexed, and search it."""
    model = "bm25" if system == "BM25" else options.model
    index = f"quality-{folder.name.replace('_', '-')}-{system_name(model)}"
    report = index_corpus(
        IndexSettings(
            corpus=str(next(iter(sorted(folder.glob("corpus.jsonl*"))))),
            index=index,
            model=model,
            engine=options.engine,
            precision=options.precision if model != "bm25" else "fp32",
            resume=True,
            skip_bad=True,
        )
    )
    side = INFERENCE_FREE if system == "table" else MODEL
    evaluation = evaluate_index(
        EvaluateSettings(
            index=index,
            dataset=str(folder),
            split=options.split,
            metrics=METRICS,
            min_grade=MIN_GRADE.get((folder.name, options.split), 1),
            engine=options.engine,
            query_encoder=side,
        )
    )
    with open_engine(options.engine) as engine:
        made_by = engine.describe(index).model
        terms = sample_terms(engine.scan(index))["terms_per_document"]
    return Found(
        evaluation, query_terms(folder, options.split, made_by, side), terms, report.documents
    )


def system_name(model: str | None) -> str:
    return "bm25" if model == "bm25" else load_encoder(model).fingerprint[:10]


def query_terms(folder: Path, split: str, model: str, side: str) -> float:
    """Mean terms of a judged query."""
    qrels = read_qrels(folder / "qrels" / f"{split}.tsv")
    queries = read_queries(str(next(iter(sorted(folder.glob("queries.jsonl*"))))))
    texts = [query.text for query in queries if query.query_id in qrels]
    batch = load_encoder(model, queries=side).encode_queries(texts)
    return float(batch.weights.nnz / len(texts))


def told(name: str, system: str, found: Found) -> str:
    mean = found.evaluation.mean
    return (
        f"{time.strftime('%H:%M:%S')} {name} {system}: "
        + ", ".join(f"{metric} {mean[metric]:.4f}" for metric in METRICS)
        + f", terms {found.query_terms:.1f} / {found.document_terms:.1f}"
    )


def page(found: dict[str, dict[str, Found]], options: argparse.Namespace) -> str:
    """Write the tables, one for each group of which something was measured."""
    parts = [heading(options)]
    for title, members in GROUPS.items():
        names = [name for name in options.collections if name in members]
        if names:
            parts += [f"## {', '.join(names)}: {title}", table(names, found)]
    others = [n for n in options.collections if not any(n in g for g in GROUPS.values())]
    if others:
        parts += ["## Others", table(others, found)]
    return "\n\n".join(parts) + "\n"


def heading(options: argparse.Namespace) -> str:
    command = f"python evaluation/quality.py --data FOLDER --precision {options.precision}"
    command += f" --split {options.split} --collections {' '.join(options.collections)}"
    return (
        "# The bundled model beside BM25\n\n"
        f"`{command}`\n\n"
        f"{datetime.now(timezone.utc).date().isoformat()}, sparse-ir {__version__}, "
        f"{platform.machine()}, Python {platform.python_version()}, {options.precision} on CPU, "
        f"{options.engine} engine, {options.split} queries. Metrics as trec_eval computes them "
        "(linear gain); relevant from grade 1, for msmarco_v1 (TREC DL 2019) from grade 2 in all "
        "but nDCG. The model reads 512 tokens of a document, BM25 all. table: the same documents, "
        "queries weighed by the model's table (inference-free). p: paired randomisation test of "
        "the difference to BM25 in nDCG@10, after Holm's correction for the two comparisons of a "
        "collection. Terms are means of query / document."
    )


def table(names: list[str], found: dict[str, dict[str, Found]]) -> str:
    lines = [
        "| collection (documents, queries) | nDCG@10 BM25 | model | (p) | table | (p) "
        "| MRR@10 BM25 | model | table | R@100 BM25 | model | table "
        "| terms BM25 | model | table |",
        "| --- |" + " ---: |" * 14,
        *(row(name, found[name]) for name in names),
        mean_row(names, found),
    ]
    return "\n".join(lines)


def row(name: str, systems: dict[str, Found]) -> str:
    base = systems["BM25"]
    values = {system: systems[system].evaluation.per_query["ndcg@10"] for system in SYSTEMS}
    compared = compare_systems(values.pop("BM25"), values)
    cells = [f"{name} ({base.documents:,}, {base.evaluation.queries:,})"]
    cells.append(f"{base.evaluation.mean['ndcg@10']:.3f}")
    for system in SYSTEMS[1:]:
        cells.append(f"{systems[system].evaluation.mean['ndcg@10']:.3f}")
        cells.append(f"{compared[system].corrected:.3f}")
    for metric in METRICS[1:]:
        cells += [f"{systems[s].evaluation.mean[metric]:.3f}" for s in SYSTEMS]
    cells += [f"{systems[s].query_terms:.0f} / {systems[s].document_terms:.0f}" for s in SYSTEMS]
    return "| " + " | ".join(cells) + " |"


def mean_row(names: list[str], found: dict[str, dict[str, Found]]) -> str:
    def mean(system: str, metric: str) -> str:
        return f"**{np.mean([found[n][system].evaluation.mean[metric] for n in names]):.3f}**"

    cells: list[Any] = ["**mean**", mean("BM25", "ndcg@10")]
    for system in SYSTEMS[1:]:
        cells += [mean(system, "ndcg@10"), ""]
    for metric in METRICS[1:]:
        cells += [mean(system, metric) for system in SYSTEMS]
    for system in SYSTEMS:
        query = np.mean([found[n][system].query_terms for n in names])
        document = np.mean([found[n][system].document_terms for n in names])
        cells.append(f"{query:.0f} / {document:.0f}")
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
