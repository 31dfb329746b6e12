"""What engines in clusters do beyond the contract, on real servers."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from sparse_ir.engines.base import SearchRequest, TwoStep
from sparse_ir.engines.fields import truncate_vector
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.stamp import Stamp
from sparse_ir.errors import ConfigError, EngineError, ModelMismatchError, NoVectorsError
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import vocabulary_hash

KINDS = ["opensearch", "elasticsearch", "elasticsearch8", "elasticsearch7"]
VOCABULARY = ("apple", "pear", "3.5%", *(f"t{i}" for i in range(1500)))
INDEX = "cluster-tests"


def make_stamp(**changes):
    values = {
        "model": "tiny",
        "fingerprint": "f" * 64,
        "query_fingerprints": ("q" * 64,),
        "vocabulary_hash": vocabulary_hash(VOCABULARY),
        "vocabulary_size": len(VOCABULARY),
        "document_pruning": "",
        "corpus": "corpus.jsonl",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.0.0",
    }
    return Stamp(**{**values, **changes})


def entry(doc_id, vector=None, text="", **metadata):
    return Entry(Document(doc_id, text, "", metadata), vector or {"apple": 1.0})


def build(engine, *entries, stamp=None):
    physical = engine.create(INDEX, stamp or make_stamp(), VOCABULARY)
    assert list(engine.add(physical, entries)) == []
    engine.publish(INDEX, physical)
    return physical


def find(engine, terms, **options):
    hits = engine.search(INDEX, [SearchRequest(terms, **options)])[0]
    return [(hit.doc_id, hit.score) for hit in hits]


def settings_of(engine, physical):
    answer = engine.connection.call("GET", f"/{physical}/_settings")
    return next(iter(answer.values()))["settings"]["index"]


def wipe(engine):
    for physical in engine.builds(INDEX):
        engine.drop(physical)


@pytest.fixture(params=KINDS)
def engine(request, server_url):
    with open_engine(server_url(request.param)) as opened:
        wipe(opened)
        yield opened
        wipe(opened)


@pytest.fixture
def opensearch(server_url):
    with open_engine(server_url("opensearch")) as opened:
        wipe(opened)
        yield opened
        wipe(opened)


def test_scores_are_the_dot_products_of_the_cut_weights_and_the_order_is_theirs(engine):
    rng = np.random.default_rng(7)

    def draw(count, most):
        terms = rng.choice(len(VOCABULARY), count, replace=False)
        weights = rng.gamma(2, 1, count).astype(np.float32) * most
        return {VOCABULARY[t]: float(w) for t, w in zip(terms, weights, strict=True)}

    documents = [entry(f"d{i:03}", draw(120, 1.0)) for i in range(300)]
    build(engine, *documents)
    with open_engine("memory::") as oracle:
        cut = [e._replace(vector=truncate_vector(e.vector)) for e in documents]
        build(oracle, *cut)
        requests = [SearchRequest(draw(40, 3.0), k=k, documents=False) for k in (1, 10, 300)] * 7
        answers = zip(engine.search(INDEX, requests), oracle.search(INDEX, requests), strict=True)
        for ours, expected in answers:
            scores = {hit.doc_id: hit.score for hit in expected}
            assert [h.score for h in ours] == pytest.approx(list(scores.values()), rel=1e-5)
            for hit in ours:  # in the same place, or in that of a score that is equal to 1e-5
                assert hit.score == pytest.approx(scores.get(hit.doc_id, hit.score), rel=1e-5)


def test_vectors_are_left_out_of_source_and_hits_explained_from_the_postings(engine):
    build(engine, entry("a", {"apple": 1.5, "3.5%": 1 + 1 / 512, "pear": 9.0}, "the text"))
    hit = engine.search(INDEX, [SearchRequest({"apple": 1.0, "3.5%": 2.0}, vectors=True)])[0][0]
    assert hit.vector == {"apple": 1.5, "3.5%": 1.0}
    assert hit.score == 1.5 + 2.0
    assert hit.document == Document("a", "the text")
    with pytest.raises(NoVectorsError, match="--keep-vectors"):
        list(engine.scan(INDEX))
    assert list(engine.scan(INDEX, vectors=False)) == [entry("a")._replace(
        document=Document("a", "the text"), vector={}
    )]  # fmt: skip
    assert engine.get(INDEX, ["a"], vectors=False)[0].document.text == "the text"


def test_loading_settings_are_set_and_restored(engine):
    physical = engine.create(INDEX, make_stamp(), VOCABULARY)
    assert list(engine.add(physical, [entry("a")])) == []
    loading = settings_of(engine, physical)
    assert (loading["refresh_interval"], loading["number_of_replicas"]) == ("-1", "0")
    engine.publish(INDEX, physical)
    serving = settings_of(engine, physical)
    assert (serving["refresh_interval"], serving["number_of_replicas"]) == ("1s", "1")


def test_loading_settings_are_restored_when_the_engine_is_closed_without_publishing(engine):
    with open_engine(engine.address) as loading:
        physical = loading.create(INDEX, make_stamp(), VOCABULARY)
        assert list(loading.add(physical, [entry("a")])) == []
        assert settings_of(engine, physical)["refresh_interval"] == "-1"
    assert settings_of(engine, physical)["refresh_interval"] == "1s"


def test_an_index_in_sight_keeps_its_settings_while_it_is_written_to(engine):
    physical = build(engine, entry("a"))
    assert list(engine.add(INDEX, [entry("b")])) == []
    assert settings_of(engine, physical)["refresh_interval"] == "1s"


def test_the_text_is_searched_by_bm25_and_filters_hold(engine):
    build(
        engine,
        entry("a", {"pear": 1.0}, "red fruit", lang="en"),
        entry("b", {"pear": 1.0}, "red red car", lang="de"),
    )
    request = SearchRequest({}, text="red")
    assert sorted(h.doc_id for h in engine.search(INDEX, [request])[0]) == ["a", "b"]
    from sparse_ir.engines.filters import parse_filter

    german = request._replace(filter=parse_filter(["lang=de"]))
    assert [h.doc_id for h in engine.search(INDEX, [german])[0]] == ["b"]


def test_two_steps_give_whole_scores_in_the_right_order(engine):
    entries = [entry(f"d{i:02}", {"apple": 1.0 + i, "pear": 64.0 - 2 * i}) for i in range(30)]
    build(engine, *entries)
    terms = {"apple": 1.0, "pear": 0.25}
    full = find(engine, terms, k=5)
    assert find(engine, terms, k=5, two_step=TwoStep(ratio=0.5, window=30)) == full
    # of the 6 candidates with the most apple, scored whole
    assert find(engine, terms, k=5, two_step=TwoStep(ratio=0.5, window=6)) == full[:5]
    few = find(engine, {"apple": 0.5, "pear": 0.25}, k=3, two_step=TwoStep(ratio=0.9, window=5))
    assert few == [("d25", 0.5 * 26 + 0.25 * 14), ("d26", 16.5), ("d27", 16.5)]


def test_more_hits_than_a_page_are_all_there_in_order(opensearch, monkeypatch):
    from sparse_ir.engines import cluster_search

    monkeypatch.setattr(cluster_search, "LARGEST_PAGE", 7)
    build(opensearch, *[entry(f"d{i:02}", {"apple": 1.0 + i // 3}) for i in range(40)])
    expected = sorted(
        ((f"d{i:02}", 1.0 + i // 3) for i in range(40)), key=lambda hit: (-hit[1], hit[0])
    )
    assert find(opensearch, {"apple": 1.0}, k=40) == expected
    assert find(opensearch, {"apple": 1.0}, k=1000) == expected
    assert find(opensearch, {"apple": 1.0}, k=10, offset=25) == expected[25:35]
    both = [SearchRequest({"apple": 1.0}, k=30), SearchRequest({"apple": 1.0}, k=3)]
    found = opensearch.search(INDEX, both)
    assert [len(hits) for hits in found] == [30, 3]


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch7"])
def test_a_query_with_too_many_terms_is_cut_by_weight_and_said_so(kind, server_url, caplog):
    with open_engine(server_url(kind)) as engine:
        wipe(engine)
        build(engine, entry("light", {"t0": 1.0}), entry("heavy", {"t1499": 1.0}))
        terms = {f"t{i}": 1.0 + i for i in range(1500)}
        with caplog.at_level(logging.WARNING):
            assert find(engine, terms) == [("heavy", 1500.0)]
        assert "1500 terms is searched with its 1024 heaviest" in caplog.text
        many = [SearchRequest(terms), SearchRequest({"t0": 1.0})]
        assert [[h.doc_id for h in hits] for hits in engine.search(INDEX, many)] == [
            ["heavy"],
            ["light"],
        ]
        wipe(engine)


def test_a_filter_leaves_room_among_the_clauses(opensearch):
    from sparse_ir.engines.filters import parse_filter

    build(opensearch, entry("a", {"t1000": 1.0}, year=2020))
    terms = {f"t{i}": 1.0 + i for i in range(1024)}
    recent = parse_filter(["year=2020", "year>=2019"])
    assert find(opensearch, terms, filter=recent) == [("a", 1001.0)]


def test_two_steps_do_not_page_beyond_what_a_server_numbers(opensearch):
    build(opensearch, entry("a"))
    with pytest.raises(ConfigError, match="reaches the first 10,000 hits"):
        find(opensearch, {"apple": 1.0}, k=20_000, two_step=TwoStep())


def test_a_reader_follows_the_alias_to_a_build_of_the_same_model(engine):
    build(engine, entry("old"))
    assert find(engine, {"apple": 1.0}) == [("old", 1.0)]
    with open_engine(engine.address) as other:
        build(other, entry("new"))
    assert find(engine, {"apple": 1.0}) == [("new", 1.0)]


def test_a_reader_is_told_when_the_alias_moves_to_another_model(engine):
    build(engine, entry("old"))
    assert find(engine, {"apple": 1.0}) == [("old", 1.0)]
    with open_engine(engine.address) as other:
        build(other, entry("new"), stamp=make_stamp(model="big", query_fingerprints=("x",)))
    with pytest.raises(ModelMismatchError, match="'big' while it was searched with 'tiny'"):
        find(engine, {"apple": 1.0})


def test_an_index_that_is_not_ours_is_never_taken(engine):
    engine.connection.call("PUT", f"/{INDEX}", {})
    try:
        with pytest.raises(ConfigError, match="that sparse-ir did not make"):
            engine.create(INDEX, make_stamp(), VOCABULARY)
    finally:
        engine.connection.call("DELETE", f"/{INDEX}")


def test_a_wrong_kind_of_request_is_one_line_with_the_servers_words(opensearch):
    with pytest.raises(EngineError, match=r"was answered 400: .*parsing_exception") as caught:
        opensearch.connection.call("POST", "/_search", {"query": {"no_such_query": {}}})
    assert "\n" not in str(caught.value)


def test_metadata_of_many_shapes_neither_clash_nor_get_lost(engine):
    shapes = [1, "n/a", True, 2.5, [1, "x"], {"deep": [1]}, None, "2024-01-01", [], [[1], "y"]]
    build(engine, *[entry(f"d{i}", value=value) for i, value in enumerate(shapes)])
    found = engine.get(INDEX, [f"d{i}" for i in range(len(shapes))], vectors=False)
    assert [e.document.metadata["value"] for e in found] == shapes


def test_force_merge_leaves_one_segment(server_url):
    options = ClusterOptions(force_merge=True, bulk_documents=2, shards=1)
    with open_engine(server_url("opensearch"), options=options) as engine:
        wipe(engine)
        physical = build(engine, *[entry(f"d{i}") for i in range(9)])
        engine.refresh(physical)
        segments = engine.connection.call(
            "GET", f"/_cat/segments/{physical}", params={"format": "json"}
        )
        assert len([s for s in segments if s["prirep"] == "p"]) == 1
        wipe(engine)


@pytest.mark.parametrize("field", ["neural_sparse", "seismic"])
def test_a_field_type_without_its_plugin_is_one_clear_error(field, server_url):
    with open_engine(server_url("opensearch"), options=ClusterOptions(field=field)) as engine:
        with pytest.raises(ConfigError, match="needs OpenSearch's neural-search plugin"):
            engine.create(INDEX, make_stamp(), VOCABULARY)
        assert engine.builds(INDEX) == []
