"""sparse-ir.yaml: settings kept beside the data."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    below = tmp_path / "project" / "below"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return below.parent


def test_a_file_above_gives_the_index_and_the_engine(sparse_ir, folder, fruit):
    (folder / "sparse-ir.yaml").write_text("index: fruit\nengine: memory\nsearch: {k: 1}\n")
    done = sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    assert "Index 'fruit' holds 4 documents" in done.out
    found = sparse_ir("search", "sweet fruit")
    assert " 1. " in found.out
    assert " 2. " not in found.out


def test_a_flag_comes_before_the_file(sparse_ir, folder, fruit):
    (folder / "sparse-ir.yaml").write_text("index: fruit\n")
    done = sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--index", "other")
    assert "Index 'other'" in done.out


def test_another_file_can_be_named(sparse_ir, folder, fruit, tmp_path):
    chosen = tmp_path / "chosen.yaml"
    chosen.write_text("index: chosen\n")
    done = sparse_ir("--config", chosen, "index", "--corpus", fruit, "--model", "bm25")
    assert "Index 'chosen'" in done.out


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("indx: fruit", "indx is not a setting or a command. Did you mean index?"),
        ("search: {kk: 3}", "search.kk is not a setting"),
        ("index: [1", "not valid YAML"),
        ("plan: {on: 4}", "YAML reads the name plan.True as bool, not as text. Write it in quotes"),
        ("7: fruit", "YAML reads the name 7 as int, not as text. Write it in quotes"),
        ("off: fruit", "YAML reads the name False as bool"),
    ],
)
def test_a_wrong_file_is_one_clear_line(sparse_ir, folder, text, part):
    (folder / "sparse-ir.yaml").write_text(text)
    done = sparse_ir("search", "x")
    assert done.exit_code == 2
    assert part in done.err
    assert "\n" not in done.err.strip()


def test_a_missing_package_is_one_line():
    program = (
        "import sys; sys.modules['yaml'] = None\nfrom sparse_ir.cli import run; run(['run', 'x'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "'yaml' is not installed" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_settings_may_be_called_as_their_flags_are_written(sparse_ir, folder, fruit):
    (folder / "sparse-ir.yaml").write_text(
        "index: fruit\nengine: memory\nsearch: {filter: year>=2002, json: true}\n"
    )
    done = sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    assert done.exit_code == 0, done.err
    hits = json.loads(sparse_ir("search", "sweet fruit").out)["hits"]
    assert [hit["metadata"]["year"] for hit in hits] == [2002, 2003]


def test_the_index_of_a_file_is_for_those_who_ask_one(sparse_ir, folder, fruit, tmp_path):
    """A run, vectors and a model are evaluated and exported beside it, as without the file."""
    (folder / "sparse-ir.yaml").write_text("index: fruit\nquery_encoder: inference-free\n")
    run, qrels = folder / "x.trec", folder / "qrels.tsv"
    run.write_text("q1 Q0 d1 1 2.5 tag\n")
    qrels.write_text("q1 0 d1 1\n")
    scored = sparse_ir("evaluate", "--run", run, "--qrels", qrels, "--metrics", "mrr@10")
    assert scored.exit_code == 0, scored.err
    assert "1.0000" in scored.out
    vectors = tmp_path / "v"
    sparse_ir("encode", "--corpus", fruit, "--model", "bm25", "--out", vectors)
    done = sparse_ir("export", "--vectors", vectors, "--out", tmp_path / "terms.jsonl")
    assert done.exit_code == 0, done.err


def test_a_tuned_index_is_updated_with_the_file_that_tuned_it(sparse_ir, folder, fruit):
    (folder / "sparse-ir.yaml").write_text("index: {document_pruning: top_k=2}\n")
    sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--index", "fruit")
    done = sparse_ir("index", "--corpus", fruit, "--index", "fruit", "--update")
    assert done.exit_code == 0, done.err
    assert "4 unchanged" in done.out
    refused = sparse_ir("index", "--corpus", fruit, "--update", "--passages", "max:20")
    assert refused.exit_code == 2
    assert "--passages and --update do not go together" in refused.err
