"""Two runs and more beside a baseline, with values that can be checked by hand."""

from __future__ import annotations

import pytest

import sparse_ir
from sparse_ir.data.trec import write_qrels, write_run
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.evaluating.compare_runs import CompareRunsSettings, QueryGain, compare_runs

QRELS = {f"q{i}": {"good": 1} for i in range(1, 5)}
FIRST = {"good": 2.0, "bad": 1.0}
SECOND = {"good": 1.0, "bad": 2.0}


@pytest.fixture
def qrels(tmp_path):
    write_qrels(tmp_path / "qrels.txt", QRELS)
    return str(tmp_path / "qrels.txt")


@pytest.fixture
def save(tmp_path):
    def write(name, run):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        write_run(path, run)
        return str(path)

    return write


@pytest.fixture
def three(save):
    """A baseline that is second four times; one that is first always, one that mixes."""
    baseline = save("base.trec", dict.fromkeys(QRELS, SECOND))
    better = save("better.trec", dict.fromkeys(QRELS, FIRST))
    mixed = {"q1": FIRST, "q2": SECOND, "q3": {"bad": 1.0}}
    return baseline, better, save("mixed.trec", mixed)


def test_means_differences_and_p_values_by_hand(three, qrels):
    found = compare_runs(CompareRunsSettings(three[:2], qrels, metrics=("mrr@10",)))
    assert (found.baseline, found.mean, found.queries) == ("base.trec", {"mrr@10": 0.5}, 4)
    run = found.runs["better.trec"]
    assert run.mean == {"mrr@10": 1.0}
    # Four times +0.5: 2 of the 16 sign patterns reach that.
    assert run.metrics["mrr@10"] == (0.5, pytest.approx(2 / 16), pytest.approx(2 / 16), 4, 0, 0)


def test_p_values_are_corrected_for_runs_and_metrics_together(three, qrels):
    found = compare_runs(CompareRunsSettings(three, qrels, metrics=("mrr@10", "recall@1")))
    better, mixed = found.runs["better.trec"].metrics, found.runs["mixed.trec"].metrics
    # Both of the better run's are 1/8, the smallest of four: 1/8 x 4, and no less than that.
    assert better["mrr@10"].p_value == better["recall@1"].p_value == pytest.approx(1 / 8)
    assert better["mrr@10"].corrected == better["recall@1"].corrected == pytest.approx(1 / 2)
    assert mixed["mrr@10"].corrected == 1.0


def test_queries_that_gained_and_lost_most_come_with_their_texts(three, qrels, tmp_path):
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"_id": "q1", "text": "an apple"}\n{"_id": "q3", "text": "a pear"}\n')
    settings = CompareRunsSettings(three[::2], qrels, queries=str(queries), metrics=("mrr@10",))
    run = compare_runs(settings).runs["mixed.trec"]
    assert run.gained == (QueryGain("q1", "an apple", 0.5, 1.0),)
    assert run.lost == (QueryGain("q3", "a pear", 0.5, 0.0), QueryGain("q4", "", 0.5, 0.0))
    assert run.unanswered == 1  # q4


def test_as_many_queries_are_listed_as_asked_for(three, qrels):
    settings = CompareRunsSettings(three[:2], qrels, metrics=("mrr@10",), worst=2)
    gained = compare_runs(settings).runs["better.trec"].gained
    assert [query.query_id for query in gained] == ["q1", "q2"]


def test_a_dataset_brings_qrels_queries_and_grade(three, tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "good", "text": "x"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "an apple"}\n')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tgood\t1\n")
    found = compare_runs(CompareRunsSettings(three[:2], dataset=str(tmp_path)))
    assert found.queries == 1
    assert found.runs["better.trec"].gained[0].text == "an apple"


def test_the_t_test_and_the_grade_are_passed_on(three, qrels):
    settings = CompareRunsSettings(three[:2], qrels, metrics=("mrr@10",), test="t-test")
    assert compare_runs(settings).runs["better.trec"].metrics["mrr@10"].p_value == 0.0
    settings = CompareRunsSettings(three[:2], qrels, metrics=("mrr@10",), min_grade=2)
    assert compare_runs(settings).mean == {"mrr@10": 0.0}


def test_runs_of_one_file_name_are_told_apart_by_folder(save, qrels):
    paths = (save("a/run.trec", {"q1": FIRST}), save("b/run.trec", {"q1": FIRST}))
    found = compare_runs(CompareRunsSettings(paths, qrels))
    assert (found.baseline, *found.runs) == paths


def test_what_cannot_be_compared_is_refused(three, qrels, save):
    with pytest.raises(ConfigError, match="two runs or more"):
        compare_runs(CompareRunsSettings(three[:1], qrels))
    with pytest.raises(ConfigError, match="given twice"):
        compare_runs(CompareRunsSettings((three[0], three[0]), qrels))
    with pytest.raises(ConfigError, match="needs qrels"):
        compare_runs(CompareRunsSettings(three))
    with pytest.raises(ConfigError, match="Did you mean ndcg"):
        compare_runs(CompareRunsSettings(three, qrels, metrics=("ndgc@10",)))
    with pytest.raises(ConfigError, match="needs a metric"):
        compare_runs(CompareRunsSettings(three, qrels, metrics=()))
    with pytest.raises(ConfigError, match="no test 'sign'"):
        compare_runs(CompareRunsSettings(three, qrels, test="sign"))
    other = save("other.trec", {"q1": {"GOOD": 1.0}})
    with pytest.raises(InputError, match=r"other\.trec has document 'GOOD'"):
        compare_runs(CompareRunsSettings((three[0], other), qrels))


def test_they_are_public_names():
    assert sparse_ir.compare_runs is compare_runs
    assert sparse_ir.CompareRunsSettings is CompareRunsSettings
