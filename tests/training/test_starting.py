"""What a run may start from, and what is said of a folder that it may not."""

from __future__ import annotations

import builtins
import json
import shutil

import pytest

from sparse_ir.errors import ModelError
from sparse_ir.training.starting import start_settings


@pytest.fixture
def copy(backbone, tmp_path):
    """A backbone of this test's own."""
    return shutil.copytree(backbone, tmp_path / "start")


def test_nobody_is_asked_to_run_the_code_of_a_folder(copy, monkeypatch):
    def asked(prompt=""):
        raise AssertionError(prompt)

    monkeypatch.setattr(builtins, "input", asked)
    config = {"model_type": "strange", "auto_map": {"AutoConfig": "code.Config"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "code.py").write_text("raise SystemExit")
    with pytest.raises(ModelError, match=r"start: config\.json cannot be used"):
        start_settings(str(copy))


@pytest.mark.parametrize(
    ("files", "lost"),
    [
        ({"sparse_ir.json": {"prune_ratio": 0.1}}, "a prune ratio"),
        ({"sparse_ir.json": {"drop_positions": ["special"]}}, "positions that are dropped"),
        ({"config_sentence_transformers.json": {"prompts": {"query": "q: "}}}, "prompts"),
        ({"sentence_bert_config.json": {"do_lower_case": True}}, "lower-casing of its own"),
    ],
)
def test_a_backbone_does_not_lose_silently_what_training_does_not_know(run, copy, files, lost):
    modules = [
        {"type": "sentence_transformers.sparse_encoder.models.MLMTransformer", "path": ""},
        {"type": "sentence_transformers.sparse_encoder.models.SpladePooling", "path": "1_P"},
    ]
    for name, content in {"modules.json": modules, **files}.items():
        (copy / name).write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"has {lost}, which training does not know"):
        run(model__backbone=str(copy), optimizer__steps=1)


@pytest.mark.parametrize("content", ["[]", "{}", "[5]", "not JSON"])
def test_a_backbone_with_damaged_modules_is_one_clear_error(run, copy, content):
    (copy / "config.json").unlink()
    (copy / "modules.json").write_text(content)
    with pytest.raises(ModelError, match=r"modules\.json"):
        run(model__backbone=str(copy), optimizer__steps=1)


def test_the_bounds_on_terms_are_those_of_the_start(copy):
    """A model that is adapted has as many terms as before, as its manual says."""
    (copy / "sparse_ir.json").write_text(json.dumps({"query_terms": 3, "document_terms": 7}))
    found = start_settings(str(copy))
    assert (found["query_terms"], found["document_terms"]) == (3, 7)


def test_what_the_start_never_weighs_stays_so(copy):
    """A doc model's own terms beside those that training always leaves out."""
    (copy / "sparse_ir.json").write_text(json.dumps({"drop_columns": ["special", "cat"]}))
    assert start_settings(str(copy))["drop_columns"] == ["special", "unused", "cat"]
