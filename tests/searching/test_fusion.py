"""Several rankings into one."""

from __future__ import annotations

import pytest

from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset
from sparse_ir.evaluating.tune_hybrid import TuneHybridSettings, fusions
from sparse_ir.evaluating.tune_hybrid_files import search_settings
from sparse_ir.searching.fusion import Fusion, fuse, parse_fusion
from sparse_ir.types import ScoredDoc

SPARSE = [ScoredDoc("a", 8.0), ScoredDoc("b", 4.0)]
WORDS = [ScoredDoc("b", 3.0), ScoredDoc("c", 1.5)]
DENSE = [ScoredDoc("c", 0.6), ScoredDoc("a", 0.2)]


def scores(fused):
    return {hit.doc_id: hit.score for hit in fused}


def test_reciprocal_ranks_add_up():
    fused = fuse({"sparse": SPARSE, "words": WORDS}, Fusion("rrf"))
    assert [hit.doc_id for hit in fused] == ["b", "a", "c"]
    assert [hit.score for hit in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_reciprocal_ranks_have_shares_and_a_constant():
    how = parse_fusion("rrf:sparse=2,dense,k=10")
    fused = fuse({"sparse": SPARSE, "dense": DENSE}, how)
    assert scores(fused) == pytest.approx({"a": 2 / 11 + 1 / 12, "b": 2 / 12, "c": 1 / 11})


def test_convex_adds_shares_of_the_highest_scores():
    fused = fuse({"sparse": SPARSE, "words": WORDS}, parse_fusion("convex=0.75"))
    assert scores(fused) == pytest.approx({"a": 0.75, "b": 0.75 * 0.5 + 0.25, "c": 0.125})


def test_a_cosine_is_scaled_from_its_lower_bound_and_the_last_hit_stands_for_who_is_left_out():
    fused = fuse({"sparse": SPARSE, "dense": DENSE}, parse_fusion("sparse=0.5,dense=0.5"))
    last = (0.2 + 1) / (0.6 + 1)  # a, and so b
    assert scores(fused) == pytest.approx({"a": 0.5 + 0.5 * last, "b": 0.25 + 0.5 * last, "c": 0.5})


def test_a_dot_product_is_scaled_from_the_least_of_its_list():
    dense = [ScoredDoc("x", 30.0), ScoredDoc("y", 15.0), ScoredDoc("z", -30.0)]
    fused = fuse({"sparse": [], "dense": dense}, Fusion("convex", (("dense", 1),)), cosine=False)
    assert scores(fused) == pytest.approx({"x": 1.0, "y": 0.75, "z": 0.0})


def test_three_sides_are_fused():
    fused = fuse(
        {"sparse": SPARSE, "dense": [ScoredDoc("c", 1.0)], "words": WORDS},
        parse_fusion("sparse=2,dense=1,words=1"),
    )
    assert scores(fused) == pytest.approx(
        {"a": 0.5 + 0.25, "b": 0.25 + 0.25 + 0.25, "c": 0.25 + 0.125}
    )


@pytest.mark.parametrize(
    "text", ["rrf:sparse,dense,depth=500", "rrf:sparse=2,dense,k=20,depth=7",
             "sparse=0.6,dense=0.4,depth=500"],
)  # fmt: skip
def test_a_depth_of_its_own_is_read_and_written(text):
    fusion = parse_fusion(text)
    assert fusion.depth == int(text.rpartition("=")[2])
    assert parse_fusion(str(fusion)) == fusion
    assert str(fusion) == text
    assert "depth" not in str(Fusion())
    with pytest.raises(ConfigError, match="depth=x is no whole number"):
        parse_fusion(text.rpartition("=")[0] + "=x")
    with pytest.raises(ConfigError, match="depth lies between 1 and 10,000"):
        parse_fusion(text.rpartition("=")[0] + "=10001")


@pytest.mark.parametrize(
    ("metric", "depth", "deep"), [("ndcg@10", 500, 500), ("recall@200", 100, 200)]
)
def test_what_is_tuned_at_a_depth_is_written_with_it(metric, depth, deep):
    settings = TuneHybridSettings(
        "i", BenchmarkDataset("data", "dev"), "out", metric=metric, depth=depth, step=0.5
    )
    for fusion in fusions(("sparse", "dense"), settings):
        if len(fusion.sides) > 1:
            assert f",depth={deep}" in search_settings(fusion, None)["hybrid"]


def test_a_side_without_a_share_is_left_out():
    how = parse_fusion("sparse=0,dense=1")
    assert how.sides == ("dense",)
    assert [hit.doc_id for hit in fuse({"dense": DENSE}, how)] == ["c", "a"]


def test_equal_scores_come_by_id():
    lists = {"sparse": [ScoredDoc("z", 1.0)], "words": [ScoredDoc("y", 1.0)]}
    assert [hit.doc_id for hit in fuse(lists, Fusion("rrf"))] == ["y", "z"]


def test_one_empty_list_leaves_the_other_in_its_order():
    lists = {"sparse": SPARSE, "words": []}
    assert [hit.doc_id for hit in fuse(lists, parse_fusion("convex"))] == ["a", "b"]
    assert fuse({"sparse": [], "words": []}, Fusion("rrf")) == []


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("rrf", Fusion("rrf", (("sparse", 1), ("words", 1)))),
        ("convex", Fusion("convex", (("sparse", 0.5), ("words", 0.5)))),
        ("convex=0.75", Fusion("convex", (("sparse", 0.75), ("words", 0.25)))),
        ("rrf:sparse,dense", Fusion("rrf", (("sparse", 1), ("dense", 1)))),
        ("rrf:words, dense=2,k=20", Fusion("rrf", (("dense", 2), ("words", 1)), constant=20)),
        ("dense=3,sparse=1", Fusion("convex", (("sparse", 0.25), ("dense", 0.75)))),
    ],
)
def test_what_is_written_is_what_is_meant(text, meant):
    assert parse_fusion(text) == meant
    assert parse_fusion(str(meant)) == meant


def test_nothing_written_is_no_fusion():
    assert parse_fusion("") is None


@pytest.mark.parametrize(
    "text",
    [
        "dense",
        "rrf=3",
        "convex=much",
        "convex=2",
        "rrf:",
        "rrf:sparse,bm25",
        "rrf:sparse,sparse",
        "rrf:sparse,k=much",
        "rrf:sparse,k=0",
        "sparse=0,dense=0",
        "sparse=-1,dense=2",
        "sparse=nan,dense=1",
        "sparse=0.5,dense",
    ],
)
def test_nonsense_is_refused(text):
    with pytest.raises(ConfigError, match="--hybrid"):
        parse_fusion(text)


@pytest.mark.parametrize("digits", [10, 5000])
def test_a_constant_of_too_many_digits_is_refused(digits):
    with pytest.raises(ConfigError, match="no whole number of at most 9 digits"):
        parse_fusion(f"rrf:sparse,words,k={digits * '9'}")
    assert parse_fusion("rrf:sparse,words,k=999999999").constant == 999_999_999
