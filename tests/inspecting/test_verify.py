"""A sound index verifies everywhere; whatever is wrong with one is named."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from sparse_ir.engines import fields
from sparse_ir.engines.opening import open_engine
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.stamp import Stamp
from sparse_ir.errors import ConfigError
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.inspecting.findings import (
    CHANGED,
    DOTS,
    LOST_DOCUMENTS,
    LOST_LIGHT_TERMS,
    LOST_VECTORS,
    MERGED,
    OTHER_WEIGHTS,
    PRUNING,
    SATURATION,
    STALE,
    WRONG_MODEL,
)
from sparse_ir.inspecting.verify import VerifySettings, verify, verify_vectors
from sparse_ir.inspecting.verify_sample import make_queries
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.models.loading import load_encoder
from sparse_ir.types import Document, Entry
from sparse_ir.vectors import to_terms, vocabulary_hash

LOCAL = ["embedded", "memory"]
CLUSTERS = ["opensearch", "elasticsearch", "elasticsearch8", "elasticsearch7"]
NEWEST = ["opensearch", "elasticsearch"]
INDEX = "verify-test"
DOCUMENTS = 60


def place_at(kind, server_url):
    return kind if kind in LOCAL else server_url(kind)


@pytest.fixture
def place(request, server_url):
    """The address of an engine, without the index afterwards."""
    address = place_at(request.param, server_url)
    yield address
    with open_engine(address) as engine:
        if engine.exists(INDEX) or engine.builds(INDEX):
            for physical in engine.builds(INDEX):
                engine.drop(physical)


def on(*kinds):
    return pytest.mark.parametrize("place", kinds, indirect=True)


EVERYWHERE = on(*LOCAL, *CLUSTERS)
NEARLY_EVERYWHERE = on(*LOCAL, *NEWEST)
TWICE = on("embedded", "opensearch")


@pytest.fixture
def corpus(write_jsonl):
    rng = random.Random(7)
    words = [
        f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "re") for b in ("bat", "den", "fog", "gum")
    ]
    rows = []
    for i in range(DOCUMENTS):
        text = [word for n, word in enumerate(words) for _ in range(rng.choice((0, 0, 1, 2, 5)))]
        rows.append({"_id": f"d{i}", "title": f"Own{i}", "text": " ".join(text)})
    return write_jsonl("corpus.jsonl", rows)


def index(place, corpus, **options):
    settings = {"model": "bm25", "replicas": 0, "index": INDEX, "replace": True} | options
    index_corpus(IndexSettings(corpus=str(corpus), engine=place, **settings))


def check(place, **settings):
    given = {"documents": 100, "sample_queries": 12, "index": INDEX} | settings
    return verify(VerifySettings(engine=place, **given))


def causes(found):
    return {finding.cause for finding in found.findings}


def rewrite(place, change, *, refresh=True):
    """Write documents again with changed vectors, as a program without a stamp would."""
    with open_engine(place) as engine:
        encoder = load_encoder(engine.describe(INDEX).model)
        documents = [entry.document for entry in engine.scan(INDEX, vectors=False)]
        batch = encoder.encode_documents([document.content for document in documents])
        vectors = to_terms(batch, encoder.vocabulary)
        changed = [change(Entry(d, v)) for d, v in zip(documents, vectors, strict=True)]
        assert list(engine.add(INDEX, [entry for entry in changed if entry is not None])) == []
        if refresh:
            engine.refresh(INDEX)


def only(which, **changes):
    """Change one document and leave the others alone."""

    def change(entry):
        if entry.document.doc_id != which:
            return None
        return entry._replace(document=entry.document._replace(**changes))

    return change


def call(place, method, rest, body=None):
    with open_engine(place) as engine:
        return engine.connection.call(method, f"/{INDEX}/{rest}", body)


# Sound


@EVERYWHERE
def test_a_sound_index_verifies(place, corpus):
    index(place, corpus)
    found = check(place, corpus=str(corpus))
    assert found.findings == ()
    assert found.verdict == "exact"
    assert (found.documents, found.expected_documents, found.sampled) == (60, 60, 60)
    assert found.scores == found.scores_exact > 60
    assert found.weights > 300
    assert found.largest_error < 1e-6


@TWICE
def test_queries_are_encoded_and_pruned_documents_are_pruned_again(place, corpus, write_jsonl):
    index(place, corpus, document_pruning="top_k=6")
    rows = [{"_id": "1", "text": "kabat midens"}, {"_id": "2", "text": "unknown"}]
    queries = write_jsonl("q.jsonl", rows)
    found = check(place, queries=str(queries))
    assert (found.verdict, found.queries) == ("exact", 2)
    assert found.weights == 6 * DOCUMENTS


@on(*NEWEST)
def test_vectors_kept_in_the_index_are_compared_too(place, corpus):
    index(place, corpus, keep_vectors=True)
    assert check(place).verdict == "exact"


def test_a_sample_is_as_large_as_asked_for(corpus):
    index("memory", corpus)
    found = check("memory", documents=7, sample_queries=3)
    assert (found.sampled, found.queries) == (7, 3)


# Documents


@NEARLY_EVERYWHERE
def test_a_missing_document_is_named(place, corpus):
    index(place, corpus)
    with open_engine(place) as engine:
        engine.delete(INDEX, ["d17"])
    found = check(place, corpus=str(corpus), documents=5)
    assert found.verdict == "wrong"
    assert [(f.cause, f.doc_id) for f in found.findings] == [(LOST_DOCUMENTS, "d17")]


@TWICE
def test_a_document_whose_text_is_another_is_named(place, corpus):
    index(place, corpus)
    new = json.dumps({"_id": "d3", "title": "Own3", "text": "kabat kabat"})
    rows = corpus.read_text().splitlines()
    corpus.write_text("\n".join([*rows[:3], new, *rows[4:]]))
    found = check(place, corpus=str(corpus))
    assert [(f.cause, f.doc_id) for f in found.findings] == [(CHANGED, "d3")]


@on(*NEWEST)
def test_documents_that_wait_for_a_refresh_are_named(place, corpus):
    index(place, corpus)
    call(place, "PUT", "_settings", {"index": {"refresh_interval": "-1"}})
    rewrite(place, only("d5", doc_id="new", title="", text="kabat"), refresh=False)
    with corpus.open("a") as stream:
        stream.write(json.dumps({"_id": "new", "text": "kabat"}) + "\n")
    found = check(place, corpus=str(corpus), documents=5)
    assert [(f.cause, f.doc_id) for f in found.findings] == [(STALE, "new")]


@on(*NEWEST)
def test_searches_that_find_an_older_version_are_named(place, corpus):
    index(place, corpus)
    call(place, "PUT", "_settings", {"index": {"refresh_interval": "-1"}})
    rewrite(place, only("d5", text="later"), refresh=False)
    found = check(place)
    assert [(f.cause, f.doc_id) for f in found.findings] == [(STALE, "d5")]


# Weights


@NEARLY_EVERYWHERE
def test_the_lightest_term_of_every_document_removed_is_named(place, corpus):
    index(place, corpus)

    def without_lightest(entry):
        lightest = min(entry.vector, key=lambda term: entry.vector[term])
        vector = {term: weight for term, weight in entry.vector.items() if term != lightest}
        return entry._replace(vector=vector)

    rewrite(place, without_lightest)
    found = check(place)
    assert found.verdict == "wrong"
    assert causes(found) == {LOST_LIGHT_TERMS}
    assert f"{DOCUMENTS} documents" in found.findings[0].what
    assert found.scores_exact < found.scores


@NEARLY_EVERYWHERE
def test_terms_that_a_document_does_not_have_are_named_as_merged(place, corpus):
    index(place, corpus)

    def with_another_term(entry):
        has_it = entry.document.doc_id == "d7"
        return None if has_it else entry._replace(vector={**entry.vector, "own7": 1.5})

    rewrite(place, with_another_term)
    found = check(place)
    assert causes(found) == {MERGED}
    assert found.findings[0].query == "own7"
    assert found.findings[0].got == 1.5


@on(*NEWEST)
def test_a_partial_update_that_merges_is_named(place, corpus):
    index(place, corpus, keep_vectors=True)
    encoder = load_encoder(open_engine(place).describe(INDEX).model)
    text = "kabat nufog"
    vector = next(to_terms(encoder.encode_documents([text]), encoder.vocabulary))
    body = {"doc": {"title": "", "text": text, "vector": vector}}
    call(place, "POST", "_update/d9", body)
    call(place, "POST", "_refresh")
    found = check(place)
    assert [(f.cause, f.doc_id) for f in found.findings] == [(MERGED, "d9")]


@on("opensearch")  # Elasticsearch 9.2 keeps vectors in partial updates that _source excludes
def test_a_partial_update_that_drops_the_vector_is_named(place, corpus):
    index(place, corpus)
    call(place, "POST", "_update/d9", {"doc": {"content_hash": "0"}})
    call(place, "POST", "_refresh")
    found = check(place)
    assert [(f.cause, f.doc_id) for f in found.findings] == [(LOST_VECTORS, "d9")]


@TWICE
def test_vectors_of_another_model_are_named(place, corpus):
    index(place, corpus)
    heavier = 1.1
    rewrite(place, lambda e: e._replace(vector={t: heavier * w for t, w in e.vector.items()}))
    assert causes(check(place)) == {WRONG_MODEL}


@TWICE
def test_one_document_with_another_vector_is_named(place, corpus):
    index(place, corpus)
    rewrite(
        place, lambda e: e._replace(vector={"own7": 1.5}) if e.document.doc_id == "d4" else None
    )
    found = check(place)
    assert [(f.cause, f.doc_id) for f in found.findings] == [(OTHER_WEIGHTS, "d4")]


def test_a_model_that_did_not_make_the_index_is_named(corpus, tmp_path):
    index("memory", corpus)
    Bm25Encoder.fit(["another text"]).save(tmp_path / "other")
    found = check("memory", model=str(tmp_path / "other"))
    assert causes(found) == {WRONG_MODEL}
    assert "is now" in found.findings[0].what


# Queries: saturation, pruning


def saturated(field, terms, *, prune=False):
    should = [
        {"rank_feature": {"field": f"vector.{fields.escape_term(t)}", "boost": w}}
        for t, w in terms.items()
    ]
    return {"bool": {"should": should}}


@on("opensearch", "elasticsearch7")
def test_saturation_is_named(place, corpus, monkeypatch):
    index(place, corpus)
    monkeypatch.setattr("sparse_ir.engines.requests.term_query", saturated)
    found = check(place)
    assert causes(found) == {SATURATION}
    assert "linear" in found.findings[0].advice


def pruned(field, terms, *, prune=False):
    query = fields.term_query(field, terms, prune=True)
    rules = {"tokens_freq_ratio_threshold": 1, "tokens_weight_threshold": 0.8}
    query["sparse_vector"]["pruning_config"] = rules
    return query


@on("elasticsearch", "elasticsearch8")
def test_pruning_by_the_server_is_named(place, corpus, monkeypatch):
    index(place, corpus)
    monkeypatch.setattr("sparse_ir.engines.requests.term_query", pruned)
    found = check(place)
    assert causes(found) == {PRUNING}
    assert found.findings[0].got < found.findings[0].expected


def heavy_only(field, terms, *, prune=False):
    kept = {t: w for t, w in terms.items() if w >= 0.5 * max(terms.values())}
    return fields.term_query(field, kept)


@on("opensearch")
def test_query_terms_dropped_by_anyone_are_named(place, corpus, monkeypatch):
    index(place, corpus)
    monkeypatch.setattr("sparse_ir.engines.requests.term_query", heavy_only)
    assert causes(check(place)) == {PRUNING}


# Vocabularies

ODD = (
    *("a.b", "a_b", "ab", "a%2Eb", "a%252Eb", "100%", "%", "%25", ".", "..", ".a", "a.", "3.5%"),
    *("two words", " ", " leading", "trailing ", "a\tb", "new\nline", "##ing", "Ġword", "▁word"),
    *("A", "a", "ü", "日本語", "🎈", "👩‍👩‍👧", "\u200b", '"quoted"', "back\\slash", "*", "?", "^2"),
    *(
        "x" * 600,
        "é" * 300,
        "vector",
        "vector.a",
        "_id",
        "null",
        "true",
        "1",
        "1.0",
        "-",
        "{}",
        "[0]",
    ),
)


@pytest.fixture
def built(request, server_url):
    """An index of odd terms; yields the engine and what was written."""
    engine = open_engine(
        place_at(request.param, server_url),
        options=ClusterOptions(keep_vectors=True, replicas=0),
    )
    rng = random.Random(5)
    vectors = {
        f"d{i}": {t: rng.lognormvariate(0, 1) for t in rng.sample(ODD, 12)} for i in range(40)
    }
    vectors |= {f"only {i}": {term: 1.0 + i} for i, term in enumerate(ODD)}
    stamp = Stamp("tiny", "f", ("q",), vocabulary_hash(ODD), len(ODD), "", "", "2026", "0")
    physical = engine.create(INDEX, stamp, ODD)
    entries = [Entry(Document(doc_id, "text"), vector) for doc_id, vector in vectors.items()]
    failures = list(engine.add(physical, entries))
    engine.publish(INDEX, physical)
    yield engine, vectors, failures
    for physical in engine.builds(INDEX):
        engine.drop(physical)
    engine.close()


def check_built(engine, vectors):
    queries = make_queries(vectors, 20, random.Random(1))
    return verify_vectors(engine, INDEX, vectors, queries, vocabulary=ODD)


@pytest.mark.parametrize("built", [*LOCAL, *CLUSTERS], indirect=True)
def test_odd_vocabularies_make_the_round_trip(built):
    engine, vectors, failures = built
    assert failures == []
    report, findings, (weights, rounded) = check_built(engine, vectors)
    assert findings == report.findings == []
    assert report.compared == report.exact > 100
    assert (weights, rounded) == (40 * 12 + len(ODD), 0)
    stored = {e.document.doc_id: engine.kept(e.vector) for e in engine.get(INDEX, list(vectors))}
    assert stored == {doc_id: engine.kept(vector) for doc_id, vector in vectors.items()}


@pytest.fixture
def unescaped(monkeypatch, request):
    """Feature names as other programs write them."""
    rules = {"raw": str, "underscore": lambda term: term.replace(".", "_")}
    for where in ("entries", "fields"):
        monkeypatch.setattr(f"sparse_ir.engines.{where}.escape_term", rules[request.param])


@pytest.mark.parametrize("unescaped", ["raw", "underscore"], indirect=True)
@on("opensearch")
def test_dots_that_are_not_escaped_are_named(place, unescaped):
    with open_engine(place, options=ClusterOptions(replicas=0)) as engine:
        terms = ("a.b", "a_b", "c", "d")
        stamp = Stamp("tiny", "f", ("q",), vocabulary_hash(terms), 4, "", "", "2026", "0")
        physical = engine.create(INDEX, stamp, terms)
        vectors = {f"d{i}": {"a.b": 1.0 + i, "c": 2.0, "d": 0.5 + i} for i in range(9)}
        list(engine.add(physical, [Entry(Document(i, "x"), v) for i, v in vectors.items()]))
        engine.publish(INDEX, physical)
        queries = make_queries(vectors, 5, random.Random(1))
        _, findings, _ = verify_vectors(engine, INDEX, vectors, queries, vocabulary=terms)
    assert [finding.cause for finding in findings] == [DOTS]


# What can be compared with what


def test_without_model_and_vectors_there_is_nothing_to_compare_with(server_url, corpus):
    place = server_url("opensearch")
    index(place, corpus)
    with open_engine(place) as engine:
        model = Path(engine.describe(INDEX).model)
        model.rename(model.with_name("moved"))
        with pytest.raises(ConfigError, match="--vectors"):
            check(place)
        found = check(place, model=str(model.with_name("moved")))
        assert found.verdict == "exact"
        engine.drop(INDEX)


def test_without_the_model_a_local_index_is_held_against_itself(corpus):
    index("embedded", corpus)
    with open_engine("embedded") as engine:
        model = Path(engine.describe(INDEX).model)
    model.rename(model.with_name("moved"))
    found = check("embedded")
    assert (found.verdict, found.source) == ("exact", "the index's own vectors")
    assert any("could not be loaded" in line for line in found.notes)


@TWICE
def test_vector_shards_say_what_the_index_should_hold(place, corpus, sparse_ir, tmp_path):
    shards = tmp_path / "shards"
    done = sparse_ir("encode", "--corpus", corpus, "--out", shards, "--model", "bm25")
    assert done.exit_code == 0, done.err
    index(place, corpus, vectors=str(shards), model=None)
    assert check(place, vectors=str(shards)).verdict == "exact"
    with open_engine(place) as engine:
        engine.delete(INDEX, ["d20"])
    found = check(place, vectors=str(shards))
    assert [(f.cause, f.doc_id) for f in found.findings] == [(LOST_DOCUMENTS, "d20")]


# The command


def test_the_command_says_so_with_its_exit_code(sparse_ir, corpus):
    index("embedded", corpus)
    sound = sparse_ir("verify", "--index", INDEX, "--corpus", corpus)
    assert sound.exit_code == 0, sound.err
    assert "exact" in sound.out
    with open_engine("embedded") as engine:
        engine.delete(INDEX, ["d17"])
    wrong = sparse_ir("verify", "--index", INDEX, "--corpus", corpus)
    assert wrong.exit_code == 8
    assert "lost documents: 1 documents are not in the index ('d17')." in wrong.out
    assert wrong.err.splitlines()[-1].endswith("does not verify: lost documents.")
    machine = sparse_ir("verify", "--index", INDEX, "--corpus", corpus, "--json")
    found = json.loads(machine.out)
    assert found["verdict"] == "wrong"
    assert found["findings"][0]["doc_id"] == "d17"


def test_the_command_refuses_what_does_not_go_together(sparse_ir):
    assert sparse_ir("verify", "--vector-field", "x").exit_code == 2
    assert sparse_ir("verify", "--existing", "x").exit_code == 2
    assert sparse_ir("verify", "--index", "not-there").exit_code == 5


def test_an_index_of_other_code_is_pointed_to_its_audit(sparse_ir, server_url):
    done = sparse_ir("verify", "--index", "verify-none", "--url", server_url("opensearch"))
    assert done.exit_code == 5
    assert "--existing verify-none" in done.err


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_texts_are_encoded_again_in_the_precision_of_the_index(
    corpus, sparse_ir, tmp_path, precision
):
    vectors = tmp_path / "vectors"
    encoded = sparse_ir("encode", "--corpus", corpus, "--out", vectors, "--precision", precision)
    assert encoded.exit_code == 0, encoded.err
    for options in ({"precision": precision}, {"vectors": str(vectors)}):
        index("embedded", corpus, model=None, **options)
        with open_engine("embedded") as engine:
            assert engine.describe(INDEX).precision == precision
        found = check("embedded")
        assert (found.verdict, found.findings) == ("within rounding", ())
        assert found.source == "texts, encoded again"


def test_an_index_that_does_not_say_its_precision_takes_an_option(corpus, sparse_ir):
    index("embedded", corpus, model=None, precision="int8")
    with open_engine("embedded") as engine:
        facts = engine.describe(INDEX)
        engine.restamp(INDEX, replace(facts, precision=""))
    wrong = sparse_ir("verify", "--index", INDEX)
    assert wrong.exit_code == 8
    assert "verify with that --precision" in wrong.out + wrong.err
    assert sparse_ir("verify", "--index", INDEX, "--precision", "int8").exit_code == 0


def test_bm25_has_no_noise_whatever_precision_was_asked_for(corpus):
    index("embedded", corpus, precision="bf16")
    with open_engine("embedded") as engine:
        assert engine.describe(INDEX).precision == "fp32"

    def lighter(entry):
        return entry._replace(vector={term: 0.9 * w for term, w in entry.vector.items()})

    assert check("embedded", precision="bf16").verdict == "exact"
    rewrite("embedded", lighter)
    assert causes(check("embedded", precision="bf16")) == {WRONG_MODEL}


def test_a_precision_that_this_machine_lacks_is_noted_or_refused(corpus, monkeypatch):
    def load(name, *, precision):
        raise ConfigError(f"precision is {precision!r}, which needs another machine.")

    index("embedded", corpus, model=None, precision="bf16")
    monkeypatch.setattr("sparse_ir.inspecting.verify_models.load_encoder", load)
    found = check("embedded")
    assert found.source == "the index's own vectors"
    assert any("'bf16', which needs another machine" in note for note in found.notes)
    with pytest.raises(ConfigError, match="'int8', which needs another machine"):
        check("embedded", precision="int8")
