"""What an index, a model or a folder of vector shards says about itself."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import sha256_file
from sparse_ir.data.manifest import read_manifest
from sparse_ir.data.shards import MANIFEST_NAME, ShardManifest, read_shard_manifest
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import InputError, NoVectorsError
from sparse_ir.models.loading import DEFAULT, load_encoder
from sparse_ir.searching.runs import KIND as RUN
from sparse_ir.searching.runs import run_manifest_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparse_ir.engines.base import Engine
    from sparse_ir.types import Entry

_SAMPLE = 2000
_COMMON_TERMS = 15


def list_indexes(engine_address: str) -> list[dict[str, Any]]:
    """One row an index: name, documents, bytes, model, corpus."""
    with closing(open_engine(engine_address)) as engine:
        return [_row(engine, name) for name in engine.indexes()]


def _row(engine: Engine, name: str) -> dict[str, Any]:
    stamp, stats = engine.describe(name), engine.stats(name)
    return {
        "index": name,
        "documents": stats.documents,
        "bytes": stats.bytes,
        "model": stamp.model,
        "corpus": stamp.corpus,
    }


def inspect_target(target: str, engine_address: str) -> dict[str, Any]:
    """Describe an index by name, or a model folder, a shard folder or a run by path.

    Raises:
        InputError: the target is none of them.
    """
    folder = Path(target)
    if (folder / MANIFEST_NAME).is_file():
        return {"kind": "vector shards", **_plain(read_shard_manifest(folder))}
    if folder.is_dir():
        return _model(target)
    if folder.is_file() and run_manifest_path(folder).is_file():
        return _run(folder)
    with closing(open_engine(engine_address)) as engine:
        if target in engine.indexes():
            return _index(engine, target)
        if engine.builds(target):
            engine.resolve(target)  # says that none of them is finished
        known = ", ".join(engine.indexes()) or "none"
    if target == DEFAULT:
        return _model(target)
    raise InputError(
        f"{target!r} is no index of {engine.address} (there: {known}), no model folder, no "
        "folder of vector shards and no run with a manifest."
    )


def _plain(manifest: ShardManifest) -> dict[str, Any]:
    found = manifest.to_json()
    shards = found.pop("shards")
    terms = sum(shard["terms"] for shard in shards.values())
    return {
        "shards": len(shards),
        "terms_per_document": terms / max(manifest.documents, 1),
        **{k: v for k, v in found.items() if k not in ("made", "options")},
        **found["options"],
        **found["made"],
    }


def _run(path: Path) -> dict[str, Any]:
    manifest = read_manifest(run_manifest_path(path), kind=RUN)
    made = manifest["outputs"].get(path.name, {})
    return {
        "kind": "run",
        "unchanged": made.get("sha256") == sha256_file(path),
        "hits": made.get("hits"),
        **manifest["inputs"],
        **manifest["settings"],
        **manifest["made"],
    }


def _model(target: str) -> dict[str, Any]:
    encoder = load_encoder(target)
    return {
        "kind": "model",
        "encoder": type(encoder).__name__,
        "path": str(encoder.path),
        "vocabulary_size": len(encoder.vocabulary),
        "fingerprint": encoder.fingerprint,
        "query_fingerprints": encoder.query_fingerprints,
        **getattr(encoder, "settings", {}),
    }


def _index(engine: Engine, name: str) -> dict[str, Any]:
    stats = engine.stats(name)
    described = engine.describe(name)
    stamp = described.to_json()
    if described.dense is not None:
        space = described.dense
        stamp["dense"] = f"{space.model}, {space.dimension} numbers, {space.similarity}"
        stamp["dense_fingerprint"] = space.fingerprint
    else:
        del stamp["dense"]
    return {
        "kind": "index",
        "engine": engine.address,
        "documents": stats.documents,
        "bytes": stats.bytes,
        **engine.details(name),
        "builds": engine.builds(name),
        **_sample(engine, name),
        **stamp,
    }


def _sample(engine: Engine, name: str) -> dict[str, Any]:
    try:
        return sample_terms(islice(engine.scan(name), _SAMPLE))
    except NoVectorsError:
        return {}


def sample_terms(entries: Iterable[Entry]) -> dict[str, Any]:
    """Terms per document and the commonest terms of a sample."""
    common: Counter[str] = Counter()
    counts = []
    for entry in entries:
        common.update(entry.vector.keys())
        counts.append(len(entry.vector))
    if not counts:
        return {}
    return {
        "sampled_documents": len(counts),
        "terms_per_document": sum(counts) / len(counts),
        "documents_without_terms": counts.count(0),
        "commonest_terms": [
            f"{term} {100 * count / len(counts):.0f}%"
            for term, count in common.most_common(_COMMON_TERMS)
        ],
    }
