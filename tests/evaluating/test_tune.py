"""The sweep of pruning and two-step search."""

from __future__ import annotations

import json

import pytest
import yaml

from sparse_ir.engines.base import TwoStep
from sparse_ir.engines.embedded import EmbeddedEngine
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.requests import Page, window_of
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset
from sparse_ir.evaluating.tune import choose, front
from sparse_ir.evaluating.tune_files import write_tuned
from sparse_ir.evaluating.tune_hybrid import Trial, TunedHybrid, TuneHybridSettings
from sparse_ir.evaluating.tune_hybrid_files import write_tuned_hybrid
from sparse_ir.evaluating.tune_settings import Choice, Point, Tuned, TuneSettings
from sparse_ir.searching.fusion import parse_fusion
from sparse_ir.searching.query import parse_two_step


def point(name, value, milliseconds):
    return Point(Choice(name, "", ""), value, milliseconds, 1.0, 1)


POINTS = (
    point("slow and best", 0.500, 9.0),
    point("good", 0.496, 4.0),
    point("beaten", 0.490, 5.0),
    point("fast and poor", 0.400, 1.0),
)


def names(points):
    return [p.choice.document_pruning for p in points]


def test_the_front_holds_what_nothing_beats():
    assert names(front(POINTS)) == ["fast and poor", "good", "slow and best"]


def test_of_two_equally_fast_the_better_is_on_the_front():
    assert names(front([point("a", 0.4, 1.0), point("b", 0.5, 1.0)])) == ["b"]


@pytest.mark.parametrize(
    ("within", "chosen"),
    [(0.0, "slow and best"), (0.01, "good"), (0.02, "good"), (0.2, "fast and poor")],
)
def test_the_fastest_within_reach_of_the_best_is_chosen(within, chosen):
    assert choose(POINTS, within=within).choice.document_pruning == chosen


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("metric", "ndgc@10"),
        ("within", 1.0),
        ("document_pruning", ("top=3",)),
        ("two_step", ("windows=3",)),
        ("rounds", 0),
    ],
)
def test_wrong_settings_are_refused(setting, value):
    with pytest.raises(ConfigError):
        TuneSettings(BenchmarkDataset("x"), "out", **{setting: value})


@pytest.fixture
def collection(tmp_path):
    """Thirty documents of eight words each; a query's first word decides."""
    folder = tmp_path / "words"
    (folder / "qrels").mkdir(parents=True)
    with (folder / "corpus.jsonl").open("w") as file:
        for i in range(30):
            words = [f"rare{i}"] * 6 + [f"common{i % 3}", "everywhere"]
            file.write(json.dumps({"_id": f"d{i}", "text": " ".join(words)}) + "\n")
    with (folder / "queries.jsonl").open("w") as file:
        for i in range(10):
            text = f"rare{i} common{i % 3} everywhere"
            file.write(json.dumps({"_id": f"q{i}", "text": text}) + "\n")
    for split in ("dev", "test"):
        rows = "".join(f"q{i}\td{i}\t1\n" for i in range(10))
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return folder


def test_a_sweep_finds_settings_that_index_and_search_take(collection, tmp_path, sparse_ir):
    out = tmp_path / "tuned"
    done = sparse_ir(
        "tune", collection, "--out", out, "--model", "bm25", "--json",
        "--document-pruning", "top_k=1", "--query-pruning", "top_k=1", "--two-step", "window=20",
        "--two-step", "expansion=2", "--confirm", collection,
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    found = json.loads(done.out)
    assert len(found["points"]) == 12
    # The rare word is the heaviest: neither pruning costs anything.
    assert [p["value"] for p in found["points"]] == [1.0] * 12
    assert {p["query_terms"] for p in found["points"]} == {1.0, 3.0}
    assert [p["value"] for p in found["confirmed"]] == [1.0, 1.0]
    names = {path.name for path in out.iterdir() if path.is_file()}
    assert names == {"tuned.yaml", "tune.csv", "tune.svg", "tune.png"}
    chosen = found["chosen"]["choice"]
    settings = yaml.safe_load((out / "tuned.yaml").read_text()) or {}
    assert settings.get("index", {}).get("document_pruning", "") == chosen["document_pruning"]
    assert settings["index"]["model"] == "bm25"
    config = ("--config", out / "tuned.yaml")
    corpus = collection / "corpus.jsonl"
    done = sparse_ir(*config, "index", "--corpus", corpus, "--index", "x")
    assert done.exit_code == 0, done.err
    done = sparse_ir(*config, "search", "--index", "x", "rare3 everywhere", "--json")
    assert json.loads(done.out)["hits"][0]["doc_id"] == "d3"


def test_window_and_expansion_are_swept_unless_others_are_named(tmp_path):
    swept = TuneSettings(BenchmarkDataset("x"), str(tmp_path)).two_step
    steps = [parse_two_step(text) for text in swept]
    assert steps[0] is None
    assert [window_of(step, Page(size=10)) for step in steps[1:]] == [20, 50, 100, 200]
    assert [step.window for step in steps[1:]] == [None, 50, None, 200]
    assert [step.expansion for step in steps[1:] if step.window is None] == [2.0, 10.0]


def test_an_expansion_that_was_chosen_is_what_index_and_search_do(
    collection, tmp_path, sparse_ir, monkeypatch
):
    chosen = Point(Choice("top_k=2", "top_k=2", "ratio=0.2,expansion=3"), 0.5, 1.0, 2.0, 1000)
    tuned = Tuned((chosen,), (chosen,), chosen, POINT, None)
    dataset = BenchmarkDataset(str(collection))
    settings = TuneSettings(dataset, str(tmp_path / "o"), model="bm25")
    config = ("--config", write_tuned(settings, tuned)[0])
    done = sparse_ir(*config, "index", "--corpus", collection / "corpus.jsonl", "--index", "x")
    assert done.exit_code == 0, done.err
    asked = []
    search = EmbeddedEngine.search

    def noted(self, index, requests):
        asked.extend(requests)
        return search(self, index, requests)

    monkeypatch.setattr(EmbeddedEngine, "search", noted)
    done = sparse_ir(*config, "search", "--index", "x", "rare3 common0 everywhere", "--json")
    assert json.loads(done.out)["hits"][0]["doc_id"] == "d3"
    (request,) = asked
    assert request.two_step == TwoStep(ratio=0.2, expansion=3.0)
    assert len(request.terms) == 2
    with open_engine("embedded") as engine:
        assert {len(entry.vector) for entry in engine.scan("x")} == {2}


POINT = Point(Choice("", "", ""), 0.5, 1.0, 3.0, 1000)


def sections_of(tmp_path, **settings):
    tuned = Tuned((POINT,), (POINT,), POINT, POINT, None)
    dataset = BenchmarkDataset(str(tmp_path / "data"))
    (path, *_) = write_tuned(TuneSettings(dataset, str(tmp_path / "o"), **settings), tuned)
    return yaml.safe_load(path.read_text())


def test_the_settings_name_the_model_and_the_query_side_that_were_tuned(tmp_path, monkeypatch):
    (tmp_path / "ours").mkdir()
    monkeypatch.chdir(tmp_path)
    sections = sections_of(tmp_path, model="ours", query_encoder="inference-free")
    assert sections == {
        "index": {"model": str(tmp_path / "ours")},  # whole: it is read from elsewhere too
        "search": {"query_encoder": "inference-free"},
        "evaluate": {"query_encoder": "inference-free"},
    }
    assert sections_of(tmp_path, model="org/name") == {"index": {"model": "org/name"}}
    assert sections_of(tmp_path) is None


def test_a_hybrid_tuning_looks_at_one_query_at_least(tmp_path):
    with pytest.raises(ConfigError, match="queries and constants must be at least 1"):
        TuneHybridSettings("articles", BenchmarkDataset("x"), str(tmp_path), queries=0)


@pytest.mark.parametrize(
    ("fusion", "named"),
    [
        ("rrf:sparse,dense", {"model": "org/query", "dense": "org/dense"}),
        ("rrf:sparse,words", {"model": "org/query"}),  # --dense would be refused
    ],
)
def test_the_settings_of_a_hybrid_search_name_its_models(tmp_path, fusion, named):
    trial = Trial(parse_fusion(fusion), 0.5)
    dataset = BenchmarkDataset(str(tmp_path / "data"))
    settings = TuneHybridSettings(
        "articles", dataset, str(tmp_path / "o"), model="org/query", dense="org/dense"
    )
    (path, _) = write_tuned_hybrid(settings, TunedHybrid((trial,), trial, trial, 1))
    sections = yaml.safe_load(path.read_text())
    hybrid = {"hybrid": str(trial.fusion)}
    served = {name: value for name, value in named.items() if name != "model"}
    assert sections == {
        "search": hybrid | named,
        "evaluate": hybrid | named,
        "serve": hybrid | served,  # a server has its index's own model
    }


def test_no_index_is_left_behind(collection, tmp_path, sparse_ir):
    done = sparse_ir(
        "tune", collection, "--out", tmp_path / "o", "--model", "bm25",
        "--document-pruning", "none", "--query-pruning", "none", "--two-step", "none",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    engine = open_engine("embedded")
    assert engine.indexes() == []
    engine.close()


def test_a_split_that_is_not_there_is_named(collection, tmp_path, sparse_ir):
    done = sparse_ir("tune", collection, "--out", tmp_path / "o", "--split", "trian")
    assert done.exit_code != 0
    assert "trian" in done.err
