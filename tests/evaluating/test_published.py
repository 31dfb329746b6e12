"""Every reported number names its place, and what is wrong in the file is named by its line."""

from __future__ import annotations

import pytest

from sparse_ir.errors import InputError
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset
from sparse_ir.evaluating.published import PublishedRow, read_published
from sparse_ir.evaluating.reported import published_for

HEADER = "dataset,system,metric,value,source\n"
# BEIR without CQADupStack, MS MARCO and the sets that may not be downloaded by everyone.
THIRTEEN = (
    *("arguana", "climate-fever", "dbpedia-entity", "fever", "fiqa", "hotpotqa", "nfcorpus", "nq"),
    *("quora", "scidocs", "scifact", "touche2020", "trec-covid"),
)
GOOD = "trec-dl-2019,BM25,ndcg@10,0.5058,arXiv:1\n"


@pytest.fixture
def published(tmp_path):
    def write(text):
        path = tmp_path / "published.csv"
        path.write_text(text)
        return path

    return write


def test_the_project_s_own_rows_are_valid_and_have_sources():
    rows = read_published()
    assert len(rows) > 200
    assert all(row.source.startswith(("https://", "arXiv:")) for row in rows)


def test_means_over_the_thirteen_beir_sets_are_those_that_the_authors_give():
    means = {"SPLADE++ EnsembleDistil": 0.505, "SPLADE-v3": 0.517, "OpenSearch doc-v3-gte": 0.546}
    for system, mean in means.items():
        values = {row.dataset: row.value for row in read_published() if row.system == system}
        found = sum(values[f"beir-{name}"] for name in THIRTEEN) / 13
        assert found == pytest.approx(mean, abs=0.0015), system


def test_published_figures_go_by_the_name_a_dataset_is_given():
    named = BenchmarkDataset("data/scifact", name="beir-scifact")
    assert {row.dataset for row in published_for([named])} == {"beir-scifact"}
    assert published_for([BenchmarkDataset("data/scifact")]) == []
    assert published_for([BenchmarkDataset("beir-scifact", split="dev")]) == []


def test_rows_are_read_as_they_stand(published):
    rows = read_published(published(HEADER + GOOD + "\n"))
    assert rows == [PublishedRow("trec-dl-2019", "BM25", "ndcg@10", 0.5058, "arXiv:1")]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("trec-dl-2091,BM25,ndcg@10,0.5,s", "Did you mean trec-dl-2019?"),
        ("trec-dl-2019,BM25,ndgc@10,0.5,s", "Did you mean ndcg?"),
        ("trec-dl-2019,BM25,ndcg@10,50.58,s", "not from 0 to 1"),
        ("trec-dl-2019,BM25,ndcg@10,nan,s", "not from 0 to 1"),
        ("trec-dl-2019,BM25,ndcg@10,half,s", "'half' is not a number"),
        ("trec-dl-2019,BM25,ndcg@10,0.5,", "a source"),
        ("trec-dl-2019,BM25,ndcg@10,0.5", "4 columns instead of 5"),
        ("trec-dl-2019,BM25,ndcg@10,0.6,arXiv:2", "a second time"),
    ],
)
def test_a_bad_row_is_named_by_its_line(published, line, part):
    with pytest.raises(InputError, match="line 3") as caught:
        read_published(published(HEADER + GOOD + line + "\n"))
    assert part in str(caught.value)


@pytest.mark.parametrize("text", ["", "dataset,system,metric,value\n"])
def test_a_file_without_its_header_is_refused(published, text):
    with pytest.raises(InputError, match="line 1"):
        read_published(published(text))
