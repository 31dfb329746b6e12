"""An index of passages, searched for documents."""

from __future__ import annotations

import pytest

from sparse_ir.engines.base import SearchRequest
from sparse_ir.errors import ConfigError, InputError, NoVectorsError
from sparse_ir.indexing.changes import update_index
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.searching.grouping import GROUPS
from sparse_ir.searching.search import Searcher, SearchSettings, search
from sparse_ir.types import Document, Entry, Query, ScoredDoc

# "long" has three passages; the query's words lie in the first and the last one.
ROWS = [
    {"_id": "long", "title": "Fruit", "text": "apple pear. plum quince. apple apple."},
    {"_id": "other", "text": "apple."},
    {"_id": "far", "text": "melon. grape."},
    *({"_id": f"d{i}", "text": f"berry. cherry number{i}."} for i in range(30)),
]
PASSAGES = "each,words=3,overlap=0"


@pytest.fixture
def corpus(write_jsonl):
    return str(write_jsonl("c.jsonl", ROWS))


@pytest.fixture
def index(corpus):
    settings = IndexSettings(corpus=corpus, index="parts", model="bm25", passages=PASSAGES)
    index_corpus(settings)
    return settings


def hits(text, **more):
    (result,) = search(text, SearchSettings(index="parts", **more))
    return result.hits


def test_a_document_is_found_once_by_its_best_passage(index):
    each = {hit.doc_id: hit.score for hit in hits("apple pear", group="each")}
    assert set(each) == {"long#p0", "long#p2", "other#p0"}
    found = hits("apple pear")
    best = max(each["long#p0"], each["long#p2"])
    assert {hit.doc_id: hit.score for hit in found} == {"long": best, "other": each["other#p0"]}
    assert found[0].document.title == "Fruit"
    assert found[0].document.doc_id == "long"
    (first, *_) = hits("apple pear", group="sum")
    assert first.doc_id == first.document.doc_id == "long"
    assert first.score == pytest.approx(each["long#p0"] + each["long#p2"])
    assert first.document.text in ("apple pear.", "apple apple.")
    assert first.document.title == "Fruit"


@pytest.mark.parametrize(("group", "page"), [("best", ["d1", "d2"]), ("sum", ["d1", "d10"])])
def test_documents_and_vectors_are_read_of_the_page_alone(group, page):
    searched, read = [], []

    def find(places, requests):
        searched.extend(requests)
        # the first documents have 20 passages each: the first search is not deep enough
        return [[ScoredDoc(f"d{i // 20}#p{i % 20}", 1.0) for i in range(r.k)] for r in requests]

    def get(doc_ids, request):
        read.extend(doc_ids)
        return [Entry(Document(doc_id, "text"), {"a": 1.0}) for doc_id in doc_ids]

    request = SearchRequest(terms={"a": 1.0}, k=2, offset=1, documents=True, vectors=True)
    (hits,) = GROUPS[group](find, get, [request])
    assert [hit.doc_id for hit in hits] == [hit.document.doc_id for hit in hits] == page
    assert [hit.vector for hit in hits] == [{"a": 1.0}] * 2
    assert read == [f"{doc_id}#p0" for doc_id in page]
    assert not any(request.documents or request.vectors for request in searched)


@pytest.mark.parametrize("group", ["best", "sum"])
def test_where_no_vectors_are_kept_a_hit_has_the_weights_of_the_query(index, group, monkeypatch):
    with Searcher(SearchSettings(index="parts", group=group)) as searcher:
        (kept,) = searcher.search([Query("1", "apple pear")], vectors=True)
        get, refused = searcher.engine.get, []

        def get_without(index, doc_ids, *, vectors=True):
            if vectors and not refused:  # this engine scores documents by what it reads
                refused.append(doc_ids)
                raise NoVectorsError("none are kept.")
            return get(index, doc_ids, vectors=vectors)

        monkeypatch.setattr(searcher.engine, "get", get_without)
        (found,) = searcher.search([Query("1", "apple pear")], vectors=True)
    assert refused == [["long#p0", "other#p0"]]
    for hit, whole in zip(found.hits, kept.hits, strict=True):
        asked = {term: whole.vector[term] for term in found.terms if term in whole.vector}
        assert hit.vector == pytest.approx(asked, rel=1e-5)
        assert hit.document == whole.document


def test_many_passages_of_one_document_do_not_crowd_out_others(write_jsonl):
    rows = [{"_id": "crowd", "text": "apple pear. " * 200}, *ROWS]
    index_corpus(
        IndexSettings(
            corpus=str(write_jsonl("crowd.jsonl", rows)), index="parts", model="bm25",
            passages=PASSAGES,
        )
    )  # fmt: skip
    whole = [hit.doc_id for hit in hits("apple", k=3)]
    assert sorted(whole) == ["crowd", "long", "other"]
    for group in ("best", "sum"):
        whole = [hit.doc_id for hit in hits("apple", k=3, group=group)]
        pages = [hits("apple", k=1, offset=i, group=group) for i in range(4)]
        assert [hit.doc_id for page in pages for hit in page] == whole
        assert all(page[0].document.doc_id == page[0].doc_id for page in pages[:3])
    in_two = [hit.doc_id for hit in hits("apple", k=3, two_step="on")]
    assert in_two == [hit.doc_id for hit in hits("apple", k=3)]


def test_a_run_names_documents(index):
    with Searcher(SearchSettings(index="parts")) as searcher:
        run = searcher.run([Query("q", "apple"), Query("r", "berry")], k=40)
    assert set(run["q"]) == {"long", "other"}
    assert set(run["r"]) == {f"d{i}" for i in range(30)}


def test_vectors_made_apart_give_the_same_index(index, corpus, sparse_ir, tmp_path):
    before = [(h.doc_id, h.score) for h in hits("apple pear berry", k=40)]
    shards = tmp_path / "shards"
    ran = sparse_ir(
        "encode", "--corpus", corpus, "--model", "bm25", "--out", shards, "--passages", PASSAGES
    )
    assert ran.exit_code == 0, ran.err
    ran = sparse_ir("index", "--corpus", corpus, "--vectors", shards, "--index", "parts",
                    "--replace")  # fmt: skip
    assert ran.exit_code == 0, ran.err
    assert [(h.doc_id, h.score) for h in hits("apple pear berry", k=40)] == before


@pytest.mark.parametrize("how", [PASSAGES, "max,words=3,overlap=0"])
def test_verify_encodes_what_was_encoded(corpus, sparse_ir, how):
    ran = sparse_ir("index", "--corpus", corpus, "--model", "bm25", "--passages", how)
    assert ran.exit_code == 0, ran.err
    for more in ((), ("--corpus", corpus)):
        ran = sparse_ir("verify", *more)
        assert ran.exit_code == 0, ran.out + ran.err


def test_an_update_of_passages_is_refused_and_one_of_maxima_works(corpus, index, write_jsonl):
    with pytest.raises(ConfigError, match="holds passages, which cannot be updated in place"):
        update_index(IndexSettings(corpus=corpus, index="parts"))
    whole = IndexSettings(
        corpus=corpus, index="whole", model="bm25", passages="max,words=3,overlap=0"
    )
    index_corpus(whole)
    more = write_jsonl("more.jsonl", [*ROWS, {"_id": "new", "text": "grape. apple. melon."}])
    report = update_index(IndexSettings(corpus=str(more), index="whole"))
    assert (report.written, report.unchanged) == (1, len(ROWS))


def test_a_deleted_document_takes_its_passages_along(index, sparse_ir):
    ran = sparse_ir("delete", "--index", "parts", "long", "nobody")
    assert ran.exit_code == 0, ran.err
    assert [hit.doc_id for hit in hits("apple pear plum quince")] == ["other"]


@pytest.mark.parametrize("group", ["best", "sum"])
def test_documents_are_scored_wherever_they_would_come(index, group):
    with Searcher(SearchSettings(index="parts", group=group)) as searcher:
        (result,) = searcher.search([Query("q", "apple pear")])
        expected = {hit.doc_id: hit.score for hit in result.hits}
        found = searcher.scores_of(["other", "far", "long"], result.terms)
    assert found == pytest.approx(expected)


def test_metadata_that_would_be_overwritten_are_refused(write_jsonl):
    rows = [{"_id": "a", "text": "apple", "parent_id": "b"}]
    settings = IndexSettings(
        corpus=str(write_jsonl("own.jsonl", rows)), index="own", model="bm25", passages=PASSAGES
    )
    with pytest.raises(InputError, match="'a' has metadata 'parent_id'"):
        index_corpus(settings)


def test_vectors_of_other_passages_are_refused(corpus, sparse_ir, tmp_path):
    ran = sparse_ir("encode", "--corpus", corpus, "--model", "bm25", "--out", tmp_path / "shards")
    assert ran.exit_code == 0, ran.err
    ran = sparse_ir(
        "index", "--corpus", corpus, "--vectors", tmp_path / "shards", "--passages", "max"
    )
    assert ran.exit_code == 2
    assert "are of passages '', not 'max,words=200,overlap=40'" in ran.err


def test_an_unknown_grouping_is_refused():
    with pytest.raises(ConfigError, match="group is 'most'"):
        SearchSettings(group="most")


@pytest.mark.parametrize(
    ("group", "dense", "deepest"),
    [("best", True, 10_000), ("sum", True, 10_000), ("sum", False, 16_000)],
)
def test_dense_passages_are_looked_at_as_deep_as_a_server_reaches(group, dense, deepest):
    asked = []

    def find(places, requests):
        asked.extend(request.k for request in requests)
        return [[ScoredDoc("one#p0", 1.0)] * request.k for request in requests]  # never enough

    request = SearchRequest(terms={"a": 1.0}, k=334, documents=False)
    (hits,) = GROUPS[group](find, lambda ids, vectors: [], [request], dense=dense)
    assert [hit.doc_id for hit in hits] == ["one"]
    assert max(asked) == deepest
