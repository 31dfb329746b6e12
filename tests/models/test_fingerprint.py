from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sparse_ir.errors import ModelError
from sparse_ir.models import fingerprint as rooms
from sparse_ir.models.fingerprint import (
    content_digest,
    fingerprint,
    tokenizer_digest,
    weights_digest,
)

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float16)}


@pytest.fixture
def folder(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    return tmp_path


def test_header_and_order_of_a_safetensors_file_do_not_count(folder, tmp_path):
    other = tmp_path / "other.safetensors"
    turned = {name: TENSORS[name] for name in reversed(TENSORS)}
    save_file(turned, other, {"format": "pt", "note": "x"})
    assert other.read_bytes() != (folder / "model.safetensors").read_bytes()
    assert content_digest(other) == content_digest(folder / "model.safetensors")


@pytest.mark.parametrize(
    "other",
    [
        {**TENSORS, "a": TENSORS["a"] + 1e-3},
        {**TENSORS, "a": TENSORS["a"].reshape(3, 2)},
        {"c": TENSORS["a"], "b": TENSORS["b"]},
        {"a": TENSORS["a"]},
    ],
    ids=["value", "shape", "name", "missing"],
)
def test_every_tensor_counts(folder, tmp_path, other):
    save_file(other, tmp_path / "other.safetensors")
    one, two = folder / "model.safetensors", tmp_path / "other.safetensors"
    assert content_digest(one) != content_digest(two)


def test_weights_in_parts_count_all(tmp_path):
    weight_map = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    for name, file in weight_map.items():
        save_file({name: TENSORS[name]}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    before = weights_digest(tmp_path)
    save_file({"b": TENSORS["b"] * 2}, tmp_path / "model-2.safetensors")
    assert weights_digest(tmp_path) != before


def test_other_weight_files_count_by_their_bytes(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    before = weights_digest(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"other weights")
    assert weights_digest(tmp_path) != before


def test_a_folder_without_weights_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="holds no weights"):
        weights_digest(tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[:-2], lambda b: b"", lambda b: b"abc" * 9])
def test_damaged_safetensors_are_an_error(folder, damage):
    file = folder / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match="is damaged"):
        weights_digest(folder)


def test_a_file_is_read_once_a_process_and_again_when_it_changes(folder, monkeypatch):
    read = []
    add = rooms._add_tensors
    monkeypatch.setattr(rooms, "_add_tensors", lambda d, f: (read.append(f.name), add(d, f)))
    first = weights_digest(folder)
    assert weights_digest(folder) == first
    assert len(read) == 1
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "more": np.zeros(9)}, folder / "model.safetensors")
    assert weights_digest(folder) != first
    assert len(read) == 2


def test_what_a_tokenizer_was_last_called_with_does_not_count(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "called"))
    content = json.loads((folder / "tokenizer.json").read_text())
    content["truncation"] = {"max_length": 7, "strategy": "LongestFirst"}
    (folder / "tokenizer.json").write_text(json.dumps(content, indent=3))
    assert tokenizer_digest(folder) == tokenizer_digest(tiny)
    content["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(content))
    assert tokenizer_digest(folder) != tokenizer_digest(tiny)


def test_a_vocabulary_without_tokenizer_json_counts(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    before = tokenizer_digest(tmp_path)
    (tmp_path / "vocab.txt").write_text("a\nc\n")
    assert tokenizer_digest(tmp_path) != before


def test_the_order_of_parts_does_not_count():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_a_damaged_tokenizer_is_named(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read as JSON"):
        tokenizer_digest(tmp_path)
