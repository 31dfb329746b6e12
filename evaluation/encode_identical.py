"""Whether every way to encode a corpus gives the same vectors, with a real model.

    python evaluation/encode_identical.py CORPUS [--documents 1000] [--kills 5] [--model FOLDER]
        [--precision bf16] [--devices cpu,cpu]

One process makes the vectors that the others are held to, bit for bit: two devices, two processes
under torchrun, and a run that is killed (SIGKILL, with all its workers) at random moments and gone
on with after each. Ends with 1 where a way differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sparse_ir.data.shards import read_shards, shard_paths


def command(args, out, *, torchrun=False, devices="cpu", resume=False):
    way = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"] if torchrun else []
    more = ["--model", args.model] if args.model else []
    return [
        sys.executable, "-m", *way, "sparse_ir", "encode", "--corpus", args.corpus,
        "--out", str(out), "--limit", str(args.documents), "--precision", args.precision,
        "--devices", devices, "--shard-documents", str(max(1, args.documents // 12)), *more,
        *(["--resume"] if resume else []),
    ]  # fmt: skip


def start(arguments):
    return subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(arguments):
    began = time.monotonic()
    running = start(arguments)
    _, errors = running.communicate()
    if running.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed:\n{errors}")
    return time.monotonic() - began


def finished(out):
    return len(list(Path(out).glob("vectors-*.parquet")))


def killed(args, out, seconds):
    """Kill a run ``args.kills`` times; return how many shards there were at each moment.

    Each time after none to two more shards, and then within what a shard takes.
    """
    counts = [0]
    for number in range(args.kills):
        running = start(command(args, out, devices=args.devices, resume=number > 0))
        wanted = counts[-1] + random.choice((0, 1, 2))
        while finished(out) < wanted and running.poll() is None:
            time.sleep(0.05)
        time.sleep(random.uniform(0.0, seconds / 12))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        counts.append(finished(out))
    finish(command(args, out, devices=args.devices, resume=True))
    return counts[1:]


def rows(out):
    """Each document's id with its columns and the bits of its weights."""
    return {
        doc_id: (part.row(i)[0].tobytes(), np.asarray(part.row(i)[1], np.float32).tobytes())
        for part in read_shards(out)
        for i, doc_id in enumerate(part.ids)
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--model")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--devices", default="cpu,cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder, "one")
        seconds = finish(command(args, one))
        wanted = rows(one)
        print(f"one process: {len(wanted):,} vectors in {seconds:.0f} s")
        ways = {
            f"--devices {args.devices}": {"devices": args.devices},
            "two processes under torchrun": {"torchrun": True},
        }
        found = {}
        for name, options in ways.items():
            out = Path(folder, name.replace(" ", "-"))
            finish(command(args, out, **options))
            found[name] = rows(out)
        out = Path(folder, "killed")
        counts = killed(args, out, seconds)
        found[f"killed {args.kills} times, with {counts} of {len(shard_paths(one))} shards"] = rows(
            out
        )
        for name, own in found.items():
            print(f"{name}: {'identical' if own == wanted else 'DIFFERENT'}", flush=True)
        sys.exit(any(own != wanted for own in found.values()))


if __name__ == "__main__":
    main()
