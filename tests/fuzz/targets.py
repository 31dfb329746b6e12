"""What is fuzzed: readers of files and of what is typed. Each refuses bad bytes in our words."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.config import parse_set, read_yaml
from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.examples import ExampleSettings, open_examples
from sparse_ir.data.impacts import read_impacts
from sparse_ir.data.ledger import Ledger
from sparse_ir.data.manifest import read_manifest
from sparse_ir.data.shard_manifest import read_shard_manifest
from sparse_ir.data.shards import read_shards
from sparse_ir.data.trec import read_qrels, read_run, write_qrels, write_run
from sparse_ir.engines.addresses import parse_cluster_address
from sparse_ir.engines.base import require_index_name
from sparse_ir.engines.documents import document_of, dumps, source_of
from sparse_ir.engines.filters import matches, parse_filter
from sparse_ir.errors import InputError, SparseIRError
from sparse_ir.models.bm25_file import read_bm25
from sparse_ir.pruning import parse_pruning
from sparse_ir.recipe import read_recipe
from sparse_ir.seals import sealed, unsealed
from sparse_ir.searching.control import parse_control, read_mask
from sparse_ir.searching.fusion import parse_fusion
from sparse_ir.training.scorers import parse_teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MEMORY = Path("/dev/shm")
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))


def _file(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def _read(rows: Iterable[Any]) -> None:
    deque(rows, maxlen=0)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _written_again(name: str, data: bytes, read: Callable[..., Any], write: Any) -> None:
    found = read(_file(name, data))
    write(FOLDER / f"again-{name}", found)
    again = read(FOLDER / f"again-{name}")
    if again != found:
        raise AssertionError(f"{found} came back as {again}")


def _ledger(data: bytes) -> None:
    path = _file("ledger.jsonl", data)
    Ledger.open(path)
    Ledger.open(path)  # what was torn is gone


def _seal(data: bytes) -> None:
    try:
        stored = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(stored, dict):
        unsealed(stored)
        if unsealed(json.loads(json.dumps(sealed(stored)))) is None:
            raise AssertionError(f"{stored} is not known again")


def _document(data: bytes) -> None:
    """What a cluster is sent and gives back."""
    for document in read_documents(str(_file("documents.jsonl", data))):
        try:
            packed = dumps(source_of(document))
        except ValueError:
            continue
        again = document_of(json.loads(packed))
        if again != document:
            raise AssertionError(f"{document} came back as {again}")


def _filter(data: bytes) -> None:
    conditions = parse_filter(_text(data).split("\n"))
    matches({"a": 1, "b": "x", "c": [1.5, "y"], "d": None}, conditions)


def _control(data: bytes) -> None:
    parts = [part.split("\0") for part in _text(data).split("\n")]
    ban, boost, pin, require = (parts + [[]] * 4)[:4]
    parse_control(ban=ban, boost=boost, pin=pin, require=require)


def _manifest(data: bytes) -> None:
    read_shard_manifest(_file("manifest.json", data).parent)


def _shards(data: bytes) -> None:
    folder = FOLDER / "shards"
    folder.mkdir(exist_ok=True)
    (folder / "vectors-00000.parquet").write_bytes(data)
    _read(read_shards(folder))


def _bm25(data: bytes) -> None:
    folder = FOLDER / "bm25"
    folder.mkdir(exist_ok=True)
    (folder / "bm25.json").write_bytes(data)
    read_bm25(folder)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "documents": lambda data: _read(read_documents(str(_file("corpus", data)))),
    "documents-tsv": lambda data: _read(read_documents(str(_file("corpus.tsv", data)))),
    "documents-csv": lambda data: _read(read_documents(str(_file("corpus.csv", data)))),
    "documents-gzip": lambda data: _read(read_documents(str(_file("c.gz", b"\x1f\x8b" + data)))),
    "documents-zstd": lambda data: _read(
        read_documents(str(_file("c.zst", b"\x28\xb5\x2f\xfd" + data)))
    ),
    "documents-parquet": lambda data: _read(read_documents(str(_file("c.parquet", data)))),
    "queries": lambda data: _read(read_queries(str(_file("queries", data)))),
    "qrels": lambda data: _written_again("qrels.tsv", data, read_qrels, write_qrels),
    "run": lambda data: _written_again("run.trec", data, read_run, write_run),
    "impacts": lambda data: _read(read_impacts(_file("impacts.jsonl", data))),
    "examples": lambda data: (
        open_examples(ExampleSettings(str(_file("examples.jsonl", data)))).folder
    ),
    "triplets": lambda data: (
        open_examples(ExampleSettings(str(_file("triplets.tsv", data)))).folder
    ),
    "ledger": _ledger,
    "seal": _seal,
    "manifest": lambda data: read_manifest(_file("x.manifest.json", data)),
    "shard-manifest": _manifest,
    "shards": _shards,
    "bm25": _bm25,
    "yaml": lambda data: read_yaml(_file("x.yaml", data)),
    "recipe": lambda data: read_recipe(_file("recipe.yaml", data)),
    "mask": lambda data: read_mask(str(_file("mask", data))),
    "set": lambda data: parse_set(_text(data).split("\n")),
    "pruning": lambda data: parse_pruning(_text(data)),
    "fusion": lambda data: parse_fusion(_text(data)),
    "filter": _filter,
    "control": _control,
    "teacher": lambda data: parse_teacher(_text(data)),
    "address": lambda data: parse_cluster_address(_text(data), {}),
    "index-name": lambda data: require_index_name(_text(data)),
    "document": _document,
}


def one(name: str, data: bytes) -> None:
    """Give a target one input; raises what no reader should."""
    try:
        TARGETS[name](data)
    except SparseIRError as error:
        if not str(error).strip() or (isinstance(error, InputError) and "Error(" in str(error)):
            raise AssertionError(f"no message for a person: {error!r}") from error
