"""Look for inputs that no reader expects: ``python tests/fuzz --seconds 60 --corpus FOLDER``.

Needs ``pip install atheris`` (wheels for Linux, CPython 3.11 to 3.13). Each target runs in a
process of its own; what broke it is kept as ``crash-…`` in its folder, and ``--replay`` gives it
back. Inputs that reach new code are kept in the corpus folder, where the next run starts from them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

SEEDS = {
    "documents": b'{"_id": "1", "title": "a", "text": "b", "y": 2001}\n{"id": 2, "text": "x"}\n',
    "documents-tsv": b"1\tone text\n2\tanother\n",
    "documents-csv": b'id,title,text\n1,a,"b, c"\n',
    "queries": b'{"_id": "q1", "text": "words"}\n',
    "qrels": b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq1 0 d2 0\n",
    "run": b"q1 Q0 d1 1 2.5 tag\nq1 Q0 d2 2 1.5 tag\n",
    "impacts": b'{"id": "1", "contents": "a", "vector": {"a": 12, "##b": 3}}\n',
    "examples": b'{"query": "a", "pos": ["b"], "neg": ["c"], "pos_scores": [1]}\n',
    "triplets": b"a query\ta positive\ta negative\n",
    "ledger": b'{"format": 1, "settings": {}, "checksum": "x"}\n',
    "seal": b'{"a": 1, "checksum": "x"}',
    "manifest": b'{"format": 1, "kind": "run", "checksum": "x"}',
    "shard-manifest": b'{"format": 1, "kind": "vectors", "shards": [], "checksum": "x"}',
    "yaml": b"index: {engine: embedded}\nsearch:\n  k: 10\n",
    "recipe": b"name: x\nstages:\n  - index: {corpus: a, index: b}\n",
    "mask": b"the\n##s\n# no\n",
    "set": b"a.b=1\nc.0.d=[1, 2]\n",
    "pruning": b"top_k=100,mass=0.9,ratio=0.1",
    "fusion": b"rrf:sparse=0.5,dense=1,k=60,depth=500",
    "filter": b"a=1\nb=x,y\nc=1..2\n",
    "control": b"the\0a\nsun=2\nmoon=1.5\nstar",
    "teacher": b"dense:models/a=0.5",
    "address": b"opensearch:https://user@a:9200,b:9201/path",
    "index-name": b"my-index@0123",
    "document": b'{"id": "1", "text": "b", "title": "a", "m": {"x": [1, null]}, "1.5": 2}',
}  # fmt: skip


def main() -> int:
    """Fuzz one target, or each in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", help="all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--corpus", type=Path, help="a temporary folder by default")
    parser.add_argument("--replay", type=Path, help="give a target this input and nothing else")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    corpus = args.corpus or Path(tempfile.mkdtemp(prefix="fuzz-corpus-"))
    if args.inside:
        _fuzz(args.targets[0], args.seconds, corpus)
    from fuzz.targets import TARGETS, one

    if args.replay:
        one(args.targets[0], args.replay.read_bytes())
        return 0
    broken = []
    for name in args.targets or TARGETS:
        command = [sys.executable, __file__, name, "--inside", "--corpus", str(corpus / name)]
        ended = subprocess.run(
            [*command, "--seconds", str(args.seconds)], capture_output=True, text=True, check=False
        )
        said = [line for line in ended.stderr.splitlines() if line.startswith(("Done", "stat::"))]
        print(f"{name}: {'broken' if ended.returncode else 'well'}; {' '.join(said)}", flush=True)
        if ended.returncode:
            broken.append(name)
            print("\n".join(ended.stdout.splitlines()[-25:] + ended.stderr.splitlines()[-8:]))
    print(f"{len(broken)} broken; {corpus}")
    return 1 if broken else 0


def _fuzz(name: str, seconds: int, corpus: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["sparse_ir"]):
        from fuzz.targets import one

    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "seed").write_bytes(SEEDS.get(name, b""))
    options = [f"-max_total_time={seconds}", "-max_len=2048", "-timeout=20", "-rss_limit_mb=4096",
               f"-artifact_prefix={corpus}/", "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: one(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
