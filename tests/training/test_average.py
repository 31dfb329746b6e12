"""The mean of several models' weights."""

import json
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.splade import SpladeEncoder
from sparse_ir.training.average import AverageSettings, average


@pytest.fixture
def pair(backbone, tmp_path):
    """A model and one of twice its weights, each with a query table."""
    folders = []
    for name, factor in (("one", 1.0), ("two", 2.0)):
        folder = tmp_path / name
        shutil.copytree(backbone, folder)
        weights = load_file(folder / "model.safetensors")
        save_file(
            {k: (v * factor).contiguous() for k, v in weights.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
        (folder / "query_table.json").write_text(json.dumps({"cat": factor, name: 1.0}))
        folders.append(str(folder))
    return tuple(folders)


def weights(folder):
    return load_file(f"{folder}/model.safetensors")


def test_every_weight_is_the_mean(pair, tmp_path):
    average(AverageSettings(pair, str(tmp_path / "mean")))
    first = weights(pair[0])
    for name, tensor in weights(tmp_path / "mean").items():
        np.testing.assert_allclose(tensor.numpy(), 1.5 * first[name].numpy(), rtol=1e-6)
    table = json.loads((tmp_path / "mean" / "query_table.json").read_text())
    assert table == {"cat": 1.5, "one": 0.5, "two": 0.5}
    assert SpladeEncoder(tmp_path / "mean").encode_queries(["the cat"]).weights.nnz > 0


def test_shares_count(pair, tmp_path):
    out = str(tmp_path / "mean")
    average(AverageSettings(pair, out, shares=(3, 1), query_terms=2))
    name, tensor = next(iter(weights(pair[0]).items()))
    np.testing.assert_allclose(weights(out)[name].numpy(), 1.25 * tensor.numpy(), rtol=1e-6)
    assert SpladeEncoder(out).layout.query_terms == 2


def test_a_recipe_can_average(pair, tmp_path, sparse_ir):
    recipe = tmp_path / "soup.yaml"
    out = tmp_path / "mean"
    recipe.write_text(
        json.dumps({"name": "soup", "stages": [{"average": {"models": pair, "out": str(out)}}]})
    )
    done = sparse_ir("run", recipe)
    assert done.exit_code == 0, done.err
    made = (out / "model.safetensors").stat().st_mtime_ns
    assert sparse_ir("run", recipe).exit_code == 0
    assert (out / "model.safetensors").stat().st_mtime_ns == made  # it was done already


def test_models_of_another_kind_are_refused(pair, tmp_path):
    other = tmp_path / "two"
    smaller = {k: v for k, v in weights(other).items() if "layer.0" not in k}
    save_file(smaller, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="different architectures"):
        average(AverageSettings(pair, str(tmp_path / "mean")))
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="different tokenizers"):
        average(AverageSettings(pair, str(tmp_path / "mean")))
    (other / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"two holds no model\.safetensors"):
        average(AverageSettings(pair, str(tmp_path / "mean")))
    assert not (tmp_path / "mean").exists()


@pytest.mark.parametrize(
    ("models", "shares", "message"),
    [
        (("a",), (), "fewer than two"),
        (("a", "b"), (1,), "1 shares"),
        (("a", "b"), (1, 0), "above 0"),
    ],
)
def test_wrong_settings_are_refused(models, shares, message):
    with pytest.raises(ConfigError, match=message):
        AverageSettings(models, "out", shares)
