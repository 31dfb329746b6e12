"""Write what this version writes, to be read by later ones: ``python tests/compat/make.py FOLDER``.

At a release with a new format, run it into ``tests/compat/format-N`` and commit that. Folders that
are there are never written again: they are what users have.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

FRUIT = (
    {"_id": "d1", "title": "Apple", "text": "An apple is a sweet red fruit.", "year": 2001},
    {"_id": "d2", "title": "Pear", "text": "A pear is a sweet green fruit.", "year": 2002},
    {"_id": "d 3", "title": "Plum", "text": "A plum is a blue stone fruit.", "year": 2003},
    {"_id": "dé4", "title": "Car", "text": "Cars and trucks drive on roads.", "year": 2004},
)
QUERIES = ("sweet fruit", "blue plum", "roads")


def main() -> None:
    """Make the folder."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    os.environ["SPARSE_IR_HOME"] = str(folder / "home")
    os.chdir(folder)
    from sparse_ir.cli import execute
    from sparse_ir.data.ledger import Chunk, Ledger
    from sparse_ir.searching.search import SearchSettings, search

    rows = "".join(json.dumps(row) + "\n" for row in FRUIT)
    Path("corpus.jsonl").write_text(rows, encoding="utf-8")
    queries = "".join(json.dumps({"_id": f"q{i}", "text": q}) + "\n" for i, q in enumerate(QUERIES))
    Path("queries.jsonl").write_text(queries, encoding="utf-8")
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td1\t1\nq1\td 3\t1\nq2\tdé4\t1\n")
    for command in (
        "index --corpus corpus.jsonl --index fruit --model bm25 --engine memory:indexes",
        "encode --corpus corpus.jsonl --model bm25 --out vectors --shard-documents 2",
        "evaluate --index fruit --engine memory:indexes --queries queries.jsonl --qrels qrels.tsv "
        "--save-run run.trec",
    ):
        if execute(command.split()):
            raise SystemExit(f"failed: sparse-ir {command}")
    settings = SearchSettings(index="fruit", engine="memory:indexes")
    hits = {q: [(h.doc_id, h.score) for h in search(q, settings)[0].hits] for q in QUERIES}
    Path("expected.json").write_text(json.dumps(hits, indent=1) + "\n", encoding="utf-8")
    ledger = Ledger.create(Path("ledger.jsonl"), {"corpus": "corpus.jsonl", "limit": None})
    ledger.acknowledge(Chunk(0, 2, 1, 0, "0" * 64))
    for path in folder.rglob("*.lock"):
        path.unlink()
    shutil.rmtree(folder / "home" / "cache", ignore_errors=True)


if __name__ == "__main__":
    main()
