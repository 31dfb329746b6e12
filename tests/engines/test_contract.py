"""What every engine promises, whatever it stores its vectors in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_ir.engines.base import SearchRequest, TwoStep, require_index_name
from sparse_ir.engines.filters import parse_filter
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.stamp import DenseSpace, Stamp
from sparse_ir.errors import ConfigError, EngineError, IndexNotFoundError
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import vocabulary_hash

VOCABULARY = ("apple", "3.5%", "ü", "pear", "a b")
ADDRESSES = ["embedded", "memory", "memory::"]
CLUSTERS = ["opensearch", "elasticsearch", "elasticsearch8", "elasticsearch7"]


def make_stamp(vocabulary=VOCABULARY, **changes):
    values = {
        "model": "tiny",
        "fingerprint": "f" * 64,
        "query_fingerprints": ("q" * 64,),
        "vocabulary_hash": vocabulary_hash(vocabulary),
        "vocabulary_size": len(vocabulary),
        "document_pruning": "",
        "corpus": "corpus.jsonl",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.0.0",
    }
    return Stamp(**{**values, **changes})


def entry(doc_id, vector=None, **metadata):
    vector = {"apple": 1.0} if vector is None else vector
    return Entry(Document(doc_id, f"text of {doc_id}", "a title", metadata), vector)


def build(engine, *entries, name="fruit"):
    """Publish an index of these entries; returns what was refused."""
    physical = engine.create(name, make_stamp(), VOCABULARY)
    failures = list(engine.add(physical, entries))
    engine.publish(name, physical)
    return failures


def found(engine, terms, index="fruit", **options):
    hits = engine.search(index, [SearchRequest(terms, **options)])[0]
    return [(hit.doc_id, hit.score) for hit in hits]


def ids(engine, terms, index="fruit", **options):
    return [doc_id for doc_id, _ in found(engine, terms, index, **options)]


def in_cluster(kind, server_url):
    """An engine in a cluster that keeps vectors, so that all that others keep can be read back."""
    return open_engine(server_url(kind), options=ClusterOptions(keep_vectors=True, replicas=0))


def wipe(engine):
    for name in engine.connection.call("GET", "/*@*/_alias"):
        engine.drop(name)


@pytest.fixture(params=[*ADDRESSES, *CLUSTERS])
def engine(request):
    if request.param not in CLUSTERS:
        opened = open_engine(request.param)
        yield opened
        opened.close()
        return
    opened = in_cluster(request.param, request.getfixturevalue("server_url"))
    yield opened
    wipe(opened)
    opened.close()


def add(engine, *entries, index="fruit"):
    """Add to an index in sight and make it searchable; returns what was refused."""
    failures = list(engine.add(index, entries))
    engine.refresh(index)
    return failures


# Scores and order


def test_scores_are_dot_products_and_hits_come_by_score(engine):
    build(
        engine,
        entry("a", {"apple": 1.0, "pear": 2.0}),
        entry("b", {"apple": 3.0}),
        entry("c", {"ü": 9.0}),
    )
    assert found(engine, {"apple": 2.0, "pear": 0.5}) == [("b", 6.0), ("a", 3.0)]


def test_equal_scores_come_by_id_also_where_the_cut_goes_through_them(engine):
    build(engine, *[entry(f"d{i:03}") for i in range(200)], entry("top", {"apple": 2.0}))
    assert ids(engine, {"apple": 1.0}, k=4) == ["top", "d000", "d001", "d002"]
    assert ids(engine, {"apple": 1.0}, k=3, offset=150) == ["d149", "d150", "d151"]


def test_a_document_that_shares_no_term_is_no_hit(engine):
    build(engine, entry("a", {"apple": 1.0}), entry("b", {"pear": 1.0}))
    assert ids(engine, {"pear": 1.0, "ü": 5.0}) == ["b"]


def test_query_terms_outside_the_vocabulary_count_for_nothing(engine):
    build(engine, entry("a"))
    assert found(engine, {"apple": 2.0, "plum": 7.0}) == [("a", 2.0)]
    assert found(engine, {"plum": 7.0}) == []
    assert found(engine, {}) == []


@pytest.mark.parametrize("k", [3, 4, 1000, 10**12])
def test_k_may_be_larger_than_the_index(engine, k):
    build(engine, entry("a"), entry("b"), entry("c"))
    assert ids(engine, {"apple": 1.0}, k=k) == ["a", "b", "c"]
    assert ids(engine, {"apple": 1.0}, k=k, offset=2) == ["c"]
    assert ids(engine, {"apple": 1.0}, k=k, offset=3) == []


def test_requests_are_answered_in_their_order(engine):
    build(engine, entry("a", {"apple": 1.0}), entry("b", {"pear": 1.0}))
    requests = [SearchRequest({term: 1.0}) for term in ("pear", "ü", "apple")]
    answers = engine.search("fruit", requests)
    assert [[hit.doc_id for hit in hits] for hits in answers] == [["b"], [], ["a"]]
    assert engine.search("fruit", []) == []


@pytest.mark.parametrize(
    "wrong",
    [
        SearchRequest({"apple": 1.0}, k=0),
        SearchRequest({"apple": 1.0}, offset=-1),
        SearchRequest({"apple": math.nan}),
        SearchRequest({"apple": -1.0}),
        SearchRequest({"apple": 1e39}),
        SearchRequest({"apple": 1e-60}),
    ],
)
def test_a_wrong_request_is_refused(engine, wrong):
    build(engine, entry("a"))
    with pytest.raises(ValueError, match=r"k is|weight"):
        engine.search("fruit", [wrong])


def test_scores_beyond_float32_lose_no_hit(engine):
    build(engine, *[entry(f"d{i}", {"apple": 1e38 * (1 + i)}) for i in range(3)])
    assert sorted(ids(engine, {"apple": 1e30}, k=2)) == ["d0", "d1"]


def test_hits_bring_documents_and_vectors_when_asked(engine):
    build(engine, entry("a", {"apple": 1.5, "ü": 2.0}, lang="en"))
    plain, both = engine.search(
        "fruit",
        [
            SearchRequest({"apple": 1.0}, documents=False),
            SearchRequest({"apple": 1.0}, documents=True, vectors=True),
        ],
    )
    assert (plain[0].document, plain[0].vector) == (None, None)
    assert both[0].document == Document("a", "text of a", "a title", {"lang": "en"})
    assert both[0].vector == {"apple": 1.5, "ü": 2.0}


weights = st.floats(2.0**-10, 2.0**10, width=32)
vectors = st.dictionaries(st.sampled_from(VOCABULARY), weights, max_size=5)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    engines = (
        open_engine(f"embedded:{tmp_path_factory.mktemp('pair')}"),
        open_engine("memory::"),
    )
    for one in engines:
        build(one)
    yield engines
    for one in engines:
        one.close()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(vectors, max_size=12), vectors, st.integers(1, 12), st.integers(0, 3))
def test_engines_agree_on_hits_and_order(pair, documents, query, k, offset):
    answers = []
    for one in pair:
        one.delete("fruit", [str(i) for i in range(12)])
        entries = [entry(str(i), vector) for i, vector in enumerate(documents)]
        assert list(one.add("fruit", entries)) == []
        answers.append(found(one, query, k=k, offset=offset))
    embedded, memory = answers
    assert [doc_id for doc_id, _ in embedded] == [doc_id for doc_id, _ in memory]
    assert [s for _, s in embedded] == pytest.approx([s for _, s in memory], rel=1e-5)


def test_engines_agree_on_many_long_vectors(pair):
    rng = np.random.default_rng(0)
    terms = [f"t{i}" for i in range(400)]

    def draw(count):
        drawn = rng.gamma(2, 1, count).astype(np.float32).tolist()
        return {terms[c]: w for c, w in zip(rng.permutation(400), drawn, strict=False)}

    documents = [entry(f"d{i}", draw(60)) for i in range(800)]
    twins = [
        e._replace(document=e.document._replace(doc_id=f"twin-{i}"))
        for i, e in enumerate(documents[:100])
    ]
    requests = [SearchRequest(draw(20), k=k, documents=False) for k in (1, 10, 300)] * 10
    answers = []
    for one in pair:
        physical = one.create("long", make_stamp(terms), terms)
        assert list(one.add(physical, documents + twins)) == []
        one.publish("long", physical)
        answers.append(one.search("long", requests))
    for ours, expected in zip(*answers, strict=True):
        assert [hit.doc_id for hit in ours] == [hit.doc_id for hit in expected]
        assert [h.score for h in ours] == pytest.approx([h.score for h in expected], rel=1e-5)


# What is stored

ODD_METADATA = {
    "a.b": 1,
    "a[0]": {"nested": [1, {"deep": None}]},
    "": "empty key",
    "ü": "日本語 🎈",
    "big": 2**70 + 1,
    "close": 0.1 + 0.2,
    "flag": True,
    "none": None,
    "list": [1, "1", 1.5, False, []],
}


def test_documents_come_back_as_they_were_given(engine):
    odd = Entry(Document("id with space/ü\n", "text\x00", 'ti"tle', ODD_METADATA), {"ü": 1})
    assert build(engine, odd) == []
    assert engine.get("fruit", [odd.document.doc_id]) == [odd]
    assert list(engine.scan("fruit")) == [odd]
    assert engine.search("fruit", [SearchRequest({"ü": 1.0})])[0][0].document == odd.document


def test_half_a_character_is_kept_or_refused_in_so_many_words(engine):
    half = Entry(Document("a", "\ud83d text", metadata={"half": "\ud83d"}), {"ü": 1})
    failures = build(engine, half)
    if failures:
        assert "half a surrogate pair" in failures[0].reason
    else:
        assert engine.get("fruit", ["a"]) == [half]


def test_get_answers_in_order_with_none_for_what_is_not_there(engine):
    build(engine, entry("a"), entry("b", {"pear": 2.0}))
    assert engine.get("fruit", ["b", "x", "a", "b"]) == [
        entry("b", {"pear": 2.0}),
        None,
        entry("a"),
        entry("b", {"pear": 2.0}),
    ]
    assert engine.get("fruit", []) == []


def test_scan_reads_everything_once(engine):
    entries = [entry(f"d{i}", {"apple": 1.0 + i}, n=i) for i in range(1100)]
    build(engine, *entries)
    assert sorted(engine.scan("fruit"), key=lambda e: e.vector["apple"]) == entries


def test_an_empty_vector_is_kept_and_never_a_hit(engine):
    assert build(engine, entry("empty", {}), entry("a")) == []
    assert ids(engine, dict.fromkeys(VOCABULARY, 1.0)) == ["a"]
    assert engine.get("fruit", ["empty"]) == [entry("empty", {})]
    assert engine.stats("fruit").documents == 2


def test_a_document_already_present_is_replaced_whole(engine):
    build(engine, entry("a", {"apple": 1.0}, old=1), entry("b"))
    assert add(engine, entry("a", {"pear": 1.0}, new=2)) == []
    assert engine.get("fruit", ["a"]) == [entry("a", {"pear": 1.0}, new=2)]
    assert ids(engine, {"apple": 1.0}) == ["b"]
    assert ids(engine, {"pear": 1.0}, filter=parse_filter(["old=1"])) == []
    assert engine.stats("fruit").documents == 2


def test_of_two_documents_with_one_id_the_later_stays(engine):
    build(engine, entry("a", {"apple": 1.0}), entry("a", {"apple": 2.0}))
    assert found(engine, {"apple": 1.0}) == [("a", 2.0)]


@pytest.mark.parametrize(
    ("vector", "words"),
    [
        ({"plum": 1.0}, "'plum' is not in the vocabulary"),
        ({"apple": 0.0}, "above 0"),
        ({"apple": -1.0}, "above 0"),
        ({"apple": math.nan}, "finite"),
        ({"apple": math.inf}, "finite"),
        ({"apple": 1e39}, "finite"),
        ({"apple": 1e-50}, "above 0"),
        ({"apple": "much"}, "much"),
        ({"apple": None}, "None"),
        ({1: 1.0}, "1 is not in the vocabulary"),
    ],
)
def test_a_vector_that_breaks_a_rule_is_refused_and_never_written(engine, vector, words):
    bad = entry("bad", {"pear": 1.0, **vector})
    failures = build(engine, entry("a"), bad, entry("z"))
    assert [failure.doc_id for failure in failures] == ["bad"]
    assert words in failures[0].reason
    assert ids(engine, {"apple": 1.0, "pear": 1.0}) == ["a", "z"]


@pytest.mark.parametrize(
    "document",
    [
        Document("", "no id"),
        Document("\ud83d", "half a character for an id"),
        Document(7, "a number for an id"),
        Document("x", None),
        Document("x", "text", 5),
        Document("x", "text", metadata=[1]),
        Document("x", "text", metadata={"when": object()}),
    ],
)
def test_a_document_that_cannot_be_stored_is_refused(engine, document):
    failures = build(engine, Entry(document, {"apple": 1.0}), entry("a"))
    assert [failure.doc_id for failure in failures] == [str(document.doc_id)]
    assert ids(engine, {"apple": 1.0}) == ["a"]


def test_nothing_is_written_until_the_iterator_is_consumed(engine):
    build(engine)
    waiting = engine.add("fruit", [entry("a")])
    assert engine.stats("fruit").documents == 0
    assert list(waiting) == []
    engine.refresh("fruit")
    assert engine.stats("fruit").documents == 1


# Deletes and filters


def test_delete_by_id_counts_what_was_there(engine):
    build(engine, entry("a"), entry("b"), entry("c"))
    assert engine.delete("fruit", ["a", "x", "a", "c"]) == 2
    assert engine.delete("fruit", ["a"]) == 0
    assert ids(engine, {"apple": 1.0}) == ["b"]
    assert engine.get("fruit", ["a"]) == [None]


def test_delete_and_search_by_filter(engine):
    build(
        engine,
        entry("a", lang="en", year=2019),
        entry("b", lang="de", year=2021),
        entry("c", lang=["en", "fr"], year=2022.5),
        entry("d"),
    )
    english = parse_filter(["lang=en"])
    assert ids(engine, {"apple": 1.0}, filter=english) == ["a", "c"]
    assert ids(engine, {"apple": 1.0}, filter=parse_filter(["lang=de|fr"])) == ["b", "c"]
    assert ids(engine, {"apple": 1.0}, filter=parse_filter(["lang=en", "year>=2020"])) == ["c"]
    assert ids(engine, {"apple": 1.0}, filter=parse_filter(["lang=nl"])) == []
    assert engine.delete_matching("fruit", english) == 2
    assert engine.delete_matching("fruit", english) == 0
    assert ids(engine, {"apple": 1.0}) == ["b", "d"]


def test_a_filter_tells_neighbours_beyond_2_to_the_53_apart(engine):
    """Numbers of 64 bits are what many a document is known by; a float has 53."""
    build(engine, *[entry(str(n), number=2**53 + n) for n in range(4)])
    for n in range(4):
        asked = parse_filter([f"number=+{2**53 + n}"])
        assert ids(engine, {"apple": 1.0}, filter=asked) == [str(n)]
    assert engine.delete_matching("fruit", parse_filter([f"number={2**53}"])) == 1
    assert ids(engine, {"apple": 1.0}) == ["1", "2", "3"]


def test_a_filter_does_not_shorten_the_answer(engine):
    entries = [entry(f"d{i:04}", {"apple": 2.0 + i}, keep=i % 50 == 0) for i in range(1000)]
    build(engine, *entries)
    kept = [f"d{i:04}" for i in range(950, -1, -50)]
    assert ids(engine, {"apple": 1.0}, k=20, filter=parse_filter(["keep=true"])) == kept


def test_equal_scores_under_a_filter_come_by_id(engine):
    build(engine, *[entry(f"d{i:03}", even=i % 2 == 0) for i in range(100)])
    even = parse_filter(["even=true"])
    assert ids(engine, {"apple": 1.0}, k=3, filter=even) == ["d000", "d002", "d004"]


def test_a_hit_holds_each_required_term_and_scores_as_before(engine):
    build(
        engine,
        entry("a", {"apple": 1.0, "3.5%": 0.25}, lang="en"),
        entry("b", {"apple": 3.0, "pear": 1.0}, lang="en"),
        entry("c", {"apple": 2.0, "3.5%": 4.0, "pear": 0.5}, lang="de"),
        entry("d", {"3.5%": 9.0}),
    )
    query = {"apple": 1.0, "ü": 1.0}
    assert found(engine, query, require=("3.5%",)) == [("c", 2.0), ("a", 1.0)]
    assert found(engine, query, require=("3.5%", "pear", "pear")) == [("c", 2.0)]
    assert ids(engine, query, require=("3.5%",), filter=parse_filter(["lang=en"])) == ["a"]
    assert ids(engine, query, require=("ü",)) == []
    assert ids(engine, query, require=("no term of it",)) == []
    assert ids(engine, {"apple": 1.0, "pear": 0.01}, require=("pear",), two_step=TwoStep()) == [
        "b",
        "c",
    ]


def test_a_required_term_does_not_shorten_the_answer(engine):
    def vector(i):
        return {"apple": 2.0 + i} | ({"pear": 1.0} if i % 50 == 0 else {})

    build(engine, *[entry(f"d{i:04}", vector(i)) for i in range(1000)])
    kept = [f"d{i:04}" for i in range(950, -1, -50)]
    assert ids(engine, {"apple": 1.0}, k=20, require=("pear",)) == kept
    assert ids(engine, {"apple": 1.0}, k=5, offset=5, require=("pear",)) == kept[5:10]


# Dense vectors beside the terms

HALF = 0.5**0.5
SPACE = DenseSpace("tiny dense", "d" * 64, 2)


@pytest.fixture
def dense_engine(engine):
    """An engine that can hold dense vectors; one that cannot says so in one line."""
    try:
        physical = engine.create("probe", make_stamp(dense=SPACE), VOCABULARY)
    except ConfigError as error:
        pytest.skip(str(error))
    engine.drop(physical)
    return engine


def test_an_engine_holds_dense_vectors_or_says_in_one_line_that_it_cannot(engine):
    try:
        physical = engine.create("probe", make_stamp(dense=SPACE), VOCABULARY)
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
        assert engine.describe(physical).dense == SPACE
        engine.drop(physical)
    assert not said or ("--dense needs" in said and "\n" not in said)
    assert engine.builds("probe") == []


def at(doc_id, x, y, **metadata):
    return entry(doc_id, **metadata)._replace(dense=as_float32((x, y)))


def as_float32(vector):
    return tuple(np.array(vector, np.float32).tolist())


def build_dense(engine, *entries, space=SPACE):
    physical = engine.create("fruit", make_stamp(dense=space), VOCABULARY)
    failures = list(engine.add(physical, entries))
    engine.publish("fruit", physical)
    return failures


def near(engine, x, y, **options):
    """Hits of a dense search, scores to 6 digits."""
    request = SearchRequest({}, dense=as_float32((x, y)), **options)
    hits = engine.search("fruit", [request])[0]
    return [(hit.doc_id, round(hit.score, 6)) for hit in hits]


def test_dense_scores_are_dot_products_of_every_document_with_a_vector(dense_engine):
    build_dense(
        dense_engine, at("a", 1, 0), at("b", HALF, HALF), at("c", -1, 0), entry("no direction")
    )
    assert near(dense_engine, 1, 0) == [("a", 1.0), ("b", 0.707107), ("c", -1.0)]
    assert near(dense_engine, 1, 0, k=1, offset=1) == [("b", 0.707107)]
    assert ids(dense_engine, {"apple": 1.0}) == ["a", "b", "c", "no direction"]


def test_dense_vectors_of_any_length_are_compared_by_dot_product(dense_engine):
    space = replace(SPACE, similarity="dot")
    build_dense(dense_engine, at("a", 3, 0), at("b", 0, 2), at("c", -4, 1), space=space)
    assert near(dense_engine, 2, 1) == [("a", 6.0), ("b", 2.0), ("c", -7.0)]


def test_equal_dense_scores_come_by_id_also_where_the_cut_goes_through_them(dense_engine):
    twins = [at(f"d{i:03}", 0, 1) for i in range(120)]
    build_dense(dense_engine, *twins, at("top", HALF, HALF))
    hits = near(dense_engine, HALF, HALF, k=4)
    assert [doc_id for doc_id, _ in hits] == ["top", "d000", "d001", "d002"]


def test_filters_hold_for_dense_hits_too(dense_engine):
    build_dense(
        dense_engine,
        *[at(f"d{i:03}", 1, 0, keep=False) for i in range(100)],
        at("x", 0, 1, keep=True),
        at("y", -1, 0, keep=True),
    )
    kept = parse_filter(["keep=true"])
    assert near(dense_engine, 1, 0, k=5, filter=kept) == [("x", 0.0), ("y", -1.0)]
    assert near(dense_engine, 1, 0, filter=parse_filter(["keep=maybe"])) == []


def test_a_dense_vector_comes_back_is_replaced_and_deleted_with_its_document(dense_engine):
    build_dense(dense_engine, at("a", 1, 0), at("b", 0.6, 0.8), entry("bare"))
    assert dense_engine.get("fruit", ["b", "bare"]) == [at("b", 0.6, 0.8), entry("bare")]
    assert sorted(dense_engine.scan("fruit"), key=lambda e: e.document.doc_id)[1] == at(
        "b", 0.6, 0.8
    )
    add(dense_engine, at("b", 0, 1), entry("a"))
    assert near(dense_engine, 0, 1) == [("b", 1.0)]
    dense_engine.delete("fruit", ["b"])
    assert near(dense_engine, 0, 1) == []
    assert dense_engine.describe("fruit").dense == SPACE


def test_dense_hits_bring_documents_and_terms_when_asked(dense_engine):
    build_dense(dense_engine, at("a", 1, 0, lang="en"))
    request = SearchRequest({"apple": 1.0}, dense=(1.0, 0.0), vectors=True)
    bare = request._replace(documents=False, vectors=False)
    (whole,), (plain,) = dense_engine.search("fruit", [request, bare])
    assert whole.document == Document("a", "text of a", "a title", {"lang": "en"})
    assert whole.vector == {"apple": 1.0}
    assert (plain.document, plain.vector) == (None, None)


def test_terms_and_dense_vectors_are_searched_side_by_side(dense_engine):
    build_dense(dense_engine, at("a", 1, 0), at("b", 0, 1))
    terms, dense = dense_engine.search(
        "fruit", [SearchRequest({"apple": 2.0}), SearchRequest({"apple": 2.0}, dense=(0.0, 1.0))]
    )
    assert [(hit.doc_id, hit.score) for hit in terms] == [("a", 2.0), ("b", 2.0)]
    assert [hit.doc_id for hit in dense] == ["b", "a"]


@pytest.mark.parametrize(
    ("dense", "words"),
    [
        ((1.0, 0.0, 0.0), "3 numbers; those of the index have 2"),
        ((math.nan, 1.0), "finite"),
        ((math.inf, 0.0), "finite"),
        ((2.0, 0.0), "length 1"),
        (("much", 0.0), "no number"),
    ],
)
def test_a_dense_vector_that_breaks_a_rule_is_refused(dense_engine, dense, words):
    bad = entry("bad")._replace(dense=dense)
    failures = build_dense(dense_engine, at("a", 1, 0), bad)
    assert [failure.doc_id for failure in failures] == ["bad"]
    assert words in failures[0].reason
    assert near(dense_engine, 1, 0) == [("a", 1.0)]


def test_an_index_without_dense_vectors_takes_and_answers_none(engine):
    failures = build(engine, entry("a"), entry("b")._replace(dense=(1.0, 0.0)))
    assert [failure.reason for failure in failures] == ["the index holds no dense vectors"]
    with pytest.raises(ConfigError, match="holds no dense vectors"):
        engine.search("fruit", [SearchRequest({}, dense=(1.0, 0.0))])


def test_a_wrong_dense_query_is_refused(dense_engine):
    build_dense(dense_engine, at("a", 1, 0))
    for wrong in ((1.0,), (math.nan, 0.0)):
        with pytest.raises(ValueError, match="dense query vector"):
            dense_engine.search("fruit", [SearchRequest({}, dense=wrong)])


def test_engines_agree_on_many_dense_vectors(pair):
    rng = np.random.default_rng(0)
    space = DenseSpace("tiny dense", "d" * 64, 48)
    drawn = rng.normal(size=(700, 48))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    drawn[600:] = drawn[:100]  # twins
    entries = [entry(f"d{i}")._replace(dense=as_float32(row)) for i, row in enumerate(drawn)]
    requests = [
        SearchRequest({}, dense=as_float32(row), k=k, documents=False)
        for row in drawn[:5]
        for k in (1, 7, 700)
    ]
    answers = []
    for one in pair:
        physical = one.create("wide", make_stamp(dense=space), VOCABULARY)
        assert list(one.add(physical, entries)) == []
        one.publish("wide", physical)
        answers.append(one.search("wide", requests))
    embedded, memory = answers
    assert embedded == memory


# Builds, names, stamps


def test_a_build_comes_into_sight_whole(engine):
    build(engine, entry("old"))
    before = engine.resolve("fruit")
    physical = engine.create("fruit", make_stamp(), VOCABULARY)
    list(engine.add(physical, [entry("new")]))
    engine.refresh(physical)
    assert ids(engine, {"apple": 1.0}) == ["old"]
    assert ids(engine, {"apple": 1.0}, index=physical) == ["new"]
    engine.publish("fruit", physical)
    assert ids(engine, {"apple": 1.0}) == ["new"]
    assert engine.resolve("fruit") == physical
    assert not engine.exists(before)
    assert engine.indexes() == ["fruit"]


def test_an_index_that_was_begun_and_never_published_is_called_unfinished(engine):
    physical = engine.create("fruit", make_stamp(), VOCABULARY)
    with pytest.raises(IndexNotFoundError, match="not finished") as caught:
        engine.resolve("fruit")
    assert physical in str(caught.value)


def test_publishing_what_is_published_changes_nothing(engine):
    build(engine, entry("a"))
    engine.publish("fruit", engine.resolve("fruit"))
    assert ids(engine, {"apple": 1.0}) == ["a"]


def test_a_build_is_published_under_its_own_name_only(engine):
    physical = engine.create("fruit", make_stamp(), VOCABULARY)
    with pytest.raises(EngineError, match="belongs to index 'fruit'"):
        engine.publish("other", physical)


def test_every_build_has_a_name_of_its_own(engine):
    names = {engine.create("fruit", make_stamp(), VOCABULARY) for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("fruit@") and engine.exists(name) for name in names)
    assert not engine.exists("fruit")
    assert engine.indexes() == []


def test_the_stamp_is_kept(engine):
    build(engine)
    assert engine.describe("fruit") == make_stamp()
    assert engine.describe(engine.resolve("fruit")) == make_stamp()


def test_a_stamp_may_accept_more_queries_later(engine):
    build(engine, entry("a"))
    more = make_stamp(query_fingerprints=("q" * 64, "r" * 64))
    engine.restamp("fruit", more)
    assert engine.describe("fruit") == more
    assert ids(engine, {"apple": 1.0}) == ["a"]


def test_drop_removes_a_build_or_an_index_with_its_builds(engine):
    build(engine, entry("a"))
    aside = engine.create("fruit", make_stamp(), VOCABULARY)
    engine.drop(aside)
    assert not engine.exists(aside)
    assert ids(engine, {"apple": 1.0}) == ["a"]
    engine.drop("fruit")
    assert engine.indexes() == []
    assert not engine.exists("fruit")
    build(engine, entry("b"))
    assert ids(engine, {"apple": 1.0}) == ["b"]


@pytest.mark.parametrize(
    "name", ["nothing", "fruit@20260101T000000000000Z-abcdef", "../x", "", "A"]
)
def test_an_index_that_is_not_there_is_said_so(engine, name):
    build(engine)
    for ask in (
        lambda: engine.search(name, [SearchRequest({"apple": 1.0})]),
        lambda: list(engine.add(name, [entry("a")])),
        lambda: engine.describe(name),
        lambda: engine.resolve(name),
        lambda: engine.stats(name),
        lambda: engine.drop(name),
    ):
        with pytest.raises(IndexNotFoundError, match=r"no (index|build)"):
            ask()
    assert not engine.exists(name)


@pytest.mark.parametrize("name", ["", "Fruit", "a/b", "a@b", "..", "-a", "ü", "a" * 129, "a\n"])
def test_names_that_some_engine_refuses_are_refused_by_all(engine, name):
    with pytest.raises(ConfigError, match="not allowed"):
        engine.create(name, make_stamp(), VOCABULARY)
    with pytest.raises(ConfigError, match="not allowed"):
        require_index_name(name)


def test_a_vocabulary_with_a_term_twice_is_refused(engine):
    with pytest.raises(ValueError, match="twice"):
        engine.create("fruit", make_stamp(), ["a", "a"])


def test_a_vocabulary_that_is_not_the_stamps_is_refused(engine):
    with pytest.raises(ValueError, match="stamp"):
        engine.create("fruit", make_stamp(), ["apple"])
    assert engine.indexes() == []


def test_stats_count_documents_and_bytes(engine):
    build(engine, entry("a"), entry("b"))
    stats = engine.stats("fruit")
    assert stats.documents == 2
    assert stats.bytes > 0


# Between runs


@pytest.mark.parametrize("address", ["embedded", "memory"])
def test_what_is_closed_is_there_when_opened_again(address):
    engine = open_engine(address)
    build(engine, entry("a", {"apple": 1.0}, n=1), entry("b", {"pear": 2.0}))
    engine.delete("fruit", ["a"])
    list(engine.add("fruit", [entry("c", {"ü": 3.0})]))
    unfinished = engine.create("fruit", make_stamp(), VOCABULARY)
    list(engine.add(unfinished, [entry("later")]))
    engine.close()
    again = open_engine(engine.address)
    assert sorted(again.scan("fruit")) == [entry("b", {"pear": 2.0}), entry("c", {"ü": 3.0})]
    assert list(again.scan(unfinished)) == [entry("later")]
    again.close()


@pytest.mark.parametrize("address", ["embedded", "memory"])
def test_dense_vectors_are_there_when_opened_again(address):
    with open_engine(address) as engine:
        build_dense(engine, at("a", 1, 0), entry("bare"))
        list(engine.add("fruit", [at("b", 0, 1)]))
    with open_engine(address) as again:
        assert near(again, 0, 1) == [("b", 1.0), ("a", 0.0)]
        assert again.get("fruit", ["bare"]) == [entry("bare")]


@pytest.mark.parametrize("address", ADDRESSES)
def test_two_engines_of_one_process_see_the_same(address, tmp_path):
    if address == "memory::":
        pytest.skip("an engine without a folder keeps its indexes to itself")
    first, second = (open_engine(f"{address}:{tmp_path}") for _ in range(2))
    build(first, entry("a"))
    assert ids(second, {"apple": 1.0}) == ["a"]
    list(first.add("fruit", [entry("b")]))
    first.refresh("fruit")
    assert ids(second, {"apple": 1.0}) == ["a", "b"]
    first.close()
    assert ids(second, {"apple": 1.0}) == ["a", "b"]
    build(second, entry("c"))
    assert ids(first, {"apple": 1.0}) == ["c"]
    first.close()
    second.close()


def test_an_engine_that_is_closed_opens_again_when_asked(engine):
    build(engine, entry("a"))
    engine.close()
    assert ids(engine, {"apple": 1.0}) == ["a"]


# Addresses


@pytest.mark.parametrize("address", [*ADDRESSES, "embedded:{}/x", "memory:{}/x"])
def test_an_address_opens_the_same_engine_again(address, tmp_path):
    address = address.format(tmp_path)
    with open_engine(address) as engine:
        assert engine.address == address
        build(engine, entry("a"))
    with open_engine(engine.address) as again:
        assert again.indexes() == ([] if address == "memory::" else ["fruit"])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("embeded", "Did you mean 'embedded'"),
        ("Memory", "Did you mean 'memory'"),
        ("opensaerch", "Did you mean 'opensearch'"),
        ("sqlite", "Use 'embedded' or 'memory'"),
        ("", "Use 'embedded' or 'memory'"),
        ("embedded:", "PATH"),
    ],
)
def test_an_unknown_address_is_refused_with_advice(address, words):
    with pytest.raises(ConfigError, match=words):
        open_engine(address)
