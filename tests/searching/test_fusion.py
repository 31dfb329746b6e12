"""Two rankings into one."""

from __future__ import annotations

import pytest

from sparse_ir.errors import ConfigError
from sparse_ir.searching.fusion import Fusion, fuse, parse_fusion
from sparse_ir.types import ScoredDoc

BY_TERMS = [ScoredDoc("a", 8.0), ScoredDoc("b", 4.0)]
BY_TEXT = [ScoredDoc("b", 3.0), ScoredDoc("c", 1.5)]


def test_reciprocal_ranks_add_up():
    fused = fuse(BY_TERMS, BY_TEXT, Fusion("rrf"))
    assert [hit.doc_id for hit in fused] == ["b", "a", "c"]
    assert [hit.score for hit in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_convex_adds_shares_of_the_highest_scores():
    fused = fuse(BY_TERMS, BY_TEXT, Fusion("convex", alpha=0.75))
    assert {hit.doc_id: hit.score for hit in fused} == pytest.approx(
        {"a": 0.75, "b": 0.75 * 0.5 + 0.25, "c": 0.125}
    )


def test_equal_scores_come_by_id():
    fused = fuse([ScoredDoc("z", 1.0)], [ScoredDoc("y", 1.0)], Fusion("rrf"))
    assert [hit.doc_id for hit in fused] == ["y", "z"]


def test_one_empty_list_leaves_the_other_in_its_order():
    assert [hit.doc_id for hit in fuse(BY_TERMS, [], Fusion("convex"))] == ["a", "b"]
    assert fuse([], [], Fusion("rrf")) == []


def test_what_is_written_is_what_is_meant():
    assert parse_fusion("") is None
    assert parse_fusion("rrf") == Fusion("rrf")
    assert parse_fusion("convex=0.7") == Fusion("convex", 0.7)


@pytest.mark.parametrize("text", ["dense", "rrf=3", "convex=much", "convex=2"])
def test_nonsense_is_refused(text):
    with pytest.raises(ConfigError, match="--hybrid"):
        parse_fusion(text)
