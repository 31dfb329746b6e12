"""Vectors on disk: a folder of Parquet shards, their vocabulary and a manifest.

``vectors-00000.parquet``, ``vectors-00001.parquet``, … hold the documents in the order of the
corpus, with the columns ``id`` (string), ``indices`` (list<int32>, ascending columns of the
vocabulary) and ``values`` (list<float32>, above 0). ``vocabulary.json`` is the list of terms.
``manifest.json`` says which model made them and, once complete, the checksum of every shard.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.files import missing, open_text, sha256_file, writing
from sparse_ir.data.manifest import damaged
from sparse_ir.data.shard_manifest import (
    MANIFEST_NAME,
    Shard,
    ShardManifest,
    read_shard_manifest,
    write_shard_manifest,
)
from sparse_ir.data.shard_tables import read_table, table_bytes
from sparse_ir.errors import InputError
from sparse_ir.vectors import vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sparse_ir.vectors import SparseBatch

__all__ = [
    "MANIFEST_NAME",
    "VOCABULARY_NAME",
    "Shard",
    "ShardManifest",
    "finish_shards",
    "is_shard",
    "read_shard_manifest",
    "read_shards",
    "read_vocabulary",
    "shard_name",
    "shard_paths",
    "start_shards",
    "write_shard",
]

VOCABULARY_NAME = "vocabulary.json"
_SHARD_NAME = re.compile(r"^vectors-(\d{5,})\.parquet$")


def shard_name(number: int) -> str:
    """The file name of a shard, counted from 0."""
    return f"vectors-{number:05d}.parquet"


def is_shard(name: str) -> bool:
    """Whether a file's name is that of a shard."""
    return _SHARD_NAME.match(name) is not None


def start_shards(
    folder: str | Path, manifest: ShardManifest, vocabulary: Sequence[str]
) -> ShardManifest:
    """Write vocabulary and manifest of a run that begins; ``complete`` is false until it ends.

    Args:
        folder: Made where it is missing; files in it are replaced, shards left alone.
        manifest: What is known beforehand.
        vocabulary: The terms in column order.

    Raises:
        ValueError: the vocabulary is not the manifest's.
        StorageError: the files cannot be written.
    """
    if vocabulary_hash(vocabulary) != manifest.vocabulary_hash:
        raise ValueError("the vocabulary is not the one that the manifest names")
    if len(vocabulary) != manifest.vocabulary_size:
        raise ValueError(f"{len(vocabulary)} terms where {manifest.vocabulary_size} are named")
    with writing(Path(folder, VOCABULARY_NAME)) as stream:  # one term a line, whatever it holds
        stream.write("[\n" + ",\n".join(map(json.dumps, vocabulary)) + "\n]\n")
    begun = replace(manifest, complete=False, documents=0, texts_cut=0, shards={}, made={})
    return write_shard_manifest(folder, begun)


def write_shard(folder: str | Path, number: int, batch: SparseBatch) -> Path:
    """Write one shard; it takes its name only when it is whole.

    Args:
        folder: Where the shards lie.
        number: Counted from 0 without gaps, in the order of the corpus.
        batch: n vectors over the vocabulary of ``start_shards``.

    Raises:
        InputError: an id is no valid Unicode text.
        StorageError: the file cannot be written.
    """
    path = Path(folder, shard_name(number))
    content = table_bytes(batch)
    with writing(path, "wb") as stream:
        stream.write(content)
    return path


def finish_shards(
    folder: str | Path, *, documents: int | None = None, texts_cut: int = 0
) -> ShardManifest:
    """Read every shard back, and say in the manifest that they are all there is.

    Args:
        folder: Begun with ``start_shards``.
        documents: How many there must be, where that is known.
        texts_cut: How many documents were longer than the encoder reads.

    Raises:
        InputError: a shard is missing or damaged.
        StorageError: the manifest cannot be written.
    """
    started = read_shard_manifest(folder)
    shards = {}
    for path in shard_paths(folder):
        digest = sha256_file(path)
        batch = read_table(path, width=started.vocabulary_size, sha256=digest)
        shards[path.name] = Shard(len(batch), int(batch.weights.nnz), digest)
    found = sum(shard.documents for shard in shards.values())
    if documents is not None and found != documents:
        raise InputError(
            f"the shards hold {found:,} documents, and {documents:,} were written. Start the run "
            "again with --replace.",
            path=Path(folder),
        )
    finished = replace(
        started,
        complete=True,
        documents=found,
        texts_cut=texts_cut,
        shards=shards,
    )
    return write_shard_manifest(folder, finished)


def read_vocabulary(folder: str | Path) -> tuple[str, ...]:
    """Read the terms in column order.

    Raises:
        InputError: they are missing, damaged, or not those that the manifest tells of.
    """
    manifest, path = read_shard_manifest(folder), Path(folder, VOCABULARY_NAME)
    with open_text(path) as stream:
        try:
            terms = json.loads(stream.read())
        except UnicodeDecodeError:
            raise
        except (ValueError, RecursionError):
            terms = None
    if (
        not isinstance(terms, list)
        or not all(isinstance(term, str) for term in terms)
        or len(terms) != manifest.vocabulary_size
        or vocabulary_hash(terms) != manifest.vocabulary_hash
    ):
        raise damaged(path, f"its terms are not those that {MANIFEST_NAME} tells of")
    return tuple(terms)


def shard_paths(folder: str | Path) -> list[Path]:
    """The shards of a folder in order.

    Raises:
        InputError: the folder or a number is missing.
    """
    try:
        names = [entry.name for entry in Path(folder).iterdir()]
    except OSError:
        raise missing(folder) from None
    numbers = sorted(int(m[1]) for m in map(_SHARD_NAME.match, names) if m is not None)
    for expected, number in enumerate(numbers):
        if number != expected:
            raise InputError(
                f"{shard_name(expected)} is missing, there is {shard_name(number)}. Encode again.",
                path=folder,
            )
    return [Path(folder, shard_name(number)) for number in numbers]


def read_shards(folder: str | Path) -> Iterator[SparseBatch]:
    """Read every shard in order, one at a time.

    Raises:
        InputError: a shard is missing, damaged, or not the one that the manifest tells of.
    """
    manifest, paths = read_shard_manifest(folder), shard_paths(folder)
    if manifest.complete and [path.name for path in paths] != list(manifest.shards):
        differing = sorted({path.name for path in paths} ^ set(manifest.shards))
        raise InputError(
            f"{differing[0]} is there or in {MANIFEST_NAME}, not both. Encode again.", path=folder
        )
    for path in paths:
        known = manifest.shards.get(path.name)
        yield read_table(
            path, width=manifest.vocabulary_size, sha256=known.sha256 if known else None
        )
