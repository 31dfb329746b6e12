"""A corpus, its queries and its judgements under one name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.config import nearest, read_yaml
from sparse_ir.data.files import missing
from sparse_ir.data.sources import find_named
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping

_QRELS_SUFFIXES = (".tsv", ".tsv.gz", ".tsv.zst", ".txt", ".trec", ".qrels")


class Dataset(NamedTuple):
    """What an evaluation needs.

    Attributes:
        name: For tables.
        corpus: As ``read_documents`` takes it.
        queries: As ``read_queries`` takes it.
        qrels: As ``read_qrels`` takes it.
        min_grade: The lowest grade that is relevant to metrics without grades: 2 for TREC DL.
    """

    name: str
    corpus: str
    queries: str
    qrels: str
    min_grade: int = 1


def open_dataset(name_or_folder: str, *, split: str = "test") -> Dataset:
    """Find a dataset by a name of ``evaluation/benchmarks.yaml``, or a folder in BEIR layout.

    Args:
        name_or_folder: A folder is ``corpus.jsonl``, ``queries.jsonl`` (plain or compressed) and
            ``qrels/<split>.tsv``; or the raw files of MS MARCO, ``collection.tsv``,
            ``queries.<split>.tsv`` and ``qrels.<split>.tsv``. A folder that is called like a
            benchmark: ``./name``.
        split: Which judgements.

    Raises:
        ConfigError: no benchmark of that name (the nearest is proposed), or no such split.
        InputError: the folder lacks one of the files.
    """
    benchmarks = read_benchmarks()
    if name_or_folder in benchmarks:
        return _benchmark(name_or_folder, benchmarks[name_or_folder], split)
    folder = Path(name_or_folder)
    if folder.is_dir():
        collection = find_named(folder, "collection")
        if collection is not None:
            return _msmarco_folder(folder, collection, split)
        return _beir_folder(folder, split)
    raise ConfigError(
        f"{name_or_folder} is neither a benchmark nor a folder."
        f"{nearest(name_or_folder, benchmarks)}"
    )


def read_benchmarks() -> dict[str, dict[str, Any]]:
    """Read ``evaluation/benchmarks.yaml``: name -> corpus, queries, qrels, splits.

    Raises:
        ConfigError: the file is not what it should be.
    """
    path = resource("evaluation", "benchmarks.yaml")
    benchmarks = read_yaml(path)
    for name, entry in benchmarks.items():
        if not isinstance(entry, dict) or not {"corpus", "queries", "qrels"} <= entry.keys():
            raise ConfigError(f"{path}: {name} needs corpus, queries and qrels.")
    return benchmarks


def _benchmark(name: str, entry: Mapping[str, Any], split: str) -> Dataset:
    splits = entry.get("splits", ["test"])
    if split not in splits:
        raise ConfigError(f"{name} has no split {split!r}. Use {' or '.join(splits)}.")
    parts = [str(entry[part]).replace("{split}", split) for part in ("corpus", "queries", "qrels")]
    corpus, queries, qrels = (_place(part) for part in parts)
    return Dataset(name, corpus, queries, qrels, int(entry.get("min_grade", 1)))


def _place(source: str) -> str:
    """A path below ``evaluation/`` is part of the project, wherever that is installed."""
    return str(resource(*source.split("/"))) if source.startswith("evaluation/") else source


def _beir_folder(folder: Path, split: str) -> Dataset:
    corpus, queries = (_require(folder, stem) for stem in ("corpus", "queries"))
    for suffix in _QRELS_SUFFIXES:
        qrels = folder / "qrels" / f"{split}{suffix}"
        if qrels.is_file():
            return Dataset(folder.resolve().name, str(corpus), str(queries), str(qrels))
    raise missing(folder / "qrels" / f"{split}.tsv")


def _msmarco_folder(folder: Path, collection: Path, split: str) -> Dataset:
    found = {stem: find_named(folder, f"{stem}.{split}") for stem in ("queries", "qrels")}
    for stem, path in found.items():
        if path is None:
            raise missing(folder / f"{stem}.{split}.tsv")
    name = folder.resolve().name
    return Dataset(name, str(collection), str(found["queries"]), str(found["qrels"]))


def _require(folder: Path, stem: str) -> Path:
    path = find_named(folder, stem)
    if path is None:
        raise InputError(f"the folder holds no {stem}.jsonl.", path=folder)
    return path
