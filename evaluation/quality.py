"""The bundled model beside BM25 on collections in BEIR layout.

    python evaluation/quality.py --data FOLDER [--collections NAME …] [--precision fp32]
        [--out evaluation/results]

FOLDER holds one folder a collection (corpus.jsonl[.gz], queries.jsonl, qrels/test.tsv). Each is
indexed twice in the embedded engine, with the bundled model and with BM25, and evaluated on its
test queries. A stopped run goes on where it was. Prints a Markdown table and writes it, with a
paired randomisation test's p-value for the difference in nDCG@10, to OUT/quality.md.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from sparse_ir import IndexSettings, __version__, index_corpus
from sparse_ir.engines.opening import open_engine
from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index
from sparse_ir.inspecting.inspect import sample_terms

COLLECTIONS = ("cranfield", "nfcorpus_filtered", "msmarco_v1", "medquad", "squad_sent", "stackfaq")
# TREC Deep Learning counts grade 1 as not relevant (all metrics but nDCG).
MIN_GRADE = {"msmarco_v1": 2}
METRICS = ("ndcg@10", "mrr@10", "recall@100")
SYSTEMS = {"BM25": "bm25", "default": None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    rows = []
    for name in options.collections:
        found = {
            system: measure(options.data / name, system, options.precision) for system in SYSTEMS
        }
        rows.append(row(name, found))
        print(rows[-1], flush=True)
    text = page(rows, options.collections, options.precision)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.md").write_text(text, encoding="utf-8")
    print(text)


def measure(folder: Path, system: str, precision: str) -> dict:
    index = f"quality-{folder.name}-{system.lower()}".replace("_", "-")
    corpus = next(iter(sorted(folder.glob("corpus.jsonl*"))))
    started = time.monotonic()
    report = index_corpus(
        IndexSettings(
            corpus=str(corpus),
            index=index,
            model=SYSTEMS[system],
            precision=precision,
            resume=True,
            skip_bad=True,
        )
    )
    seconds = time.monotonic() - started
    evaluation = evaluate_index(
        EvaluateSettings(
            index=index,
            dataset=str(folder),
            metrics=METRICS,
            min_grade=MIN_GRADE.get(folder.name, 1),
        )
    )
    engine = open_engine("embedded")
    terms = sample_terms(engine.scan(index))["terms_per_document"]
    engine.close()
    print(f"{index}: {evaluation.mean} ({seconds:.0f} s)", flush=True)
    return {
        "mean": evaluation.mean,
        "per_query": evaluation.per_query["ndcg@10"],
        "queries": evaluation.queries,
        "documents": report.documents,
        "skipped": len(report.skipped),
        "terms": terms,
    }


def row(name: str, found: dict) -> str:
    base, ours = found["BM25"], found["default"]
    queries = sorted(base["per_query"])
    difference = np.array([ours["per_query"][q] - base["per_query"][q] for q in queries])
    cells = [f"{name} ({ours['documents']:,})", str(ours["queries"])]
    for metric in METRICS:
        cells += [f"{base['mean'][metric]:.3f}", f"{ours['mean'][metric]:.3f}"]
    cells += [f"{difference.mean():+.3f}", f"{p_value(difference):.3f}"]
    cells += [f"{base['terms']:.0f}", f"{ours['terms']:.0f}"]
    return "| " + " | ".join(cells) + " |"


def p_value(difference: np.ndarray, *, rounds: int = 10_000, seed: int = 0) -> float:
    """Two-sided paired randomisation (Fisher) test: how often do random signs do as well?"""
    if not difference.any():
        return 1.0
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(rounds, len(difference)))
    chance = np.abs(signs @ difference)
    return float((1 + (chance >= abs(difference.sum()) - 1e-12).sum()) / (rounds + 1))


def page(rows: list[str], collections: list[str], precision: str) -> str:
    now = datetime.now(timezone.utc).date().isoformat()
    return "\n".join(
        [
            "# The bundled model beside BM25",
            "",
            "`python evaluation/quality.py --data FOLDER --collections "
            f"{' '.join(collections)} --precision {precision}`",
            "",
            f"{now}, sparse-ir {__version__}, {platform.machine()}, Python "
            f"{platform.python_version()}, {precision} on CPU. Test queries; metrics "
            "as trec_eval computes them (linear gain); the bundled model reads 512 tokens of a "
            "document, BM25 all. p: paired randomisation test on nDCG@10, 10,000 rounds.",
            "",
            "| collection (documents) | queries | nDCG@10 BM25 | nDCG@10 default | MRR@10 BM25 "
            "| MRR@10 default | R@100 BM25 | R@100 default | nDCG difference | p "
            "| terms/doc BM25 | terms/doc default |",
            "| --- |" + " ---: |" * 11,
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
