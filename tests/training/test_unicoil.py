"""uniCOIL, trained: weights for a text's own tokens, and nothing else."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from sparse_ir.config import load_settings
from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.unicoil_files import UnicoilWeights
from sparse_ir.training.backbone import load_backbone
from sparse_ir.training.settings import ModelSettings, TrainSettings
from sparse_ir.training.unicoil import (
    LEAST_START,
    START,
    UnicoilModel,
    load_unicoil_backbone,
    start_lexical,
)

UNICOIL = {
    "model__architecture": "unicoil",
    "sparsity": {"lambda_query": 0.0, "lambda_document": 0.0},
}
SHORT = {"query_tokens": 16, "document_tokens": 16, "dropout": 0.0}
TEXTS = ["the cat sat on the mat", "dog run", "a b c"]


def apart(one, other):
    return max(float((tensor - other[name]).abs().max()) for name, tensor in one.items())


def tensors(folder):
    from safetensors.torch import load_file

    return {**load_file(folder / "model.safetensors"), **load_file(folder / "unicoil.safetensors")}


def test_a_model_learns_what_its_examples_say(run, collection, tmp_path):
    report = run(
        **UNICOIL,
        optimizer__steps=60,
        optimizer__learning_rate=3e-3,
        validation={"dataset": str(collection), "every": 30},
    )
    assert report.metrics["ndcg@10"] > 0.8
    encoder = load_encoder(tmp_path / "model", device="cpu")
    row = encoder.encode_documents(["the cat sat on the cat"])
    assert sorted(encoder.vocabulary[c] for c in row.weights.indices) == ["cat", "on", "sat", "the"]
    assert "sparse-ir" in (tmp_path / "model" / "README.md").read_text()


def test_the_projection_begins_with_idf(backbone):
    settings = ModelSettings(str(backbone), architecture="unicoil", **SHORT)
    made = load_unicoil_backbone(settings)
    idf = torch.linspace(1.0, 6.0, made.model.size)
    share = start_lexical(made.model, made.tokenizer, TEXTS * 4, idf, 16)
    assert 0.5 < share <= 1
    ids = torch.tensor([made.tokenizer(TEXTS[0])["input_ids"]])
    row = made.model.eval()(ids, torch.ones_like(ids))[0]
    own = sorted({*ids[0].tolist()} - set(made.tokenizer.all_special_ids))
    assert row.nonzero().flatten().tolist() == own
    assert torch.corrcoef(torch.stack([row[own], idf[own]]))[0, 1] > 0.7


def test_a_prior_begins_with_idf_itself(backbone):
    settings = ModelSettings(str(backbone), architecture="unicoil", token_prior=True, **SHORT)
    made = load_unicoil_backbone(settings)
    idf = torch.linspace(0.0, 6.0, made.model.size)
    assert start_lexical(made.model, made.tokenizer, TEXTS, idf, 16) == 1
    ids = torch.tensor([made.tokenizer("cat")["input_ids"]])
    cat = made.tokenizer.convert_tokens_to_ids("cat")
    row = made.model(ids, torch.ones_like(ids))[0]
    assert row[cat].item() == pytest.approx(START * idf[cat].item(), rel=1e-6)
    assert made.model.prior.min().item() == pytest.approx(LEAST_START)


class Fixed(torch.nn.Module):
    """A body whose hidden state is its token's own number."""

    def forward(self, input_ids, attention_mask):
        del attention_mask
        return type("Output", (), {"last_hidden_state": input_ids.unsqueeze(-1).float() - 5})

    def get_input_embeddings(self):
        return torch.nn.Embedding(10, 1)


@pytest.mark.parametrize("revive", [False, True])
def test_a_silent_token_is_raised_where_it_may_be(revive):
    weights = UnicoilWeights(torch.tensor([1.0]), torch.tensor(0.0))
    model = UnicoilModel(Fixed(), weights, dropped=[0, 9], fitted=True)
    model.revive = revive
    rows = model(torch.tensor([[9, 8, 3, 8, 0]]), torch.tensor([[1, 1, 1, 1, 0]]))
    assert rows.tolist() == [[0.0] * 8 + [3.0, 0.0]]  # 8 - 5; 3 - 5 is below 0; 9 is dropped
    (-rows[0, 3]).backward()  # a loss that wants token 3 to weigh more
    assert (model.bias.grad < 0).item() is revive


def test_a_stopped_run_goes_on_to_the_same_model(run, tmp_path):
    class StoppedError(Exception):
        pass

    whole = {**UNICOIL, "model__token_prior": True, "optimizer__steps": 10}
    run(out=tmp_path / "whole", **whole)
    from sparse_ir.training.train import train

    def stop(_):
        stop.steps += 1
        if stop.steps == 7:
            raise StoppedError

    stop.steps = 0
    values = run.values(out=tmp_path / "model", **whole)
    with pytest.raises(StoppedError):
        train(load_settings(TrainSettings, values, where="test"), advance=stop)
    run(out=tmp_path / "model", resume=True, **whole)
    assert apart(tensors(tmp_path / "whole"), tensors(tmp_path / "model")) == 0


def test_a_saved_model_is_trained_on_from_where_it_is(run, tmp_path):
    run(out=tmp_path / "first", **UNICOIL, optimizer__steps=2)
    run(
        out=tmp_path / "second",
        **UNICOIL,
        model__backbone=str(tmp_path / "first"),
        optimizer__steps=1,
        optimizer__learning_rate=0.0,
    )
    assert apart(tensors(tmp_path / "first"), tensors(tmp_path / "second")) == 0


def test_validation_sees_what_the_finished_model_gives(run, tmp_path, collection):
    report = run(
        **UNICOIL,
        model__document_terms=1,
        optimizer__steps=5,
        validation={"dataset": str(collection), "every": 5},
    )
    assert report.metrics["terms_document"] == pytest.approx(1)
    encoder = load_encoder(tmp_path / "model", device="cpu")
    assert np.diff(encoder.encode_documents(TEXTS).weights.indptr).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("query_encoder", "table"), ("pooling", "sum"), ("activation", "log1p_log1p")],
)
def test_what_splade_alone_has_is_refused(setting, value):
    with pytest.raises(ConfigError, match=f"model.{setting} is '{value}'"):
        ModelSettings("x", architecture="unicoil", **{setting: value})


def test_a_prior_without_unicoil_is_refused():
    with pytest.raises(ConfigError, match="token_prior goes with"):
        ModelSettings("x", token_prior=True)


def test_adapt_and_average_refuse_a_unicoil_model(run, tmp_path):
    from sparse_ir.training.average import AverageSettings, average
    from sparse_ir.training.starting import start_settings

    run(**UNICOIL, optimizer__steps=1)
    with pytest.raises(ModelError, match="is a uniCOIL model"):
        start_settings(str(tmp_path / "model"))
    twice = (str(tmp_path / "model"),) * 2
    with pytest.raises(ModelError, match="average knows SPLADE models alone"):
        average(AverageSettings(twice, str(tmp_path / "mean")))


def test_a_unicoil_model_does_not_become_a_splade_model_in_silence(backbone, tmp_path):
    folder = shutil.copytree(backbone, tmp_path / "unicoil")
    (folder / "unicoil.json").write_text("{}")
    with pytest.raises(ModelError, match="is a uniCOIL model, whose projection"):
        load_backbone(ModelSettings(str(folder), **SHORT), TEXTS, seed=0)
