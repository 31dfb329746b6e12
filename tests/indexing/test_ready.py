"""Ready vectors: what another program weighed, indexed and searched as it is."""

from __future__ import annotations

import json

import pytest

from sparse_ir.data.impacts import read_impacts

TEXTS = [
    "Open a file and read it line by line.",
    "Write text to a file on the disk.",
    "Measure how long a program runs.",
    "Parse a date and a time from text.",
    "Read lines of text from standard input.",
    "A clock that measures the time of a process.",
    "Format a date as text.",
    "Delete a file, or a folder of files.",
    "Wait for some time, then run again.",
    "Split a text into lines.",
    "Copy a file line by line.",
    "The date on which a file was changed.",
    "Run a program and read what it writes.",
    "Sort lines by their length.",
    "Count the lines of a text file.",
    "Run a program at a time of the day.",
    "Read a date from a file name.",
    "Print how much time is left.",
]
QUESTIONS = [
    {"_id": "q1", "text": "read a file line by line"},
    {"_id": "q2", "text": "how long did my program run"},
    {"_id": "q3", "text": "parse a date from text"},
]
ROWS = [
    {"id": "d1", "contents": "an apple", "vector": {"apple": 300, "fruit": 120}},
    {"id": "d2", "contents": "a pear", "vector": {"pear": 250, "fruit": 125}},
]


def dots(query, entries):
    """Every score above 0 as whole numbers, the best first."""
    scores = {e.document.doc_id: sum(w * e.vector.get(t, 0) for t, w in query) for e in entries}
    return sorted(((d, s) for d, s in scores.items() if s), key=lambda hit: (-hit[1], hit[0]))


def run_of(path):
    hits = {}
    for line in path.read_text().splitlines():
        query_id, _, doc_id, _, score, _ = line.split()
        hits.setdefault(query_id, []).append((doc_id, float(score)))
    return hits


@pytest.mark.parametrize(("engine", "model"), [("embedded", "default"), ("memory", "bm25")])
def test_exported_impacts_come_back_with_the_ranking_of_rounded_weights(
    sparse_ir, tmp_path, write_jsonl, engine, model
):
    questions = write_jsonl("q.jsonl", QUESTIONS)
    where = ("--engine", engine)
    corpus = write_jsonl("c.jsonl", [{"_id": f"d{i}", "text": t} for i, t in enumerate(TEXTS)])
    indexed = sparse_ir("index", "--corpus", corpus, "--model", model, *where)
    assert indexed.exit_code == 0, indexed.err
    out, topics = tmp_path / "anserini" / "docs.jsonl.gz", tmp_path / "topics.tsv"
    impacts = ("--format", "anserini")
    done = sparse_ir("export", "--index", "default", *where, *impacts, "--out", out)
    assert done.exit_code == 0, done.err
    done = sparse_ir(
        "export", "--queries", questions, "--index", "default", *where, *impacts, "--out", topics
    )
    assert done.exit_code == 0, done.err
    assert "3 queries" in done.out

    done = sparse_ir("index", "--vectors", out.parent, "--index", "back", *where)
    assert done.exit_code == 0, done.err
    run = tmp_path / "run.trec"
    done = sparse_ir(
        "search", "--index", "back", *where, "--queries", topics, "--query-encoder", "ready",
        "--save-run", run,
    )  # fmt: skip
    assert done.exit_code == 0, done.err

    # By hand: weights of the index times 100, rounded; and all sums of products.
    plain, weighed = tmp_path / "plain.jsonl", tmp_path / "weighed.jsonl"
    sparse_ir("export", "--index", "default", *where, "--out", plain)
    sparse_ir("export", "--queries", questions, "--index", "default", *where, "--out", weighed)
    rounded = [
        entry._replace(vector={t: round(w * 100) for t, w in entry.vector.items()})
        for entry in read_impacts(plain)
    ]
    found = run_of(run)
    assert set(found) == {"q1", "q2", "q3"}
    for query in read_impacts(weighed):
        terms = [(t, round(w * 100)) for t, w in query.vector.items()]
        assert found[query.document.doc_id] == dots(terms, rounded)[:10]
        assert len(found[query.document.doc_id]) >= 3
    if model == "default":  # which finds more than it is asked for
        assert max(map(len, found.values())) == 10


def test_texts_come_with_the_vectors(sparse_ir, write_jsonl):
    vectors = write_jsonl("v.jsonl", ROWS)
    assert sparse_ir("index", "--vectors", vectors).exit_code == 0
    queries = write_jsonl("q.jsonl", [{"id": "q1", "vector": {"fruit": 2, "pear": 1, "kiwi": 9}}])
    answer = json.loads(sparse_ir("search", "--queries", queries, "--json").out)
    assert [(h["doc_id"], h["score"], h["text"]) for h in answer["hits"]] == [
        ("d2", 500.0, "a pear"),
        ("d1", 240.0, "an apple"),
    ]


def test_a_corpus_in_the_same_order_brings_titles_and_metadata(sparse_ir, write_jsonl):
    vectors = write_jsonl("v.jsonl", ROWS)
    corpus = write_jsonl(
        "c.jsonl", [{"_id": i, "title": i.upper(), "text": "x", "year": 1} for i in ("d1", "d2")]
    )
    assert sparse_ir("index", "--vectors", vectors, "--corpus", corpus).exit_code == 0
    answer = sparse_ir("search", "--query-encoder", "ready", "pear", "--json")
    (hit,) = json.loads(answer.out)["hits"]
    assert (hit["title"], hit["score"], hit["metadata"]) == ("D2", 250.0, {"year": 1})


def test_ready_queries_are_evaluated_and_pruned(sparse_ir, tmp_path, write_jsonl):
    vectors = write_jsonl("v.jsonl", ROWS)
    assert sparse_ir("index", "--vectors", vectors).exit_code == 0
    topics, qrels = tmp_path / "topics.tsv", tmp_path / "qrels.tsv"
    topics.write_text("1\tapple fruit fruit fruit\n")
    qrels.write_text("1\t0\td1\t1\n")
    asked = (
        "evaluate", "--index", "default", "--queries", topics, "--qrels", qrels, "--metrics",
        "mrr@10", "--query-encoder", "ready", "--json",
    )  # fmt: skip
    assert json.loads(sparse_ir(*asked).out)["mrr@10"] == 1.0  # 300 + 3 * 120 against 3 * 125
    pruned = sparse_ir(*asked, "--query-pruning", "top_k=1")
    assert json.loads(pruned.out)["mrr@10"] == 0.5  # 3 * 120 against 3 * 125


def test_a_text_cannot_be_asked_unless_the_model_is_said(sparse_ir, fruit, tmp_path):
    asked = sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    assert asked.exit_code == 0
    model = json.loads(sparse_ir("inspect", "default", "--json").out)["model"]
    out = tmp_path / "v.jsonl"
    sparse_ir("export", "--index", "default", "--format", "anserini", "--out", out)
    assert sparse_ir("index", "--vectors", out, "--index", "unsaid").exit_code == 0
    refused = sparse_ir("search", "--index", "unsaid", "pear")
    assert refused.exit_code == 4
    assert "nothing says which model made them" in refused.err
    assert "--query-encoder ready" in refused.err
    refused = sparse_ir("search", "--index", "unsaid", "--model", model, "pear")
    assert "index them again with --model" in refused.err
    said = sparse_ir("index", "--vectors", out, "--index", "said", "--model", model)
    assert said.exit_code == 0, said.err
    answer = json.loads(sparse_ir("search", "--index", "said", "pear", "--json").out)
    weights = {e.document.doc_id: e.vector for e in read_impacts(out)}
    (hit,) = answer["hits"]
    assert hit["doc_id"] == "d2"
    assert hit["score"] == pytest.approx(answer["terms"]["pear"] * weights["d2"]["pear"])


def test_vectors_of_another_model_are_noticed(sparse_ir, write_jsonl):
    vectors = write_jsonl("v.jsonl", [{"id": "1", "vector": {"no such piece": 1}}])
    refused = sparse_ir("index", "--vectors", vectors, "--model", "default")
    assert refused.exit_code == 5
    assert "another model made these vectors" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("index",), "corpus is missing"),
        (("index", "--vectors", "missing.jsonl"), "no such file"),
        (("index", "--vectors", "v.jsonl", "--model", "bm25"), "Give the folder of the fitted"),
        (("export", "--queries", "q.jsonl", "--vectors", "v", "--out", "x"), "not both"),
        (("export", "--out", "x"), "Give --index NAME, --vectors FOLDER or --queries FILE"),
        (("export", "--index", "i", "--scale", "9", "--out", "x"), "goes with --format anserini"),
        (("export", "--index", "i", "--format", "anserini", "--out", "x.zst"), "Anserini reads"),
        (("search", "--query-encoder", "ready", "--hybrid", "rrf", "x"), "ready queries have none"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(sparse_ir, arguments, said):
    refused = sparse_ir(*arguments)
    assert refused.exit_code in (2, 3)
    assert said in refused.err
    assert "Traceback" not in refused.err


def test_an_id_that_comes_twice_is_refused(sparse_ir, write_jsonl):
    refused = sparse_ir("index", "--vectors", write_jsonl("v.jsonl", ROWS[:1] * 2))
    assert refused.exit_code == 3
    assert "document 'd1' is there a second time" in refused.err


def test_explain_says_that_ready_vectors_have_no_words(sparse_ir, write_jsonl):
    sparse_ir("index", "--vectors", write_jsonl("v.jsonl", ROWS))
    refused = sparse_ir("search", "--query-encoder", "ready", "pear", "--explain")
    assert refused.exit_code == 2
    assert "ready query vectors have none" in refused.err
