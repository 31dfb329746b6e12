"""What a folder of vectors says about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.data.manifest import damaged, read_manifest, write_manifest
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST_NAME = "manifest.json"
_KIND = "vectors"
# Under the names that all manifests share.
_ELSEWHERE = ("corpus", "corpus_sha256", "options", "shards", "made")


@dataclass(frozen=True)
class Shard:
    """One file of vectors.

    Attributes:
        documents: Rows.
        terms: Stored weights.
        sha256: Of the file.
    """

    documents: int
    terms: int
    sha256: str


@dataclass(frozen=True)
class ShardManifest:
    """What a folder of vectors says about itself.

    Attributes:
        model: What ``load_encoder`` takes to load the model again.
        fingerprint: Of the document encoder.
        query_fingerprints: Of the query encoders that fit these documents.
        vocabulary_hash: SHA-256 of the terms in column order.
        vocabulary_size: How many terms.
        document_pruning: As ``str(Pruning)`` writes it; empty for none.
        corpus: Where the documents came from, for people to read.
        corpus_sha256: As ``source_sha256`` gives it; empty where that is not known.
        options: What else decided about the vectors, as JSON values.
        complete: Whether every document of the corpus is in.
        documents: How many, once complete.
        texts_cut: How many were longer than the encoder reads, once complete.
        shards: Name -> what it holds, in order, once complete.
        made: Command, versions, hardware, time; see ``manifest.provenance``.
    """

    model: str
    fingerprint: str
    query_fingerprints: tuple[str, ...]
    vocabulary_hash: str
    vocabulary_size: int
    document_pruning: str = ""
    corpus: str = ""
    corpus_sha256: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
    documents: int = 0
    texts_cut: int = 0
    shards: Mapping[str, Shard] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**asdict(self), "query_fingerprints": list(self.query_fingerprints)}


def read_shard_manifest(folder: str | Path) -> ShardManifest:
    """Read what a folder of vectors says about itself.

    Raises:
        InputError: there is no manifest, it is damaged, or of a later sparse-ir.
    """
    path = Path(folder, MANIFEST_NAME)
    if not path.is_file():
        raise InputError(f"holds no vectors: there is no {MANIFEST_NAME}.", path=folder)
    stored = read_manifest(path, kind=_KIND)
    try:
        return _from_json(stored)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise damaged(path, "an entry is missing or wrong") from None


def write_shard_manifest(folder: str | Path, manifest: ShardManifest) -> ShardManifest:
    """Write the manifest with what runs now; the time since an earlier one becomes its duration.

    Returns:
        The manifest as it was written, secrets hidden.

    Raises:
        StorageError: it cannot be written.
    """
    described = manifest.to_json()
    written = write_manifest(
        Path(folder, MANIFEST_NAME),
        kind=_KIND,
        inputs={"corpus": manifest.corpus, "corpus_sha256": manifest.corpus_sha256},
        outputs=described["shards"],
        settings=manifest.options,
        extra={n: v for n, v in described.items() if n not in _ELSEWHERE},
        started=_begun(manifest.made),
    )
    return _from_json(written)


def _begun(made: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(made.get("started") or made["finished"])
    except (KeyError, TypeError, ValueError):
        return None


def _from_json(stored: Mapping[str, Any]) -> ShardManifest:
    manifest = ShardManifest(
        model=str(stored["model"]),
        fingerprint=str(stored["fingerprint"]),
        query_fingerprints=tuple(map(str, stored["query_fingerprints"])),
        vocabulary_hash=str(stored["vocabulary_hash"]),
        vocabulary_size=int(stored["vocabulary_size"]),
        document_pruning=str(stored["document_pruning"]),
        corpus=str(stored["inputs"]["corpus"]),
        corpus_sha256=str(stored["inputs"].get("corpus_sha256", "")),  # that came later
        options=dict(stored["settings"]),
        complete=bool(stored["complete"]),
        documents=int(stored["documents"]),
        texts_cut=int(stored["texts_cut"]),
        shards={name: Shard(**stored["outputs"][name]) for name in _in_order(stored["outputs"])},
        made=dict(stored["made"]),
    )
    if manifest.documents != sum(shard.documents for shard in manifest.shards.values()):
        raise ValueError("the counts of the shards are not that of the whole")
    return manifest


def _in_order(names: Mapping[str, Any]) -> list[str]:
    return sorted(names, key=lambda name: (len(name), name))  # numbers of six digits come last
