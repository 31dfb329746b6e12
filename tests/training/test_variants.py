"""Whole runs of what is rarer: pooling, activation, regularisers, accumulation, TensorBoard."""

from __future__ import annotations

import json

import pytest
import torch

from sparse_ir.errors import TrainingError
from sparse_ir.models.loading import load_encoder


@pytest.mark.parametrize(
    ("pooling", "activation"),
    [("sum", "log1p"), ("max", "log1p_log1p"), ("sum", "log1p_log1p")],
)
def test_other_poolings_and_activations_learn_and_are_saved(
    run, tmp_path, collection, pooling, activation
):
    report = run(
        model__pooling=pooling,
        model__activation=activation,
        optimizer__steps=60,
        sparsity={"lambda_query": 1e-3, "lambda_document": 1e-3},
        validation={"dataset": str(collection), "every": 60},
    )
    assert report.metrics["ndcg@10"] > report.start["ndcg@10"] + 0.1
    encoder = load_encoder(tmp_path / "model", device="cpu")
    assert (encoder.layout.pooling, encoder.layout.activation) == (pooling, activation)
    ids = encoder.tokenizer("the cat sat")["input_ids"]
    import transformers

    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()
    with torch.no_grad():
        values = model(torch.tensor([ids])).logits[0].relu().log1p()
    values = values.log1p() if activation == "log1p_log1p" else values
    pooled = values.sum(dim=0) if pooling == "sum" else values.amax(dim=0)
    found = encoder.encode_documents(["the cat sat"]).weights.toarray()[0]
    torch.testing.assert_close(torch.tensor(found), pooled, rtol=1e-4, atol=1e-5)


def terms(run, collection, **sparsity):
    report = run(
        out=str(collection.parent / json.dumps(sparsity)),
        optimizer__steps=60,
        sparsity={"lambda_query": 0.0, **sparsity, "warm_up": 0.0},
        validation={"dataset": str(collection), "every": 60},
    )
    return report.metrics["terms_document"]


@pytest.mark.parametrize(("name", "weight"), [("flops", 1.0), ("l1", 0.06), ("masked_flops", 1.0)])
def test_every_regularizer_makes_documents_sparser(run, collection, name, weight):
    sparsity = {"regularizer": name, "mask_terms": 3 if name == "masked_flops" else 0}
    free = terms(run, collection, lambda_document=0.0, **sparsity)
    held = terms(run, collection, lambda_document=weight, **sparsity)
    assert held < 0.75 * free


def test_masked_flops_leaves_short_documents_alone(run, collection):
    sparsity = {"regularizer": "masked_flops", "lambda_document": 1.0}
    few = terms(run, collection, mask_terms=3, **sparsity)
    many = terms(run, collection, mask_terms=12, **sparsity)
    assert few < many


def test_anti_zero_keeps_vectors_from_vanishing(run, collection):
    crushed = {"regularizer": "l1", "lambda_document": 50.0}
    with pytest.raises(TrainingError, match="no term at all for 20 steps"):
        terms(run, collection, **crushed)
    assert terms(run, collection, **crushed, anti_zero=500.0) > 1


def test_accumulated_batches_give_the_gradient_of_one(run, tmp_path, weights_of):
    rows = [
        {"query": w, "positive": f"{w} {w} on", "negatives": [f"{v} {v} on"]}
        for w, v in zip("abcdef", "bcdefa", strict=True)
    ]
    source = tmp_path / "triplets.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "examples": [{"source": str(source)}],
        "losses": {"pairwise": 1.0},  # of every query alone
        "sparsity": {"regularizer": "l1", "lambda_query": 0.01, "lambda_document": 0.01},
        "optimizer__steps": 10,
    }
    run(out=tmp_path / "one", batch={"queries": 6, "negatives": 1}, **options)
    batch = {"queries": 3, "negatives": 1, "accumulate": 2}
    run(out=tmp_path / "two", batch=batch, **options)
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    name = "bert.embeddings.word_embeddings.weight"
    torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-4)


def test_tensorboard_has_the_lines_of_the_log(run, tmp_path):
    run(optimizer__steps=10, tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    logs = EventAccumulator(str(folder)).Reload()
    assert "train/loss" in logs.Tags()["scalars"]
    assert [event.step for event in logs.Scalars("train/loss")] == [5, 10]
