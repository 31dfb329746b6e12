"""What corpora of millions to billions of passages need, worked out from what was measured.

    python evaluation/scaling.py
    python evaluation/scaling.py --documents 8841823 --devices 8 --rate 5000 --terms 120

Hours of encoding, bytes of the index in each engine, shards, machines, and how long a query takes.
The figures that it starts from are printed with it; replace them by those of ``sparse-ir plan`` on
a sample of your own.
"""

from __future__ import annotations

import argparse
from math import ceil
from typing import NamedTuple

from sparse_ir.engines.sizes import SIZES, IndexSize

SIZES_OF_CORPORA = (8_841_823, 100_000_000, 1_000_000_000)
GB = 1e9


class Assumed(NamedTuple):
    """What is put in.

    Attributes:
        rate: Documents that one device encodes in a second.
        devices: How many there are.
        terms: Of a document, on average.
        text_bytes: Of a document, UTF-8.
        bulk: Documents that one node takes in a second.
        shard_gb: As large as a shard is to become; Elastic and OpenSearch advise 10 to 50.
        node_gb: Of index that one node is to serve from its page cache.
        replicas: Copies of each shard.
        fixed_ms: Of a query, however small the shard.
        ms_per_million: Of a query, for each million documents of the shard, on one core.
        speed_up: Of pruning and two-step search together, as ``tune`` found it.
        cores: Of a node.
    """

    rate: float
    devices: int
    terms: float
    text_bytes: float
    bulk: float
    shard_gb: float
    node_gb: float
    replicas: int
    fixed_ms: float
    ms_per_million: float
    speed_up: float
    cores: int


class Worked(NamedTuple):
    """What comes out, for one corpus and one engine."""

    encode_hours: float
    index_gb: float
    shards: int
    nodes: int
    load_hours: float
    query_ms: float
    queries_per_second: float


def work_out(documents: int, engine: IndexSize, assumed: Assumed) -> Worked:
    """Work out one row.

    A query asks every shard, each on a core, and waits for all; where there are more shards than
    cores they take turns. All cores together answer cores / (shards · seconds of a shard) queries a
    second.
    """
    a = assumed
    each = a.terms * engine.weight + engine.document + a.text_bytes * engine.text
    index_gb = documents * each / GB
    shards = max(1, ceil(index_gb / a.shard_gb))
    nodes = max(1, ceil(index_gb * (1 + a.replicas) / a.node_gb))
    shard_ms = a.fixed_ms + a.ms_per_million * documents / shards / 1e6 / a.speed_up
    return Worked(
        encode_hours=documents / (a.rate * a.devices) / 3600,
        index_gb=index_gb,
        shards=shards,
        nodes=nodes,
        load_hours=documents * (1 + a.replicas) / (a.bulk * nodes) / 3600,
        query_ms=shard_ms * ceil(shards / (nodes * a.cores)),
        queries_per_second=nodes * a.cores / shards * 1000 / shard_ms,
    )


def main() -> None:
    """Print a table for each engine."""
    args = _arguments()
    assumed = Assumed(
        args.rate, args.devices, args.terms, args.text_bytes, args.bulk, args.shard_gb,
        args.node_gb, args.replicas, args.fixed_ms, args.ms_per_million, args.speed_up, args.cores,
    )  # fmt: skip
    print(", ".join(f"{name} {value:g}" for name, value in assumed._asdict().items()), end="\n\n")
    print(
        "| engine | documents | encode, h | index, GB | shards | nodes | load, h | query, ms | "
        "queries a second |"
    )
    print("|---|" + "---:|" * 8)
    for engine in SIZES:
        if engine.field and args.engine in engine.engine:  # the embedded engine is one machine's
            for documents in args.documents:
                row = work_out(documents, engine, assumed)
                print(
                    f"| {engine.engine} {engine.field} | {documents:,} | {row.encode_hours:,.1f} | "
                    f"{row.index_gb:,.0f} | {row.shards} | {row.nodes} | {row.load_hours:,.1f} | "
                    f"{row.query_ms:,.0f} | {row.queries_per_second:,.0f} |"
                )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--documents", type=int, nargs="+", default=SIZES_OF_CORPORA)
    parser.add_argument("--engine", default="", help="part of an engine's name")
    parser.add_argument("--rate", type=float, default=69.8, help="documents a second and device")
    parser.add_argument("--devices", type=int, default=8)
    parser.add_argument("--terms", type=float, default=75)
    parser.add_argument("--text-bytes", type=float, default=359)
    parser.add_argument("--bulk", type=float, default=2500, help="documents a second and node")
    parser.add_argument("--shard-gb", type=float, default=40)
    parser.add_argument("--node-gb", type=float, default=200)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--fixed-ms", type=float, default=1.1)
    parser.add_argument("--ms-per-million", type=float, default=7.3)
    parser.add_argument("--speed-up", type=float, default=1.0)
    parser.add_argument("--cores", type=int, default=16)
    return parser.parse_args()


if __name__ == "__main__":
    main()
