from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sparse_ir.errors import ModelError
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.splade import SpladeEncoder


def test_a_folder_is_loaded_by_name_from_anywhere(tiny, monkeypatch, tmp_path):
    monkeypatch.chdir(tiny.parent)
    encoder = load_encoder(tiny.name)
    assert isinstance(encoder, SpladeEncoder)
    monkeypatch.chdir(tmp_path)
    again = load_encoder(encoder.name)
    assert again.fingerprint == encoder.fingerprint
    assert again.path == tiny


def test_settings_reach_the_encoder(tiny):
    encoder = load_encoder(tiny, device="cpu", batch_tokens=77, max_length=9)
    assert isinstance(encoder, SpladeEncoder)
    assert (encoder.batch_tokens, encoder.max_length) == (77, 9)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    for missing in (tmp_path / "none", str(tmp_path / "none"), "./none", "a/b/c", "~/no such"):
        with pytest.raises(ModelError, match="there is no such model folder"):
            load_encoder(missing)


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(ModelError, match="is a file"):
        load_encoder(tmp_path / "model")


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        load_encoder(tmp_path)


def in_new_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    ).stdout.strip()


def test_a_hub_id_is_one_clear_error_without_a_network(tmp_path):
    code = (
        "from sparse_ir import load_encoder, SparseIRError\n"
        "try: load_encoder('nobody/no-such-model')\n"
        "except SparseIRError as error: print(error)"
    )
    printed = in_new_process(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert printed.startswith("nobody/no-such-model is no folder here, and it could not be had")
    assert "\n" not in printed


def test_a_downloaded_model_is_found_without_a_network(tmp_path, tiny):
    # The layout of the hub's cache: models--owner--name/{refs/main, snapshots/commit/files}.
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / commit).symlink_to(tiny, target_is_directory=True)
    code = (
        "from sparse_ir import load_encoder\n"
        "encoder = load_encoder('someone/tiny')\n"
        "print(encoder.name, encoder.fingerprint)"
    )
    printed = in_new_process(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert printed == f"someone/tiny {load_encoder(tiny).fingerprint}"


def test_loading_imports_no_torch():
    code = "import sys, sparse_ir.models.loading; print({'torch', 'transformers'} & {*sys.modules})"
    assert in_new_process(code) == "set()"


def test_a_bm25_folder_is_recognised_and_needs_no_torch(tmp_path, monkeypatch):
    (tmp_path / "bm25.json").write_text(json.dumps({}))
    monkeypatch.setattr(Bm25Encoder, "load", classmethod(lambda cls, folder: ("bm25", folder)))
    assert load_encoder(tmp_path) == ("bm25", tmp_path)


def test_sentence_transformers_gives_the_same_vectors(tiny, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["the cat sat.", "", "running " * 40, "zebra 日本"]
    theirs = sentence_transformers.SparseEncoder(str(tiny), device="cpu")
    for pooling, function in (("max", "relu"), ("sum", "log1p_relu")):
        theirs[1].pooling_strategy, theirs[1].activation_function = pooling, function
        theirs.save(str(tmp_path / pooling))
        ours = load_encoder(tmp_path / pooling).encode_documents(texts, on_cut=lambda n: None)
        np.testing.assert_allclose(
            ours.weights.toarray(),
            np.stack([row.to_dense().numpy() for row in theirs.encode_document(texts)]),
            atol=1e-4,
        )
        assert Path(ours_path := load_encoder(tmp_path / pooling).path) == tmp_path / pooling
        assert ours_path.is_dir()


def test_a_downloaded_model_whose_weights_are_a_pickle_is_refused_before_they_are_fetched(
    tmp_path, tiny
):
    repository = tmp_path / "hub" / "models--owner--pickled"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((tiny / "config.json").read_bytes())
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    code = (
        "from sparse_ir import load_encoder, SparseIRError\n"
        "try: load_encoder('owner/pickled')\n"
        "except SparseIRError as error: print(error)"
    )
    printed = in_new_process(code, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert printed.startswith("owner/pickled has no weights as safetensors")
