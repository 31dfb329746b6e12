"""A dense model beside the sparse one: indexed in one pass, searched alone and fused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.local import scores_of
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError, InputError, ModelMismatchError, NoVectorsError
from sparse_ir.indexing import changes
from sparse_ir.indexing.changes import update_index
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.inspecting.verify import VerifySettings, verify
from sparse_ir.models.loading import load_dense
from sparse_ir.searching.control import parse_control
from sparse_ir.searching.fusion import fuse, parse_fusion
from sparse_ir.searching.search import Searcher, SearchSettings, search
from sparse_ir.types import Query

TEXT = "a sweet red apple"
ENGINES = ["embedded", "memory"]


@pytest.fixture
def dense(make_dense):
    return str(make_dense())


def settings_of(corpus, dense, **changes):
    values = {"corpus": str(corpus), "index": "both", "model": "bm25", "dense": dense}
    return IndexSettings(**(values | changes))


@pytest.fixture
def both(fruit, dense):
    """An index of terms and dense vectors, and one of BM25 beside it."""
    index_corpus(settings_of(fruit, dense))
    index_corpus(IndexSettings(corpus=str(fruit), index="words", model="bm25"))
    return dense


def cosines(model, query, texts):
    encoder = load_dense(model, device="cpu")
    documents, (asked,) = encoder.encode(texts), encoder.encode([query], query=True)
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    return documents @ (asked / np.linalg.norm(asked))


def hits(query=TEXT, **how):
    (found,) = search(query, SearchSettings(**({"index": "both", "k": 4} | how)))
    return found.hits


def content_of(corpus):
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    return {row["_id"]: f"{row['title']} {row['text']}" for row in rows}


def stored(index="both", engine="embedded"):
    with open_engine(engine) as opened:
        return {entry.document.doc_id: entry.dense for entry in opened.scan(index)}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dense_search_scores_every_document_by_cosine(fruit, dense, engine):
    index_corpus(settings_of(fruit, dense, engine=engine))
    texts = content_of(fruit)
    expected = dict(zip(texts, cosines(dense, TEXT, list(texts.values())), strict=True))
    found = {hit.doc_id: hit.score for hit in hits(dense_only=True, engine=engine)}
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found) == sorted(found, key=lambda doc_id: -found[doc_id])


def test_what_the_index_says_of_its_dense_vectors(both):
    with open_engine("embedded") as engine:
        space = engine.describe("both").dense
        assert engine.describe("words").dense is None
    assert (space.model, space.dimension, space.similarity) == (both, 16, "cosine")
    assert space.fingerprint == load_dense(both, device="cpu").fingerprint


def test_a_model_of_dot_products_is_compared_by_them(fruit, make_dense):
    model = str(make_dense("dots", similarity="dot"))
    index_corpus(settings_of(fruit, model))
    encoder = load_dense(model, device="cpu")
    (document,) = encoder.encode([content_of(fruit)["d2"]])
    (asked,) = encoder.encode([TEXT])
    found = {hit.doc_id: hit.score for hit in hits(dense_only=True)}
    assert found["d2"] == pytest.approx(float(document @ asked), rel=1e-5)


@pytest.mark.parametrize(
    "how", ["rrf:sparse,dense", "sparse=0.3,dense=0.7", "rrf:sparse,dense,words", "rrf"]
)
def test_a_hybrid_search_fuses_the_lists_of_its_sides(both, how):
    alone = {
        "sparse": hits(),
        "dense": hits(dense_only=True),
        "words": hits(index="words"),
    }
    fusion = parse_fusion(how)
    expected = [(hit.doc_id, hit.score) for hit in fuse(alone, fusion)]
    words = "words" if "words" in fusion.sides else None
    found = [(hit.doc_id, hit.score) for hit in hits(hybrid=how, words_index=words)]
    assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in expected]
    assert [s for _, s in found] == pytest.approx([s for _, s in expected], rel=1e-5)
    page = hits(hybrid=how, words_index=words, k=1, offset=1)
    assert [hit.doc_id for hit in page] == [expected[1][0]]


@pytest.mark.parametrize("how", [{"dense_only": True}, {"hybrid": "rrf:sparse,dense,words"}])
def test_filters_hold_for_all_sides(both, how):
    words = {"words_index": "words"} if "hybrid" in how else {}
    found = hits(filters=("year>=2002", "year<2004"), **how, **words)
    assert {hit.doc_id for hit in found} == {"d2", "d 3"}


def test_hits_bring_documents_and_the_terms_that_explain_them(both):
    with Searcher(SearchSettings(index="both", hybrid="rrf:dense,words", words_index="words")) as s:
        (result,) = s.search([Query("1", "apple")], k=4, vectors=True)
    assert result.terms == {}
    by_id = {hit.doc_id: hit for hit in result.hits}
    assert by_id["d1"].document.title == "Apple"
    assert {"appl", "apple"} & set(by_id["d1"].vector)


def test_hits_of_words_alone_are_explained_where_vectors_cannot_be_read_back(both, monkeypatch):
    how = SearchSettings(index="both", hybrid="sparse=0,words=1", words_index="words")
    with Searcher(how) as searcher:
        (whole,) = searcher.search([Query("1", "sweet apple")], k=4, vectors=True)

        kept = searcher.engine.get

        def get(index, doc_ids, *, vectors=True):
            raise NoVectorsError("kept in postings only")

        def score(index, doc_ids, queries):
            return scores_of(kept(index, doc_ids), queries)

        monkeypatch.setattr(searcher.engine, "get", get)
        monkeypatch.setattr(searcher.engine, "scores_of", score)
        terms = {"sweet": 1.0, "red": 2.0, "unknown": 1.0}
        request = SearchRequest(terms=terms, k=4, vectors=True)
        (found,) = searcher.ask([Query("1", "sweet apple")], [request])
    assert [hit.doc_id for hit in found] == [hit.doc_id for hit in whole.hits]
    assert {hit.doc_id for hit in found} == {"d1", "d2"}
    for hit, before in zip(found, whole.hits, strict=True):
        shared = {term: w for term, w in before.vector.items() if term in terms}
        assert hit.vector == pytest.approx(shared, rel=1e-6)
        assert ("red" in hit.vector) == (hit.doc_id == "d1")


def test_another_dense_model_is_refused(both, make_dense):
    other = str(make_dense("other", seed=1))
    with pytest.raises(ModelMismatchError, match="holds dense vectors of") as caught:
        hits(dense_only=True, dense=other)
    assert other in str(caught.value)
    with pytest.raises(ModelMismatchError):
        update_index(settings_of("x.jsonl", other, model=None))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"index": "words", "dense_only": True}, "holds no dense vectors"),
        ({"index": "words", "hybrid": "rrf:sparse,dense"}, "holds no dense vectors"),
        ({"dense_only": True, "hybrid": "rrf"}, "do not go together"),
        ({"words_index": "words"}, "goes with --hybrid"),
        ({"dense": "x"}, "goes with --dense-only"),
        ({"hybrid": "rrf"}, "no text index"),
    ],
)
def test_what_an_index_cannot_answer_is_said_in_one_line(both, how, words):
    with pytest.raises(ConfigError, match=words) as caught:
        hits(**how)
    assert "\n" not in str(caught.value)


def test_a_query_without_a_text_is_refused(both):
    with (
        Searcher(SearchSettings(index="both", hybrid="rrf:sparse,dense")) as searcher,
        pytest.raises(ConfigError, match="no text"),
    ):
        searcher.search([Query("7", "", {"apple": 1.0})])


@pytest.mark.parametrize("how", [{"hybrid": "rrf:sparse,dense"}, {"dense_only": True}])
def test_a_blank_query_is_refused_where_dense_vectors_are_searched(both, how):
    with Searcher(SearchSettings(index="both", **how)) as searcher:
        with pytest.raises(ConfigError, match="query '7' has no text, by which a dense"):
            searcher.search([Query("7", " ")])
        alone = searcher.with_hybrid("")
        pinned = parse_control(pin=["appl"])
        (found,) = alone.search([Query("7", "")], control=pinned)
    assert [hit.doc_id for hit in found.hits] == ["d1"]


def test_no_hit_of_a_dense_search_is_not_put_down_to_terms(both, sparse_ir):
    nowhere = ("--index", "both", "--filter", "year>=3000")
    said = sparse_ir("search", "apple", *nowhere, "--dense-only").out
    assert "No hit: the index is empty, or a filter (or required term)" in " ".join(said.split())
    said = sparse_ir("search", "zzzz", "--index", "both").out
    assert "the query has no term that the model knows" in " ".join(said.split())


def test_another_fusion_needs_only_the_sides_that_it_has(both):
    settings = SearchSettings(
        index="both", hybrid="rrf:sparse,dense,words", words_index="words", dense=both
    )
    with Searcher(settings) as searcher:
        for how in ("rrf:sparse,dense", "rrf:sparse,words", "rrf:sparse", ""):
            (found,) = searcher.with_hybrid(how).search([Query("1", TEXT)])
            assert found.hits[0].doc_id == "d1"


def test_an_update_writes_dense_vectors_of_what_changed_alone(fruit, both, write_jsonl):
    before = stored()
    rows = [json.loads(line) for line in fruit.read_text(encoding="utf-8").splitlines()]
    rows[1]["text"] = "A blue car."
    changed = write_jsonl("changed.jsonl", rows[:3])
    report = update_index(IndexSettings(corpus=str(changed), index="both"), delete_missing=True)
    assert (report.written, report.unchanged, report.deleted) == (1, 2, 1)
    after = stored()
    assert after.keys() == {"d1", "d2", "d 3"}
    assert (after["d1"], after["d 3"]) == (before["d1"], before["d 3"])
    encoder = load_dense(both, device="cpu")
    (vector,) = encoder.encode(["Pear A blue car."])
    assert after["d2"] == pytest.approx((vector / np.linalg.norm(vector)).tolist(), abs=1e-5)


def test_a_stopped_run_goes_on_with_the_same_dense_model(fruit, dense, make_dense):
    index_corpus(settings_of(fruit, dense, index="whole"))
    seen = []

    def stop(n):
        seen.append(n)
        if sum(seen) > 2:
            raise InputError("stopped here")

    with pytest.raises(InputError, match="stopped here"):
        index_corpus(settings_of(fruit, dense, chunk_documents=1), advance=stop)
    other = str(make_dense("other", seed=1))
    with pytest.raises(ConfigError, match="cannot resume: dense"):
        index_corpus(settings_of(fruit, other, chunk_documents=1, resume=True))
    report = index_corpus(settings_of(fruit, dense, chunk_documents=1, resume=True))
    assert 0 < report.encoded < 4
    for doc_id, vector in stored("whole").items():
        assert stored()[doc_id] == pytest.approx(vector, abs=1e-5)


def test_passages_have_dense_vectors_of_their_own_or_their_mean(write_jsonl, dense):
    text = "apple pear. red road."
    corpus = write_jsonl("long.jsonl", [{"_id": "long", "text": text}, {"_id": "b", "text": "car"}])
    how = "words=2,overlap=0"
    index_corpus(settings_of(corpus, dense, index="each", passages=f"each,{how}"))
    index_corpus(settings_of(corpus, dense, index="max", passages=f"max,{how}"))
    encoder = load_dense(dense, device="cpu")
    parts = encoder.encode(["apple pear.", "red road."])
    parts /= np.linalg.norm(parts, axis=1, keepdims=True)
    mean = parts.mean(axis=0)
    assert stored("each")["long#p1"] == pytest.approx(parts[1].tolist(), abs=1e-5)
    assert stored("max")["long"] == pytest.approx((mean / np.linalg.norm(mean)).tolist(), abs=1e-5)
    found = hits("red road", index="each", hybrid="rrf:sparse,dense")
    assert sorted(hit.doc_id for hit in found) == ["b", "long"]


def test_dense_vectors_beside_shards_of_passages_are_means_of_passages_too(write_jsonl, dense):
    rows = [{"_id": "long", "text": "apple pear. red road."}, {"_id": "b", "text": "car"}]
    corpus = write_jsonl("long.jsonl", rows)
    passages = "max,words=2,overlap=0"
    shards = str(corpus.with_name("shards"))
    encode(EncodeSettings(str(corpus), shards, model="bm25", passages=passages))
    index_corpus(settings_of(corpus, dense, model=None, vectors=shards))
    parts = load_dense(dense, device="cpu").encode(["apple pear.", "red road."])
    parts /= np.linalg.norm(parts, axis=1, keepdims=True)
    mean = parts.mean(axis=0)
    assert stored()["long"] == pytest.approx((mean / np.linalg.norm(mean)).tolist(), abs=1e-5)
    assert verify(VerifySettings(index="both", sample_queries=2)).verdict == "exact"


def test_a_finished_index_is_not_taken_for_one_with_the_dense_vectors_asked_for(
    fruit, both, make_dense
):
    assert index_corpus(settings_of(fruit, both, resume=True)).documents == 4
    with pytest.raises(ConfigError, match="'words' holds no dense vectors"):
        index_corpus(settings_of(fruit, both, index="words", resume=True))
    with pytest.raises(ModelMismatchError, match="holds dense vectors of"):
        index_corpus(settings_of(fruit, str(make_dense("other", seed=1)), resume=True))
    with pytest.raises(ConfigError, match="by cosine, not dot"):
        index_corpus(settings_of(fruit, both, dense_similarity="dot", resume=True))


def test_an_update_returns_the_memory_of_every_chunk(fruit, both, write_jsonl, monkeypatch):
    returned = []
    monkeypatch.setattr(changes, "return_free_memory", lambda: returned.append(1))
    rows = [{"_id": f"new{i}", "text": "an apple"} for i in range(3)]
    more = write_jsonl("more.jsonl", rows)
    update_index(IndexSettings(corpus=str(more), index="both", chunk_documents=1))
    assert len(returned) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sound_index_verifies_and_a_changed_dense_vector_is_found(fruit, dense, engine):
    index_corpus(settings_of(fruit, dense, engine=engine))
    asked = VerifySettings(index="both", engine=engine, sample_queries=3)
    found = verify(asked)
    assert (found.verdict, found.findings) == ("exact", ())
    assert found.dense_scores == 16
    assert found.dense_largest_error < 1e-5
    with open_engine(engine) as opened:
        (entry,) = opened.get("both", ["d1"])
        turned = tuple(-number for number in entry.dense)
        assert list(opened.add("both", [entry._replace(dense=turned)])) == []
        opened.refresh("both")
    (wrong,) = verify(asked).findings
    assert (wrong.cause, wrong.doc_id) == ("other weights", "d1")
    assert wrong.expected == pytest.approx(1.0, abs=1e-5)
    assert wrong.got == pytest.approx(-1.0, abs=1e-5)
    with open_engine(engine) as opened:
        assert list(opened.add("both", [entry._replace(dense=None)])) == []
        opened.refresh("both")
    assert [finding.cause for finding in verify(asked).findings] == ["lost vectors"]


def test_the_commands_know_dense_vectors(sparse_ir, fruit, dense):
    made = sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--dense", dense)
    assert made.exit_code == 0, made.err
    done = sparse_ir("search", "sweet", "apple", "--hybrid", "sparse=0.5,dense=0.5", "--explain")
    assert done.exit_code == 0, done.err
    assert "Apple" in done.out
    done = sparse_ir("search", TEXT, "--dense-only", "--json")
    scores = [hit["score"] for hit in json.loads(done.out)["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert -1 <= scores[-1] <= scores[0] <= 1
    done = sparse_ir("search", TEXT, "--dense-only", "--explain")
    assert done.exit_code == 2
    shown = json.loads(sparse_ir("inspect", "default", "--json").out)
    assert shown["dense"] == f"{dense}, 16 numbers, cosine"
    done = sparse_ir("verify", "--json", "--sample-queries", "2")
    assert json.loads(done.out)["dense_scores"] == 16
    done = sparse_ir("index", "--corpus", fruit, "--update", "--dense-similarity", "dot")
    assert done.exit_code == 2


def test_tune_hybrid_writes_settings_that_search_and_evaluate_take(
    sparse_ir, fruit, both, tmp_path, write_jsonl
):
    (tmp_path / "data" / "qrels").mkdir(parents=True)
    write_jsonl(
        "data/queries.jsonl", [{"_id": "1", "text": "apple"}, {"_id": "2", "text": "truck"}]
    )
    (tmp_path / "data" / "corpus.jsonl").write_bytes(fruit.read_bytes())
    (tmp_path / "data" / "qrels" / "dev.tsv").write_text(
        "query-id\tcorpus-id\tscore\n1\td1\t1\n2\tdé4\t1\n"
    )
    done = sparse_ir(
        "tune-hybrid", tmp_path / "data", "--index", "both", "--words-index", "words",
        "--out", tmp_path / "tuned", "--step", "0.5", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    found = json.loads(done.out)
    tried = [trial["fusion"] for trial in found["trials"]]
    assert len(tried) == len(set(tried)) == 3 + 4 * 2 + 3  # alone, by ranks, by halves
    # BM25 finds both: a side alone is chosen where nothing is better
    assert found["chosen"] == {"fusion": "sparse=1", "sides": ["sparse"], "value": 1.0}
    assert found["best_single"] == found["chosen"]
    text = (tmp_path / "tuned" / "hybrid.yaml").read_text()
    assert yaml.safe_load(text) is None
    assert "sparse=1 1.0000" in text
    (tmp_path / "fused.yaml").write_text(
        yaml.safe_dump({"search": {"hybrid": "rrf:sparse,dense"}, "evaluate": {"dense_only": True}})
    )
    done = sparse_ir("--config", tmp_path / "fused.yaml", "search", "--index", "both", "apple")
    assert done.exit_code == 0, done.err
    done = sparse_ir(
        "--config", tmp_path / "fused.yaml", "evaluate", "--index", "both", "--dataset",
        tmp_path / "data", "--split", "dev", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.err


def test_tune_hybrid_needs_two_sides(sparse_ir, fruit, tmp_path, both):
    (tmp_path / "data" / "qrels").mkdir(parents=True)
    (tmp_path / "data" / "corpus.jsonl").write_bytes(fruit.read_bytes())
    (tmp_path / "data" / "queries.jsonl").write_text('{"_id": "1", "text": "apple"}\n')
    (tmp_path / "data" / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n1\td1\t1\n")
    done = sparse_ir(
        "tune-hybrid", tmp_path / "data", "--index", "words", "--out", tmp_path / "tuned"
    )
    assert done.exit_code == 2
    assert "nothing to fuse" in done.err


def test_shards_hold_terms_alone_and_index_adds_dense_vectors(sparse_ir, fruit, dense, tmp_path):
    encode = ("encode", "--corpus", fruit, "--out", tmp_path / "shards", "--model", "bm25")
    refused = sparse_ir(*encode, "--dense", dense)
    assert refused.exit_code == 2
    assert "vector shards hold terms alone" in refused.err
    assert sparse_ir(*encode).exit_code == 0
    done = sparse_ir(
        "index", "--corpus", fruit, "--vectors", tmp_path / "shards", "--dense", dense, "--index",
        "both",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    texts = content_of(fruit)
    expected = dict(zip(texts, cosines(dense, TEXT, list(texts.values())), strict=True))
    assert {h.doc_id: h.score for h in hits(dense_only=True)} == pytest.approx(expected, abs=1e-5)


def test_a_benchmark_measures_dense_systems_where_a_model_is_given(
    sparse_ir, fruit, dense, tmp_path
):
    (tmp_path / "data" / "qrels").mkdir(parents=True)
    (tmp_path / "data" / "corpus.jsonl").write_bytes(fruit.read_bytes())
    (tmp_path / "data" / "queries.jsonl").write_text('{"_id": "1", "text": "apple"}\n')
    rows = "query-id\tcorpus-id\tscore\n1\td1\t1\n"
    (tmp_path / "data" / "qrels" / "test.tsv").write_text(rows)
    systems = [
        {"name": "words", "model": "bm25"},
        {"name": "dense", "model": "bm25", "dense_only": True},
        {"name": "both", "model": "bm25", "hybrid": "sparse=0.9,dense=0.1"},
        {"name": "all", "model": "bm25", "hybrid": "rrf:sparse,dense,words"},
    ]
    (tmp_path / "systems.yaml").write_text(yaml.safe_dump({"systems": systems}))
    command = (
        "benchmark", tmp_path / "data", "--out", tmp_path / "report", "--latency-queries", "2",
        "--clients", "1", "--systems", tmp_path / "systems.yaml", "--json",
    )  # fmt: skip
    done = sparse_ir(*command, "--dense", dense)
    assert done.exit_code == 0, done.err
    values = {row["system"]: row["ndcg@10"] for row in json.loads(done.out)["results"]}
    order = [hit.doc_id for hit in expected_order(fruit, dense, "apple")]
    assert values["words"] == pytest.approx(1.0)
    assert values["both"] == pytest.approx(1.0)
    assert values["all"] == pytest.approx(1.0)  # two of its three sides have d1 first
    assert values["dense"] == pytest.approx(1 / np.log2(2 + order.index("d1")))
    bare = sparse_ir(*command[:3], tmp_path / "bare", *command[4:])
    assert "not measured: dense needs --dense MODEL." in bare.err
    assert [row["system"] for row in json.loads(bare.out)["results"]] == ["words"]


def expected_order(corpus, model, query):
    index_corpus(settings_of(corpus, model, index="order"))
    return hits(query, index="order", dense_only=True)
