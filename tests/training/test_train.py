from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from sparse_ir.errors import ConfigError, InputError, ModelError, StorageError, TrainingError
from sparse_ir.models.loading import load_encoder
from sparse_ir.training.backbone import checkpoint_gradients


def test_a_model_learns_what_its_examples_say(run, collection):
    report = run(
        optimizer__steps=120,
        optimizer__learning_rate=3e-3,
        sparsity__lambda_query=0.0,
        sparsity__lambda_document=0.0,
        validation={"dataset": str(collection), "every": 60},
    )
    assert report.start["ndcg@10"] < 0.6
    assert report.metrics["ndcg@10"] > 0.95
    assert report.steps == 120


def test_the_saved_model_gives_equal_vectors_in_three_libraries(run, tmp_path):
    run(optimizer__steps=10)
    import sentence_transformers
    import transformers

    folder = tmp_path / "model"
    said = ["the cat sat on the mat", "d e a"]
    ours = load_encoder(folder).encode_documents(said).weights.toarray()
    theirs = sentence_transformers.SparseEncoder(str(folder), device="cpu").encode(
        said, convert_to_sparse_tensor=False
    )
    torch.testing.assert_close(torch.tensor(ours), theirs.cpu(), rtol=1e-5, atol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokens = tokenizer(said, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model(**tokens).logits.masked_fill(tokens.attention_mask.unsqueeze(-1) == 0, -9e9)
    plain = logits.amax(dim=1).relu().log1p()
    torch.testing.assert_close(torch.tensor(ours), plain, rtol=1e-5, atol=1e-5)


def test_dropped_columns_never_get_a_weight(run, tmp_path):
    run(optimizer__steps=3, model__drop_columns=["special", "cat"])
    encoder = load_encoder(tmp_path / "model")
    found = encoder.encode_documents(["the cat", "cat cat cat"]).weights.toarray()
    dropped = [encoder.vocabulary.index(t) for t in ("[CLS]", "[SEP]", "[PAD]", "cat")]
    assert not found[:, dropped].any()


def test_queries_may_have_a_model_of_their_own(run, tmp_path, collection):
    report = run(
        model__query_encoder="separate",
        optimizer__steps=60,
        validation={"dataset": str(collection), "every": 60},
    )
    encoder = load_encoder(tmp_path / "model")
    queries = encoder.encode_queries(["cat", "dog"]).weights.toarray()
    assert (queries != encoder.encode_documents(["cat", "dog"]).weights.toarray()).any()
    assert report.metrics["ndcg@10"] > report.start["ndcg@10"]


def test_queries_may_be_weighed_by_a_table_alone(run, tmp_path):
    run(model__query_encoder="table", sparsity={"lambda_query": 0.0, "lambda_document": 0.0})
    encoder = load_encoder(tmp_path / "model")
    columns = encoder.encode_queries(["the cat the cat"]).weights.indices
    assert sorted(encoder.vocabulary[c] for c in columns) == ["cat", "the"]


def test_a_table_trained_beside_the_model_can_be_chosen(run, tmp_path, collection):
    report = run(
        optimizer__steps=40,
        model__table_weight=0.5,
        validation={"dataset": str(collection), "every": 20},
    )
    assert 0 < report.metrics["table_ndcg@10"] <= 1
    free = load_encoder(tmp_path / "model", queries="inference-free")
    columns = free.encode_queries(["the cat"]).weights.indices
    assert sorted(free.vocabulary[c] for c in columns) == ["cat", "the"]


def test_query_terms_bounds_a_query(run, collection):
    report = run(model__query_terms=2, validation={"dataset": str(collection), "every": 20})
    assert 1 < report.metrics["terms_query"] <= 2
    encoder = load_encoder(report.out)
    found = [encoder.encode_queries(["the cat sat"]), encoder.encode_documents(["the cat sat"])]
    assert found[0].weights.nnz == 2 < found[1].weights.nnz


def test_an_anchor_brings_silent_words_back_where_it_may(run, tmp_path, collection):
    lines = (collection / "corpus.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    silent = {}
    for revive in (False, True):
        run(
            out=tmp_path / str(revive),
            optimizer__steps=200,
            anchor={"weight": 3.0, "rest": 3.0, "revive": revive},
            sparsity={"lambda_document": 0.0, "lambda_query": 0.0},
        )
        encoder = load_encoder(tmp_path / str(revive), device="cpu")
        weights = encoder.encode_documents(texts).weights.toarray()
        columns = {term: i for i, term in enumerate(encoder.vocabulary)}
        silent[revive] = [
            word
            for text, row in zip(texts, weights, strict=True)
            for word in set(text.split())
            if row[columns[word]] == 0
        ]
    assert len(silent[False]) > 10
    assert len(silent[True]) < 3


def test_frozen_parameters_stay(run, tmp_path, backbone, weights_of):
    run(optimizer__steps=5, model__freeze=["bert.*"])
    before, after = weights_of(backbone), weights_of(tmp_path / "model")
    names = [name for name in before if name.startswith("bert.")]
    assert all(torch.equal(before[name], after[name]) for name in names)
    assert not torch.equal(before["cls.predictions.bias"], after["cls.predictions.bias"])


def test_large_batches_in_chunks_give_the_same_model(run, tmp_path, weights_of):
    run(out=tmp_path / "whole")
    run(out=tmp_path / "chunks", batch__chunk_texts=2)
    assert apart(weights_of(tmp_path / "whole"), weights_of(tmp_path / "chunks")) < 1e-4


def test_gradient_checkpointing_changes_memory_alone(run, tmp_path, weights_of):
    run(out=tmp_path / "kept")
    run(out=tmp_path / "again", model__gradient_checkpointing=True)
    assert apart(weights_of(tmp_path / "kept"), weights_of(tmp_path / "again")) < 1e-4


def test_every_second_layer_can_be_checkpointed_alone():
    pytest.importorskip("transformers.modeling_layers")  # one flag for all layers before
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    lm = BertForMaskedLM(config)
    checkpoint_gradients(lm, 2, Path("model"))
    assert [layer.gradient_checkpointing for layer in lm.bert.encoder.layer] == [
        True, False, True, False,
    ]  # fmt: skip


def test_the_best_checkpoint_is_kept_and_a_worse_run_ends_early(run, collection, tmp_path):
    report = run(
        optimizer__steps=200,
        optimizer__learning_rate=0.3,  # falls apart after the first steps
        sparsity__lambda_document=0.0,
        validation={"dataset": str(collection), "every": 5, "patience": 3},
    )
    assert report.steps < 200
    assert report.best_step <= report.steps - 15
    from safetensors.torch import load_file

    folder = tmp_path / "model-training" / f"checkpoint-{report.best_step}"
    best, saved = (
        load_file(folder / "model.safetensors"),
        load_file(tmp_path / "model" / "model.safetensors"),
    )
    name = "bert.embeddings.word_embeddings.weight"
    assert torch.equal(saved[name], best[f"documents.lm.{name}"])


def test_a_backbone_without_a_head_starts_sparse(run, tmp_path, collection):
    from tiny_run import make_backbone

    bare = make_backbone(tmp_path / "bare", head=False)
    report = run(model__backbone=str(bare), validation={"dataset": str(collection), "every": 20})
    assert 1 < report.start["terms_document"] < 20  # of 70


def test_a_target_of_terms_is_reached(run, collection):
    report = run(
        optimizer__steps=450,
        batch__queries=12,  # all there are: no step measures a draw of them
        sparsity={"target_terms": {"query": 4, "document": 6}},
        validation={"dataset": str(collection), "every": 450},
    )
    assert report.metrics["terms_query"] == pytest.approx(4, rel=0.1)
    assert report.metrics["terms_document"] == pytest.approx(6, rel=0.1)


def test_two_processes_give_the_model_of_one(elsewhere, backbone, collection, tmp_path, weights_of):
    from tiny_run import settings

    for name, devices in (("one", 1), ("two", 2)):
        elsewhere.finish(settings(backbone, collection, tmp_path / name), devices=devices)
    assert apart(weights_of(tmp_path / "one"), weights_of(tmp_path / "two")) < 1e-5


def test_accelerate_launch_gives_the_model_of_torchrun(
    elsewhere, backbone, collection, tmp_path, weights_of
):
    from tiny_run import settings

    for launcher in ("torchrun", "accelerate"):
        values = settings(backbone, collection, tmp_path / launcher, optimizer__steps=5)
        elsewhere.finish(values, devices=2, launcher=launcher)
    wanted, found = weights_of(tmp_path / "torchrun"), weights_of(tmp_path / "accelerate")
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())


def test_two_processes_in_chunks_give_the_model_of_one(
    elsewhere, backbone, collection, tmp_path, weights_of
):
    from tiny_run import settings

    for name, devices in (("one", 1), ("two", 2)):
        # shorter, as every text is computed twice and rounding is summed in another order
        values = settings(
            backbone, collection, tmp_path / name, batch__chunk_texts=2, optimizer__steps=10
        )
        elsewhere.finish(values, devices=devices)
    assert apart(weights_of(tmp_path / "one"), weights_of(tmp_path / "two")) < 1e-4


def test_two_processes_share_uneven_batches_with_all_that_a_batch_may_hold(
    elsewhere, backbone, collection, tmp_path, weights_of
):
    from tiny_run import settings

    for name, devices in (("one", 1), ("two", 2)):
        values = settings(
            backbone,
            collection,
            tmp_path / name,
            losses={"in_batch_kl": 1.0, "in_batch_hard": 0.1},
            teachers=[{"kind": "bm25", "scale": 5}],
            batch__queries=5,
            model__table_weight=0.5,
            anchor={"weight": 1.0, "steps": 10, "rest": 0.5},
            sparsity={"target_terms": {"query": 4, "document": 6}},
            optimizer__steps=10,
        )
        elsewhere.finish(values, devices=devices)
    assert apart(weights_of(tmp_path / "one"), weights_of(tmp_path / "two")) < 1e-4
    tables = [json.loads((tmp_path / n / "query_table.json").read_text()) for n in ("one", "two")]
    assert tables[0] == pytest.approx(tables[1], abs=2e-4)


def test_a_killed_run_goes_on_to_the_same_weights(
    elsewhere, backbone, collection, tmp_path, weights_of
):
    from tiny_run import settings

    changes = {
        "sparsity": {"target_terms": {"query": 4, "document": 6}},
        "model__dropout": 0.1,
        "optimizer__steps": 60,
    }
    elsewhere.finish(settings(backbone, collection, tmp_path / "straight", **changes))
    killed = settings(backbone, collection, tmp_path / "killed", **changes)
    checkpoint = tmp_path / "killed-training" / "checkpoint-10" / "sparse_ir.json"
    elsewhere.kill_at(killed, checkpoint.is_file)
    assert not (tmp_path / "killed").exists()
    elsewhere.finish({**killed, "resume": True})
    straight, resumed = weights_of(tmp_path / "straight"), weights_of(tmp_path / "killed")
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in straight.items())
    rows = (tmp_path / "killed-training" / "training-log.csv").read_text().splitlines()[1:]
    steps = [int(row.split(",")[0]) for row in rows]
    assert steps == sorted(set(steps))
    assert steps[-1] == 60


def test_two_processes_that_were_killed_go_on_to_the_same_weights(
    elsewhere, backbone, collection, tmp_path, weights_of
):
    from tiny_run import settings

    changes = {
        "sparsity": {"target_terms": {"query": 4, "document": 6}},
        "model__dropout": 0.1,  # each process draws its own
        "optimizer__steps": 40,
    }
    straight = settings(backbone, collection, tmp_path / "straight", **changes)
    elsewhere.finish(straight, devices=2)
    killed = settings(backbone, collection, tmp_path / "killed", **changes)
    checkpoint = tmp_path / "killed-training" / "checkpoint-10" / "sparse_ir.json"
    elsewhere.kill_at(killed, checkpoint.is_file, devices=2)
    assert not (tmp_path / "killed").exists()
    elsewhere.finish({**killed, "resume": True}, devices=2)
    wanted, found = weights_of(tmp_path / "straight"), weights_of(tmp_path / "killed")
    assert all(torch.equal(tensor, found[name]) for name, tensor in wanted.items())
    rows = (tmp_path / "killed-training" / "training-log.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(5, 41, 5))


def test_an_unfinished_run_is_not_overwritten(run, tmp_path):
    run(optimizer__steps=5)
    with pytest.raises(ConfigError, match="holds a finished model"):
        run(optimizer__steps=5)
    run(optimizer__steps=6, replace=True)


def test_a_resumed_run_must_be_the_same_run(run, tmp_path):
    import shutil

    run(optimizer__steps=10)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"batch\.queries \(6; now 4\)"):
        run(optimizer__steps=10, batch__queries=4, resume=True)


def test_a_checkpoint_of_another_architecture_is_named(run, tmp_path):
    from tiny_run import make_backbone

    from sparse_ir.training.trainer import load_weights

    run(optimizer__steps=5)
    other = make_backbone(tmp_path / "wide", width=64)
    import transformers

    model = transformers.AutoModelForMaskedLM.from_pretrained(other)
    with pytest.raises(ModelError, match="is of another architecture"):
        load_weights(model, tmp_path / "model-training" / "checkpoint-5")


def test_a_loss_that_is_no_number_stops_the_run_with_its_checkpoint_kept(run, tmp_path):
    with pytest.raises(TrainingError, match=r"The last good checkpoint is kept: .*checkpoint-"):
        run(optimizer__steps=60, optimizer__learning_rate=1e18, optimizer__warm_up_steps=59,
            optimizer__max_gradient_norm=0.0, save_every=1)  # fmt: skip
    from sparse_ir.training.checkpoints import last_whole

    kept = last_whole(tmp_path / "model-training")
    from safetensors.torch import load_file

    stored = load_file(kept / "model.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in stored.values())
    assert not (tmp_path / "model").exists()


def test_memory_that_runs_out_names_the_setting_to_lower(run, monkeypatch):
    from sparse_ir.training.trainer import SpladeTrainer

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(SpladeTrainer, "compute_loss", full)
    with pytest.raises(TrainingError, match=r"Set batch\.chunk_texts .* fewer batch\.queries"):
        run()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_disk_that_is_full_while_a_checkpoint_is_written(run, monkeypatch, size, opened):
    from transformers import Trainer

    def save(*_, **__):
        with Path("/dev/full").open("wb") as stream:
            torch.save({"moments": torch.zeros(size)}, stream if opened else "/dev/full")

    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", save)
    with pytest.raises(StorageError, match=r"Make room and go on with --resume\."):
        run()


def test_more_queries_than_examples_are_refused(run):
    with pytest.raises(InputError, match=r"12 examples, a batch wants 13"):
        run(batch__queries=13)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {"in_bach": 1.0}}, "Did you mean in_batch"),
        ({"batch__querys": 3}, r"batch\.querys is not a setting\. Did you mean queries"),
        ({"examples": []}, "examples is empty"),
        ({"model__pooling": "mean"}, "pooling is 'mean'"),
        ({"batch__by": "topics"}, "needs a dense teacher"),
        ({"batch": {"queries": 4, "chunk_texts": 2, "accumulate": 2}}, "Set one"),
        ({"model__pooling": "sum", "anchor": {"revive": True}}, "works with max pooling alone"),
    ],
)
def test_bad_settings_are_named(run, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(**changes)


def apart(one, other):
    """The largest distance of two models' tensors, each by the length of the first's.

    Without the biases of attention keys: softmax does not see them, their gradient is rounding
    alone, and AdamW makes steps of the full learning rate of that.
    """
    names = [name for name in one if not name.endswith("key.bias")]
    return max(float((one[n] - other[n]).norm() / one[n].norm().clamp_min(1e-9)) for n in names)
