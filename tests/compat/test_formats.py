"""What earlier versions wrote is read, or refused with what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sparse_ir.data.ledger import Chunk, Ledger
from sparse_ir.data.shards import read_shard_manifest, read_shards, read_vocabulary
from sparse_ir.data.trec import read_run
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import EngineError, InputError
from sparse_ir.searching.search import SearchSettings, search

FORMATS = sorted(path.name for path in Path(__file__).parent.glob("format-*"))


@pytest.fixture(params=FORMATS)
def kept(request, tmp_path, own_home):
    """A copy of what a format looked like, the model where it was made."""
    folder = tmp_path / request.param
    shutil.copytree(Path(__file__).parent / request.param, folder)
    shutil.copytree(folder / "home", own_home, dirs_exist_ok=True)
    return folder


def test_there_is_a_folder_for_every_format_so_far():
    from sparse_ir.data.ledger import FORMAT as LEDGER
    from sparse_ir.data.manifest import FORMAT as MANIFEST
    from sparse_ir.engines.stamp import FORMAT as STAMP

    newest = max(LEDGER, MANIFEST, STAMP)
    assert [f"format-{n}" for n in range(1, newest + 1)] == FORMATS


def test_shards_are_read(kept):
    manifest = read_shard_manifest(kept / "vectors")
    batches = list(read_shards(kept / "vectors"))
    assert [doc_id for batch in batches for doc_id in batch.ids] == ["d1", "d2", "d 3", "dé4"]
    assert len(read_vocabulary(kept / "vectors")) == manifest.vocabulary_size


def test_an_index_is_searched_with_the_same_answers(kept):
    expected = json.loads((kept / "expected.json").read_text(encoding="utf-8"))
    with open_engine(f"memory:{kept / 'indexes'}") as engine:
        model = engine.describe("fruit").model
    moved = next(kept.rglob("bm25.json")).parent
    assert Path(model).name == moved.name
    settings = SearchSettings(index="fruit", engine=f"memory:{kept / 'indexes'}", model=str(moved))
    for query, hits in expected.items():
        found = [(hit.doc_id, hit.score) for hit in search(query, settings)[0].hits]
        assert found == [(doc_id, pytest.approx(score)) for doc_id, score in hits]


def test_a_ledger_is_gone_on_with(kept):
    ledger = Ledger.open(kept / "ledger.jsonl")
    assert ledger.chunks == [Chunk(0, 2, 1, 0, "0" * 64)]
    assert ledger.settings == {"corpus": "corpus.jsonl", "limit": None}


def test_a_run_is_read(kept):
    assert set(read_run(kept / "run.trec")) == {"q0", "q1", "q2"}


def test_shards_of_a_later_format_are_refused_with_what_to_do(kept):
    path = kept / "vectors" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "format": 99}), encoding="utf-8")
    with pytest.raises(InputError, match="has the format 99; this sparse-ir reads format"):
        list(read_shards(kept / "vectors"))


def test_an_index_of_a_later_format_is_refused_with_what_to_do(kept):
    from sparse_ir.seals import sealed, unsealed

    (path,) = (kept / "indexes").rglob("manifest.json")
    manifest = unsealed(json.loads(path.read_text(encoding="utf-8")))
    manifest["stamp"] |= {"format": 99, "version": "9.9"}
    path.write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    said = r"has format 99.* Use the sparse-ir that made it \(9\.9\)"
    with (
        open_engine(f"memory:{kept / 'indexes'}") as engine,
        pytest.raises(EngineError, match=said),
    ):
        engine.describe("fruit")
