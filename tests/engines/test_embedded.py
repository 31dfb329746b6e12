"""The embedded engine under crashes, locks, damage and a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sparse_ir.engines import embedded_shard, embedded_store
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.embedded import EmbeddedEngine
from sparse_ir.engines.embedded_settings import store_settings
from sparse_ir.engines.stamp import Stamp
from sparse_ir.errors import ConfigError, EngineError, IndexLockedError, StorageError
from sparse_ir.seals import sealed
from sparse_ir.types import Document, Entry

if TYPE_CHECKING:
    from pathlib import Path

STAMP = Stamp("m", "f", ("q",), "", 2, "", "c", "now", "0")
TERMS = ["apple", "pear"]
ALL = [SearchRequest({"apple": 1.0}, k=10**6, documents=False)]


def entry(number, size=10):
    return Entry(Document(f"d{number:06}", "x" * size), {"apple": 1.0 + number})


def build(engine, *entries, name="fruit"):
    physical = engine.create(name, STAMP, TERMS)
    assert list(engine.add(physical, entries)) == []
    engine.publish(name, physical)
    return physical


def run(code, *arguments):
    """Start another process with the same indexes."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


# Another process

HOLD = """
    import sys
    from sparse_ir.engines.embedded import EmbeddedEngine
    engine = EmbeddedEngine()
    print(engine.stats("fruit").documents, flush=True)
    sys.stdin.read() if len(sys.argv) > 1 else None
    engine.close()
"""


@pytest.fixture
def holder():
    """A process that holds the index until its input is closed."""
    with EmbeddedEngine() as engine:
        build(engine, entry(1))
    command = [sys.executable, "-c", textwrap.dedent(HOLD), "stay"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_an_index_open_in_another_process_is_said_to_be_locked_and_by_whom(holder):
    with EmbeddedEngine() as engine:
        with pytest.raises(IndexLockedError) as caught:
            engine.search("fruit", ALL)
        assert "'fruit'" in one_line(caught)
        assert f"process {holder.pid}" in one_line(caught)
        assert engine.describe("fruit") == STAMP
        assert engine.vocabulary("fruit") == tuple(TERMS)
        holder.communicate()
        assert [hit.doc_id for hit in engine.search("fruit", ALL)[0]] == ["d000001"]


def test_an_index_that_another_process_holds_is_not_removed_under_it(holder):
    with EmbeddedEngine() as engine:
        with pytest.raises(IndexLockedError):
            engine.drop("fruit")
        assert engine.indexes() == ["fruit"]
        holder.communicate()
        assert [hit.doc_id for hit in engine.search("fruit", ALL)[0]] == ["d000001"]
        engine.drop("fruit")
        assert engine.indexes() == []


def test_a_new_build_can_be_made_while_another_process_reads_the_old(holder):
    with EmbeddedEngine() as engine:
        build(engine, entry(2))
        assert [hit.doc_id for hit in engine.search("fruit", ALL)[0]] == ["d000002"]
        assert holder.poll() is None


def test_a_reader_follows_when_another_process_replaces_the_index(holder):
    holder.communicate()
    replace_it = """
        from sparse_ir.engines.embedded import EmbeddedEngine
        from sparse_ir.engines.stamp import Stamp
        from sparse_ir.types import Document, Entry
        engine = EmbeddedEngine()
        stamp = Stamp("m", "f", ("q",), "", 2, "", "c", "now", "0")
        physical = engine.create("fruit", stamp, ["apple", "pear"])
        list(engine.add(physical, [Entry(Document("new", "text"), {"apple": 1.0})]))
        engine.publish("fruit", physical)
        engine.close()
    """
    with EmbeddedEngine() as engine:
        assert [hit.doc_id for hit in engine.search("fruit", ALL)[0]] == ["d000001"]
        process = run(replace_it)
        assert process.communicate()[1] == ""
        assert [hit.doc_id for hit in engine.search("fruit", ALL)[0]] == ["new"]


def test_a_process_forked_off_is_told_that_its_parent_holds_the_index():
    code = """
        import os, sys
        from sparse_ir.engines.embedded import EmbeddedEngine
        engine = EmbeddedEngine()
        engine.stats("fruit")
        child = os.fork()
        if child == 0:
            try:
                engine.stats("fruit")
            except Exception as error:
                print(type(error).__name__, str(os.getppid()) in str(error), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        engine.close()
    """
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    with EmbeddedEngine() as engine:
        build(engine, entry(1))
    out, err = run(code).communicate()
    assert out == "IndexLockedError True\n", err


# Crashes

WRITE = """
    import sys
    from dataclasses import replace
    from sparse_ir.engines import embedded_shard, embedded_store
    from sparse_ir.engines.embedded import EmbeddedEngine
    from sparse_ir.engines.embedded_settings import store_settings
    from sparse_ir.types import Document, Entry
    few = replace(store_settings(), segment_postings=1000, smallest_indexed_kb=1)
    embedded_shard.store_settings = embedded_store.store_settings = lambda: few
    engine = EmbeddedEngine()
    physical, number = sys.argv[1], int(sys.argv[2])
    while True:
        chunk = [
            Entry(Document(f"d{i:06}", "text"), {"apple": 1.0 + i})
            for i in range(number, number + 64)
        ]
        assert not list(engine.add(physical, chunk))
        engine.refresh(physical)
        number += 64
        print(number, flush=True)
"""


def test_after_kill_9_every_acknowledged_document_is_there():
    with EmbeddedEngine() as engine:
        physical = engine.create("fruit", STAMP, TERMS)
    acknowledged = 0
    for wait in (0.0, 0.6):
        process = run(WRITE, physical, acknowledged)
        acknowledged = int(process.stdout.readline())
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split("\n")[:-1]
        process.communicate()
        acknowledged = int(lines[-1]) if lines else acknowledged
        with EmbeddedEngine() as engine:
            found = {e.document.doc_id: e.vector for e in engine.scan(physical)}
            expected = {f"d{i:06}": {"apple": 1.0 + i} for i in range(acknowledged)}
            assert {doc_id: found.get(doc_id) for doc_id in expected} == expected
            hits = engine.search(physical, ALL)[0]
            assert [hit.doc_id for hit in hits] == sorted(found, reverse=True)


def test_a_stopped_run_is_simply_started_again():
    with EmbeddedEngine() as engine:
        physical = engine.create("fruit", STAMP, TERMS)
        list(engine.add(physical, [entry(i) for i in range(300)]))
    with EmbeddedEngine() as engine:
        list(engine.add(physical, [entry(i) for i in range(500)]))
        engine.publish("fruit", physical)
        assert engine.stats("fruit").documents == 500
        assert len(engine.search("fruit", ALL)[0]) == 500


# Damage


def folder(physical):
    name, _, stamp = physical.partition("@")
    return EmbeddedEngine().root / name / stamp


def damage_manifest(build_folder):
    (build_folder / "manifest.json").write_text('{"stamp": ')


def remove_manifest(build_folder):
    (build_folder / "manifest.json").unlink()


def damage_vocabulary(build_folder):
    (build_folder / "vocabulary.json").write_text('["apple", 3]')


def remove_build(build_folder):
    shutil.rmtree(build_folder)


def damage_pointer(build_folder):
    (build_folder.parent / "current.json").write_text("[]")


def point_elsewhere(build_folder):
    (build_folder.parent / "current.json").write_text('{"build": "../../x"}')


def remove_store(build_folder):
    shutil.rmtree(build_folder / "shard")


def empty_store(build_folder):
    shutil.rmtree(build_folder / "shard" / "segments")


def damage_segment(build_folder):
    for path in (build_folder / "shard" / "segments").glob("*/segment.json"):
        path.write_text("{")


@pytest.mark.parametrize(
    "harm",
    [
        damage_manifest,
        remove_manifest,
        damage_vocabulary,
        remove_build,
        damage_pointer,
        point_elsewhere,
        remove_store,
        empty_store,
        damage_segment,
    ],
)
def test_damage_is_one_clear_line_that_says_what_to_do(harm):
    with EmbeddedEngine() as engine:
        physical = build(engine, entry(1))
    harm(folder(physical))
    with EmbeddedEngine() as engine:
        with pytest.raises(EngineError, match="fruit") as caught:
            engine.search("fruit", ALL)
        assert "ndex again with --replace" in one_line(caught)
        build(engine, entry(2))  # what it says helps
        assert [hit.doc_id for hit in engine.search("fruit", ALL)[0]] == ["d000002"]


def test_a_vocabulary_that_is_not_the_stamps_is_damage():
    with EmbeddedEngine() as engine:
        physical = build(engine, entry(1))
    rewrite_manifest(physical, stamp={**STAMP.to_json(), "vocabulary_hash": "0" * 64})
    with (
        EmbeddedEngine() as engine,
        pytest.raises(EngineError, match=r"vocabulary\.json is missing or damaged"),
    ):
        engine.search("fruit", ALL)


def rewrite_manifest(physical, **changes):
    path = folder(physical) / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(sealed({**manifest, **changes})))


def test_a_build_of_another_minor_version_of_the_store_is_refused():
    with EmbeddedEngine() as engine:
        physical = build(engine, entry(1))
    major, minor, patch = embedded_store.installed().split(".")
    rewrite_manifest(physical, qdrant_edge=f"{major}.{minor}.{int(patch) + 1}")
    with EmbeddedEngine() as engine:
        assert len(engine.search("fruit", ALL)[0]) == 1
    rewrite_manifest(physical, qdrant_edge=f"{major}.{int(minor) + 1}.0")
    words = rf"qdrant-edge-py=={major}\.{int(minor) + 1}\.0"
    with EmbeddedEngine() as engine, pytest.raises(EngineError, match=words):
        engine.search("fruit", ALL)


def test_a_build_of_a_later_format_is_refused():
    with EmbeddedEngine() as engine:
        physical = build(engine, entry(1))
    rewrite_manifest(physical, stamp={**STAMP.to_json(), "format": 99})
    with EmbeddedEngine() as engine, pytest.raises(EngineError, match="has format 99"):
        engine.search("fruit", ALL)


# Segments


def test_a_load_in_many_steps_is_searched_as_one(monkeypatch):
    few = replace(store_settings(), segment_postings=200, smallest_indexed_kb=1)
    monkeypatch.setattr(embedded_shard, "store_settings", lambda: few)
    monkeypatch.setattr(embedded_store, "store_settings", lambda: few)
    with EmbeddedEngine() as engine:
        physical = build(engine, *[entry(i) for i in range(900)])
        assert len(list((folder(physical) / "shard" / "segments").iterdir())) > 3
        list(engine.add("fruit", [entry(i, size=20) for i in range(0, 900, 3)]))
        engine.delete("fruit", [f"d{i:06}" for i in range(0, 900, 2)])
        hits = engine.search("fruit", ALL)[0]
        assert [hit.doc_id for hit in hits] == [f"d{i:06}" for i in range(899, 0, -2)]
        assert engine.stats("fruit").documents == 450


# A full disk


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 MB."""
    if not shutil.which("mount") or not sys.platform.startswith("linux"):
        pytest.skip("this system has no tmpfs")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_on_a_full_disk_writing_fails_clearly_and_what_is_in_stays(small_disk: Path):
    with EmbeddedEngine(small_disk) as engine:
        build(engine, entry(1))
        entries = (entry(i, size=200_000) for i in range(2, 2000))
        with pytest.raises(StorageError, match="Make room") as caught:
            list(engine.add("fruit", entries))
        one_line(caught)
        there = engine.stats("fruit").documents
    with EmbeddedEngine(small_disk) as engine:
        hits = engine.search("fruit", ALL)[0]
        assert len(hits) == there > 1
        assert hits[-1].doc_id == "d000001"
        (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
        with pytest.raises(StorageError, match=r"Make room"):
            engine.create("other", STAMP, TERMS)
        with pytest.raises(StorageError, match=r"Make room"):
            list(engine.add("fruit", [entry(9999)]))
        assert len(engine.search("fruit", ALL)[0]) == there
        (small_disk / "ballast").unlink()
        assert engine.delete("fruit", [hit.doc_id for hit in hits[:5]]) == 5


def test_as_many_terms_may_be_required_as_the_store_looks_for(tmp_path):
    terms = [f"t{n:02}" for n in range(65)]
    stamp = replace(STAMP, vocabulary_size=len(terms))
    with EmbeddedEngine(tmp_path) as engine:
        physical = engine.create("many", stamp, terms)
        whole = Entry(Document("whole", "x"), dict.fromkeys(terms, 1.0))
        part = Entry(Document("part", "x"), dict.fromkeys(terms[1:], 1.0))
        assert list(engine.add(physical, [whole, part])) == []
        engine.publish("many", physical)
        request = SearchRequest({"t64": 1.0}, require=(*terms[:64], "t00"))
        (hits,) = engine.search("many", [request])
        assert [hit.doc_id for hit in hits] == ["whole"]
        with pytest.raises(ConfigError, match=r"65 terms are required of a hit; .* at most 64"):
            engine.search("many", [request._replace(require=tuple(terms))])
