"""Systems on datasets: encoded once, measured once, resumed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import sparse_ir.evaluating.benchmark_indexes as benchmarking
from sparse_ir.config import load_settings
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark import benchmark
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset, BenchmarkSettings, System
from sparse_ir.evaluating.report_text import markdown
from sparse_ir.evaluating.results import Results, write_results


@pytest.fixture
def collection(tmp_path):
    """Apples and pears; the second query's document is not the best match."""
    folder = tmp_path / "fruit"
    (folder / "qrels").mkdir(parents=True)
    texts = {
        "a": "apple apple tree",
        "b": "pear tree in the garden",
        "c": "pear",
        "d": "a garden",
    }
    rows = [json.dumps({"_id": i, "title": f"T{i}", "text": t}) for i, t in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    queries = {"q1": "apple", "q2": "pear", "q3": "nothing here"}
    rows = [json.dumps({"_id": i, "text": t}) for i, t in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\ta\t1\nq2\tb\t1\nq3\td\t1\n"
    )
    return folder


def settings(collection, tmp_path, *systems, **more):
    return BenchmarkSettings(
        out=str(tmp_path / "out"),
        datasets=(BenchmarkDataset(str(collection)),),
        systems=systems or (System("BM25", model="bm25"),),
        metrics=("mrr@10", "recall@100"),
        clients=(1, 2),
        latency_queries=6,
        warm_up=1,
        **more,
    )


PRUNED = System("one term", model="bm25", document_pruning="top_k=1")


def test_every_figure_of_a_small_collection(collection, tmp_path):
    found = benchmark(settings(collection, tmp_path))
    (outcome,) = found.outcomes
    assert outcome.per_query["mrr@10"] == {"q1": 1.0, "q2": 0.5, "q3": 0.0}
    assert outcome.mean["mrr@10"] == pytest.approx(0.5)
    assert outcome.unanswered == 1
    assert [hit.doc_id for hit in outcome.hits["q2"]] == ["c", "b"]
    assert outcome.query_terms == [1, 1, 0]  # no document has "nothing" or "here"
    assert outcome.document_terms == [3, 4, 2, 2]  # with the title; "in", "the", "a" are no terms
    assert outcome.engine == "embedded"
    assert outcome.index_bytes > 0
    assert outcome.peak_bytes > 1 << 20
    assert [latency.clients for latency in outcome.latency] == [1, 2]
    for latency in outcome.latency:
        assert latency.queries == 6
        assert 0 < latency.encode.p50 <= latency.encode.p99
        assert latency.total.p50 > latency.search.p50 > 0
        assert latency.per_second > 0
    (facts,) = found.datasets
    assert (facts.documents, facts.relevant) == (4, {"q1": 1, "q2": 1, "q3": 1})
    assert found.made["hardware"]["cores"] >= 1


def test_documents_are_encoded_once_and_what_was_measured_stands(collection, tmp_path):
    told = []
    asked = settings(collection, tmp_path, System("BM25", model="bm25"), PRUNED)
    first = benchmark(asked, tell=told.append)
    assert len([line for line in told if "search as" in line]) == 2
    found = (tmp_path / "out" / "work").rglob("vectors-*")
    assert len([path for path in found if path.is_dir()]) == 1
    told.clear()
    again = benchmark(replace(asked, name="other"), tell=told.append)
    assert told == []
    assert again.outcomes == first.outcomes
    more = replace(
        asked, systems=(*asked.systems, replace(PRUNED, name="q", query_pruning="top_k=1"))
    )
    third = benchmark(more, tell=told.append)
    assert [line for line in told if "search as" in line] == ["fruit: search as q"]
    assert third.outcomes[:2] == first.outcomes


def test_differences_name_what_parts_a_system_from_the_baseline(collection, tmp_path):
    found = benchmark(settings(collection, tmp_path, System("BM25", model="bm25"), PRUNED))
    lost = {d.query_id: d for d in found.differences}
    assert all(d.system == "one term" and d.baseline == "BM25" for d in found.differences)
    for difference in lost.values():
        assert difference.doc_id in "abcd"
        assert difference.title == f"T{difference.doc_id}"
        for share in difference.baseline_terms:
            assert share.query > 0
            assert share.document > 0


@pytest.mark.parametrize("engine", ["embedded", "memory"])
def test_words_of_a_hybrid_come_from_an_index_that_the_bm25_system_shares(
    collection, tmp_path, engine
):
    from sparse_ir.engines.opening import open_engine

    bm25 = System("BM25", model="bm25", engine=engine)
    words = System("words", engine=engine, model="bm25", document_pruning="top_k=1")
    hybrid = replace(words, name="hybrid", hybrid="sparse=0.001,words=0.999")
    told = []
    asked = settings(collection, tmp_path, bm25, words, hybrid)
    of = {o.system: o for o in benchmark(asked, tell=told.append).outcomes}
    assert len([line for line in told if "index into" in line]) == 2
    found = (tmp_path / "out" / "work").rglob("vectors-*")
    assert len([path for path in found if path.is_dir()]) == 1
    found = {name: [hit.doc_id for hit in o.hits["q2"]] for name, o in of.items()}
    assert found["words"] == ["c"]  # of "b" another term weighs most
    assert found["hybrid"] == found["BM25"] == ["c", "b"]
    assert of["hybrid"].index_bytes == of["BM25"].index_bytes + of["words"].index_bytes
    assert of["hybrid"].index_seconds == pytest.approx(
        of["BM25"].index_seconds + of["words"].index_seconds
    )
    with open_engine(engine) as opened:
        assert opened.indexes() == []


def test_a_hybrid_has_its_words_where_no_bm25_is_measured(collection, tmp_path):
    hybrid = System("hybrid", model="bm25", document_pruning="top_k=1", hybrid="rrf")
    (outcome,) = benchmark(settings(collection, tmp_path, hybrid)).outcomes
    assert [hit.doc_id for hit in outcome.hits["q2"]] == ["c", "b"]


def test_a_cluster_has_words_of_its_own():
    hybrid = System("hybrid", hybrid="rrf", engine="http://localhost:9200", passages="max")
    assert hybrid.words() is None
    assert System("dense", hybrid="rrf:sparse,dense").words() is None
    words = replace(hybrid, engine="embedded").words()
    assert (words.model, words.passages, words.engine) == ("bm25", "max", "embedded")


def refuse_fields(monkeypatch):
    """An engine without the plugin of a field type, which is found out when the index is made."""
    build = benchmarking.build

    def build_without_plugins(system, *rest):
        if system.field:
            raise ConfigError(f"--field {system.field} needs a plugin.")
        return build(system, *rest)

    monkeypatch.setattr(benchmarking, "build", build_without_plugins)


def test_a_system_that_its_engine_cannot_do_is_left_out_and_the_rest_goes_on(
    collection, tmp_path, monkeypatch
):
    from sparse_ir.engines.embedded import EmbeddedEngine
    from sparse_ir.engines.opening import open_engine

    search = EmbeddedEngine.search
    refuse_fields(monkeypatch)

    def search_in_one_step(self, index, requests):
        if any(request.two_step for request in requests):
            raise ConfigError("two steps cannot be had here.")
        return search(self, index, requests)

    monkeypatch.setattr(EmbeddedEngine, "search", search_in_one_step)
    field = System("field", model="bm25", field="sparse_vector")
    steps = System("steps", model="bm25", two_step="window=10")
    told = []
    asked = settings(collection, tmp_path, field, steps, System("BM25", model="bm25"))
    found = benchmark(asked, tell=told.append)
    assert [outcome.system for outcome in found.outcomes] == ["BM25"]
    assert found.differences == []  # the baseline was not measured
    of_field, of_steps = found.left_out
    assert of_field == "not measured: field on fruit: --field sparse_vector needs a plugin."
    assert of_steps == "not measured: steps on fruit: two steps cannot be had here."
    assert {of_field, of_steps} <= set(told)
    assert markdown(found, [], {}).count("- not measured: ") == 2
    engine = open_engine("embedded")
    assert engine.indexes() == []
    engine.close()


def test_a_benchmark_of_nothing_that_can_be_done_ends_with_the_reason(
    collection, tmp_path, monkeypatch
):
    refuse_fields(monkeypatch)
    field = System("field", model="bm25", field="sparse_vector")
    with pytest.raises(ConfigError, match=r"nothing could be measured\. not measured: field on"):
        benchmark(settings(collection, tmp_path, field))


def test_indexes_are_removed_unless_they_are_to_be_kept(collection, tmp_path):
    from sparse_ir.engines.opening import open_engine

    benchmark(settings(collection, tmp_path))
    engine = open_engine("embedded")
    assert engine.indexes() == []
    benchmark(replace(settings(collection, tmp_path / "kept"), keep_indexes=True))
    (name,) = engine.indexes()
    assert name.startswith("benchmark-")
    engine.close()


def test_results_read_back_are_equal(collection, tmp_path):
    found = benchmark(settings(collection, tmp_path, System("BM25", model="bm25"), PRUNED))
    write_results(tmp_path / "r.json", found)
    values = json.loads((tmp_path / "r.json").read_text())
    assert (values.pop("format"), values.pop("kind")) == (1, "benchmark")
    assert load_settings(Results, values, where="r.json") == found


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"baseline": "x"}, "baseline 'x'"),
        ({"systems": ()}, "at least one"),
        ({"systems": (System("a"), System("a"))}, "two systems"),
        ({"systems": (System("a", two_step="windows=1"),)}, "system 'a'"),
        ({"clients": (0,)}, "clients"),
        ({"k": 0}, "k must be at least 1"),
        ({"metrics": ("mmr@10",)}, "mrr"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_encoded(collection, tmp_path, more, message):
    with pytest.raises(ConfigError, match=message):
        replace(settings(collection, tmp_path), **more)
