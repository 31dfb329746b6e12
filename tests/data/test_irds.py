from __future__ import annotations

import sys

import pytest

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.trec import read_qrels
from sparse_ir.errors import InputError, MissingExtraError
from sparse_ir.types import Document, Query


@pytest.fixture
def collection(tmp_path, monkeypatch):
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    ir_datasets = pytest.importorskip("ir_datasets")
    (tmp_path / "d.tsv").write_text("d1\tone\nd2\ttwo\n")
    (tmp_path / "q.tsv").write_text("q1\twhat?\n")
    (tmp_path / "r.txt").write_text("q1 0 d2 2\nq1 0 d1 -1\n")
    made = ir_datasets.create_dataset(
        docs_tsv=str(tmp_path / "d.tsv"),
        queries_tsv=str(tmp_path / "q.tsv"),
        qrels_trec=str(tmp_path / "r.txt"),
    )
    monkeypatch.setitem(ir_datasets.registry._registered, "test-collection", made)
    corpus_only = ir_datasets.create_dataset(docs_tsv=str(tmp_path / "d.tsv"))
    monkeypatch.setitem(ir_datasets.registry._registered, "test-corpus", corpus_only)


@pytest.mark.usefixtures("collection")
def test_an_ir_datasets_id_gives_documents_queries_and_judgements():
    documents = list(read_documents("irds:test-collection"))
    assert documents == [Document("d1", "one"), Document("d2", "two")]
    assert list(read_queries("irds:test-collection")) == [Query("q1", "what?")]
    assert read_qrels("irds:test-collection") == {"q1": {"d2": 2, "d1": -1}}


@pytest.mark.usefixtures("collection")
def test_a_collection_without_queries_says_so():
    with pytest.raises(InputError, match="irds:test-corpus: this collection has no queries"):
        list(read_queries("irds:test-corpus"))


@pytest.mark.usefixtures("collection")
def test_an_unknown_id_proposes_the_nearest():
    with pytest.raises(InputError, match="Did you mean test-collection"):
        list(read_documents("irds:test-colection"))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sparse-ir\[ir-datasets\]'"):
        list(read_documents("irds:test-collection"))
