"""A neural model behind the server: queries weighed together are weighed as alone."""

from __future__ import annotations

import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.searching.search import SearchSettings, search

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever torch warns of when it is imported
    import torch
    import transformers

WORDS = ("apple", "pear", "plum", "fruit", "car", "road", "sweet", "blue", "a", "is", "an", "red")


@pytest.fixture
def model(tmp_path):
    """A BERT of two layers with random weights, and a table for its queries."""
    from sparse_ir.models.saving import SaveLayout, save_model

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=32)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    parts = {"model": transformers.BertForMaskedLM(config), "tokenizer": tokenizer}
    layout = SaveLayout(max_length=32, drop_columns=("special",))
    table = dict.fromkeys(WORDS, 1.0)
    return save_model(tmp_path / "model", **parts, layout=layout, replace=True, table=table)


@pytest.fixture
def settings(model, fruit, tmp_path):
    engine = f"embedded:{tmp_path / 'indexes'}"
    index_corpus(IndexSettings(corpus=str(fruit), model=str(model), engine=engine))
    return {"index": ("default",), "engine": engine}


def test_queries_weighed_together_find_what_they_find_alone(start, settings):
    asked = ["pear", "a sweet red apple", "car", "is a plum blue", "fruit fruit fruit", "road"]
    alone = {
        q: search(q, SearchSettings(index="default", engine=settings["engine"]))[0] for q in asked
    }
    server = start(**settings)
    go = threading.Event()
    server.service._encoder.submit(lambda arguments: [go.wait(60)])
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = {q: pool.submit(server.get, "/search", q=q) for q in asked}
        while server.service._encoder.waiting < len(asked):
            time.sleep(0.01)
        go.set()
        found = {q: answer.result().json for q, answer in answers.items()}
    for q in asked:
        weights = {t["term"]: t["weight"] for t in found[q]["terms"]}
        assert weights == pytest.approx(alone[q].terms, rel=1e-4)
        assert {h["doc_id"]: h["score"] for h in found[q]["hits"]} == pytest.approx(
            {h.doc_id: h.score for h in alone[q].hits}, rel=1e-4
        )
    six_together = 'sparse_ir_batch_queries_bucket{le="8.0",stage="encode"}'
    four_at_most = 'sparse_ir_batch_queries_bucket{le="4.0",stage="encode"}'
    assert server.figure(six_together) == server.figure(four_at_most) + 1


def test_inference_free_queries_and_the_words_of_documents(start, settings):
    server = start(**settings, query_encoder="inference-free")
    found = server.get("/search", q="sweet pear", explain=1, lexical=1).json
    assert {t["term"]: (t["weight"], t["word"]) for t in found["terms"]} == {
        "sweet": (1.0, "sweet"),
        "pear": (1.0, "pear"),
    }
    for hit in found["hits"]:
        assert sum(m["contribution"] for m in hit["matches"]) == pytest.approx(hit["score"])
        for word in (w for m in hit["matches"] for w in m["words"]):
            assert hit[word["field"]][word["start"] : word["end"]].strip()
    assert server.get("/indexes").json["indexes"][0]["query_encoder"] == "inference-free"


def test_an_index_replaced_by_another_models_is_not_searched_with_the_old_one(
    start, settings, fruit
):
    server = start(**settings)
    assert server.get("/search", q="pear").status == 200
    again = {"corpus": str(fruit), "engine": settings["engine"], "replace": True}
    index_corpus(IndexSettings(**again, model="bm25"))
    refused = server.get("/search", q="pear")
    assert refused.status == 502
    assert "was replaced by one of another model" in refused.json["error"]
