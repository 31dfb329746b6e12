from __future__ import annotations

import gzip

import pytest

import sparse_ir
from sparse_ir.errors import InputError
from sparse_ir.evaluating.evaluate import evaluate

RUN = {"q1": {"a": 2.0, "b": 1.0}, "q2": {"c": 1.0}}
QRELS = {"q1": {"b": 1}, "q2": {"c": 2}}


@pytest.fixture
def files(tmp_path):
    run, qrels = tmp_path / "bm25.trec.gz", tmp_path / "qrels.txt"
    with gzip.open(run, "wt") as stream:
        stream.write("q1 Q0 a 1 2.0 bm25\nq1 Q0 b 2 1.0 bm25\nq2 Q0 c 1 1.0 bm25\n")
    qrels.write_text("q1 0 b 1\nq2 0 c 2\n")
    return run, qrels


def test_files_and_dicts_give_the_same_figures(files):
    run, qrels = files
    expected = evaluate(RUN, QRELS)
    assert expected.mean["mrr@10"] == pytest.approx(3 / 4)
    assert evaluate(run, qrels) == expected
    assert evaluate(str(run), QRELS) == expected


def test_a_beir_qrels_file_will_do(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nq1\tb\t1\nq2\tc\t2\n")
    assert evaluate(RUN, path) == evaluate(RUN, QRELS)


def test_metrics_and_grade_are_passed_on():
    evaluation = evaluate(RUN, QRELS, metrics=["mrr@1"], min_grade=2)
    assert evaluation.mean == {"mrr@1": 1 / 2}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing\.trec"):
        evaluate(tmp_path / "missing.trec", QRELS)


def test_it_is_a_public_name():
    assert sparse_ir.evaluate is evaluate
