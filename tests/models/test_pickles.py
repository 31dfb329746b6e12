"""Weights in a pickle: refused unless they are asked for."""

from __future__ import annotations

import json
import shutil

import huggingface_hub
import pytest
import safetensors.torch
import torch
from huggingface_hub.utils import filter_repo_objects

from sparse_ir.errors import ModelError
from sparse_ir.models.dense import DenseEncoder
from sparse_ir.models.loading import find_model, load_encoder
from sparse_ir.models.pickles import PERMISSION, require_safe_weights
from sparse_ir.models.splade import SpladeEncoder
from sparse_ir.models.unicoil import UnicoilEncoder
from sparse_ir.training.colbert import read_colbert_layout


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


@pytest.fixture
def pickled(tiny, tmp_path):
    """The tiny BERT, its weights a pickle."""
    folder = shutil.copytree(tiny, tmp_path / "pickled")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    return folder


@pytest.mark.parametrize("encoder", [SpladeEncoder, DenseEncoder, UnicoilEncoder])
def test_a_pickle_is_refused_where_an_encoder_is_made_of_a_folder(pickled, encoder):
    if encoder is UnicoilEncoder:
        (pickled / "unicoil.json").write_text("{}")
    with pytest.raises(ModelError, match="no weights as safetensors"):
        encoder(pickled)


def test_a_pickle_beside_safetensors_of_another_name_is_refused(pickled):
    (pickled / "x.safetensors").write_bytes(b"weights")
    with pytest.raises(ModelError, match="no weights as safetensors"):
        load_encoder(pickled)


def test_a_castorini_pickle_is_refused_by_its_reader(pickled):
    torch.save({"tok_proj.weight": torch.ones(1, 32)}, pickled / "pytorch_model.bin")
    config = json.loads((pickled / "config.json").read_text())
    del config["architectures"]
    (pickled / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="no weights as safetensors"):
        UnicoilEncoder(pickled)


def test_a_pickle_is_read_where_the_environment_says_so(pickled, tiny, monkeypatch):
    monkeypatch.setenv(PERMISSION, "1")
    found = load_encoder(pickled).encode_documents(["the cat sat"])
    assert found.weights.nnz
    assert (found.weights != load_encoder(tiny).encode_documents(["the cat sat"]).weights).nnz == 0


@pytest.mark.parametrize("part", ["w.txt", "evil.bin", "../model.safetensors", 5])
def test_an_index_that_names_other_files_than_parts_of_the_weights_is_refused(pickled, part):
    index = {"weight_map": {"bert.embeddings.word_embeddings.weight": part}}
    (pickled / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"names .* which is no \*\.safetensors file"):
        SpladeEncoder(pickled)


def test_an_index_of_pickles_that_names_another_file_is_refused_even_with_permission(
    pickled, monkeypatch
):
    monkeypatch.setenv(PERMISSION, "1")
    (pickled / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "w.txt"}}')
    with pytest.raises(ModelError, match=r"'w\.txt'.* no \*\.bin file"):
        SpladeEncoder(pickled)


def test_a_config_that_names_a_file_of_weights_is_refused(pickled, tiny):
    config = json.loads((tiny / "config.json").read_text())
    config["transformers_weights"] = "pytorch_model.bin"
    (pickled / "config.json").write_text(json.dumps(config))
    (pickled / "model.safetensors").write_bytes((tiny / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"config\.json names a file of weights"):
        SpladeEncoder(pickled)


@pytest.mark.parametrize("name", ["onnx", "runs", "checkpoint-1"])
def test_a_module_in_a_folder_that_is_otherwise_never_read_is_refused_too(pickled, tmp_path, name):
    folder = tmp_path / "model"
    folder.mkdir()
    pickled.rename(folder / name)
    modules = [{"type": "a.Transformer", "path": name}, {"type": "a.SpladePooling", "path": "1"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="no weights as safetensors"):
        load_encoder(folder)


@pytest.mark.parametrize("path", ["../pickled", "/etc", "a\\..\\..\\b", "C:\\b"])
def test_a_module_outside_its_folder_is_refused(pickled, tmp_path, path):
    folder = tmp_path / "model"
    folder.mkdir()
    modules = [{"type": "a.Transformer", "path": path}, {"type": "a.Pooling", "path": "1"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    for load in (load_encoder, DenseEncoder, read_colbert_layout):
        with pytest.raises(ModelError, match="which is outside the folder"):
            load(folder)


def test_queries_by_a_table_need_no_weights_and_documents_are_refused_then(pickled):
    (pickled / "idf.json").write_text('{"cat": 2.0}')
    encoder = load_encoder(pickled)
    assert encoder.encode_queries(["cat"]).weights.sum() == 2.0
    with pytest.raises(ModelError, match="no weights as safetensors"):
        encoder.encode_documents(["cat"])
    (pickled / "idf.json").rename(pickled / "query_table.json")
    encoder = load_encoder(pickled, queries="inference-free")
    assert encoder.encode_queries(["cat"]).weights.sum() == 2.0


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Fetches files out of a folder, as patterns choose them; returns the names fetched."""
    fetched = tmp_path / "snapshots" / "0123"
    fetched.mkdir(parents=True)

    def serve(source):
        def snapshot(name, *, allow_patterns, ignore_patterns):
            names = [p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()]
            for file in filter_repo_objects(
                names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns
            ):
                (fetched / file).parent.mkdir(exist_ok=True)
                shutil.copy(source / file, fetched / file)
            return str(fetched)

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
        return fetched

    return serve


def test_a_repository_with_a_query_side_alone_is_no_pickle(pickled, hub):
    (pickled / "idf.json").write_text('{"cat": 2.0}')
    fetched = hub(pickled)
    encoder = load_encoder("someone/queries")
    assert encoder.encode_queries(["cat"]).weights.sum() == 2.0
    with pytest.raises(ModelError, match="someone/queries has no weights as safetensors"):
        encoder.encode_documents(["cat"])
    assert not (fetched / "pytorch_model.bin").exists()


@pytest.mark.parametrize("allowed", [True, False])
def test_pickles_of_modules_are_fetched_beside_safetensors_with_permission_alone(
    tiny, tmp_path, hub, monkeypatch, allowed
):
    source = shutil.copytree(tiny, tmp_path / "pylate")
    (source / "1_Dense").mkdir()
    (source / "1_Dense" / "pytorch_model.bin").write_bytes(b"weights")
    fetched = hub(source)
    if allowed:
        monkeypatch.setenv(PERMISSION, "1")
    find_model("someone/pylate")
    assert (fetched / "1_Dense" / "pytorch_model.bin").exists() == allowed
