"""An index says what made it, and refuses whatever else."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sparse_ir.engines.stamp import (
    DenseSpace,
    Stamp,
    read_stamp,
    require_same_documents,
    require_same_model,
)
from sparse_ir.errors import EngineError, ModelMismatchError

STAMP = Stamp(
    model="mini",
    fingerprint="d" * 64,
    query_fingerprints=("q" * 64, "r" * 64),
    vocabulary_hash="v" * 64,
    vocabulary_size=5,
    document_pruning="top_k=128",
    corpus="corpus.jsonl",
    created="2026-01-01T00:00:00+00:00",
    version="0.1.0",
)


def encoder(name="other", *, documents="d", queries="q"):
    return SimpleNamespace(name=name, fingerprint=documents * 64, query_fingerprint=queries * 64)


def test_a_stamp_survives_json():
    assert read_stamp(json.loads(json.dumps(STAMP.to_json())), index="x") == STAMP


def test_what_a_later_version_adds_to_dense_vectors_is_passed_over():
    stamp = replace(STAMP, dense=DenseSpace("dense", "f" * 64, 16, "dot"))
    stored = stamp.to_json()
    stored["dense"]["quantised"] = "int8"
    assert read_stamp(stored, index="x") == stamp
    del stored["dense"]["dimension"]
    with pytest.raises(EngineError, match=r"'x' has a damaged stamp: dimension of its dense"):
        read_stamp(stored, index="x")


def test_a_stamp_of_another_format_names_the_version_that_reads_it():
    with pytest.raises(EngineError, match=r"'x' has format 9.*\(0\.1\.0\)"):
        read_stamp({**STAMP.to_json(), "format": 9}, index="x")


def test_a_damaged_stamp_names_what_is_missing():
    stored = {k: v for k, v in STAMP.to_json().items() if k not in ("model", "corpus")}
    with pytest.raises(EngineError, match="corpus, model is missing"):
        read_stamp(stored, index="x")


def test_what_a_later_version_adds_is_passed_over():
    assert read_stamp({**STAMP.to_json(), "more": 1}, index="x") == STAMP


@pytest.mark.parametrize("queries", ["q", "r"])
def test_every_query_encoder_of_the_stamp_may_search(queries):
    require_same_model(STAMP, encoder(queries=queries), index="x")


def test_another_query_encoder_is_refused_with_both_names():
    with pytest.raises(ModelMismatchError, match=r"'x'.*'mini'.*'other'") as caught:
        require_same_model(STAMP, encoder(queries="z"), index="x")
    assert "\n" not in str(caught.value)


def test_a_query_encoder_that_the_model_got_later_is_refused_and_told_apart():
    with pytest.raises(ModelMismatchError, match=r"did not have this query encoder .*index again"):
        require_same_model(STAMP, encoder("mini", queries="z"), index="x")


def test_documents_of_another_model_are_refused_with_both_names():
    require_same_documents(STAMP, encoder(documents="d"), index="x")
    with pytest.raises(ModelMismatchError, match=r"'x'.*'mini'.*'other'"):
        require_same_documents(STAMP, encoder(documents="z"), index="x")
