"""One index in several engines: the same metrics, and what two-step search costs in quality.

    python evaluation/engines_agree.py --index INDEX --dataset DATASET --url URL [--url URL ...]

INDEX is an embedded index. Its entries are copied, vectors and all, into an index of the same name
in every cluster; then each answers the dataset's queries. Nothing is encoded but the queries.
"""

from __future__ import annotations

import argparse
import time

from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index

METRICS = ("ndcg@10", "mrr@10", "recall@100")
SWEEP = [f"ratio={r},expansion={e}" for r in (0.2, 0.3, 0.4, 0.5) for e in (2, 5, 20)]


def copy(index, url):
    """Copy an embedded index into a cluster; returns documents a second."""
    options = ClusterOptions(replicas=0, shards=1)
    with open_engine("embedded") as source, open_engine(url, options=options) as target:
        if target.exists(index):
            target.drop(index)
        physical = target.create(index, source.describe(index), source.vocabulary(index))
        began = time.perf_counter()
        failures = list(target.add(physical, source.scan(index)))
        seconds = time.perf_counter() - began
        if failures:
            raise SystemExit(f"refused: {failures[0]}")
        target.publish(index, physical)
        expected, found = source.stats(index).documents, target.stats(index).documents
        if found != expected:
            raise SystemExit(f"{url}: {found} documents instead of {expected}")
        return target.details(index)["server"], target.details(index)["field"], found / seconds


def evaluate(index, dataset, engine, metrics=METRICS, **options):
    settings = EvaluateSettings(
        index=index, dataset=dataset, engine=engine, metrics=metrics, **options
    )
    return evaluate_index(settings).mean


def row(*cells):
    shown = [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print(f"| {' | '.join(shown)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--url", action="append", required=True)
    parser.add_argument("--sweep", action="store_true", help="Two-step search at the first URL.")
    args = parser.parse_args()
    row("engine", "field", *METRICS, "largest difference")
    row("---", "---", *["---:"] * (len(METRICS) + 1))
    exact = evaluate(args.index, args.dataset, "embedded")
    row("embedded", "", *exact.values(), "")
    for url in args.url:
        server, field, _ = copy(args.index, url)
        found = evaluate(args.index, args.dataset, url)
        worst = max(abs(found[name] - exact[name]) for name in METRICS)
        row(server, field, *found.values(), worst)
    if args.sweep:
        print()
        # ten hits: the window grows with the page, and a page of 100 hides what is lost
        short = METRICS[:2]
        row("two-step search", *short, "nDCG@10 against full")
        row("---", *["---:"] * (len(short) + 1))
        full = evaluate(args.index, args.dataset, args.url[0], short, k=10)
        for rules in SWEEP:
            found = evaluate(args.index, args.dataset, args.url[0], short, k=10, two_step=rules)
            change = found["ndcg@10"] - full["ndcg@10"]
            row(rules, *found.values(), f"{change:+.4f}")


if __name__ == "__main__":
    main()
