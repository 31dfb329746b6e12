"""Regressions planted in a real index: `--fail-under` notices them, `verify` says what they are."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from sparse_ir.engines.opening import open_engine
from sparse_ir.inspecting.findings import SATURATION, WRONG_MODEL

PLANTED = runpy.run_path(str(Path(__file__).parents[2] / "evaluation" / "planted.py"))
INDEX = "regression-test"
ALLOWED = 0.005  # of nDCG@10


@pytest.fixture(scope="module")
def place(server_url):
    address = server_url("opensearch")
    yield address
    with open_engine(address) as engine:
        for build in engine.builds(INDEX):
            engine.drop(build)


@pytest.fixture
def indexed(sparse_ir, place):
    """Python's documentation by BM25, and how well it is searched."""
    done = sparse_ir(
        "index", "--corpus", "python-docs", "--model", "bm25", "--index", INDEX, "--url", place,
        "--replicas", "0", "--replace", "--keep-vectors",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    return evaluate(sparse_ir, place)[1]


def evaluate(sparse_ir, place, *more):
    done = sparse_ir(
        "evaluate", "--index", INDEX, "--url", place, "--dataset", "python-docs",
        "--metrics", "ndcg@10", "--json", *more,
    )  # fmt: skip
    return done, json.loads(done.out)["ndcg@10"]


def gate(sparse_ir, place, value):
    """What a nightly build runs: the figure may not fall by more than a little."""
    return evaluate(sparse_ir, place, "--fail-under", f"ndcg@10={value - ALLOWED:.4f}")


def verify(sparse_ir, place):
    done = sparse_ir("verify", "--index", INDEX, "--url", place, "--json")
    return done.exit_code, {finding["cause"] for finding in json.loads(done.out)["findings"]}


def test_what_did_not_change_passes(sparse_ir, place, indexed):
    done, again = gate(sparse_ir, place, indexed)
    assert (done.exit_code, again) == (0, indexed), done.err
    assert verify(sparse_ir, place) == (0, set())


def test_saturation_instead_of_the_dot_product(sparse_ir, place, indexed, monkeypatch):
    monkeypatch.setattr("sparse_ir.engines.requests.term_query", PLANTED["saturated"])
    done, value = gate(sparse_ir, place, indexed)
    assert value < indexed - ALLOWED
    assert done.exit_code == 8
    assert f"ndcg@10 is {value:.4f}" in done.err
    assert verify(sparse_ir, place) == (8, {SATURATION})


def test_a_model_whose_vocabulary_is_shuffled(sparse_ir, place, indexed):
    """Every document keeps its weights, under the names of other terms."""
    PLANTED["shuffle"](place, INDEX)
    done, value = gate(sparse_ir, place, indexed)
    assert value < 0.1 * indexed
    assert done.exit_code == 8
    assert "ndcg@10" in done.err
    assert verify(sparse_ir, place) == (8, {WRONG_MODEL})
