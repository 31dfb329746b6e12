"""Whether memory stays flat: the largest resident memory of ``sparse-ir encode``, by corpus size.

    python evaluation/speed/encode_memory.py CORPUS [--documents 3000 30000] [--devices cpu]
        [--model FOLDER] [--precision bf16]

Every process of the command is watched, fifty times a second, from the first shard on: the one
that was called, each worker (``--devices cpu,cpu`` has two), and the sum of all at the same moment.
The vectors are written and thrown away.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil


def resident(process):
    try:
        return process.memory_info().rss / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def watch(command, out):
    """Run a command; return its seconds and the peaks of parent, each child and all, in MiB."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        parent = psutil.Process(running.pid)
        own = together = 0.0
        each = {}
        while running.poll() is None:
            now = resident(parent)
            others = {child.pid: resident(child) for child in parent.children(recursive=True)}
            if any(out.rglob("*.parquet")):
                own, together = max(own, now), max(together, now + sum(others.values()))
                each.update({pid: max(each.get(pid, 0.0), of) for pid, of in others.items()})
            time.sleep(0.02)
        if running.returncode:
            raise SystemExit(running.stderr.read().decode())
    return time.perf_counter() - began, own, list(each.values()), together


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--documents", type=int, nargs="+", default=[3000, 30_000])
    parser.add_argument("--devices", default="cpu")
    parser.add_argument("--model")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--shard-documents", type=int, default=1000)
    args = parser.parse_args()
    print("| documents | seconds | parent MiB | each worker MiB | together MiB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for count in args.documents:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "vectors")
            command = [sys.executable, "-m", "sparse_ir", "encode", "--corpus", args.corpus]
            command += ["--out", str(out), "--limit", str(count), "--devices", args.devices]
            command += ["--precision", args.precision]
            command += ["--shard-documents", str(args.shard_documents)]
            command += ["--model", args.model] if args.model else []
            seconds, own, each, together = watch(command, out)
        workers = ", ".join(f"{peak:,.0f}" for peak in each) or "-"
        figures = f"{own:,.0f} | {workers} | {together:,.0f}"
        print(f"| {count:,} | {seconds:.0f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
