"""The bodies that servers receive: values anyone can send with curl."""

from __future__ import annotations

import json

import pytest

from sparse_ir.engines.base import SearchRequest, TwoStep
from sparse_ir.engines.connecting import Server
from sparse_ir.engines.entries import ids_of
from sparse_ir.engines.fields import (
    CHOICES,
    SEISMIC_TERMS,
    default_field,
    escape_term,
    find_choice,
    require_seismic,
    term_query,
    truncate_vector,
    unescape_term,
)
from sparse_ir.engines.filters import parse_filter
from sparse_ir.engines.lifecycle import index_body
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.requests import LARGEST_PAGE, Page, search_body, window_of
from sparse_ir.errors import ConfigError
from sparse_ir.resources import resource

TERMS = {"apple": 2.0, "3.5%": 0.5}


def server(flavour, *version):
    return Server(flavour, version, ".".join(map(str, version)))


def body_of(flavour, version, field, **options):
    one = server(flavour, *version)
    return index_body(find_choice(flavour, version, field), ClusterOptions(**options), one)


# What was run on OpenSearch 3.8 and Elasticsearch 7.17 with scores equal to dot products.
RANK_FEATURES_QUERY = {
    "bool": {
        "should": [
            {"rank_feature": {"field": "vector.apple", "boost": 2.0, "linear": {}}},
            {"rank_feature": {"field": "vector.3%2E5%25", "boost": 0.5, "linear": {}}},
        ]
    }
}


@pytest.mark.parametrize("flavour", ["opensearch", "elasticsearch"])
def test_rank_features_ask_for_the_linear_function(flavour):
    assert find_choice(flavour, (8, 0, 0), "rank_features").field == "rank_features"
    assert term_query("rank_features", TERMS) == RANK_FEATURES_QUERY


def test_elasticsearch_8_and_9_get_the_rank_features_body_that_ran_on_7_and_opensearch():
    ran = body_of("elasticsearch", (7, 17, 29), "rank_features")
    for version in ((8, 0, 0), (8, 19, 4), (9, 2, 0)):
        assert body_of("elasticsearch", version, "rank_features") == ran
    assert body_of("opensearch", (3, 8, 0), "rank_features") == ran
    assert body_of("opensearch", (2, 0, 0), "rank_features") == ran


def test_sparse_vector_says_that_nothing_is_pruned_where_the_server_knows_pruning():
    for version in ((8, 19, 0), (9, 1, 0), (9, 2, 0)):
        vector = body_of("elasticsearch", version, "sparse_vector")["mappings"]["properties"]
        assert vector["vector"] == {"type": "sparse_vector", "index_options": {"prune": False}}
    for version in ((8, 15, 0), (8, 18, 9), (9, 0, 4)):
        vector = body_of("elasticsearch", version, "sparse_vector")["mappings"]["properties"]
        assert vector["vector"] == {"type": "sparse_vector"}
    query = {"field": "vector", "query_vector": {"apple": 2.0, "3%2E5%25": 0.5}, "prune": False}
    assert term_query("sparse_vector", TERMS) == {"sparse_vector": query}
    assert term_query("sparse_vector", TERMS, prune=True)["sparse_vector"]["prune"] is True


def test_neural_sparse_takes_raw_tokens_on_a_rank_features_field():
    # https://docs.opensearch.org/latest/query-dsl/specialized/neural-sparse: raw sparse vectors
    assert term_query("neural_sparse", {"hi": 4.5}) == {
        "neural_sparse": {"vector": {"query_tokens": {"hi": 4.5}}}
    }
    body = body_of("opensearch", (3, 8, 0), "neural_sparse")
    assert body["mappings"]["properties"]["vector"] == {"type": "rank_features"}


def test_neural_sparse_searches_in_two_steps_through_its_own_processor():
    request = SearchRequest({"a": 1.0, "b": 0.1}, two_step=TwoStep())
    body = search_body(request, "neural_sparse", Page(10))
    assert body["search_pipeline"] == {
        "request_processors": [
            {
                "neural_sparse_two_phase_processor": {
                    "enabled": True,
                    "two_phase_parameter": {
                        "prune_ratio": 0.4,
                        "expansion_rate": 5.0,
                        "max_window_size": 50,
                    },
                }
            }
        ]
    }


def test_seismic_gets_token_ids_and_searches_among_what_a_filter_leaves():
    # https://docs.opensearch.org/latest/vector-search/ai-search/neural-sparse-ann
    request = SearchRequest({"17": 1.5, "4": 0.5}, filter=parse_filter(["lang=en"]))
    body = search_body(request, "seismic", Page(10, 5))
    english = {"terms": {"metadata.lang": ["en"]}}
    condition = {"bool": {"should": [english], "minimum_should_match": 1}}
    assert body["query"] == {
        "neural_sparse": {
            "vector": {
                "query_tokens": {"17": 1.5, "4": 0.5},
                "method_parameters": {
                    "k": 15,
                    "top_n": 2,
                    "heap_factor": 1.0,
                    "filter": {"bool": {"filter": [condition]}},
                },
            }
        }
    }
    created = body_of("opensearch", (3, 3, 0), "seismic")
    assert created["settings"]["index"]["sparse"] is True
    assert created["mappings"]["properties"]["vector"]["type"] == "sparse_vector"
    names = ids_of(["apple", "pear"])
    assert list(names.of({"pear": 1.0, "apple": 2.0})) == ["1", "0"]


def test_a_vocabulary_that_seismic_would_fold_is_refused():
    require_seismic(SEISMIC_TERMS)
    with pytest.raises(ConfigError, match="terms would be merged"):
        require_seismic(50368)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"{c.flavour}-{c.field}")
def test_every_choice_has_a_mapping_that_only_the_options_change(choice):
    stored = json.loads(resource("mappings", choice.mapping).read_text("utf-8"))
    assert body_of(choice.flavour, (9, 9, 9), choice.field) == stored
    changed = body_of(choice.flavour, (9, 9, 9), choice.field, shards=3, replicas=2)
    assert changed["settings"]["index"]["number_of_shards"] == 3
    assert changed["settings"]["index"]["number_of_replicas"] == 2
    assert "_source" not in body_of(choice.flavour, (9, 9, 9), choice.field, keep_vectors=True)[
        "mappings"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("flavour", "version", "field"),
    [
        ("elasticsearch", (7, 17, 29), "rank_features"),
        ("elasticsearch", (8, 14, 0), "rank_features"),
        ("elasticsearch", (8, 15, 0), "sparse_vector"),
        ("elasticsearch", (9, 2, 0), "sparse_vector"),
        ("opensearch", (2, 11, 0), "rank_features"),
        ("opensearch", (3, 8, 0), "rank_features"),
    ],
)
def test_the_default_field_type_is_exact_and_there_without_a_plugin(flavour, version, field):
    assert default_field(flavour, version) == field


@pytest.mark.parametrize(
    ("flavour", "version", "field", "words"),
    [
        ("elasticsearch", (7, 17, 0), "sparse_vector", "needs elasticsearch 8.15"),
        ("opensearch", (3, 8, 0), "sparse_vector", "Use one of: rank_features, neural_sparse"),
        ("elasticsearch", (9, 2, 0), "dense", "Use one of: rank_features, sparse_vector"),
    ],
)
def test_a_field_type_that_is_not_there_is_refused(flavour, version, field, words):
    with pytest.raises(ConfigError, match=words):
        find_choice(flavour, version, field)


@pytest.mark.parametrize(
    "term", ["", " ", ".", "%", "%2E", "a.b%c", "%25", "..%%..", "🎈", "x" * 600]
)
def test_terms_are_escaped_one_to_one(term):
    assert "." not in escape_term(term)
    assert unescape_term(escape_term(term)) == term


def test_two_terms_that_differ_in_a_dot_keep_names_of_their_own():
    names = {escape_term(term) for term in ("u.s", "u_s", "u%2Es", "us")}
    assert len(names) == 4


def test_weights_are_cut_to_nine_significant_bits():
    # 1 + 1/256 has nine bits, 1 + 1/512 has ten
    assert truncate_vector({"a": 1 + 1 / 256, "b": 1 + 1 / 512, "c": 3.0}) == {
        "a": 1 + 1 / 256,
        "b": 1.0,
        "c": 3.0,
    }


def test_a_search_orders_by_score_and_then_by_id_and_counts_nothing():
    body = search_body(SearchRequest({"apple": 1.0}, documents=False), "rank_features", Page(10, 5))
    assert body["sort"] == [{"_score": {"order": "desc"}}, {"doc_id": {"order": "asc"}}]
    assert (body["size"], body["from"], body["_source"]) == (10, 5, False)
    assert body["track_total_hits"] is False


def test_a_filter_leaves_scores_alone():
    request = SearchRequest({"apple": 1.0}, filter=parse_filter(["a.b=7|x", "year>=2020"]))
    query = search_body(request, "rank_features", Page(10))["query"]
    assert query["bool"]["must"] == [term_query("rank_features", {"apple": 1.0})]
    assert query["bool"]["filter"] == [
        {
            "bool": {
                "should": [
                    {"terms": {"metadata.a%2Eb": ["7", "x"]}},
                    {"terms": {"metadata.a%2Eb.number": [7.0]}},
                ],
                "minimum_should_match": 1,
            }
        },
        {"range": {"metadata.year.number": {"gte": 2020.0}}},
    ]


@pytest.mark.parametrize(
    ("field", "clause"),
    [
        ("rank_features", {"rank_feature": {"field": "vector.3%2E5%25", "linear": {}}}),
        ("neural_sparse", {"rank_feature": {"field": "vector.3%2E5%25", "linear": {}}}),
        (
            "sparse_vector",
            {
                "sparse_vector": {
                    "field": "vector",
                    "query_vector": {"3%2E5%25": 1.0},
                    "prune": False,
                }
            },
        ),
    ],
)
@pytest.mark.parametrize(
    "how", [{}, {"two_step": TwoStep()}, {"text": "some words"}, {"server_pruning": True}]
)
def test_a_required_term_is_a_filter_by_its_own_name_however_it_is_searched(field, clause, how):
    request = SearchRequest(
        {"a": 1.0, "b": 0.1}, filter=parse_filter(["lang=en"]), require=("3.5%",), **how
    )
    plain = request._replace(require=())
    (asked, free) = (search_body(r, field, Page(10))["query"]["bool"] for r in (request, plain))
    assert asked["must"] == free["must"]
    assert asked["filter"] == [*free["filter"], clause]


def test_two_steps_search_the_heavy_terms_and_add_the_light_ones():
    request = SearchRequest({"a": 1.0, "b": 0.5, "c": 0.1}, two_step=TwoStep(ratio=0.4))
    body = search_body(request, "sparse_vector", Page(10, 20))
    assert body["query"] == term_query("sparse_vector", {"a": 1.0, "b": 0.5})
    assert body["rescore"] == {
        "window_size": 150,
        "query": {
            "rescore_query": term_query("sparse_vector", {"c": 0.1}),
            "query_weight": 1.0,
            "rescore_query_weight": 1.0,
            "score_mode": "total",
        },
    }
    assert "sort" not in body  # no server takes both


def test_two_steps_without_light_terms_are_one():
    request = SearchRequest({"a": 1.0, "b": 0.5}, two_step=TwoStep(ratio=0.4))
    assert "rescore" not in search_body(request, "rank_features", Page(10))


@pytest.mark.parametrize(
    ("step", "page", "window"),
    [
        (TwoStep(expansion=5), Page(10), 50),
        (TwoStep(expansion=5), Page(10, 90), 500),
        (TwoStep(window=20), Page(10, 90), 100),
        (TwoStep(window=700), Page(10), 700),
        (TwoStep(expansion=50), Page(1000), LARGEST_PAGE),
    ],
)
def test_no_hit_lies_beyond_the_window(step, page, window):
    assert window_of(step, page) == window
    assert window >= page.offset + page.size
