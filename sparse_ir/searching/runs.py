"""A run and, beside it, what it takes to make it again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.data.corpora import source_sha256
from sparse_ir.data.files import sha256_file
from sparse_ir.data.manifest import write_manifest
from sparse_ir.data.trec import write_run

if TYPE_CHECKING:
    from datetime import datetime

    from sparse_ir.searching.search import Searcher
    from sparse_ir.types import Run

KIND = "run"


def run_manifest_path(run: str | Path) -> Path:
    """Where the manifest of a run lies: beside it, with a name of its own.

    >>> run_manifest_path("runs/dev.trec.gz").as_posix()
    'runs/dev.trec.gz.manifest.json'
    """
    path = Path(run)
    return path.with_name(f"{path.name}.manifest.json")


def save_run(
    path: str | Path,
    run: Run,
    searcher: Searcher,
    *,
    queries: str | None,
    k: int,
    tag: str = "sparse-ir",
    started: datetime | None = None,
) -> dict[str, Any]:
    """Write a run in TREC form and its manifest; what is no ordinary file gets none.

    Args:
        path: As ``write_run`` takes it.
        run: What the searcher found.
        searcher: What was searched, and how.
        queries: Where the queries came from, as ``read_queries`` takes it; None if typed.
        k: Hits asked for each query.
        tag: The name of the run.
        started: When the work began, with a time zone.

    Returns:
        The manifest, or an empty one.

    Raises:
        InputError: an id holds a tab or line break.
        StorageError: a file cannot be written.
    """
    target = Path(path)
    write_run(target, run, tag=tag)
    if not target.is_file():  # a pipe
        return {}
    settings = {**asdict(searcher.settings), "k": k}
    stamp = searcher.stamp.to_json()
    return write_manifest(
        run_manifest_path(target),
        kind=KIND,
        inputs={
            "index": {"name": settings.pop("index"), "engine": searcher.engine.address, **stamp},
            "queries": {
                "source": queries,
                "sha256": None if queries is None else source_sha256(queries, "queries"),
                "count": len(run),
            },
        },
        outputs={
            target.name: {
                "sha256": sha256_file(target),
                "queries": len(run),
                "hits": sum(map(len, run.values())),
            }
        },
        settings=settings,
        started=started,
    )
