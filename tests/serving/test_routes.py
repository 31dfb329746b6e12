"""What is asked in a URL comes back as JSON that adds up."""

from __future__ import annotations

import json
import threading
import time

import pytest

from sparse_ir.errors import (
    EngineError,
    IndexLockedError,
    IndexNotFoundError,
    ModelError,
    ModelMismatchError,
    NoVectorsError,
    StorageError,
)
from sparse_ir.searching.search import SearchSettings, search
from sparse_ir.serving import service


def test_search_gives_the_hits_of_the_library(server, engine):
    found = server.get("/search", q="sweet pear", k=2).json
    result = search("sweet pear", SearchSettings(index="fruit", engine=engine, k=2))[0]
    assert [(h["doc_id"], h["score"]) for h in found["hits"]] == [
        (h.doc_id, pytest.approx(h.score, rel=1e-6)) for h in result.hits
    ]
    assert {t["term"]: t["weight"] for t in found["terms"]} == pytest.approx(result.terms)
    assert found["hits"][0] | {"score": 0} == {
        "rank": 1, "doc_id": "d2", "score": 0, "title": "Pear",
        "text": "A pear is a sweet green fruit.", "metadata": {"year": 2002},
    }  # fmt: skip
    assert found["index"] == "fruit"
    assert set(found["took_ms"]) == {"encode", "search", "explain", "total"}


def test_ranks_go_on_after_an_offset(server):
    every = server.get("/search", q="fruit", k=3).json["hits"]
    rest = server.get("/search", q="fruit", k=3, offset=1).json["hits"]
    assert [h["rank"] for h in rest] == [2, 3]
    assert [h["doc_id"] for h in rest] == [h["doc_id"] for h in every[1:]]


def test_explain_names_the_places_that_matched_and_adds_up(server):
    hit = server.get("/search", q="trucks on the road", explain=1).json["hits"][0]
    assert hit["doc_id"] == "dé4"
    assert sum(m["contribution"] for m in hit["matches"]) == pytest.approx(hit["score"], rel=1e-5)
    words = {m["term"]: [hit[w["field"]][w["start"] : w["end"]] for w in m["words"]]
             for m in hit["matches"]}  # fmt: skip
    assert words == {"truck": ["trucks"], "road": ["roads"]}


def test_explained_terms_name_the_words_of_the_query(server):
    terms = server.get("/search", q="sweet pear", explain=1).json["terms"]
    assert {t["term"]: (t["word"], t["start"], t["end"]) for t in terms} == {
        "pear": ("pear", 6, 10),
        "sweet": ("sweet", 0, 5),
    }
    assert [t["weight"] for t in terms] == sorted((t["weight"] for t in terms), reverse=True)


def test_filters_apply(server):
    found = server.get("/search", q="fruit", filter=["year>=2002", "year<2003"]).json
    assert [hit["doc_id"] for hit in found["hits"]] == ["d2"]


def test_a_banned_term_is_dropped_and_named(server):
    found = server.get("/search", q="sweet pear", ban="pear").json
    assert [t["term"] for t in found["terms"]] == ["sweet"]
    assert [t["term"] for t in found["dropped"]] == ["pear"]


def test_boost_and_pin_change_the_score_as_they_say(server):
    plain = server.get("/search", q="pear", k=1).json["hits"][0]["score"]
    boosted = server.get("/search", q="pear", k=1, boost="pear=2").json["hits"][0]["score"]
    assert boosted == pytest.approx(2 * plain, rel=1e-6)
    pinned = server.get("/search", q="pear", pin="truck=1.5", explain=1).json
    assert {t["term"]: t["weight"] for t in pinned["terms"]}["truck"] == 1.5
    hit = next(h for h in pinned["hits"] if h["doc_id"] == "dé4")
    assert [m["term"] for m in hit["matches"]] == ["truck"]


def test_a_pinned_term_needs_no_query(server):
    assert server.get("/search", pin="plum").json["hits"][0]["doc_id"] == "d 3"


def test_encode_gives_terms_of_either_side(server):
    sides = {
        s: server.get("/encode", text="sweet pear", side=s).json for s in ("query", "document")
    }
    assert all({t["term"] for t in s["terms"]} == {"sweet", "pear"} for s in sides.values())
    assert sides["query"]["terms"] != sides["document"]["terms"]
    assert sides["query"]["cut"] is False


def test_explain_of_a_document_is_its_hit(server):
    hit = server.get("/search", q="sweet pear", explain=1).json["hits"][1]
    alone = server.get("/explain", q="sweet pear", doc_id=hit["doc_id"]).json
    assert alone["score"] == pytest.approx(hit["score"], rel=1e-6)
    assert alone["matches"] == hit["matches"]
    assert alone["title"] == hit["title"]


def test_explain_of_two_texts(server):
    found = server.get("/explain", q="sweet pear", text="A sweet plum").json
    assert [m["term"] for m in found["matches"]] == ["sweet"]
    assert found["matches"][0]["words"] == [{"field": "text", "start": 2, "end": 7}]
    assert found["score"] == pytest.approx(found["matches"][0]["contribution"])
    assert {t["term"] for t in found["document"]["terms"]} == {"sweet", "plum"}
    assert {t["term"] for t in found["query"]["terms"]} == {"sweet", "pear"}


def test_indexes_are_served_side_by_side(server):
    found = server.get("/indexes").json
    assert found["default"] == "fruit"
    assert [i["name"] for i in found["indexes"]] == ["fruit", "more"]
    assert found["indexes"][0]["documents"] == 4
    years = {"field": "year", "values": ["2001", "2002", "2003", "2004"]}
    assert found["indexes"][0]["filters"] == [years]
    assert server.get("/search", q="pear", index="more").json["index"] == "more"


def test_an_engine_that_is_gone_leaves_the_others_in_the_list(start, monkeypatch):
    both = start(index=("fruit", "more"))
    engine = both.service.indexes["more"].searcher.engine

    def gone(index):
        raise EngineError(f"the cluster of {index} does not answer.")

    monkeypatch.setattr(engine, "stats", gone)
    rows = both.get("/indexes").json["indexes"]
    assert [row["documents"] for row in rows] == [4, None]
    assert [row["model"] for row in rows] == [rows[0]["model"]] * 2


def test_a_cluster_that_does_not_answer_keeps_nobody_from_another(start, engine, monkeypatch):
    far = f"{engine}/../indexes"
    monkeypatch.setattr(service, "is_cluster", lambda address: address == far)
    both = start(index=("fruit", f"more@{far}"), timeout=4.0)
    go, began = threading.Event(), threading.Event()

    def wait(arguments):
        began.set()
        go.wait(60)
        return arguments

    both.service._engines[far].submit(wait)
    assert began.wait(30)
    try:
        assert both.get("/search", q="pear").json["hits"][0]["doc_id"] == "d2"
        rows = both.get("/indexes").json["indexes"]
        assert [row["documents"] for row in rows] == [4, None]
    finally:
        go.set()


def test_fewer_than_ten_hits_may_be_the_most(start):
    small = start(max_k=2)
    found = small.get("/search", q="fruit").json
    assert (found["k"], len(found["hits"])) == (2, 2)
    assert small.get("/search", q="fruit", k=3).status == 400


def test_ready_queries_stay_ready_once_a_text_was_explained(start):
    server = start(query_encoder="ready")
    searcher = server.service.indexes["fruit"].searcher
    asked = {"q": "pear pear", "pin": "no-such-term=1"}
    before = server.get("/search", **asked).json["hits"]
    assert server.get("/encode", text="sweet pears", side="document").json["terms"]
    assert searcher._encoder is None
    assert server.get("/search", **asked).json["hits"] == before


def test_what_is_remembered_of_explanations_holds_no_text_and_no_long_one(start):
    server = start(max_query_chars=30_000)
    long = "pear " * 5_000
    for text in ("sweet pear", long):
        assert server.get("/encode", text=text, side="document").status == 200
    (key,) = server.service._explained
    assert "pear" not in repr(key)


def test_one_model_is_loaded_once_for_indexes_that_share_it(start, engine):
    folder = engine.partition(":")[2]
    both = start(index=("fruit", f"fruit@embedded:{folder}"))
    one, other = both.service.indexes.values()
    assert one.searcher.encoder is other.searcher.encoder
    assert both.get("/search", q="pear", index=other.label).json["hits"][0]["doc_id"] == "d2"


def counted(server, name, wanted):
    """Wait for a figure: a request is counted once its answer is out."""
    ended = time.monotonic() + 30
    while server.figure(name) != wanted:
        assert time.monotonic() < ended
        time.sleep(0.01)


def test_health_needs_nothing_and_metrics_count(server):
    assert server.get("/health").json == {"status": "ok"}
    name = 'sparse_ir_requests_total{route="/search",status="200"}'
    before = server.figure(name)
    server.get("/search", q="pear")
    counted(server, name, before + 1)
    text = server.get("/metrics").text
    for figure in ("sparse_ir_request_seconds_bucket", "sparse_ir_batch_queries_sum",
                   'sparse_ir_queue_length{stage="encode"}', "sparse_ir_requests_in_flight",
                   "process_resident_memory_bytes"):  # fmt: skip
        assert figure in text
    assert 'route="other",status="404"' not in text
    server.get("/no/such/path")
    other = 'sparse_ir_requests_total{route="other",status="404"}'
    counted(server, other, 1)


def test_pages_load_nothing_from_elsewhere(server):
    for path in ("/", "/docs"):
        page = server.get(path)
        assert page.status == 200
        assert "http://" not in page.text
        assert "https://" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "GET /search" in server.get("/docs").text
    assert "/search" in server.get("/openapi.json").json["paths"]


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("/search", {}, 400, "q is empty"),
        ("/search", {"q": "  "}, 400, "q is empty"),
        ("/search", {"q": "a", "k": "many"}, 400, "k is 'many'"),
        ("/search", {"q": "a", "k": 0}, 400, "k is '0'"),
        ("/search", {"q": "a", "k": 101}, 400, "At most 100 hits"),
        ("/search", {"q": "a", "offset": 10_001}, 400, "At most 10000 hits are passed over"),
        ("/search", {"q": "a", "filter": "year"}, 400, "filter 'year' is not understood"),
        ("/search", {"q": "a", "boost": "a=lot"}, 400, "boost"),
        ("/search", {"q": "a", "boost": "a=1e30"}, 400, "boost"),
        (
            "/search",
            {"q": "a", "require": ["pear"] * 65},
            400,
            "given 65 times; at most 64",
        ),
        ("/search", {"q": "a", "hybrid": "rrf:words,k=" + 5000 * "9"}, 400, "is no whole number"),
        ("/search", {"q": "a", "hybrid": "rrf:words,sparse,depth=1001"}, 400, "At most 1000 hits"),
        ("/search", {"q": "a", "hybrid": "best"}, 400, "--hybrid best is not known"),
        ("/search", {"q": "a", "hybrid": "rrf"}, 400, "no text index"),
        ("/search", {"q": "a", "index": "nuts"}, 404, "no index 'nuts' here. There are: fruit"),
        ("/search", {"q": 10_001 * "a"}, 413, "q has 10001 characters"),
        ("/encode", {"text": "a", "side": "both"}, 400, "side is 'both'"),
        ("/explain", {"q": "a", "doc_id": "d9"}, 404, "index 'fruit' has no document 'd9'"),
        ("/explain", {"q": "a"}, 400, "doc_id or text"),
        ("/nothing", {}, 404, "Not Found"),
    ],
)
def test_bad_requests_get_one_line(server, path, query, status, words):
    answer = server.get(path, **query)
    assert answer.status == status
    assert list(answer.json) == ["error"]
    assert words in answer.json["error"]
    assert "\n" not in answer.json["error"]


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        (EngineError, 502, "the engine failed"),
        (IndexLockedError, 503, "another process holds the index"),
        (IndexNotFoundError, 404, "the index is not there any more"),
        (NoVectorsError, 502, "the index keeps no vectors"),
        (ModelMismatchError, 502, "was replaced by one of another model"),
        (ModelError, 400, "the model cannot be used"),
        (StorageError, 500, "a file of the server cannot be used"),
    ],
)
def test_paths_of_this_machine_are_for_the_log_alone(
    start, monkeypatch, caplog, kind, status, words
):
    own = start()

    def fail(index, requests):
        raise kind(f"/srv/secret/{index} is broken. Look at C:\\hidden.")

    monkeypatch.setattr(own.service.indexes["fruit"].searcher.engine, "search", fail)
    answer = own.get("/search", q="pear")
    assert answer.status == status
    assert words in answer.json["error"]
    assert "secret" not in answer.text
    assert "hidden" not in answer.text
    assert "/search: /srv/secret/fruit is broken" in caplog.text
    body = json.dumps({"index": "fruit", "requests": []}).encode()
    headers = {"Authorization": "Bearer token-of-this-machine"}
    inside = own.request("POST", "/internal/engine/search", body=body, headers=headers)
    assert "/srv/secret/fruit is broken" in inside.json["error"]


def test_the_folder_of_an_engine_is_not_told(server, engine):
    assert engine.startswith("embedded:/")
    assert [row["engine"] for row in server.get("/indexes").json["indexes"]] == ["embedded"] * 2


def test_hostile_text_comes_back_as_it_was(server):
    q = "<script>alert('x')</script> \u202e \x00 \U0001f34e 梨 pear"
    answer = server.get("/search", q=q)
    assert answer.json["query"] == q
    assert answer.json["hits"][0]["doc_id"] == "d2"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_query_of_ten_thousand_characters_is_answered(server):
    assert server.get("/search", q="梨" * 9_995 + " pear").json["hits"][0]["doc_id"] == "d2"


def test_another_process_may_ask_the_engine_with_the_token_only(server):
    body = json.dumps({"index": "fruit", "doc_ids": ["d1", "d9"]}).encode()
    refused = server.request("POST", "/internal/engine/get", body=body)
    assert refused.status == 401
    headers = {"Authorization": "Bearer token-of-this-machine"}
    given = server.request("POST", "/internal/engine/get", body=body, headers=headers)
    (document, vector, dense), missing = given.json["result"]
    assert document == ["d1", FRUIT_TEXT, "Apple", {"year": 2001}]
    assert set(vector) >= {"appl", "sweet"}
    assert (dense, missing) == (None, None)
    for bad in (b"{", b"[]", b'{"index": "fruit"}', b'{"index": "fruit", "doc_ids": 3}'):
        answer = server.request("POST", "/internal/engine/get", body=bad, headers=headers)
        assert answer.status == 400


FRUIT_TEXT = "An apple is a sweet red fruit."
