"""An exported graph gives the model's own vectors, wherever it runs, or is not left at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models import onnx_export
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.onnx import OnnxEncoder
from sparse_ir.models.onnx_export import export_onnx
from sparse_ir.models.sides import TableLayout
from sparse_ir.models.torchscript_export import (
    _bert_tokenization,
    _pack_table,
    export_eland,
    export_opensearch,
    load_traced,
)

TEXTS = ["", "the cat sat on the mat", "run", "a, b! c.", "cat running " * 30, "é [MASK] zzz"]


@pytest.fixture(scope="module")
def model(make_tiny, tmp_path_factory):
    """Sum pooling, two logarithms, special tokens dropped on both sides, bounds on terms."""
    folder = make_tiny(tmp_path_factory.mktemp("onnx") / "model")
    options = {
        "pooling": "sum", "activation": "log1p_log1p", "drop_positions": ["special"],
        "drop_columns": ["special", "unused", "the"], "document_terms": 20, "query_terms": 7,
    }  # fmt: skip
    (folder / "sparse_ir.json").write_text(json.dumps(options))
    (folder / "query_table.json").write_text(json.dumps({"cat": 2.0, "mat": 1.5}))
    return folder


@pytest.fixture(scope="module")
def exported(model):
    out = model.parent / "exported"
    return export_onnx(str(model), out)


@pytest.fixture(scope="module")
def plain(tiny, tmp_path_factory):
    """Max pooling of the tiny BERT, which drops nothing."""
    return export_onnx(str(tiny), tmp_path_factory.mktemp("plain") / "exported")


@pytest.fixture
def exporting(monkeypatch):
    """Let exports take the graph of an earlier one: to make one costs seconds."""

    def take(folder):
        graph = folder / "model.onnx"
        monkeypatch.setattr(
            onnx_export, "_write_graph", lambda *given: shutil.copyfile(graph, given[2])
        )

    return take


def same(ours, theirs):
    assert ours.ids == theirs.ids
    np.testing.assert_allclose(ours.weights.toarray(), theirs.weights.toarray(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_a_sum_of_what_is_kept_is_the_models_own(model, exported, batch_tokens):
    assert exported.difference <= 1e-4
    ours, theirs = load_encoder(exported.folder, batch_tokens=batch_tokens), load_encoder(model)
    assert isinstance(ours, OnnxEncoder)
    same(ours.encode_documents(TEXTS), theirs.encode_documents(TEXTS))
    same(ours.encode_queries(TEXTS), theirs.encode_queries(TEXTS))
    assert ours.encode_documents([]).weights.shape == (0, len(theirs.vocabulary))


def test_a_maximum_is_the_models_own_and_so_are_its_words(tiny, plain):
    ours, theirs = load_encoder(plain.folder), load_encoder(tiny)
    same(ours.encode_documents(TEXTS), theirs.encode_documents(TEXTS))
    for text in TEXTS:
        found, expected = ours.explain(text), theirs.explain(text)
        assert found.cut == expected.cut
        assert {t.term: t[2:] for t in found.terms} == {t.term: t[2:] for t in expected.terms}
        assert [t.weight for t in found.terms] == pytest.approx(
            [t.weight for t in expected.terms], abs=1e-4
        )
        assert ours.text_terms(text) == theirs.text_terms(text)


def test_an_export_fits_the_indexes_of_its_model(model, exported, tiny, plain):
    for ours, theirs in ((exported.folder, model), (plain.folder, tiny)):
        one, other = load_encoder(ours), load_encoder(theirs)
        assert one.vocabulary == other.vocabulary
        assert one.fingerprint == other.fingerprint
        assert one.query_fingerprints == other.query_fingerprints
        shorter = load_encoder(ours, max_length=8)
        assert shorter.fingerprint == load_encoder(theirs, max_length=8).fingerprint
        same(
            shorter.encode_documents(TEXTS),
            load_encoder(theirs, max_length=8).encode_documents(TEXTS),
        )


def test_a_query_table_goes_along(model, exported):
    free = load_encoder(exported.folder, queries="inference-free")
    same(
        free.encode_queries(["the cat", "mat"]),
        load_encoder(model, queries="inference-free").encode_queries(["the cat", "mat"]),
    )
    assert free.query_fingerprints == load_encoder(
        model, queries="inference-free"
    ).query_fingerprints  # fmt: skip
    same(free.encode_documents(TEXTS), load_encoder(model).encode_documents(TEXTS))


def test_queries_by_a_table_alone_stay_so(make_tiny, tmp_path):
    folder = make_tiny(tmp_path / "model")
    (folder / "idf.json").write_text(json.dumps({"cat": 2.0, "mat": 1.5}))
    out = export_onnx(str(folder), tmp_path / "out").folder
    ours, theirs = load_encoder(out), load_encoder(folder)
    same(ours.encode_queries(["the cat"]), theirs.encode_queries(["the cat"]))
    assert ours.query_fingerprints == theirs.query_fingerprints
    assert ours.fingerprint == theirs.fingerprint


def test_an_export_runs_where_torch_is_not_installed(plain):
    code = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "sentence_transformers"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from sparse_ir.models.loading import load_encoder
encoder = load_encoder({str(plain.folder)!r})
print(encoder.encode_documents(["the cat sat"]).weights.nnz, encoder.fingerprint)
print(encoder.explain("the cat sat").terms[0].term)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    encoder = load_encoder(plain.folder)
    nnz = encoder.encode_documents(["the cat sat"]).weights.nnz
    assert done.stdout.split()[:2] == [str(nnz), encoder.fingerprint]


def test_an_export_that_gives_other_vectors_is_not_left(tiny, exported, exporting, tmp_path):
    exporting(exported.folder)  # of a sum, where this model takes the maximum
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="differ"):
        export_onnx(str(tiny), out)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_files_that_were_changed_after_the_export_are_refused(plain, tmp_path):
    folder = shutil.copytree(plain.folder, tmp_path / "copy")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"mat"', '"mut"'))
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        _ = load_encoder(folder).fingerprint
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load_encoder(folder)
    (folder / "sparse_ir_onnx.json").write_text("{}")
    with pytest.raises(ModelError, match="format"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "tpu"}, "device"),
        ({"precision": "bf16"}, "fp32"),
        ({"max_length": 99}, "1 to 32"),
    ],
)
def test_what_an_export_cannot_do_is_said(plain, options, words):
    with pytest.raises(ConfigError, match=words):
        load_encoder(plain.folder, **options)


def test_nothing_is_replaced_unasked(tiny, plain):
    with pytest.raises(ConfigError, match="replace"):
        export_onnx(str(tiny), plain.folder)


def test_opensearch_gets_a_zip_that_gives_the_models_vectors(model, tmp_path):
    report = export_opensearch(str(model), tmp_path / "out")
    assert report.difference <= 1e-4
    packed = report.folder / "model.zip"
    config = json.loads((report.folder / "ml-commons_model_config.json").read_text())
    assert config["function_name"] == "SPARSE_ENCODING"
    assert config["model_format"] == "TORCH_SCRIPT"
    assert config["model_content_size_in_bytes"] == packed.stat().st_size
    assert config["model_content_hash_value"] == sha256(packed.read_bytes()).hexdigest()
    with zipfile.ZipFile(packed) as archive:
        assert sorted(archive.namelist()) == ["model.pt", "tokenizer.json"]
        archive.extract("model.pt", tmp_path)
        tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
    traced = load_traced(tmp_path / "model.pt")
    expected = load_encoder(model).encode_documents(TEXTS).weights.toarray()
    for text, row in zip(TEXTS, expected, strict=True):  # as ML Commons asks: one text at a time
        tokens = tokenizer.encode(text)
        given = {
            "input_ids": torch.tensor([tokens.ids]),
            "attention_mask": torch.tensor([tokens.attention_mask]),
        }
        np.testing.assert_allclose(traced(given)["output"][0].numpy(), row, atol=1e-4)


def test_opensearch_gets_the_table_of_a_model_that_weighs_queries_by_one(make_tiny, tmp_path):
    folder = make_tiny(tmp_path / "model")
    (folder / "idf.json").write_text(json.dumps({"cat": 2.0}))
    report = export_opensearch(str(folder), tmp_path / "out", queries=True)
    with zipfile.ZipFile(report.folder / "model.zip") as archive:
        assert json.loads(archive.read("idf.json")) == {"cat": 2.0}
        assert "tokenizer.json" in archive.namelist()
    config = json.loads((report.folder / "ml-commons_model_config.json").read_text())
    assert config["function_name"] == "SPARSE_TOKENIZE"


def test_a_table_that_opensearch_cannot_hold_is_refused(make_tiny, tmp_path):
    folder = make_tiny(tmp_path / "model")
    (folder / "idf.json").write_text(json.dumps({"cat": 2.0}))
    (folder / "sparse_ir.json").write_text(json.dumps({"query_terms": 5}))
    with pytest.raises(ConfigError, match="keeps its 5 heaviest tokens"):
        export_opensearch(str(folder), tmp_path / "out", queries=True)
    bare = TableLayout(folder / "idf.json", tmp_path)
    with pytest.raises(ModelError, match=r"has no fast tokenizer \(tokenizer.json\)"):
        _pack_table(bare, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def test_a_prune_ratio_of_documents_does_not_hold_back_the_query_side(make_tiny, tmp_path):
    folder = make_tiny(tmp_path / "model")
    (folder / "idf.json").write_text(json.dumps({"cat": 2.0}))
    (folder / "sparse_ir.json").write_text(json.dumps({"prune_ratio": 0.1}))
    with pytest.raises(ModelError, match="prune_ratio"):
        export_opensearch(str(folder), tmp_path / "documents")
    report = export_opensearch(str(folder), tmp_path / "out", queries=True)
    assert report.files[0] == "model.zip"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strip_accents": False}, "strip_accents false, where Elasticsearch's has true"),
        ({"lowercase": False, "strip_accents": True}, "strip_accents true, where"),
        ({"handle_chinese_chars": False}, "handle_chinese_chars false"),
        ({"clean_text": False}, "clean_text false"),
        ({"strip_accents": True}, None),
        ({}, None),
    ],
)
def test_elasticsearch_has_one_way_to_clean_texts(tiny, changes, said):
    content = json.loads((tiny / "tokenizer.json").read_text())
    content["normalizer"].update(changes)
    source = SimpleNamespace(
        folder=tiny,
        tokenizer=lambda: json.dumps(content).encode(),
        encoder=SimpleNamespace(max_length=32),
    )
    if said is None:
        assert _bert_tokenization(source)["do_lower_case"] is True
    else:
        with pytest.raises(ConfigError, match=said):
            _bert_tokenization(source)


def test_elasticsearch_gets_four_inputs_one_output_and_every_term(model, tmp_path):
    report = export_eland(str(model), tmp_path / "out")
    encoder = load_encoder(model)
    vocabulary = json.loads((report.folder / "vocabulary.json").read_text())["vocabulary"]
    assert vocabulary == list(encoder.vocabulary)
    config = json.loads((report.folder / "config.json").read_text())
    bert = config["inference_config"]["text_expansion"]["tokenization"]["bert"]
    assert bert["do_lower_case"] is True
    assert bert["max_sequence_length"] == 32
    traced = load_traced(report.folder / "traced_pytorch_model.pt")
    ids = torch.tensor([encoder.tokenizer("the cat sat")["input_ids"]])
    ones, zeros = torch.ones_like(ids), torch.zeros_like(ids)
    found = traced(ids, ones, zeros, torch.arange(ids.shape[1]).unsqueeze(0))
    assert found.shape == (1, len(vocabulary))
    expected = encoder.encode_documents(["the cat sat"]).weights.toarray()
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("export", [export_opensearch, export_eland])
def test_a_prompt_that_no_server_would_write_is_refused(tiny, tmp_path, export):
    folder = shutil.copytree(tiny, tmp_path / "model")
    files = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "x.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": "x.SpladePooling"},
        ],
        "config_sentence_transformers.json": {"prompts": {"query": "find: ", "document": ""}},
    }
    (folder / "1_SpladePooling").mkdir()
    (folder / "1_SpladePooling" / "config.json").write_text('{"pooling_strategy": "max"}')
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="find: "):
        export(str(folder), tmp_path / "out")


def test_the_command_says_how_far_the_export_is_off(sparse_ir, tiny, plain, exporting, tmp_path):
    exporting(plain.folder)
    out = tmp_path / "out"
    done = sparse_ir("export", "--format", "onnx", "--model", tiny, "--out", out)
    assert done.exit_code == 0, done.err
    assert "opset 18" in done.out
    assert "Largest difference" in done.out
    again = sparse_ir("export", "--format", "onnx", "--model", tiny, "--out", out)
    assert again.exit_code == 2
    assert "--replace" in again.err
    done = sparse_ir("export", "--format", "eland", "--index", "default", "--out", out)
    assert done.exit_code == 2
    assert "exports a model" in done.err
