"""Fused searches over HTTP: the answers are those of ``search`` with the same settings."""

from __future__ import annotations

import pytest

from sparse_ir.errors import ConfigError
from sparse_ir.searching.search import SearchSettings, search
from sparse_ir.serving.settings import ServeSettings

FUSED = "sparse=0.3,words=0.7"


def found(engine, text, **how):
    """What ``search`` finds: ids with scores. An embedded index opens where nobody serves it."""
    (result,) = search(text, SearchSettings(index="fruit", engine=engine, **how))
    return [(hit.doc_id, pytest.approx(hit.score, rel=1e-6)) for hit in result.hits]


def served(answer):
    """What the server found, likewise."""
    assert answer.status == 200, answer.text
    return [(hit["doc_id"], hit["score"]) for hit in answer.json["hits"]]


def test_a_request_fuses_with_the_words_of_another_index(start, engine):
    asked = "sweet red fruit"
    fused, alone = found(engine, asked, hybrid=FUSED, words_index="more"), found(engine, asked)
    assert len(fused) == 3
    running = start(words_index=("more",))
    assert served(running.get("/search", q=asked, hybrid=FUSED)) == fused
    assert served(running.get("/search", q=asked)) == alone


def test_what_says_nothing_is_fused_as_the_server_was_told(start, engine):
    asked = "green fruit"
    fused = found(engine, asked, hybrid=FUSED, words_index="more")
    alone = found(engine, asked, hybrid="sparse=1")
    running = start(words_index=("fruit=more",), hybrid=FUSED)
    assert served(running.get("/search", q=asked)) == fused
    assert served(running.get("/search", q=asked, hybrid="sparse=1")) == alone
    assert running.get("/indexes").json["indexes"][0]["hybrid"] == FUSED


def test_a_default_that_cannot_be_is_refused_before_anything_is_served(start):
    with pytest.raises(ConfigError, match="dense"):
        start(hybrid="rrf:sparse,dense")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hybrid", "sparse=0.5,words=0.5,depth=5000"), "depth is 5000. At most 1000 hits"),
        (("--hybrid", "best"), "--hybrid best is not known"),
        (("--hybrid", "rrf"), "no text index"),
        (("--words-index", "nuts"), "there is no index 'nuts'"),
        (("--words-index", "more", "--query-encoder", "ready"), "ready queries have none"),
        (("--dense", "model"), "no index that is served holds dense vectors"),
        (("--allowed-host", "http://search.example"), "is no name of a host"),
        (("--allowed-host", "search.example:8080"), "is no name of a host"),
    ],
)
def test_what_no_request_could_be_answered_by_is_one_line_at_the_start(
    sparse_ir, engine, monkeypatch, options, message
):
    from sparse_ir.serving.draining import DrainingServer

    monkeypatch.setattr(DrainingServer, "run", lambda self, sockets: pytest.fail("it started"))
    done = sparse_ir("serve", "--index", "fruit", "--engine", engine, "--port", "0", *options)
    assert done.exit_code == 2 or "nuts" in message
    assert len(done.err.strip().splitlines()) == 1
    assert message in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [(("pears=more",), "index 'pears' is not served"), (("more", "fruit=more"), "'fruit' has two")],
)
def test_words_of_no_index_and_two_for_one_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        ServeSettings(index=("fruit",), words_index=words)
