from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sparse_ir.data.datasets import Dataset, open_dataset, read_benchmarks
from sparse_ir.data.trec import read_qrels
from sparse_ir.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path


def beir(folder: Path, corpus: str = "corpus.jsonl", qrels: str = "test.tsv") -> Path:
    (folder / "qrels").mkdir(parents=True)
    for name in (corpus, "queries.jsonl", f"qrels/{qrels}"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("corpus", ["corpus.jsonl", "corpus.jsonl.gz", "corpus.parquet"])
@pytest.mark.parametrize("qrels", ["test.tsv", "test.tsv.gz", "test.txt"])
def test_a_beir_folder_is_a_dataset(tmp_path, corpus, qrels):
    folder = beir(tmp_path / "mine", corpus, qrels)
    expected = Dataset(
        "mine", str(folder / corpus), str(folder / "queries.jsonl"), str(folder / "qrels" / qrels)
    )
    assert open_dataset(str(folder)) == expected


def test_a_split_that_is_not_there_proposes_the_nearest(tmp_path):
    folder = beir(tmp_path / "mine", qrels="train.tsv")
    assert open_dataset(str(folder), split="train").qrels.endswith("train.tsv")
    with pytest.raises(InputError, match=r"trian\.tsv: no such file.*train\.tsv"):
        open_dataset(str(folder), split="trian")


@pytest.mark.parametrize("missing", ["corpus", "queries"])
def test_a_folder_without_corpus_or_queries_says_which(tmp_path, missing):
    folder = beir(tmp_path / "mine")
    (folder / f"{missing}.jsonl").unlink()
    with pytest.raises(InputError, match=f"holds no {missing}.jsonl"):
        open_dataset(str(folder))


def test_a_benchmark_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_dataset("trec-dl-2019") == Dataset(
        "trec-dl-2019",
        "irds:msmarco-passage",
        "irds:msmarco-passage/trec-dl-2019/judged",
        "irds:msmarco-passage/trec-dl-2019/judged",
        min_grade=2,
    )
    assert open_dataset("beir-nfcorpus", split="dev").qrels == "irds:beir/nfcorpus/dev"


def test_the_questions_on_python_are_part_of_the_installation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset("python-docs")
    assert dataset.corpus == "python-docs"
    assert len(read_qrels(dataset.qrels)) >= 100


def test_a_benchmark_comes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beir(tmp_path / "beir-scifact")
    assert open_dataset("beir-scifact").corpus == "irds:beir/scifact"
    assert open_dataset("./beir-scifact").corpus == "beir-scifact/corpus.jsonl"


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("beir-scifcat", "test", "neither a benchmark nor a folder. Did you mean beir-scifact?"),
        ("no/such/folder", "test", "neither a benchmark nor a folder"),
        ("beir-scifact", "dev", "beir-scifact has no split 'dev'. Use train or test"),
        ("beir-arguana", "dev", "Use test"),
    ],
)
def test_an_unknown_name_or_split_is_one_clear_error(name, split, message):
    with pytest.raises(ConfigError, match=message):
        open_dataset(name, split=split)


def test_every_benchmark_is_known_to_ir_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path))
    ir_datasets = pytest.importorskip("ir_datasets")
    for name, entry in read_benchmarks().items():
        for split in entry.get("splits", ["test"]):
            dataset = open_dataset(name, split=split)
            sources = {"docs": dataset.corpus, "queries": dataset.queries, "qrels": dataset.qrels}
            for what, source in sources.items():
                if source.startswith("irds:"):
                    loaded = ir_datasets.load(source.removeprefix("irds:"))
                    assert getattr(loaded, f"has_{what}")(), (name, split, what)


def test_the_raw_files_of_ms_marco_are_a_dataset(tmp_path):
    for name in ("collection.tsv", "queries.dev.small.tsv.gz", "qrels.dev.small.tsv"):
        (tmp_path / name).write_text("")
    found = open_dataset(str(tmp_path), split="dev.small")
    assert (found.name, found.corpus) == (tmp_path.name, str(tmp_path / "collection.tsv"))
    assert found.queries == str(tmp_path / "queries.dev.small.tsv.gz")
    assert found.qrels == str(tmp_path / "qrels.dev.small.tsv")
    with pytest.raises(InputError, match=r"queries\.dev\.tsv: no such file"):
        open_dataset(str(tmp_path), split="dev")
