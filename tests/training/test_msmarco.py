"""MS MARCO's raw files, in the very layouts that Microsoft publishes, through the commands."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_run

from sparse_ir.data.manifest import read_manifest

SCRIPT = Path(__file__).parents[2] / "evaluation" / "msmarco_pool.py"
PASSAGES = {"7": "a cat sat on a mat", "12": "the dog run", "30": "a b c", "41": "d e on the mat"}
QUERIES = {"100": "cat", "200": "dog"}


@pytest.fixture
def raw(tmp_path):
    """No header, tabs, whole-number ids; judgements with a 0 between and a 1 behind."""
    folder = tmp_path / "msmarco"
    folder.mkdir()
    put = {
        "collection.tsv": "".join(f"{i}\t{text}\n" for i, text in PASSAGES.items()),
        "qrels.dev.small.tsv": "100\t0\t7\t1\n200\t0\t12\t1\n",
        "2019qrels-pass.txt": "100 Q0 7 3\n100 Q0 41 1\n200 Q0 12 2\n200 Q0 30 0\n",
        "top1000.dev": "".join(
            f"{q}\t{p}\t{QUERIES[q]}\t{PASSAGES[p]}\n" for q in QUERIES for p in ("7", "12")
        ),
        "submission.tsv": "100\t7\t1\n100\t12\t2\n200\t12\t1\n",
    }
    put["qrels.dev.tsv"] = put["qrels.train.tsv"] = put["qrels.dev.small.tsv"]
    queries = "".join(f"{i}\t{text}\n" for i, text in QUERIES.items())
    for name in ("queries.train", "queries.dev", "queries.dev.small", "msmarco-test2019-queries"):
        put[f"{name}.tsv"] = queries
    for name, text in put.items():
        (folder / name).write_text(text, encoding="utf-8")
    triples = "100\t7\t12\n100\t7\t30\n200\t12\t7\n200\t12\t41\n"
    (folder / "qidpidtriples.train.full.2.tsv.gz").write_bytes(gzip.compress(triples.encode()))
    return folder


def test_collection_queries_and_judgements_are_read_as_they_are(sparse_ir, raw):
    done = sparse_ir("index", "--corpus", raw / "collection.tsv", "--model", "bm25")
    assert done.exit_code == 0, done.err
    assert "holds 4 documents" in done.out
    small = sparse_ir(
        "evaluate", "--index", "default", "--dataset", raw, "--split", "dev.small", "--metrics",
        "mrr@10", "--json",
    )  # fmt: skip
    assert json.loads(small.out)["mrr@10"] == 1.0
    dl = sparse_ir(
        "evaluate", "--index", "default", "--queries", raw / "msmarco-test2019-queries.tsv",
        "--qrels", raw / "2019qrels-pass.txt", "--min-grade", "2", "--metrics", "map@10", "--json",
    )  # fmt: skip
    assert json.loads(dl.out)["map@10"] == 1.0


@pytest.mark.parametrize(("name", "mrr"), [("top1000.dev", 0.75), ("submission.tsv", 1.0)])
def test_runs_and_candidates_are_scored(sparse_ir, raw, name, mrr):
    done = sparse_ir(
        "evaluate", "--run", raw / name, "--qrels", raw / "qrels.dev.small.tsv", "--metrics",
        "mrr@10,recall@1000", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    assert json.loads(done.out)["mrr@10"] == mrr  # candidates count in the order of the file
    assert json.loads(done.out)["recall@1000"] == 1.0


def recipe(backbone):
    """The settings that make the recipe small."""
    return [
        word
        for setting in (
            f"train.model.backbone={backbone}",
            "train.model.query_tokens=16",
            "train.model.document_tokens=16",
            "train.sparsity.target_terms={query: 4, document: 8}",
            "train.batch.queries=2",
            "train.optimizer.steps=3",
            "train.optimizer.warm_up_steps=0",
            "train.precision=fp32",
            "train.device=cpu",
            "train.save_every=3",
            "encode.precision=fp32",
            "encode.devices=cpu",
        )
        for word in ("--set", setting)
    ]


@pytest.mark.slow
def test_the_recipe_leads_from_raw_files_to_figures(
    sparse_ir, raw, backbone, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = sparse_ir("run", "msmarco-passage", *recipe(backbone))
    assert done.exit_code == 0, done.err
    assert "msmarco-vectors holds 4 vectors" in done.err
    assert "DL 2019: ndcg@10" in done.err
    manifest = read_manifest(tmp_path / "msmarco-dl19.trec.manifest.json", kind="run")
    assert manifest["settings"]["k"] == 1000
    assert manifest["inputs"]["index"]["corpus"] == "msmarco/collection.tsv"


def test_a_pool_is_written_as_raw_files(tmp_path):
    source = tiny_run.write_collection(tmp_path / "beir")
    documents, queries = [f"d{i}" for i in range(12)], [f"q{i}" for i in range(12)]
    for split in ("train", "dev", "test"):
        (source / "qrels" / f"{split}.tsv").write_text(
            f"query-id\tcorpus-id\tscore\n{queries[0]}\t{documents[0]}\t1\n"
        )
    (source / "triplets.ids.tsv").write_text(
        f"{queries[0]}\t{documents[0]}\t{documents[5]}\nother\t{documents[0]}\t{documents[6]}\n"
    )
    out = tmp_path / "msmarco"
    subprocess.run(
        [sys.executable, str(SCRIPT), str(source), str(out), "--passages", "2"], check=True
    )
    lines = (out / "collection.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [*documents[:2], documents[5]]
    triples = gzip.decompress((out / "qidpidtriples.train.full.2.tsv.gz").read_bytes()).decode()
    assert triples == f"{queries[0]}\t{documents[0]}\t{documents[5]}\n"
    assert (out / "qrels.dev.small.tsv").read_text() == f"{queries[0]}\t0\t{documents[0]}\t1\n"
    assert (out / "2019qrels-pass.txt").read_text() == f"{queries[0]} 0 {documents[0]} 1\n"
    assert {path.name for path in out.iterdir()} >= {"queries.train.tsv", "queries.dev.small.tsv"}
