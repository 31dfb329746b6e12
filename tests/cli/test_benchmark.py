"""`sparse-ir benchmark` with the project's own list of systems, and the report that it writes."""

from __future__ import annotations

import csv
import json

import pytest

TEXTS = {
    "a": "the apple is a fruit that grows on trees",
    "b": "the pear is sweet when it is ripe",
    "c": "a car needs fuel and air in its wheels",
    "d": "a bicycle has two wheels and no motor",
}
QUERIES = {"q1": "apple tree", "q2": "fuel of cars", "q3": "two wheels"}
JUDGED = {"q1": "a", "q2": "c", "q3": "d"}


@pytest.fixture
def collection(tmp_path, write_jsonl):
    (tmp_path / "things" / "qrels").mkdir(parents=True)
    write_jsonl("things/corpus.jsonl", [{"_id": i, "text": t} for i, t in TEXTS.items()])
    write_jsonl("things/queries.jsonl", [{"_id": i, "text": t} for i, t in QUERIES.items()])
    rows = "".join(f"{q}\t{d}\t1\n" for q, d in JUDGED.items())
    (tmp_path / "things" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return tmp_path / "things"


def test_the_projects_systems_and_their_report(sparse_ir, collection, tmp_path):
    out = tmp_path / "report"
    command = ("benchmark", f"odds and ends={collection}", "--out", out, "--latency-queries", "4")
    done = sparse_ir(*command, "--json")
    assert done.exit_code == 0, done.err
    left_out = "not measured: sparse+dense+words needs --dense MODEL."
    assert left_out in done.err
    found = json.loads(done.out)
    rows = {row["system"]: row for row in found["results"]}
    assert list(rows) == [
        "BM25", "sparse", "sparse, inference-free", "sparse, pruned", "sparse, two-step",
        "hybrid",
    ]  # fmt: skip
    assert {row["dataset"] for row in rows.values()} == {"odds and ends"}
    # Every question shares words with its answer alone: all that work find all three.
    for name, row in rows.items():
        assert row["ndcg@10"] == pytest.approx(1.0), name
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "sparse, two-step" in page
    assert left_out in page
    assert left_out in (out / "report.md").read_text(encoding="utf-8")
    assert "src=" not in page.replace('src="data:', "")
    results = json.loads((out / "results.json").read_text())
    of = {outcome["system"]: outcome for outcome in results["outcomes"]}
    whole, pruned = of["sparse"], of["sparse, pruned"]
    assert max(pruned["document_terms"]) <= 64
    assert max(pruned["query_terms"]) <= 12
    assert sum(pruned["query_terms"]) < sum(whole["query_terms"])
    assert of["sparse, two-step"]["query_terms"] == whole["query_terms"]
    assert len(list((out / "work").rglob("vectors-*/manifest.json"))) == 2  # BM25's, the model's
    again = sparse_ir(*command, "--json")
    assert again.exit_code == 0, again.err
    assert "search as" not in again.err
    assert json.loads(again.out)["results"] == found["results"]
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        assert {row["system"] for row in csv.DictReader(stream)} == set(rows)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--metrics", "ndgc@10"), "ndcg"),
        (("--baseline", "BM52"), "'BM52' is none of the systems"),
        (("--clients", "a"), "'a' is no list of numbers"),
        (("--engine", "embeded"), "embedded"),
        (("--split", "dev"), "dev"),
    ],
)
def test_mistakes_are_named_before_anything_is_encoded(
    sparse_ir, collection, tmp_path, more, message
):
    done = sparse_ir("benchmark", collection, "--out", tmp_path / "report", *more)
    assert done.exit_code != 0
    assert message in done.err
    assert not (tmp_path / "report").exists()


def test_two_datasets_of_one_name_are_told_how_to_differ(sparse_ir, collection, tmp_path):
    done = sparse_ir("benchmark", collection, collection, "--out", tmp_path / "report")
    assert done.exit_code != 0
    assert "two datasets are called 'things'" in done.err
    assert "NAME=FOLDER" in done.err


def test_a_mistyped_system_is_named_with_its_file(sparse_ir, collection, tmp_path):
    systems = tmp_path / "systems.yaml"
    systems.write_text("systems:\n  - {name: a, model_: bm25}\n")
    done = sparse_ir("benchmark", collection, "--out", tmp_path / "report", "--systems", systems)
    assert done.exit_code != 0
    assert "systems.yaml, system 1: model_ is not a setting" in done.err
    assert "Did you mean model?" in done.err


@pytest.mark.parametrize("row", ["bm25", "[bm25]", "7", "null"])
def test_a_system_that_is_no_mapping_is_one_line(sparse_ir, collection, tmp_path, row):
    systems = tmp_path / "systems.yaml"
    systems.write_text(f"systems: [{{name: a, model: bm25}}, {row}]\n")
    done = sparse_ir("benchmark", collection, "--out", tmp_path / "report", "--systems", systems)
    assert done.exit_code == 2
    assert "systems.yaml, system 2: " in done.err
    assert "is no mapping of settings. Write name: value." in done.err
    assert "\n" not in done.err.strip()
