"""What a corpus will cost, foretold from a sample."""

from __future__ import annotations

import json

import pytest

from sparse_ir.engines.sizes import SIZES
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.inspecting.plan import PlanSettings, plan

# 200 documents of 1 to 4 different words, 2.5 on average.
ROWS = [{"_id": f"d{i}", "text": " ".join(["apple", "pear", "plum", "fig"][: i % 4 + 1])}
        for i in range(200)]  # fmt: skip


@pytest.fixture
def corpus(write_jsonl):
    return str(write_jsonl("c.jsonl", ROWS))


def test_all_of_a_corpus_gives_its_own_figures(corpus):
    found = plan(PlanSettings(corpus=corpus, model="bm25", documents=1000))
    assert (found.documents, found.vectors, found.sampled) == (200, 200, 200)
    assert found.terms.mean == 2.5
    assert (found.terms.median, found.terms.most) == (2.5, 4)
    assert found.text_bytes == sum(len(row["text"]) for row in ROWS)
    assert found.seconds == pytest.approx(200 / found.rate)
    assert found.query_terms is None
    embedded = next(size for size in found.sizes if size.engine.startswith("embedded"))
    measured = next(size for size in SIZES if size.engine == embedded.engine)
    assert embedded.vectors == round(500 * measured.weight + 200 * measured.document)
    assert embedded.texts == round(found.text_bytes * measured.text)


def test_a_sample_is_scaled_to_the_whole(corpus):
    found = plan(
        PlanSettings(corpus=corpus, model="bm25", documents=80, documents_in_all=1_000_000)
    )
    assert (found.documents, found.vectors, found.sampled) == (1_000_000, 1_000_000, 80)
    assert found.terms.mean == pytest.approx(2.5, abs=0.4)
    assert found.seconds == pytest.approx(1_000_000 / found.rate)
    for size, measured in zip(found.sizes, SIZES, strict=True):
        a_document = found.terms.mean * measured.weight + measured.document
        assert size.vectors == pytest.approx(a_document * 1_000_000, rel=1e-6)


def test_passages_and_queries_are_counted(corpus, write_jsonl):
    queries = write_jsonl(
        "q.jsonl", [{"_id": "1", "text": "apple pear"}, {"_id": "2", "text": "fig"}]
    )
    found = plan(
        PlanSettings(
            corpus=corpus, model="bm25", queries=str(queries), passages="each,words=2,overlap=0"
        )
    )
    assert (found.documents, found.vectors) == (200, 300)  # of 3 and 4 words: two passages
    assert found.query_terms.most == 2
    assert found.query_terms.mean == 1.5


def test_the_command_says_it_and_writes_json(corpus, sparse_ir):
    said = sparse_ir("plan", "--corpus", corpus, "--model", "bm25", "--documents", "50")
    assert said.exit_code == 0, said.err
    assert "200 documents; 50 of them were encoded." in said.out
    assert "Index in embedded" in said.out
    told = sparse_ir("plan", "--corpus", corpus, "--model", "bm25", "--json")
    assert json.loads(told.out)["terms"]["most"] == 4


def test_nothing_to_plan_is_refused(write_jsonl, corpus):
    with pytest.raises(InputError, match="holds no document"):
        plan(PlanSettings(corpus=str(write_jsonl("empty.jsonl", [])), model="bm25"))
    with pytest.raises(ConfigError, match="documents is 0"):
        PlanSettings(corpus=corpus, documents=0)
    with pytest.raises(InputError):
        plan(PlanSettings(corpus=corpus, model="bm25", queries="nowhere.tsv"))
    empty = str(write_jsonl("none.jsonl", []))
    with pytest.raises(InputError, match="holds no queries"):
        plan(PlanSettings(corpus=corpus, model="bm25", queries=empty))
