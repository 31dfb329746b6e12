"""Regressions planted in a real index: ``--fail-under`` is to catch them, ``verify`` to name them.

    python evaluation/planted.py DATASET --url http://127.0.0.1:9200 [--model FOLDER]
        [--precision bf16] [--split test]

The collection is indexed into OpenSearch, evaluated, and evaluated again with what may go wrong
unseen: queries by ``rank_feature``'s saturation where the dot product is meant, and an index whose
weights stand under the names of other terms, as if the model's vocabulary had been shuffled. Each
time the gate of a nightly build is asked, nDCG@10 not .002 below the first figure, and then
``verify``. Ends with 1 where one of the two does not notice.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import sys
from unittest import mock

from sparse_ir.cli import execute
from sparse_ir.engines import fields
from sparse_ir.engines.opening import open_engine

INDEX = "planted-regressions"
ALLOWED = 0.002


def sparse_ir(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = execute([str(argument) for argument in arguments])
    return code, out.getvalue()


def evaluated(args, *more):
    place = ["--index", INDEX, "--url", args.url, "--json"]
    split = ["--split", args.split, "--metrics", "ndcg@10"]
    code, out = sparse_ir("evaluate", *place, "--dataset", args.dataset, *split, *more)
    return code, json.loads(out)["ndcg@10"]


def verified(args):
    code, out = sparse_ir("verify", "--index", INDEX, "--url", args.url, "--json")
    return code, ", ".join(sorted({finding["cause"] for finding in json.loads(out)["findings"]}))


def saturated(field, terms, *, prune=False):
    del field, prune
    should = [
        {"rank_feature": {"field": f"vector.{fields.escape_term(t)}", "boost": w}}
        for t, w in terms.items()
    ]
    return {"bool": {"should": should}}


def shuffle(url, index):
    with open_engine(url) as engine:
        entries = list(engine.scan(index))
        names = sorted({term for entry in entries for term in entry.vector})
        others = dict(zip(names, random.Random(1).sample(names, len(names)), strict=True))
        moved = [e._replace(vector={others[t]: w for t, w in e.vector.items()}) for e in entries]
        if failures := list(engine.add(index, moved)):
            raise SystemExit(failures[0])
        engine.refresh(index)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="a BEIR folder or a name of benchmarks.yaml")
    parser.add_argument("--url", required=True, help="an OpenSearch server")
    parser.add_argument("--model")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--split", default="test")
    args = parser.parse_args()
    chosen = ["--model", args.model] if args.model else []
    code, _ = sparse_ir(
        "index", "--corpus", args.dataset, "--index", INDEX, "--url", args.url, "--replicas", 0,
        "--replace", "--keep-vectors", "--precision", args.precision, *chosen,
    )  # fmt: skip
    if code:
        raise SystemExit(f"index ended with {code}")
    _, right = evaluated(args)
    bound = ("--fail-under", f"ndcg@10={right - ALLOWED:.4f}")
    rows = [("nothing", *evaluated(args, *bound), *verified(args))]
    with mock.patch("sparse_ir.engines.requests.term_query", saturated):
        rows.append(("saturation for the dot product", *evaluated(args, *bound), *verified(args)))
    shuffle(args.url, INDEX)
    rows.append(("a shuffled vocabulary", *evaluated(args, *bound), *verified(args)))
    with open_engine(args.url) as engine:
        for build in engine.builds(INDEX):
            engine.drop(build)
    print("| planted | nDCG@10 | exit of the gate | exit of verify | cause it names |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name, gate, value, code, causes in rows:
        print(f"| {name} | {value:.4f} | {gate} | {code} | {causes or '-'} |")
    noticed = [bool(gate) and bool(causes) for _, gate, _, _, causes in rows]
    sys.exit(0 if noticed == [False, True, True] else 1)


if __name__ == "__main__":
    main()
