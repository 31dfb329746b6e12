"""A mask is the server's own: no client's query is searched by its terms, in any index."""

from __future__ import annotations

import os

import pytest

from sparse_ir.searching.search import SearchSettings, search


@pytest.fixture
def mask(tmp_path):
    """A file of two terms, one of which no model has."""
    path = tmp_path / "mask.txt"
    path.write_text("pear\nno-such-term\n")
    return path


def test_every_request_is_searched_without_the_masked_terms(start, engine, mask):
    asked = "sweet pear"
    settings = SearchSettings(index="fruit", engine=engine, mask=str(mask))
    (wanted,) = search(asked, settings)
    server = start(index=("fruit", "more"), mask=str(mask))
    for index in ("fruit", "more"):
        found = server.get("/search", q=asked, index=index).json
        assert [t["term"] for t in found["terms"]] == ["sweet"]
        assert found["dropped"] == []
        assert [(h["doc_id"], h["score"]) for h in found["hits"]] == [
            (h.doc_id, pytest.approx(h.score, rel=1e-6)) for h in wanted.hits
        ]
    for against in ({"doc_id": "d2"}, {"text": "A sweet pear"}):
        matches = server.get("/explain", q=asked, **against).json["matches"]
        assert [m["term"] for m in matches] == ["sweet"]
    alone = server.get("/search", q="pear").json
    assert (alone["terms"], alone["hits"]) == ([], [])


@pytest.mark.parametrize("asked", [{"boost": "pear=2"}, {"pin": "pear=1"}])
def test_a_client_cannot_bring_a_masked_term_back(start, mask, asked):
    answer = start(mask=str(mask)).get("/search", q="sweet pear", **asked)
    assert answer.status == 400
    assert answer.json["error"].endswith("and the mask leaves it out.")


@pytest.mark.skipif(os.name != "posix", reason="/dev/fd")
def test_a_mask_from_a_pipe_holds_for_all_indexes(start):
    reading, writing = os.pipe()
    os.write(writing, b"pear\n")
    os.close(writing)
    try:
        server = start(index=("fruit", "more"), mask=f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    for index in ("fruit", "more"):
        assert server.get("/search", q="pear", index=index).json["hits"] == []


def test_a_mask_that_is_not_there_is_one_line_at_the_start(sparse_ir, engine, tmp_path):
    done = sparse_ir(
        "serve", "--index", "fruit", "--engine", engine, "--port", "0",
        "--mask", tmp_path / "none.txt",
    )  # fmt: skip
    assert done.exit_code != 0
    assert len(done.err.strip().splitlines()) == 1
    assert "none.txt" in done.err
