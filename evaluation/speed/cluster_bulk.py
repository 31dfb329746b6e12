"""Documents a second into a cluster, against the server's own ceiling and the client's helper.

    python evaluation/speed/cluster_bulk.py --url http://127.0.0.1:9200 --vectors INDEX

INDEX is an embedded index whose vectors are real ones; those of neighbouring documents are joined
until they have about 150 terms, and repeated with jitter. Three writers take turns, each into an
index of its own, all with the same mapping and the same number of requests in flight:

- ceiling: bodies that were serialised before, over plain HTTP connections, answers not read;
- sparse-ir: entries through ``Engine.add``, with all its checks;
- helper: the client library's ``parallel_bulk`` with its defaults but for the batch.

Encoding is excluded from all three. Then the memory of one long sparse-ir run is watched.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import itertools
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil

from sparse_ir import __version__
from sparse_ir.engines.entries import actions, names_of
from sparse_ir.engines.fields import truncate
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.stamp import Stamp
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import vocabulary_hash

TERMS = 150
WRITERS = ("ceiling", "sparse-ir", "helper")
ORDERS = list(itertools.permutations(WRITERS))
PARAMS = "filter_path=errors,items.*.status,items.*.result,items.*.error"


def real_vectors(index, count):
    """Vectors of an index, neighbours joined by the larger weight until they have enough terms."""
    with open_engine("embedded") as engine:
        joined = {}
        texts = []
        for entry in engine.scan(index):
            texts.append(entry.document.text)
            for term, weight in entry.vector.items():
                joined[term] = max(weight, joined.get(term, 0.0))
            if len(joined) >= TERMS:
                yield " ".join(texts)[:600], dict(list(joined.items())[: TERMS + 10])
                joined, texts = {}, []
                count -= 1
                if not count:
                    return


def pool_of(index, size):
    """``size`` different entries, made of real ones by changing each weight a little."""
    rng = np.random.default_rng(0)
    real = list(real_vectors(index, size))
    made = []
    for text, vector in itertools.islice(itertools.cycle(real), size):
        factors = rng.lognormal(0, 0.1, len(vector))
        weights = np.array(list(vector.values()), np.float32) * factors.astype(np.float32)
        # cut as the index keeps them: what an indexing run hands to the engine
        made.append((text, dict(zip(vector, truncate(weights).tolist(), strict=True))))
    return made


def entries(pool, start, count):
    for i in range(start, start + count):
        text, vector = pool[i % len(pool)]
        yield Entry(Document(f"d{i:07}", text, "", {"n": i % 100}), vector)


def create(engine, name, vocabulary):
    stamp = Stamp(
        model="benchmark",
        fingerprint="0" * 64,
        query_fingerprints=("0" * 64,),
        vocabulary_hash=vocabulary_hash(vocabulary),
        vocabulary_size=len(vocabulary),
        document_pruning="",
        corpus="benchmark",
        created="2026-01-01T00:00:00+00:00",
        version=__version__,
    )
    physical = engine.create(name, stamp, vocabulary)
    engine.lifecycle.load(physical)
    return physical


def write_bodies(folder, pool, vocabulary, start, count, batch):
    """Serialise batches into files, one a batch."""
    names = names_of(vocabulary)
    lines = actions(
        entries(pool, start, count), names, keep_weights=False, refuse=lambda failure: None
    )
    paths = []
    while part := list(itertools.islice(lines, batch)):
        path = folder / f"{start:08}-{len(paths):06}"
        path.write_bytes(b"".join(action.body for action in part))
        paths.append(path)
    return paths


def ceiling(url, physical, paths, in_flight):
    """Send files over plain connections, one a thread."""
    parts = urlsplit(url)
    own = threading.local()

    def send(path):
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        own.connection.request(
            "POST",
            f"/{physical}/_bulk?{PARAMS}",
            path.read_bytes(),
            {"content-type": "application/x-ndjson"},
        )
        answer = own.connection.getresponse()
        body = answer.read()
        if answer.status != 200 or b'"errors":false' not in body:
            raise SystemExit(f"the ceiling's request failed: {answer.status} {body[:300]!r}")

    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(send, paths))


def helper(engine, url, physical, found, batch, in_flight):
    """The client library's own way."""
    if engine.server.flavour == "opensearch":
        from opensearchpy import OpenSearch
        from opensearchpy.helpers import parallel_bulk

        client = OpenSearch(url, timeout=120)
    elif engine.server.version[0] == 7:
        from elasticsearch7 import Elasticsearch
        from elasticsearch7.helpers import parallel_bulk

        client = Elasticsearch(url, timeout=120)
    else:
        from elasticsearch import Elasticsearch
        from elasticsearch.helpers import parallel_bulk

        client = Elasticsearch(url, request_timeout=120)
    lines = (
        {
            "_index": physical,
            "_id": entry.document.doc_id,
            "_source": {
                "doc_id": entry.document.doc_id,
                "title": "",
                "text": entry.document.text,
                "metadata": dict(entry.document.metadata),
                "vector": {
                    t.replace("%", "%25").replace(".", "%2E"): w for t, w in entry.vector.items()
                },
            },
        }
        for entry in found
    )
    for ok, item in parallel_bulk(
        client, lines, thread_count=in_flight, chunk_size=batch, queue_size=in_flight
    ):
        if not ok:
            raise SystemExit(f"the helper's document failed: {item}")


def rounds(engine, url, pool, vocabulary, args, folder):
    physical = {name: create(engine, f"bench-{name}", vocabulary) for name in WRITERS}
    rates = {name: [] for name in WRITERS}
    processor = {name: [] for name in WRITERS}
    me = psutil.Process()
    for number in range(args.rounds + 1):
        start = number * args.slice
        paths = write_bodies(folder, pool, vocabulary, start, args.slice, args.batch)
        # every order in turn: a server still merges for a while what the writer before has sent
        for name in ORDERS[number % len(ORDERS)]:
            used = sum(me.cpu_times()[:2])
            began = time.perf_counter()
            if name == "ceiling":
                ceiling(url, physical[name], paths, args.in_flight)
            elif name == "sparse-ir":
                failures = list(engine.add(physical[name], entries(pool, start, args.slice)))
                if failures:
                    raise SystemExit(f"refused: {failures[0]}")
            else:
                found = entries(pool, start, args.slice)
                helper(engine, url, physical[name], found, args.batch, args.in_flight)
            seconds = time.perf_counter() - began
            if number:  # the first round warms the server up
                rates[name].append(args.slice / seconds)
                processor[name].append(sum(me.cpu_times()[:2]) - used)
        for path in paths:
            path.unlink()
    for name, index in physical.items():
        engine.refresh(index)
        found = engine.stats(index).documents
        if found != (args.rounds + 1) * args.slice:
            raise SystemExit(f"{name}: {found} documents")
        engine.drop(index)
    return rates, processor


def memory(engine, pool, vocabulary, count):
    """Resident memory while one long run goes on: at 10,000 documents and at most after that."""
    physical = create(engine, "bench-memory", vocabulary)
    me = psutil.Process()
    seen = []

    def watched():
        for i, entry in enumerate(entries(pool, 0, count)):
            if i % 10_000 == 0:
                seen.append(me.memory_info().rss / 1e6)
            yield entry

    began = time.perf_counter()
    failures = list(engine.add(physical, watched()))
    seconds = time.perf_counter() - began
    engine.refresh(physical)
    if failures or engine.stats(physical).documents != count:
        raise SystemExit("documents are missing")
    engine.publish("bench-memory", physical)
    return seen, count / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--vectors", required=True, help="An embedded index with real vectors.")
    parser.add_argument("--documents", type=int, default=300_000, help="Of the memory run.")
    parser.add_argument("--pool", type=int, default=10_000, help="Different documents.")
    parser.add_argument("--slice", type=int, default=10_000, help="Documents a turn.")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--in-flight", type=int, default=4)
    args = parser.parse_args()
    pool = pool_of(args.vectors, args.pool)
    terms = statistics.fmean(len(vector) for _, vector in pool)
    vocabulary = tuple(sorted({term for _, vector in pool for term in vector}))
    gc.freeze()  # the pool is the benchmark's, not the writers'
    options = ClusterOptions(replicas=0, bulk_documents=args.batch, in_flight=args.in_flight)
    engine = open_engine(args.url, options=options)
    print(f"{engine.server.flavour} {engine.server.version_text}, {terms:.0f} terms a document, ")
    print(f"batches of {args.batch}, {args.in_flight} in flight, {args.rounds} rounds of ")
    print(f"{args.slice:,} documents a writer, medians.\n")
    with tempfile.TemporaryDirectory() as folder:
        rates, processor = rounds(engine, args.url, pool, vocabulary, args, Path(folder))
    print("| writer | documents a second | of the ceiling | client processor s / 10,000 |")
    print("|---|---:|---:|---:|")
    for name, found in rates.items():
        # interleaved: each turn against the ceiling's turn of the same round
        share = statistics.median(a / b for a, b in zip(found, rates["ceiling"], strict=True))
        used = statistics.median(processor[name]) * 10_000 / args.slice
        print(f"| {name} | {statistics.median(found):,.0f} | {share:.2f} | {used:.1f} |")
    if args.documents:
        seen, rate = memory(engine, pool, vocabulary, args.documents)
        print(
            f"\nOne run of {args.documents:,} documents, {rate:,.0f} a second: resident memory "
            f"{seen[1]:.0f} MB at 10,000, at most {max(seen[1:]):.0f} MB after that."
        )
    engine.close()


if __name__ == "__main__":
    main()
