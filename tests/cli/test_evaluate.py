"""``evaluate``: quality gates, and bad input in one clear line."""

from __future__ import annotations

import json
import re

import pytest

from sparse_ir.errors import VerificationError
from sparse_ir.indexing.index import IndexSettings, index_corpus

RUN = "q1 Q0 d1 1 2.0 a\nq1 Q0 d2 2 1.0 a\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "run.trec").write_text(RUN)
    (tmp_path / "qrels.txt").write_text("q1 0 d2 1\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "sweet pear"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


class StopError(Exception):
    """Stands for whatever ends a run."""


def assert_one_line(outcome, exit_code, *parts):
    assert outcome.exit_code == exit_code, outcome
    line = outcome.err.strip()
    assert "\n" not in line, line
    for part in parts:
        assert part in line


def evaluate(sparse_ir, *options):
    return sparse_ir("evaluate", "--run", "run.trec", "--qrels", "qrels.txt", *options)


def test_a_mean_below_its_bound_fails_after_the_table(sparse_ir, folder):
    done = evaluate(sparse_ir, "--metrics", "mrr@10", "--fail-under", "map=0.7,mrr@10=0.5")
    assert_one_line(done, VerificationError.exit_code, "map is 0.5000, below 0.7")
    assert "mrr@10 is" not in done.err
    assert re.search(r"mrr@10 +map ", done.out)  # computed, though only the bound names it
    assert "run.trec" in done.out


def test_bounds_that_are_reached_change_nothing_but_the_metrics(sparse_ir, folder):
    done = evaluate(
        sparse_ir, "--metrics", "mrr@10", "--fail-under", "map=0.5", "--fail-under", "p@2=0.5",
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    assert set(json.loads(done.out)) == {"mrr@10", "map", "p@2", "queries", "unanswered"}


def test_json_is_printed_before_the_gate_closes(sparse_ir, folder):
    done = evaluate(sparse_ir, "--metrics", "mrr@10", "--fail-under", "mrr@10=0.9", "--json")
    assert done.exit_code == 8
    assert json.loads(done.out)["mrr@10"] == 0.5


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--fail-under", "ndgc@10=0.4", "Did you mean ndcg?"),
        ("--fail-under", "ndcg@10", "METRIC=VALUE"),
        ("--fail-under", "ndcg@10=45", "from 0 to 1"),
        ("--metrics", "ndgc@10", "Did you mean ndcg?"),
    ],
)
def test_what_is_wrongly_asked_is_refused_before_anything_is_read(sparse_ir, option, value, part):
    wrong = (option, value)
    of_run = sparse_ir("evaluate", "--run", "none", "--qrels", "none", *wrong)
    assert_one_line(of_run, 2, part)
    of_index = sparse_ir("evaluate", "--index", "none", "--queries", "x", "--qrels", "y", *wrong)
    assert_one_line(of_index, 2, part)


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("qrels.txt", "Q1 0 d2 1\n", ("0 of 1 queries are judged", "'q1'", "'Q1'")),
        ("qrels.txt", "q1 0 D2 1\n", ("0 of 2 hits are judged", "'d2'", "'D2'", "run.trec")),
        ("run.trec", "", ("run.trec: holds no results", "query Q0 document rank score tag")),
        ("qrels.txt", "", ("qrels.txt: holds no judgements",)),
    ],
)
def test_a_run_and_qrels_that_do_not_fit_get_one_line(sparse_ir, folder, name, text, parts):
    (folder / name).write_text(text)
    assert_one_line(evaluate(sparse_ir), 3, *parts)


def test_few_judged_hits_and_unjudged_queries_are_told(sparse_ir, folder):
    lines = [f"q{i} Q0 d{i} 1 1.0 a\n" for i in range(30)]
    (folder / "run.trec").write_text("".join(lines))
    judged = ["q0 0 d0 1\n"] + [f"q{i} 0 D{i} 1\n" for i in range(1, 20)]
    (folder / "qrels.txt").write_text("".join(judged))
    done = evaluate(sparse_ir)
    assert done.exit_code == 0
    assert "10 queries of the run are not judged and are left out" in done.err
    assert "Only 1 of 20 answered queries have a judged hit" in done.err


def test_an_index_passes_the_same_gate_and_the_same_checks(sparse_ir, fruit, folder):
    sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    asked = ("evaluate", "--index", "default", "--queries", "queries.jsonl", "--metrics", "mrr@10")
    good = sparse_ir(*asked, "--qrels", "qrels.txt", "--fail-under", "recall@5=1")
    assert good.exit_code == 0
    assert "recall@5" in good.out
    (folder / "qrels.txt").write_text("q1 0 d1 1\n")  # the apple, which comes second
    missed = sparse_ir(*asked, "--qrels", "qrels.txt", "--fail-under", "mrr@10=0.9")
    assert missed.exit_code == 8
    assert missed.err.splitlines()[-1].endswith("mrr@10 is 0.5000, below 0.9.")
    (folder / "qrels.txt").write_text("q1 0 D2 1\n")
    renamed = sparse_ir(*asked, "--qrels", "qrels.txt")
    assert renamed.exit_code == 3
    assert "hits are judged" in renamed.err.splitlines()[-1]
    (folder / "qrels.txt").write_text("7 0 d2 1\n")
    other = sparse_ir(*asked, "--qrels", "qrels.txt")
    assert_one_line(other, 3, "0 of 1 queries are judged", "queries.jsonl has 'q1'", "'7'")


@pytest.mark.parametrize(
    "option",
    [
        ("-k", "5"), ("--save-run", "x"), ("--hybrid", "rrf"), ("--queries", "queries.jsonl"),
        ("--model", "bm25"), ("--engine", "memory"), ("--url", "http://localhost:9200"),
        ("--ban", "pear"), ("--dense-only",), ("--group", "sum"),
    ],
)  # fmt: skip
def test_options_of_an_index_are_refused_with_a_run(sparse_ir, folder, option):
    assert_one_line(evaluate(sparse_ir, *option), 2, f"{option[0]} is for an index, and --run")


def test_every_option_of_a_search_is_refused_with_a_run():
    from sparse_ir.cli import evaluate as module
    from sparse_ir.cli.options import search_options

    searching = {option.name for option in search_options(lambda: None).__click_params__}
    assert searching <= set(module._OF_INDEX)


@pytest.mark.parametrize("k", ["0", "-5"])
def test_hits_of_each_query_are_at_least_one(sparse_ir, k):
    asked = ("--index", "none", "--queries", "x", "--qrels", "y")
    assert_one_line(sparse_ir("evaluate", *asked, "-k", k), 2, f"k is {k}. It must be at least 1.")


@pytest.fixture
def dataset(tmp_path, fruit):
    """Queries q1 and q2, judged: q1 by the car, which no fruit is."""
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(fruit.read_text())
    rows = [{"_id": "q1", "text": "roads"}, {"_id": "q2", "text": "stone"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["query-id\tcorpus-id\tscore", "q1\tdé4\t1", "q2\td 3\t1"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_files_that_are_given_come_before_those_of_the_dataset(sparse_ir, fruit, folder, dataset):
    sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    asked = ("evaluate", "--index", "default", "--dataset", dataset, "--metrics", "mrr@10")
    whole = json.loads(sparse_ir(*asked, "--json").out)
    assert (whole["mrr@10"], whole["queries"]) == (1.0, 2)
    (folder / "qrels.txt").write_text("q1 0 d2 1\nq1 0 dé4 0\n", encoding="utf-8")
    qrels = json.loads(sparse_ir(*asked, "--qrels", "qrels.txt", "--json").out)
    assert (qrels["mrr@10"], qrels["queries"]) == (0.0, 1)  # "roads" is asked, the pear wanted
    both = sparse_ir(*asked, "--qrels", "qrels.txt", "--queries", "queries.jsonl", "--json")
    assert json.loads(both.out)["mrr@10"] == 1.0
    of_run = sparse_ir(
        "evaluate", "--run", "run.trec", "--dataset", dataset, "--qrels", "qrels.txt",
        "--metrics", "mrr@10", "--json",
    )  # fmt: skip
    assert json.loads(of_run.out)["mrr@10"] == 0.5


def test_an_index_that_was_never_finished_is_not_evaluated(sparse_ir, fruit, folder):
    def stop(n):
        raise StopError

    settings = IndexSettings(str(fruit), model="bm25", chunk_documents=2)
    with pytest.raises(StopError):
        index_corpus(settings, advance=stop)
    asked = ("--queries", "queries.jsonl", "--qrels", "qrels.txt")
    by_name = sparse_ir("evaluate", "--index", "default", *asked)
    assert_one_line(by_name, 5, "index 'default'", "is not finished", "--resume")
    (build,) = set(re.findall(r"default@[\w-]+", by_name.err))
    by_build = sparse_ir("evaluate", "--index", build, *asked)
    assert_one_line(by_build, 5, "is not finished", "documents so far", "--resume")
