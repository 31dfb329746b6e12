"""Bad input: one clear line, an exit code that is not zero, nothing lost."""

from __future__ import annotations

import json

import pytest


def index(sparse_ir, corpus, *options):
    return sparse_ir("index", "--corpus", corpus, "--model", "bm25", *options)


def assert_one_line(outcome, exit_code, *parts):
    assert outcome.exit_code == exit_code, outcome
    line = outcome.err.strip()
    assert "\n" not in line, line
    for part in parts:
        assert part in line


def test_missing_file(sparse_ir, tmp_path):
    assert_one_line(index(sparse_ir, tmp_path / "none.jsonl"), 3, "none.jsonl")


def test_missing_file_proposes_the_nearest(sparse_ir, fruit):
    assert_one_line(index(sparse_ir, fruit.with_name("fruits.jsonl")), 3, "fruit.jsonl")


def test_a_damaged_parquet_corpus(sparse_ir, tmp_path):
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and then nothing of a Parquet file")
    outcome = index(sparse_ir, tmp_path / "c.parquet")
    assert_one_line(outcome, 3, "c.parquet: cannot be read as Parquet")


def test_empty_corpus(sparse_ir, write_jsonl):
    assert_one_line(index(sparse_ir, write_jsonl("empty.jsonl", [])), 3, "empty.jsonl", "no docum")


def test_malformed_line_is_named(sparse_ir, fruit):
    fruit.write_text(fruit.read_text() + '{"_id": "d5", "text": \n')
    assert_one_line(index(sparse_ir, fruit), 3, "fruit.jsonl, line 5", "--skip-bad")


def test_skip_bad_counts_and_lists(sparse_ir, fruit):
    fruit.write_text("{broken\n" + fruit.read_text() + '{"_id": "d1", "text": "again"}\n')
    done = index(sparse_ir, fruit, "--skip-bad")
    assert done.exit_code == 0
    assert "holds 4 documents" in done.out
    assert "2 unusable rows were skipped" in done.err
    assert "line 1" in done.err
    assert "line 6" in done.err


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ({"_id": "d1", "text": "twice"}, "d1"),
        ({"_id": "d5", "text": ""}, "no text"),
        ({"_id": "", "text": "x"}, "id"),
        ({"text": "x"}, "id"),
        ({"_id": "a\tb", "text": "x"}, "id"),
        ({"_id": "d5"}, "text"),
    ],
)
def test_unusable_rows_are_named(sparse_ir, fruit, row, part):
    fruit.write_text(fruit.read_text() + json.dumps(row) + "\n")
    assert_one_line(index(sparse_ir, fruit), 3, "line 5", part)


def test_a_megabyte_of_text_is_fine(sparse_ir, write_jsonl):
    corpus = write_jsonl("long.jsonl", [{"_id": "long", "text": "apple pie " * 100_000}])
    assert index(sparse_ir, corpus).exit_code == 0
    assert "long" in sparse_ir("search", "pie").out


def test_a_failed_run_leaves_nothing_to_search(sparse_ir, fruit):
    fruit.write_text(fruit.read_text() + "{broken\n")
    assert index(sparse_ir, fruit, "--chunk-documents", "2").exit_code == 3
    assert_one_line(sparse_ir("search", "apple"), 5, "default")


def test_a_failed_run_leaves_the_old_index_in_sight(sparse_ir, fruit):
    assert index(sparse_ir, fruit).exit_code == 0
    fruit.write_text("{broken\n")
    assert index(sparse_ir, fruit, "--replace").exit_code == 3
    assert "d1" in sparse_ir("search", "apple").out


def test_an_existing_index_is_not_overwritten(sparse_ir, fruit):
    assert index(sparse_ir, fruit).exit_code == 0
    assert_one_line(index(sparse_ir, fruit), 2, "exists", "--replace")


def test_qrels_that_match_no_query(sparse_ir, fruit, tmp_path, write_jsonl):
    index(sparse_ir, fruit)
    queries = write_jsonl("q.jsonl", [{"_id": "q1", "text": "pear"}])
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nother\td2\t1\n")
    done = sparse_ir("evaluate", "--index", "default", "--queries", queries, "--qrels", qrels)
    assert_one_line(done, 3, "other")


def test_a_model_folder_that_is_none(sparse_ir, fruit, tmp_path):
    done = sparse_ir("index", "--corpus", fruit, "--model", tmp_path)
    assert_one_line(done, 4, str(tmp_path))


def test_an_index_made_by_another_model(sparse_ir, fruit, write_jsonl):
    index(sparse_ir, fruit)
    other = write_jsonl("other.jsonl", [{"_id": "x", "text": "another corpus"}])
    index(sparse_ir, other, "--index", "other")
    model = json.loads(sparse_ir("inspect", "other", "--json").out)["model"]
    assert_one_line(sparse_ir("search", "apple", "--model", model), 5, "was made by model")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "part"),
    [
        (("search",), 2, "Give a query"),
        (("index", "--corpus", "python-docs", "--index", "Größe"), 2, "index name"),
        (("search", "x", "--index", "none"), 5, "none"),
        (("search", "x", "--engine", "embeded"), 2, "embedded"),
        (("serach", "x"), 2, "Did you mean search?"),
        (("run", "no-such-recipe"), 2, "no such recipe"),
        (("evaluate", "--run", "none.trec", "--qrels", "none.tsv"), 3, "none"),
    ],
)
def test_wrong_words_say_what_to_do(sparse_ir, arguments, exit_code, part):
    done = sparse_ir(*arguments)
    assert done.exit_code == exit_code
    assert part in done.err


@pytest.mark.parametrize("filter_", ["year", "year>many", "=3"])
def test_a_wrong_filter(sparse_ir, fruit, filter_):
    index(sparse_ir, fruit)
    assert_one_line(sparse_ir("search", "apple", "--filter", filter_), 2, "filter")


@pytest.mark.parametrize("k", ["0", "-3"])
def test_a_wrong_k(sparse_ir, fruit, k):
    index(sparse_ir, fruit)
    assert_one_line(sparse_ir("search", "apple", "-k", k), 2, "k is")
