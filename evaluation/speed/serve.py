"""Load on a server: many clients at once, with and without batching.

    python evaluation/speed/serve.py QUERIES --index demo [--engine ADDRESS] [--clients 16]
        [--seconds 60] [--slices 3] [--query-encoder model] [--explain]

QUERIES is any file of queries that sparse-ir reads. Two servers run on loopback, one that does
waiting queries together and one that does each alone (--max-batch 1). Each client asks, waits for
the answer and asks again; the servers take turns, --slices times each, so that both see the same
machine, and only one is asked at a time. --seconds is for each server, over all its slices.

Printed: answers a second, latencies as clients saw them, errors (anything but 200), the mean number
of queries weighed together, and the server's resident memory after its first slice and at the end.
The embedded engine opens an index for one process: the second server gets a copy of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

WARM_UP = 32


class Server:
    """``sparse-ir serve`` in a process of its own."""

    def __init__(self, arguments, engine, most):
        command = [sys.executable, "-m", "sparse_ir", "serve", "--port", "0"]
        command += ["--index", arguments.index, "--engine", engine]
        command += ["--query-encoder", arguments.query_encoder, "--max-batch", str(most)]
        command += ["--max-concurrent", str(4 * arguments.clients)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if line.startswith("Serving "):
                self.port = int(re.search(r":(\d+) ", line)[1])
                break
        else:
            raise SystemExit(f"the server did not start: {self.process.wait()}")

    def figures(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return {
            name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE)
        }

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60):
            raise SystemExit(f"the server ended with {self.process.returncode}")
        self.process.stderr.close()


def ask(port, targets, until, taken, errors):
    """One client: ask, wait, ask again."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for target in targets:
        if time.perf_counter() > until:
            break
        began = time.perf_counter()
        try:
            connection.request("GET", target)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                errors.append((answer.status, body[:200].decode("utf-8", "replace")))
        except (OSError, http.client.HTTPException) as error:
            errors.append((type(error).__name__, str(error)))
            connection.close()
        taken.append(time.perf_counter() - began)
    connection.close()


def load(server, targets, *, clients, seconds):
    """All clients for some seconds; returns latencies, errors and how long it took."""
    taken, errors = [], []
    began = time.perf_counter()
    threads = [
        threading.Thread(
            target=ask,
            args=(
                server.port,
                islice(cycle(targets), start * len(targets) // clients, None),
                began + seconds,
                taken,
                errors,
            ),
        )
        for start in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken, errors, time.perf_counter() - began


def together(before, after):
    """Mean number of queries of a batch between two readings."""
    name = 'sparse_ir_batch_queries_{}{{stage="search"}}'
    queries, batches = (
        after[name.format(part)] - before.get(name.format(part), 0.0) for part in ("sum", "count")
    )
    return queries / batches if batches else 0.0


def measure(arguments, targets, folder):
    """Let both servers take turns; returns, for each, what was seen."""
    seen = {most: {"taken": [], "errors": [], "seconds": 0.0, "together": [], "memory": []}
            for most in (arguments.max_batch, 1)}  # fmt: skip
    engines = (arguments.engine, another(arguments, folder))
    servers = {}
    try:
        for most, engine in zip(seen, engines, strict=True):
            servers[most] = Server(arguments, engine, most)
        for _ in range(arguments.slices):
            for most, figures in seen.items():
                one_slice(servers[most], arguments, targets, figures)
    finally:
        for server in servers.values():
            server.stop()
    return seen


def another(arguments, folder):
    """The engine of the second server; for the embedded one, a folder with a copy of the index."""
    from sparse_ir.resources import home

    kind, _, path = arguments.engine.partition(":")
    if kind != "embedded":
        return arguments.engine
    root = Path(path).expanduser() if path else home() / "indexes"
    shutil.copytree(root / arguments.index, Path(folder) / arguments.index)
    return f"embedded:{folder}"


def one_slice(server, arguments, targets, figures):
    seconds = arguments.seconds / arguments.slices
    load(server, targets[:WARM_UP], clients=arguments.clients, seconds=min(1.0, seconds / 4))
    before = server.figures()
    taken, errors, passed = load(server, targets, clients=arguments.clients, seconds=seconds)
    after = server.figures()
    figures["taken"] += taken
    figures["errors"] += errors
    figures["seconds"] += passed
    figures["together"].append(together(before, after))
    figures["memory"].append([f["process_resident_memory_bytes"] / 2**20 for f in (before, after)])


def main():
    from sparse_ir.data.corpora import read_queries

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("queries")
    parser.add_argument("--index", default="demo")
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--count", type=int, default=1000, help="queries read")
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument("--query-encoder", default="model")
    parser.add_argument("--explain", action="store_true")
    arguments = parser.parse_args()
    texts = [query.text for query in islice(read_queries(arguments.queries), arguments.count)]
    more = {"explain": 1} if arguments.explain else {}
    targets = ["/search?" + urlencode({"q": text, "k": 10, **more}) for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        seen = measure(arguments, targets, folder)
    print(f"{len(texts)} queries, {arguments.clients} clients, {os.cpu_count()} CPUs")
    print()
    print("| batching | answers/s | p50 ms | p95 ms | p99 ms | errors | together | memory MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for most, figures in seen.items():
        p50, p95, p99 = 1000 * np.percentile(figures["taken"], [50, 95, 99])
        first, last = figures["memory"][0][0], figures["memory"][-1][1]
        print(
            f"| {'on' if most > 1 else 'off'} | {len(figures['taken']) / figures['seconds']:.0f} "
            f"| {p50:.1f} | {p95:.1f} | {p99:.1f} | {len(figures['errors'])} "
            f"| {np.mean(figures['together']):.1f} | {first:.0f} to {last:.0f} |"
        )
    for figures in seen.values():
        for error in figures["errors"][:3]:
            print(json.dumps(error))


if __name__ == "__main__":
    main()
