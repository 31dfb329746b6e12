"""Whether memory stays flat: the largest resident memory of ``sparse-ir encode``, by corpus size.

    python evaluation/speed/encode_memory.py CORPUS [--documents 3000 30000] [--devices cpu]
        [--model FOLDER] [--precision bf16]

Every process of the command is watched, fifty times a second, from the first shard on: the one that
was called, the workers, and all together. The vectors are written and thrown away.
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
    """Run a command; return its seconds and the peaks of parent, largest child and all, in MiB."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        parent = psutil.Process(running.pid)
        peaks = [0.0, 0.0, 0.0]
        while running.poll() is None:
            own = resident(parent)
            others = [resident(child) for child in parent.children(recursive=True)]
            now = (own, max(others, default=0.0), own + sum(others))
            if any(out.rglob("*.parquet")):
                peaks = [max(pair) for pair in zip(peaks, now, strict=True)]
            time.sleep(0.02)
        if running.returncode:
            raise SystemExit(running.stderr.read().decode())
    return time.perf_counter() - began, peaks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--documents", type=int, nargs="+", default=[3000, 30_000])
    parser.add_argument("--devices", default="cpu")
    parser.add_argument("--model")
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    print("| documents | seconds | parent MiB | largest worker MiB | together MiB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for count in args.documents:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "vectors")
            command = [sys.executable, "-m", "sparse_ir", "encode", "--corpus", args.corpus]
            command += ["--out", str(out), "--limit", str(count), "--devices", args.devices]
            command += ["--precision", args.precision, "--shard-documents", "1000"]
            command += ["--model", args.model] if args.model else []
            seconds, peaks = watch(command, out)
        figures = " | ".join(f"{peak:,.0f}" for peak in peaks)
        print(f"| {count:,} | {seconds:.0f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
