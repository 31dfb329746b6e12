"""A run tells what it takes to make it again."""

from __future__ import annotations

import hashlib
import json

import pytest

from sparse_ir.data.manifest import read_manifest


@pytest.fixture
def asked(sparse_ir, fruit, tmp_path, write_jsonl):
    assert sparse_ir("index", "--corpus", fruit, "--model", "bm25").exit_code == 0
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q1 0 d2 1\n")
    queries = write_jsonl("q.jsonl", [{"_id": "q1", "text": "sweet pear"}])
    return {
        "search": ("search", "--queries", queries, "-k", "2"),
        "evaluate": (
            "evaluate", "--index", "default", "--queries", queries, "--qrels", qrels, "-k", "2"
        ),
    }  # fmt: skip


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("command", ["search", "evaluate"])
def test_a_manifest_lies_beside_the_run(sparse_ir, asked, tmp_path, command):
    run = tmp_path / "run.trec"
    done = sparse_ir(*asked[command], "--query-pruning", "top_k=8", "--save-run", run)
    assert done.exit_code == 0, done.err
    manifest = read_manifest(tmp_path / "run.trec.manifest.json", kind="run")
    index = manifest["inputs"]["index"]
    shown = json.loads(sparse_ir("inspect", "default", "--json").out)
    assert (index["name"], index["corpus"]) == ("default", str(tmp_path / "fruit.jsonl"))
    assert (index["model"], index["fingerprint"]) == (shown["model"], shown["fingerprint"])
    assert manifest["inputs"]["queries"] == {
        "source": str(tmp_path / "q.jsonl"),
        "sha256": sha256(tmp_path / "q.jsonl"),
        "count": 1,
    }
    assert (manifest["settings"]["k"], manifest["settings"]["query_pruning"]) == (2, "top_k=8")
    assert manifest["outputs"] == {"run.trec": {"sha256": sha256(run), "queries": 1, "hits": 2}}
    assert manifest["made"]["sparse_ir"]


def test_the_same_search_gives_the_same_bytes(sparse_ir, asked, tmp_path):
    for name in ("a.trec.gz", "b.trec.gz"):
        sparse_ir(*asked["search"], "--save-run", tmp_path / name)
    assert (tmp_path / "a.trec.gz").read_bytes() == (tmp_path / "b.trec.gz").read_bytes()


def test_inspect_shows_a_run_and_whether_it_is_still_the_same(sparse_ir, asked, tmp_path):
    run = tmp_path / "run.trec"
    sparse_ir(*asked["search"], "--save-run", run)
    shown = json.loads(sparse_ir("inspect", run, "--json").out)
    assert (shown["kind"], shown["unchanged"]) == ("run", True)
    assert shown["queries"]["count"] == 1
    run.write_text(run.read_text() + "q1 Q0 d9 3 0.1 mine\n")
    assert json.loads(sparse_ir("inspect", run, "--json").out)["unchanged"] is False
