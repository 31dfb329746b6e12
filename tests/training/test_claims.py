"""What is refused before the first step, and what a run starts with."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import sparse

from sparse_ir.errors import ConfigError, ModelError, SparseIRError


def test_a_folder_with_something_else_in_it_is_refused_before_training(run, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("of years")
    for replace in (False, True):
        with pytest.raises(ConfigError, match="holds something that is no model"):
            run(replace=replace)


@pytest.mark.parametrize("name", ["margin_mse", "kl"])
def test_a_loss_without_the_scores_it_needs_is_refused_before_training(run, collection, name):
    with pytest.raises(ConfigError, match=f"{name} needs a teacher's scores, and .*words has none"):
        run(losses={name: 1.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {"in_batch_kl": 1.0}}, "Name one under teachers"),
        ({"losses": {"in_batch": 0.0}}, "Give a weight above 0"),
        ({"teachers": [{"kind": "bm25"}]}, "no loss listens to them"),
        ({"losses": {"in_batch_kl": 1.0}, "teachers": [{"kind": "sparse"}]}, "names no model"),
        ({"validation": {"dataset": "d", "every": 0}}, r"validation\.every is 0"),
        ({"batch__negatives": -1}, r"batch\.negatives is -1"),
        ({"save_every": 0}, "save_every is 0"),
        ({"model__freeze": ["bert.embedings.*"]}, "fits no parameter"),
        ({"model__freeze": ["*"]}, "leaves nothing to train"),
        ({"model__document_tokens": 64}, r"model\.document_tokens: .* 1 to 32 tokens"),
        ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES=1"),
        (
            {
                "sparsity": {
                    "lambda_query": 0.0,
                    "target_terms": {"query": 3, "document": 3},
                }
            },
            "lambda_query starts at 0",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(run, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(**changes)


def test_a_target_of_0_keeps_the_terms_that_the_backbone_begins_with(run, tmp_path):
    first = run(optimizer__steps=30, out=tmp_path / "first")
    began = first.metrics
    report = run(
        model={
            "backbone": str(tmp_path / "first"),
            "query_tokens": 16,
            "document_tokens": 16,
            "dropout": 0.0,
        },
        sparsity={"target_terms": {"query": 0, "document": 0}},
        optimizer__steps=60,
    )
    assert report.metrics["terms_document"] == pytest.approx(began["terms_document"], rel=0.25)
    assert report.metrics["terms_query"] == pytest.approx(began["terms_query"], rel=0.25)


def test_the_controller_starts_at_the_lambdas_of_the_settings(run, tmp_path):
    run(
        sparsity={
            "target_terms": {"query": 5, "document": 5},
            "lambda_query": 0.5,
            "lambda_document": 0.25,
        },
        optimizer__steps=2,
    )
    state = json.loads((tmp_path / "model-training/checkpoint-2/sparse_ir.json").read_text())
    for side, start in (("query", 0.5), ("document", 0.25)):
        assert np.exp(state["lambdas"][side]["log_lambda"]) == pytest.approx(start, rel=0.5)


def test_a_run_without_validation_reports_and_logs_its_last_terms(run, tmp_path):
    report = run(optimizer__steps=3)
    assert set(report.metrics) == {"terms_query", "terms_document"}
    assert "terms" in (tmp_path / "model" / "README.md").read_text()
    lines = (tmp_path / "model-training" / "training-log.csv").read_text().splitlines()
    assert lines[-1].startswith("3,")
    assert (tmp_path / "model-training" / "training-curve.svg").is_file()


def test_metrics_are_those_of_the_validation_alone(run, collection, tmp_path):
    report = run(optimizer__steps=3, validation={"dataset": str(collection)})
    assert set(report.metrics) == set(report.start)
    header = (tmp_path / "model-training" / "validation.csv").read_text().splitlines()[0]
    assert "epoch" not in header


def test_a_dense_backbone_without_an_output_bias_is_refused(run, backbone, tmp_path):
    import transformers
    from tiny_run import VOCABULARY

    folder = tmp_path / "biasless"
    tokenizer = transformers.AutoTokenizer.from_pretrained(backbone)
    config = transformers.ModernBertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, decoder_bias=False, max_position_embeddings=32, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip
    transformers.set_seed(0)
    transformers.ModernBertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = {"backbone": str(folder), "drop_columns": [], "query_tokens": 16, "document_tokens": 16}
    with pytest.raises(ModelError, match="no output bias"):
        run(model=model)


class Ranked:
    """An encoder whose only query finds document i at rank i + 1 of 150."""

    def documents(self, texts):
        return sparse.csr_array(np.arange(len(texts), 0, -1, dtype=np.float32)[:, None])

    def queries(self, texts):
        return sparse.csr_array(np.ones((len(texts), 1), np.float32))


def test_validation_looks_as_deep_as_its_metric():
    from sparse_ir.training.validation import ValidationSet, validate

    documents = {f"d{i:03d}": "" for i in range(150)}
    collection = ValidationSet("c", documents, {"q": ""}, {"q": {"d119": 1}}, 1)
    assert validate(Ranked(), collection, "recall@120")["recall@120"] == 1.0
    assert validate(Ranked(), collection, "recall@119")["recall@119"] == 0.0
    assert validate(Ranked(), collection, "mrr")["mrr"] == pytest.approx(1 / 120)


def test_what_is_frozen_stays_as_it_was(run, backbone, tmp_path, weights_of):
    run(model__freeze=["bert.embeddings.*"], optimizer__steps=3)
    before, after = weights_of(backbone), weights_of(tmp_path / "model")
    same = {name for name, tensor in before.items() if (after[name] == tensor).all()}
    frozen = {name for name in before if name.startswith("bert.embeddings.")}
    assert frozen <= same
    assert not any("encoder" in name for name in same)


def test_a_backbone_of_two_sides_names_the_one_to_start_from(run, tmp_path):
    run(model__query_encoder="table", optimizer__steps=2)
    with pytest.raises(ModelError, match=r"has two sides.*document_0_MLMTransformer"):
        run(model={"backbone": str(tmp_path / "model")}, out=tmp_path / "next")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer__learning_rate": -1.0}, r"optimizer\.learning_rate is -1"),
        ({"optimizer__head_learning_rate": float("nan")}, "head_learning_rate is nan"),
        ({"optimizer__weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"model__dropout": 1.5}, r"model\.dropout is 1\.5"),
        ({"anchor": {"weight": -1.0}}, r"anchor\.weight is -1"),
        ({"sparsity": {"anti_zero": -1.0}}, r"sparsity\.anti_zero is -1"),
        ({"precision": "fp16"}, "fp16, which needs a GPU"),
        ({"precision": "fp16", "device": "auto"}, "fp16, which needs a GPU"),
    ],
)
def test_values_that_no_step_could_take_are_refused(run, changes, message, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        run(**changes)


def test_bf16_trains_where_no_gpu_is_found(run, tmp_path):
    run(precision="bf16", device="auto", optimizer__steps=3)
    assert (tmp_path / "model").is_dir()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "no-such-set"}, "no-such-set"),
        ({"metric": "ndgc@10"}, "ndgc"),
    ],
)
def test_a_validation_that_cannot_be_is_refused_before_anything_is_made(
    run, collection, tmp_path, changes, message
):
    with pytest.raises(SparseIRError, match=message):
        run(validation={"dataset": str(collection), **changes})
    assert not (tmp_path / "model-training").exists()
