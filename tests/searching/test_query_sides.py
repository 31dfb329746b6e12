"""An index accepts every query side of its document model, and the cheap one loads no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings

import pytest

from sparse_ir.engines.opening import open_engine
from sparse_ir.evaluating.compare_indexes import CompareSettings, compare_indexes
from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.sides import QUERY_TABLE
from sparse_ir.searching.search import SearchSettings, search

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever torch warns of when it is imported
    import torch
    import transformers

WORDS = ("apple", "pear", "plum", "fruit", "car", "road", "sweet", "blue", "a", "is", "an", "red")
TABLE = {word: 1.0 + i / 8 for i, word in enumerate(WORDS)}


@pytest.fixture
def parts(tmp_path):
    """A BERT whose output bias is off, but for what its own words say: vectors of few terms."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=32)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    return {"model": transformers.BertForMaskedLM(config), "tokenizer": tokenizer}


@pytest.fixture
def save(parts, tmp_path):
    def save(**sides):
        from sparse_ir.models.saving import SaveLayout, save_model

        layout = SaveLayout(max_length=32, drop_columns=("special",))
        return save_model(tmp_path / "model", **parts, layout=layout, replace=True, **sides)

    return save


def in_new_process(*arguments):
    code = (
        "import sys\n"
        "from sparse_ir.cli import execute\n"
        f"code = execute({list(map(str, arguments))!r})\n"
        "loaded = sorted({'torch', 'transformers'} & {*sys.modules})\n"
        "print(f'exit {code}, loaded {loaded}')"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    return done.stdout.strip().splitlines()


@pytest.mark.parametrize("engine", ["embedded", "memory"])
def test_a_search_with_inference_free_queries_loads_no_torch(save, fruit, tmp_path, engine):
    engine = f"{engine}:{tmp_path / 'indexes'}"
    folder = save(table=TABLE)
    index_corpus(IndexSettings(corpus=str(fruit), model=str(folder), engine=engine))
    free = ("search", "sweet pear", "--engine", engine, "--query-encoder", "inference-free")
    *shown, last = in_new_process(*free, "--json")
    assert last == "exit 0, loaded []"
    found = json.loads("\n".join(shown))
    assert found["terms"] == {"pear": TABLE["pear"], "sweet": TABLE["sweet"]}
    assert len(found["hits"]) > 0


def test_a_folder_whose_queries_are_inference_free_needs_no_option(save, fruit):
    folder = save(query_side=TABLE)
    index_corpus(IndexSettings(corpus=str(fruit), model=str(folder)))
    *_, last = in_new_process("search", "sweet pear", "--json")
    assert last == "exit 0, loaded []"


def test_an_index_accepts_both_sides_and_their_scores_are_dot_products(save, fruit):
    folder = save(table=TABLE)
    index_corpus(IndexSettings(corpus=str(fruit), model=str(folder)))
    stamp = open_engine("embedded").describe("default")
    own, free = load_encoder(folder), load_encoder(folder, queries="inference-free")
    assert stamp.query_fingerprints == (own.query_fingerprint, free.query_fingerprint)
    for side in ("model", "inference-free"):
        (result,) = search("red apple", SearchSettings(query_encoder=side, k=4))
        encoder = load_encoder(folder, queries=side)
        assert set(result.terms) == {t.term for t in encoder.explain("red apple", query=True).terms}
        for hit in result.hits:
            document = {t.term: t.weight for t in encoder.explain(hit.document.content).terms}
            dot = sum(weight * document.get(term, 0) for term, weight in result.terms.items())
            assert hit.score == pytest.approx(dot, rel=1e-4)


def test_a_table_that_came_after_the_index_is_refused(save, fruit, sparse_ir):
    folder = save()
    index_corpus(IndexSettings(corpus=str(fruit), model=str(folder)))
    (folder / QUERY_TABLE).write_text(json.dumps(TABLE))
    refused = sparse_ir("search", "pear", "--query-encoder", "inference-free")
    assert refused.exit_code == 5
    assert "did not have this query encoder" in refused.err
    assert sparse_ir("search", "pear").exit_code == 0


def test_a_model_without_a_table_says_so(save, fruit, sparse_ir):
    folder = save()
    index_corpus(IndexSettings(corpus=str(fruit), model=str(folder)))
    refused = sparse_ir("search", "pear", "--query-encoder", "inference-free")
    assert refused.exit_code == 4
    assert refused.err.count("\n") == 1
    assert "has no inference-free query side" in refused.err


def test_evaluation_and_comparison_take_the_query_side(save, fruit, tmp_path, write_jsonl):
    folder = save(table=TABLE)
    index_corpus(IndexSettings(corpus=str(fruit), model=str(folder)))
    queries = write_jsonl("queries.jsonl", [{"_id": "q1", "text": "sweet pear"}])
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q1 0 d2 1\n")
    values = {}
    for side in ("model", "inference-free"):
        settings = EvaluateSettings(
            index="default", queries=str(queries), qrels=str(qrels), query_encoder=side,
            metrics=("recall@100",), save_run=str(tmp_path / f"{side}.run"),
        )  # fmt: skip
        values[side] = evaluate_index(settings).mean["recall@100"]
    assert values["inference-free"] == 1.0
    assert (tmp_path / "model.run").read_text() != (tmp_path / "inference-free.run").read_text()
    found = compare_indexes(
        CompareSettings(
            index="default",
            candidate="default",
            queries=str(queries),
            candidate_query_encoder="inference-free",
        )
    )
    assert found.score_ratio != 1


def test_explain_shows_the_terms_of_the_side_asked_for(save, sparse_ir):
    folder = save(table=TABLE)
    shown = sparse_ir(
        "explain", "A pear", "--query", "--model", folder, "--query-encoder", "inference-free",
        "--json",
    )  # fmt: skip
    (found,) = json.loads(shown.out)
    assert [(t["term"], t["weight"]) for t in found["terms"]] == [
        ("a", TABLE["a"]), ("pear", TABLE["pear"]),
    ]  # fmt: skip
