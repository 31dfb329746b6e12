from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file

from sparse_ir import resources
from sparse_ir.errors import ModelError
from sparse_ir.models.default_model import WEIGHTS, default_model, dequantize, pack, quantize
from sparse_ir.models.loading import load_encoder
from sparse_ir.vectors import to_terms

MB = 1_000_000


@pytest.fixture(scope="module")
def package(tiny, tmp_path_factory):
    """A small package, made as the bundled one is."""
    folder = tmp_path_factory.mktemp("package")
    pack(tiny, folder)
    return folder


def test_the_bundled_model_is_at_most_25_mb():
    files = [p for p in resources.default_model_folder().rglob("*") if p.is_file()]
    assert sum(file.stat().st_size for file in files) <= 25 * MB


def test_the_bundled_model_expands_a_question(bundled):
    batch = bundled.encode_queries(["how do I run another program and read its output", ""])
    terms, nothing = to_terms(batch, bundled.vocabulary)
    assert {"output", "read", "program", "run", "programs"} <= set(terms)
    assert len(terms) < 60
    assert not {"[CLS]", "[SEP]", "[PAD]", "[unused5]"} & set(terms)
    assert nothing == {}


def test_the_bundled_model_is_called_default_and_lies_in_an_ordinary_folder(bundled):
    assert bundled.name == "default"
    assert bundled.max_length == 512
    assert (bundled.path / "model.safetensors").stat().st_size > 80 * MB


def test_both_names_of_the_bundled_model_load_it(bundled, monkeypatch):
    monkeypatch.setenv("SPARSE_IR_HOME", str(bundled.path.parents[2]))
    for name in (None, "default"):
        assert load_encoder(name).fingerprint == bundled.fingerprint


def test_sentence_transformers_gives_the_vectors_of_the_bundled_model(bundled):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["An apple is a fruit.", "", "read the output of a program " * 120, "Straße, 日本"]
    theirs = sentence_transformers.SparseEncoder(str(bundled.path), device="cpu")
    queries, documents = bundled.layout.query_terms, bundled.layout.document_terms
    for ours, their in (
        (bundled.encode_queries(texts), theirs.encode_query(texts, max_active_dims=queries)),
        (
            bundled.encode_documents(texts[::-1]),
            theirs.encode_document(texts[::-1], max_active_dims=documents),
        ),
    ):
        expected = np.stack([row.to_dense().numpy() for row in their])
        np.testing.assert_allclose(ours.weights.toarray(), expected, atol=1e-4)
    assert np.diff(bundled.encode_queries(texts).weights.indptr).max() == queries == 30
    assert documents == 150


def test_quantized_rows_are_within_half_a_step():
    rng = np.random.default_rng(0)
    tensors = {"w": rng.normal(size=(50, 30)).astype(np.float32), "b": np.ones(4, np.float32)}
    tensors["w"][7] = 0
    small = quantize(tensors)
    assert small["w"].dtype == np.int8
    whole = dequantize(small)
    assert whole.keys() == tensors.keys()
    step = np.abs(tensors["w"]).max(axis=1, keepdims=True) / 127
    assert (np.abs(whole["w"] - tensors["w"]) <= step / 2 + 1e-7).all()
    assert not whole["w"][7].any()
    np.testing.assert_array_equal(whole["b"], tensors["b"])


def test_an_unpacked_model_is_what_transformers_loads(package, tiny):
    folder = default_model(package)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    original = load_file(tiny / "model.safetensors")
    for name, values in load_file(folder / "model.safetensors").items():
        found = model.state_dict()[name].numpy()
        np.testing.assert_array_equal(found, values)
        np.testing.assert_allclose(values, original[name], atol=0.02)


def test_an_unpacked_model_is_used_again(package):
    folder = default_model(package)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert default_model(package) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "sha256.json"])
@pytest.mark.parametrize("damage", ["gone", "short", "changed"])
def test_a_damaged_unpacked_model_is_made_again(package, file, damage):
    path = default_model(package) / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        changed = bytes([content[-1] ^ 1])
        path.write_bytes(content[:-9] if damage == "short" else content[:-1] + changed)
    assert default_model(package) == path.parent
    assert path.read_bytes() == content


@pytest.mark.parametrize("file", [WEIGHTS, "config.json", "sha256.json"])
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_package_is_an_error(package, tmp_path, file, damage):
    copy = Path(shutil.copytree(package, tmp_path / "package"))
    content = (copy / file).read_bytes()
    (copy / file).unlink()
    if damage == "changed":
        (copy / file).write_bytes(content[:-5] + b"00000")
    with pytest.raises(ModelError, match="is damaged or missing"):
        default_model(copy)


def test_the_card_may_be_edited(package, tmp_path):
    copy = Path(shutil.copytree(package, tmp_path / "package"))
    (copy / "README.md").write_text("# A card\n")
    assert default_model(copy) == default_model(package)


def start(code, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )


def test_processes_that_ask_at_once_all_get_it(package):
    code = (
        "from pathlib import Path\n"
        "from sparse_ir.models.default_model import default_model\n"
        f"print(default_model(Path({str(package)!r})))"
    )
    processes = [start(code) for _ in range(4)]
    printed = {process.communicate()[0].strip() for process in processes}
    folder = default_model(package)
    assert printed == {str(folder)}
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_disk_without_room_is_one_clear_error(package):
    code = (
        "import resource\n"
        "from pathlib import Path\n"
        "from sparse_ir.errors import StorageError\n"
        "from sparse_ir.models.default_model import default_model\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # as a full disk would\n"
        f"try: default_model(Path({str(package)!r}))\n"
        "except StorageError as error: print(error)"
    )
    printed = start(code).communicate()[0].strip()
    assert "cannot be written: File too large. Free 200 MB" in printed
    assert "\n" not in printed
    models = resources.cache() / "models"
    assert list(models.iterdir()) == []


def test_a_query_table_is_packed_unpacked_and_used(tiny, tmp_path, monkeypatch):
    source = Path(shutil.copytree(tiny, tmp_path / "source"))
    (source / "query_table.json").write_text(json.dumps({"cat": 1.23456789, "the": 0.00001}))
    pack(source, tmp_path / "package")
    monkeypatch.setattr(resources, "default_model_folder", lambda: tmp_path / "package")
    encoder = load_encoder(queries="inference-free")
    (terms,) = to_terms(encoder.encode_queries(["the cat"]), encoder.vocabulary)
    assert terms == {"cat": pytest.approx(1.2346)}
    assert encoder.name == "default"
    both = load_encoder().query_fingerprints
    assert len(both) == 2
    assert encoder.query_fingerprint == both[1]


def test_a_package_says_how_its_source_pools_and_how_far_it_reads(tiny, tmp_path):
    source = Path(shutil.copytree(tiny, tmp_path / "source"))
    options = {
        "pooling": "sum", "activation": "log1p_log1p", "max_length": 20, "query_terms": 3
    }  # fmt: skip
    (source / "sparse_ir.json").write_text(json.dumps(options))
    pack(source, tmp_path / "package")
    layout = load_encoder(default_model(tmp_path / "package")).layout
    assert {name: getattr(layout, name) for name in options} == options


def test_the_shipped_checksums_name_every_file_but_the_card():
    folder = resources.default_model_folder()
    listed = set(json.loads((folder / "sha256.json").read_text()))
    files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert files - listed == {"README.md", "sha256.json"}
