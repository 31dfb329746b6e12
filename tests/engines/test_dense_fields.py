"""Dense vectors in a search server: bodies anyone can send with curl."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.connecting import Server
from sparse_ir.engines.dense_fields import (
    add_dense,
    dot_product,
    dumps,
    read_dense,
    require_dense,
)
from sparse_ir.engines.entries import actions, names_of
from sparse_ir.engines.fields import find_choice
from sparse_ir.engines.filters import parse_filter
from sparse_ir.engines.lifecycle import index_body
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.requests import Page, search_body
from sparse_ir.engines.stamp import DenseSpace
from sparse_ir.errors import ConfigError
from sparse_ir.types import Document, Entry

SPACE = DenseSpace("models/dense", "d" * 64, 3)
DOT = replace(SPACE, similarity="dot")


def server(flavour, *version):
    return Server(flavour, version, ".".join(map(str, version)))


def body_of(flavour, version, field, space, **options):
    choice = find_choice(flavour, version, field)
    return index_body(choice, ClusterOptions(**options), server(flavour, *version), space)


@pytest.mark.parametrize(
    ("space", "similarity"), [(SPACE, "dot_product"), (DOT, "max_inner_product")]
)
def test_elasticsearch_keeps_whole_vectors_in_a_graph(space, similarity):
    body = body_of("elasticsearch", (9, 2, 0), "sparse_vector", space)
    assert body["mappings"]["properties"]["dense"] == {
        "type": "dense_vector",
        "dims": 3,
        "index": True,
        "similarity": similarity,
        "index_options": {"type": "hnsw", "m": 16, "ef_construction": 100},
    }
    assert body["mappings"]["_source"] == {"excludes": ["vector", "dense"]}


@pytest.mark.parametrize(("space", "similarity"), [(SPACE, "cosinesimil"), (DOT, "innerproduct")])
def test_opensearch_keeps_whole_vectors_in_a_graph(space, similarity):
    body = body_of("opensearch", (3, 8, 0), "rank_features", space)
    field = body["mappings"]["properties"]["dense"]
    assert (field["type"], field["dimension"]) == ("knn_vector", 3)
    assert (field["method"]["engine"], field["method"]["space_type"]) == ("lucene", similarity)
    assert body["settings"]["index"]["knn"] is True
    assert body["settings"]["index"]["number_of_shards"] == 1


@pytest.mark.parametrize("field", ["rank_features", "sparse_vector"])
def test_vectors_that_are_kept_stay_in_source_where_elasticsearch_would_leave_them_out(field):
    body = body_of("elasticsearch", (9, 2, 0), field, SPACE, keep_vectors=True)
    assert "_source" not in body["mappings"]
    assert body["settings"]["index"]["mapping.exclude_source_vectors"] is False


def test_without_dense_vectors_the_body_is_what_it_was():
    body = body_of("elasticsearch", (9, 2, 0), "sparse_vector", None)
    assert "dense" not in json.dumps(body)


@pytest.mark.parametrize(
    ("flavour", "version", "dimension", "words"),
    [
        (
            "elasticsearch",
            (7, 17, 29),
            3,
            "needs Elasticsearch 8.11 or later; the server is 7.17.29",
        ),
        ("elasticsearch", (8, 10, 0), 3, "needs Elasticsearch 8.11"),
        ("elasticsearch", (8, 19, 4), 5000, "takes 4,096 at most"),
        ("opensearch", (3, 8, 0), 20_000, "takes 16,000 at most"),
    ],
)
def test_a_server_that_cannot_is_refused_in_one_line(flavour, version, dimension, words):
    with pytest.raises(ConfigError, match=words) as caught:
        require_dense(server(flavour, *version), replace(SPACE, dimension=dimension))
    assert "\n" not in str(caught.value)


def test_a_server_that_can_is_taken():
    require_dense(server("elasticsearch", 8, 11, 0), SPACE)
    require_dense(server("opensearch", 2, 19, 0), SPACE)


def test_elasticsearch_is_asked_for_neighbours_among_what_a_filter_leaves():
    request = SearchRequest(
        {"apple": 1.0}, k=10, dense=(1.0, 0.0, 0.5), filter=parse_filter(["year>=2020"])
    )
    body = search_body(request, "sparse_vector", Page(10, 5))
    assert body == {
        "size": 10,
        "from": 5,
        "_source": ["doc_id", "title", "text", "metadata", "metadata_more"],
        "track_total_hits": False,
        "knn": {
            "field": "dense",
            "query_vector": [1.0, 0.0, 0.5],
            "k": 1000,
            "num_candidates": 1000,
            "filter": [{"range": {"metadata.year.number": {"gte": 2020.0}}}],
        },
        "sort": [{"_score": {"order": "desc"}}, {"doc_id": {"order": "asc"}}],
    }


def test_opensearch_is_asked_for_neighbours_among_what_a_filter_leaves():
    request = SearchRequest({}, dense=(1.0, 0.0, 0.5), filter=parse_filter(["year>=2020"]))
    body = search_body(request, "rank_features", Page(10), flavour="opensearch")
    assert body["query"] == {
        "knn": {
            "dense": {
                "vector": [1.0, 0.0, 0.5],
                "k": 1000,
                "filter": {
                    "bool": {"filter": [{"range": {"metadata.year.number": {"gte": 2020.0}}}]}
                },
            }
        }
    }
    assert "knn" not in body


@pytest.mark.parametrize(("wanted", "candidates"), [(10, 1000), (900, 1800), (10_000, 10_000)])
def test_more_neighbours_are_looked_for_where_more_are_wanted(wanted, candidates):
    body = search_body(SearchRequest({}, dense=(1.0,)), "sparse_vector", Page(wanted))
    assert (body["knn"]["k"], body["knn"]["num_candidates"]) == (candidates, candidates)


@pytest.mark.parametrize(("score", "cosine"), [(1.0, 1.0), (0.5, 0.0), (0.0, -1.0), (0.75, 0.5)])
def test_a_cosine_is_read_back_from_the_score(score, cosine):
    assert dot_product(score, SPACE) == cosine


@pytest.mark.parametrize("product", [6.0, 0.5, 0.0, -1.0, -40.0])
def test_a_dot_product_is_read_back_from_the_score(product):
    score = product + 1 if product > 0 else 1 / (1 - product)  # as both servers write it
    assert dot_product(score, DOT) == pytest.approx(product)


def test_a_dense_vector_is_sent_in_the_shortest_decimals_and_read_back():
    vector = np.array([0.1, -1.0, 1e-9], np.float32)
    assert dumps(vector) == b"[0.1,-1.0,1e-9]"
    read = read_dense({"dense": json.loads(dumps(vector))})
    assert read == tuple(vector.tolist())
    assert read_dense({}) is None


def test_a_bulk_line_holds_the_dense_vector_where_there_is_one():
    refused = []
    unit = (0.6, 0.8, 0.0)
    entries = [
        Entry(Document("a", "x"), {"apple": 1.0}, unit),
        Entry(Document("b", "x"), {"apple": 1.0}),
        Entry(Document("c", "x"), {"apple": 1.0}, (1.0,)),
    ]
    lines = list(
        actions(
            entries, names_of(["apple"]), keep_weights=False, refuse=refused.append, space=SPACE
        )
    )
    sources = [json.loads(line.body.splitlines()[1]) for line in lines]
    assert [source.get("dense") for source in sources] == [[0.6, 0.8, 0.0], None]
    assert [failure.doc_id for failure in refused] == ["c"]


def test_add_dense_keeps_what_was_there():
    body = {
        "settings": {"index": {"number_of_shards": 2}},
        "mappings": {"_source": {"excludes": ["vector"]}, "properties": {"title": {}}},
    }
    add_dense(body, "opensearch", SPACE)
    assert body["settings"]["index"] == {"number_of_shards": 2, "knn": True}
    assert set(body["mappings"]["properties"]) == {"title", "dense"}
