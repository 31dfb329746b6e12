"""Bytes of an index for each stored weight, for every engine and field type.

    python evaluation/index_sizes.py --index INDEX [--url URL ...] [--limit 10000]

INDEX is an embedded index. Its first entries go into a fresh index of every engine three times:
with the heaviest term alone, with all terms, and with their texts too; merged to one segment where
the engine can. What a weight, a document and a byte of text take are the differences.
``engines/sizes.py`` keeps the figures for ``sparse-ir plan``.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import islice

from sparse_ir.engines.fields import CHOICES
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.errors import SparseIRError
from sparse_ir.types import Document


def entries(source, index, limit, *, terms, texts):
    for entry in islice(source.scan(index), limit):
        document = entry.document if texts else Document(entry.document.doc_id, "")
        vector = entry.vector
        if not terms:
            heaviest = max(vector, key=vector.get)
            vector = {heaviest: vector[heaviest]}
        yield entry._replace(document=document, vector=vector)


def size(source, index, limit, address, field, *, terms=True, texts=False):
    options = ClusterOptions(field=field, replicas=0, shards=1, force_merge=True)
    with open_engine(address, options=options) as engine:
        if engine.exists(index):
            engine.drop(index)
        stamp = replace(source.describe(index), corpus="")
        physical = engine.create(index, stamp, source.vocabulary(index))
        failures = list(
            engine.add(physical, entries(source, index, limit, terms=terms, texts=texts))
        )
        if failures:
            raise SystemExit(f"{address}: {failures[0]}")
        engine.publish(index, physical)
        found = engine.stats(index).bytes
        server = engine.details(index).get("server", address.partition(":")[0])
        engine.drop(index)
        return server, found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--url", action="append", default=[])
    parser.add_argument("--limit", type=int, default=10_000)
    args = parser.parse_args()
    with open_engine("embedded") as source, tempfile.TemporaryDirectory() as folder:
        documents = weights = raw = 0
        for entry in islice(source.scan(args.index), args.limit):
            documents += 1
            weights += len(entry.vector)
            raw += len(entry.document.content.encode())
        print(
            f"{documents:,} documents, {weights / documents:.0f} terms and {raw / documents:.0f} "
            "bytes of text each.\n"
        )
        print("| engine | field | bytes a weight | bytes a document | bytes of text, of each |")
        print("| --- | --- | ---: | ---: | ---: |")
        places = [(f"embedded:{folder}", "")]
        places += [
            (url, field) for url in args.url for field in dict.fromkeys(c.field for c in CHOICES)
        ]
        for address, field in places:
            try:
                _, least = size(source, args.index, args.limit, address, field, terms=False)
                server, bare = size(source, args.index, args.limit, address, field)
                _, whole = size(source, args.index, args.limit, address, field, texts=True)
            except SparseIRError as error:  # a field type that this server does not have
                print(f"| {address} | {field} | {error} | | |", flush=True)
                continue
            a_weight = (bare - least) / (weights - documents)
            a_document = least / documents - a_weight
            of_text = (whole - bare) / raw
            row = f"{a_weight:.2f} | {a_document:.0f} | {of_text:.2f}"
            print(f"| {server} | {field or '-'} | {row} |", flush=True)


if __name__ == "__main__":
    main()
