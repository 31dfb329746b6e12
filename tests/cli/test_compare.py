"""``compare``: runs or indexes by what is named, one clear line where that is unclear."""

from __future__ import annotations

import json

import pytest

RUNS = {
    "a.trec": "q1 Q0 d1 1 3.0 a\nq1 Q0 d2 2 2.0 a\nq2 Q0 d3 1 2.0 a\n",
    "b.trec": "q1 Q0 d2 1 3.0 b\nq1 Q0 d1 2 2.0 b\nq2 Q0 d3 1 2.0 b\n",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in RUNS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "qrels.txt").write_text("q1 0 d2 1\nq2 0 d3 1\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "an [apple]"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_one_line(outcome, exit_code, *parts):
    assert outcome.exit_code == exit_code, outcome
    line = outcome.err.strip()
    assert "\n" not in line, line
    for part in parts:
        assert part in line


def test_two_runs_are_shown_with_p_values_and_the_queries_that_changed(sparse_ir, folder):
    done = sparse_ir(
        "compare", "a.trec", "b.trec", "--qrels", "qrels.txt", "--queries", "queries.jsonl",
        "--metrics", "mrr@10",
    )  # fmt: skip
    assert done.exit_code == 0
    row = next(line for line in done.out.splitlines() if "mrr@10" in line and "most" not in line)
    assert row.split() == ["mrr@10", "0.7500", "1.0000", "+0.2500", *["1.0000"] * 2, "1", "1", "0"]
    assert "gained most in mrr@10" in done.out
    assert "q1: an [apple]" in done.out
    assert "lost most" not in done.out
    assert "paired randomisation test; corrected: after Holm, for 1 comparisons" in done.err


def test_json_holds_every_number(sparse_ir, folder):
    done = sparse_ir("compare", "a.trec", "b.trec", "--qrels", "qrels.txt", "--json")
    found = json.loads(done.out)
    assert found["baseline"] == "a.trec"
    assert list(found["mean"]) == ["ndcg@10", "mrr@10", "recall@100"]
    run = found["runs"]["b.trec"]
    assert run["metrics"]["mrr@10"] == {
        "difference": 0.25, "p_value": 1.0, "corrected": 1.0, "wins": 1, "ties": 1, "losses": 0,
    }  # fmt: skip
    assert [query["query_id"] for query in run["gained"]] == ["q1"]


def test_equal_runs_say_that_nothing_differs(sparse_ir, folder):
    (folder / "c.trec").write_text(RUNS["a.trec"])
    done = sparse_ir("compare", "a.trec", "c.trec", "--qrels", "qrels.txt")
    assert done.exit_code == 0
    assert "no query differs" in done.err


def test_to_list_no_query_is_not_to_say_that_none_differs(sparse_ir, folder):
    done = sparse_ir("compare", "a.trec", "b.trec", "--qrels", "qrels.txt", "--worst", "0")
    assert done.exit_code == 0
    assert "gained most" not in done.out
    assert "differs" not in done.err


def test_to_list_no_query_of_indexes_is_not_to_say_so_either(sparse_ir, fruit, write_jsonl):
    queries = write_jsonl("queries.jsonl", [{"_id": "q1", "text": "sweet pear"}])
    other = write_jsonl("other.jsonl", [{"_id": "x", "text": "a sweet pear"}])
    sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--index", "one")
    sparse_ir("index", "--corpus", other, "--model", "bm25", "--index", "two")
    asked = ("compare", "--index", "one", "--queries", queries, "--worst", "0", "--candidate")
    assert "No query's list differs." not in sparse_ir(*asked, "two").err
    assert "No query's list differs." in sparse_ir(*asked, "one").err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "parts"),
    [
        (("a.trec", "nope"), 2, ("a.trec is a file, nope is not",)),
        (("a.trec",), 2, ("two runs or more",)),
        (("a.trec", "a.trec"), 2, ("given twice",)),
        (("a.trex", "b.trex"), 3, ("a.trex: no such file", "Did you mean a.trec?")),
        (("x.run", "y.run", "--queries", "queries.jsonl"), 3, ("x.run: no such file",)),
        (("a.trec", "b.trec", "--metrics", "ndgc@10"), 2, ("Did you mean ndcg?",)),
        (("a.trec", "b.trec", "--candidate", "x"), 2, ("--candidate is for indexes",)),
        (("a.trec", "b.trec", "-k", "3"), 2, ("-k is for indexes",)),
        (("one", "two", "--queries", "queries.jsonl"), 5, ("no index 'one'",)),
        (("one", "two", "--queries", "q", "--index", "x"), 2, ("--index names an index",)),
        (("--candidate", "x", "--test", "t-test"), 2, ("--test is for runs",)),
        (("--candidate", "x"), 2, ("needs --queries",)),
        ((), 2, ("Give two runs",)),
    ],
)
def test_what_is_unclear_gets_one_line(sparse_ir, folder, arguments, exit_code, parts):
    done = sparse_ir("compare", *arguments, "--qrels", "qrels.txt")
    assert_one_line(done, exit_code, *parts)


def test_runs_without_judgements_are_refused(sparse_ir, folder):
    assert_one_line(sparse_ir("compare", "a.trec", "b.trec"), 2, "needs qrels")


def test_indexes_are_compared_by_option_or_by_name(sparse_ir, fruit, write_jsonl, tmp_path):
    queries = write_jsonl("queries.jsonl", [{"_id": "q1", "text": "sweet pear"}])
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("q1 0 d2 1\n")
    for name in ("one", "two"):
        sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--index", name)
    options = ("--queries", queries, "--qrels", qrels, "--json")
    by_option = sparse_ir("compare", "--index", "one", "--candidate", "two", *options)
    assert json.loads(by_option.out)["overlap"] == 1.0
    assert json.loads(by_option.out)["metrics"]["mrr@10"] == [1.0, 1.0]
    assert sparse_ir("compare", "one", "two", *options).out == by_option.out
    qrels.write_text("q1 0 D2 1\n")
    renamed = sparse_ir("compare", "one", "two", *options)
    assert renamed.exit_code == 3
    assert "hits are judged" in renamed.err.splitlines()[-1]
