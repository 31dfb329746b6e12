"""The memory engine's files: what supersedes what, and what a stopped process leaves."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.filters import parse_filter
from sparse_ir.engines.memory import MemoryEngine
from sparse_ir.engines.stamp import Stamp
from sparse_ir.errors import EngineError, IndexNotFoundError, StorageError
from sparse_ir.types import Document, Entry

STAMP = Stamp("m", "f", ("q",), "", 2, "", "c", "now", "0")
TERMS = ["apple", "pear"]


def entry(doc_id, weight=1.0, **metadata):
    return Entry(Document(doc_id, "text", "", metadata), {"apple": weight})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "memory"


def contents(folder, index="fruit"):
    with MemoryEngine(folder) as engine:
        return {e.document.doc_id: e.vector["apple"] for e in engine.scan(index)}


def files(folder):
    return sorted(path.name for path in folder.glob("fruit/*/part-*.parquet"))


def test_later_files_supersede_earlier_ones_and_deletions_hold(folder):
    with MemoryEngine(folder) as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        list(engine.add(physical, [entry("a"), entry("b"), entry("c")]))
        engine.delete(physical, ["b", "c"])
        list(engine.add(physical, [entry("a", 2.0), entry("c", 3.0)]))
    assert len(files(folder)) == 3
    assert contents(folder, physical) == {"a": 2.0, "c": 3.0}


def test_publishing_leaves_one_file(folder):
    with MemoryEngine(folder) as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        for i in range(5):
            list(engine.add(physical, [entry(f"d{i}"), entry("again", 1.0 + i)]))
        engine.delete(physical, ["d0"])
        engine.publish("fruit", physical)
    assert len(files(folder)) == 1
    assert contents(folder) == {"d1": 1.0, "d2": 1.0, "d3": 1.0, "d4": 1.0, "again": 5.0}


def test_an_index_that_was_emptied_stays_empty(folder):
    with MemoryEngine(folder) as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        list(engine.add(physical, [entry("a")]))
        engine.delete(physical, ["a"])
        engine.publish("fruit", physical)
    assert contents(folder) == {}


def test_the_files_are_parquet_that_others_read(folder):
    with MemoryEngine(folder) as engine:
        engine.publish("fruit", physical := engine.create("fruit", STAMP, TERMS))
        list(engine.add(physical, [Entry(Document("a", "text"), {"pear": 0.5, "apple": 2.0})]))
    (path,) = folder.glob("fruit/*/part-*.parquet")
    assert pq.read_table(path).to_pylist() == [
        {"doc_id": "a", "record": '["","text",{}]', "indices": [0, 1], "values": [2.0, 0.5]}
    ]


def test_what_a_stopped_process_left_half_written_is_not_read(folder):
    with MemoryEngine(folder) as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        list(engine.add(physical, [entry("a")]))
        engine.publish("fruit", physical)
    (path,) = folder.glob("fruit/*/part-*.parquet")
    (path.parent / f".{path.name}.123.tmp").write_bytes(b"half")
    assert contents(folder) == {"a": 1.0}


def test_a_damaged_file_is_one_clear_line(folder):
    with MemoryEngine(folder) as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        list(engine.add(physical, [entry("a")]))
        engine.publish("fruit", physical)
    (path,) = folder.glob("fruit/*/part-*.parquet")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(EngineError, match="Index again with --replace") as caught:
        contents(folder)
    assert "\n" not in str(caught.value)


def test_what_another_engine_writes_is_seen(folder):
    with MemoryEngine(folder) as reader, MemoryEngine(folder) as writer:
        writer.publish("fruit", writer.create("fruit", STAMP, TERMS))
        assert reader.stats("fruit").documents == 0
        list(writer.add("fruit", [entry("a")]))
        assert reader.stats("fruit").documents == 1


def test_a_folder_that_cannot_be_written_is_a_storage_error(folder):
    folder.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        MemoryEngine(folder).create("fruit", STAMP, TERMS)


def test_without_a_folder_nothing_outlives_the_engine():
    with MemoryEngine() as engine:
        engine.publish("fruit", engine.create("fruit", STAMP, TERMS))
        assert engine.indexes() == ["fruit"]
    with pytest.raises(IndexNotFoundError):
        MemoryEngine().stats("fruit")


def test_a_filter_asked_again_sees_what_has_changed():
    engine = MemoryEngine()
    engine.publish("fruit", engine.create("fruit", STAMP, TERMS))
    asked = [SearchRequest({"apple": 1.0}, filter=parse_filter(["lang=en"]), documents=False)]
    list(engine.add("fruit", [entry("a", lang="en"), entry("b", lang="de")]))
    assert [hit.doc_id for hit in engine.search("fruit", asked)[0]] == ["a"]
    list(engine.add("fruit", [entry("b", lang="en"), entry("a", lang="de")]))
    assert [hit.doc_id for hit in engine.search("fruit", asked)[0]] == ["b"]


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_changed_byte_gives_other_documents(folder, data):
    with MemoryEngine(folder) as engine:
        if not engine.exists("fruit"):
            physical = engine.create("fruit", STAMP, TERMS)
            list(engine.add(physical, [entry(f"d{i}", 1.0 + i, n=i) for i in range(9)]))
            engine.publish("fruit", physical)
    (path,) = folder.glob("fruit/*/part-*.parquet")
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        found = contents(folder)
    except EngineError:
        pass
    else:
        assert found == {f"d{i}": 1.0 + i for i in range(9)}
    finally:
        path.write_bytes(whole)


def test_an_index_whose_files_are_missing_is_not_an_empty_one(folder):
    with MemoryEngine(folder) as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        list(engine.add(physical, [entry("a"), entry("b")]))
        engine.publish("fruit", physical)
        list(engine.add("fruit", [entry("c")]))
        assert engine.delete("fruit", ["a"]) == 1
    assert set(contents(folder)) == {"b", "c"}
    first, *later = sorted(folder.glob("fruit/*/part-*.parquet"))
    assert len(later) == 2
    kept = first.read_bytes()
    first.unlink()
    with pytest.raises(EngineError, match="lacks part 0, with which it held 2 documents"):
        contents(folder)
    first.write_bytes(kept)
    with MemoryEngine(folder) as engine:
        engine.settle("fruit")  # as one file again
    assert set(contents(folder)) == {"b", "c"}
    (path,) = folder.glob("fruit/*/part-*.parquet")
    path.unlink()
    with pytest.raises(EngineError, match="lacks part 3, with which it held 2 documents"):
        contents(folder)
    (mark,) = folder.glob("fruit/*/whole.json")
    mark.write_text('{"whole": true}')  # as earlier versions wrote it
    assert contents(folder) == {}
