"""A uniCOIL model through every command: train, index, search, explain, encode, verify."""

from __future__ import annotations

import json

import pytest
import tiny_run

from sparse_ir.models.loading import load_encoder


@pytest.fixture
def model(sparse_ir, backbone, collection, tmp_path):
    """Trained for a few steps by the command."""
    values = tiny_run.settings(
        backbone, collection, tmp_path / "unicoil",
        model__architecture="unicoil", model__token_prior=True, optimizer__steps=4,
        sparsity={"lambda_query": 0.0, "lambda_document": 0.0},
    )  # fmt: skip
    config = tmp_path / "train.yaml"
    config.write_text(json.dumps(values), encoding="utf-8")
    done = sparse_ir("train", config)
    assert done.exit_code == 0, done.err
    assert "explain 100% of the tokens' IDF" in done.err
    return tmp_path / "unicoil"


def test_every_command_takes_a_unicoil_folder(sparse_ir, model, collection, tmp_path):
    encoder = load_encoder(model, device="cpu")
    corpus = collection / "corpus.jsonl"
    texts = {row["_id"]: row["text"] for row in map(json.loads, corpus.read_text().splitlines())}

    done = sparse_ir(
        "index", "--corpus", corpus, "--model", model, "--index", "u", "--devices", "cpu",
        "--keep-vectors",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    found = sparse_ir("search", "cat sat", "--index", "u", "--explain", "--json")
    assert found.exit_code == 0, found.err
    hits = json.loads(found.out)["hits"]
    query = encoder.encode_queries(["cat sat"]).weights
    for hit in hits:
        document = encoder.encode_documents([texts[hit["doc_id"]]]).weights
        assert hit["score"] == pytest.approx((query @ document.T).toarray()[0, 0], rel=1e-4)
    assert {hit["doc_id"] for hit in hits} == {
        doc_id for doc_id, text in texts.items() if {"cat", "sat"} & set(text.split())
    }
    best = hits[0]["terms"]
    assert {t["term"] for t in best} <= {"cat", "sat"}
    assert all(t["term"] == t["query_word"] == t["document_word"] for t in best)

    told = sparse_ir("explain", "the cat", "--model", model, "--json")
    assert told.exit_code == 0, told.err
    assert {t["term"] for t in json.loads(told.out)[0]["terms"]} == {"the", "cat"}

    done = sparse_ir("encode", "--corpus", corpus, "--model", model, "--out", tmp_path / "vectors")
    assert done.exit_code == 0, done.err

    checked = sparse_ir("verify", "--index", "u", "--json")
    assert checked.exit_code == 0, checked.out
    assert json.loads(checked.out)["findings"] == []


def test_an_index_refuses_another_unicoil_model(sparse_ir, model, collection, tmp_path):
    corpus = collection / "corpus.jsonl"
    assert sparse_ir("index", "--corpus", corpus, "--model", model).exit_code == 0
    other = tmp_path / "other"
    model.rename(other)
    path = other / "unicoil.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "query_terms": 1}))
    refused = sparse_ir("search", "cat", "--model", other)
    assert refused.exit_code != 0
    assert "the query is encoded by" in refused.err
