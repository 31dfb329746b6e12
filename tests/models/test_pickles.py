"""Weights in a pickle: refused unless they are asked for."""

from __future__ import annotations

import pytest

from sparse_ir.errors import ModelError
from sparse_ir.models.loading import find_model
from sparse_ir.models.pickles import PERMISSION, require_safe_weights


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    return tmp_path


def test_a_pickle_is_refused_with_a_way_out(folder):
    with pytest.raises(ModelError, match=r"no weights as safetensors.* set SPARSE_IR_PICKLE=1"):
        find_model(folder)


def test_a_part_of_a_pickle_in_a_module_is_refused_too(tmp_path):
    module = tmp_path / "query_model"
    module.mkdir()
    (module / "pytorch_model-00001-of-00002.bin").write_bytes(b"weights")
    with pytest.raises(ModelError, match="query_model"):
        require_safe_weights(tmp_path)


def test_safetensors_beside_it_are_what_is_read(folder):
    (folder / "model.safetensors").write_bytes(b"weights")
    require_safe_weights(folder)


@pytest.mark.parametrize("name", ["onnx", "checkpoint-10", "runs"])
def test_folders_that_are_never_read_do_not_matter(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "pytorch_model.bin").write_bytes(b"weights")
    require_safe_weights(tmp_path)


def test_it_is_taken_where_the_environment_says_so(folder, monkeypatch):
    monkeypatch.setenv(PERMISSION, "1")
    monkeypatch.setattr("sparse_ir.models.pickles.version", lambda name: "2.6.0")
    require_safe_weights(folder)


def test_a_torch_whose_reader_can_be_made_to_run_code_is_refused(folder, monkeypatch):
    monkeypatch.setenv(PERMISSION, "1")
    monkeypatch.setattr("sparse_ir.models.pickles.version", lambda name: "2.5.1+cpu")
    with pytest.raises(ModelError, match=r"torch 2\.5\.1.*CVE-2025-32434"):
        require_safe_weights(folder)
