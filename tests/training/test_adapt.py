"""A model adapted to a corpus of twelve documents: once, again, with other settings."""

from __future__ import annotations

import gzip
import json

import pytest
import tiny_run

from sparse_ir.models.loading import load_encoder


@pytest.fixture
def collection(tmp_path):
    """A BEIR folder whose documents are long enough to cut queries from."""
    folder = tiny_run.write_collection(tmp_path / "long")
    words = tiny_run.WORDS
    rows = [
        {
            "_id": f"d{i}",
            "title": f"{words[i]} {words[i - 3]}",
            "text": " ".join(words[(i * 5 + j * (i + 1)) % len(words)] for j in range(14)) + ".",
        }
        for i in range(len(words))
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "corpus.jsonl").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def adapt(sparse_ir, backbone, collection, tmp_path):
    """Adapt the tiny model; ``adapt("--steps", 5)``."""

    def call(*options, out=tmp_path / "adapted", start=backbone, queries=4):
        fixed = ("--corpus", collection, "--out", out, "--model", start, "--device", "cpu")
        sizes = (
            "--set", "train.model.query_tokens=16", "--set", "train.model.document_tokens=16",
            "--set", f"train.batch.queries={queries}", "--set", "train.save_every=2",
        )  # fmt: skip
        return sparse_ir("adapt", *fixed, *sizes, *options)

    return call


def test_a_model_is_adapted_measured_and_found_again(adapt, collection, tmp_path, own_home):
    measured = ("--dataset", collection, "--split", "dev")
    done = adapt("--steps", 3, *measured)
    assert done.exit_code == 0, done.err
    assert "ndcg@10" in done.out
    assert "before" in done.out
    assert "holds the adapted model" in done.out
    encoder = load_encoder(tmp_path / "adapted")
    assert encoder.max_length == 32  # as the model read before, though it was trained on 16
    assert encoder.encode_queries(["cat"]).weights.nnz > 0
    again = adapt("--steps", 3, *measured, "--json")
    assert again.err.count("done already") == 9
    result = json.loads(again.out)
    assert 0 <= result["before"]["ndcg@10"] <= 1
    assert result["after"].keys() == result["before"].keys()
    (mined,) = own_home.glob("adapt/*/mined.jsonl.gz")
    with gzip.open(mined, "rt") as lines:
        learned = {json.loads(line)["query_id"] for line in lines}
    assert learned
    assert not learned & {f"q{i}" for i in range(12)}  # the dataset's queries are for measuring


def test_other_settings_train_anew_with_what_was_mined(adapt):
    assert adapt("--steps", 2).exit_code == 0
    other = adapt("--steps", 2, "--target-terms", "5,9")
    assert other.exit_code == 0, other.err
    assert other.err.count("done already") == 4
    more = adapt("--steps", 4)  # sees more queries, so that more are mined
    assert more.err.count("done already") == 2
    assert "is trained; step 4" in more.err


def test_further_teachers_teach(adapt, backbone):
    done = adapt("--steps", 2, "--teacher", f"sparse:{backbone}=0.5")
    assert done.exit_code == 0, done.err


def test_a_model_with_a_table_keeps_one(adapt, sparse_ir, backbone, collection, tmp_path):
    values = tiny_run.settings(
        backbone, collection, tmp_path / "tabled", optimizer={"steps": 2}, model__table_weight=0.5
    )
    config = tmp_path / "train.json"
    config.write_text(json.dumps(values))
    assert sparse_ir("train", config).exit_code == 0
    done = adapt("--steps", 2, start=tmp_path / "tabled")
    assert done.exit_code == 0, done.err
    assert load_encoder(tmp_path / "adapted", queries="inference-free")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher", "cross-encoder:x"), "cannot score whole batches"),
        (("--set", "train.optimizer.stps=3"), "Did you mean steps?"),
        (("--dataset", "nowhere"), "neither a benchmark nor a folder"),
        (("--target-terms", "5"), "Write two numbers"),
    ],
)
def test_wrong_options_are_refused_before_anything_runs(adapt, own_home, options, message):
    done = adapt(*options)
    assert done.exit_code == 2
    assert message in done.err
    assert not (own_home / "adapt").exists()


def test_a_folder_that_adapt_did_not_make_is_left_alone(adapt, backbone):
    done = adapt(out=backbone)
    assert done.exit_code == 2
    assert "is not empty" in done.err


def test_bm25_and_standard_input_are_refused(adapt, sparse_ir, fruit, tmp_path):
    from sparse_ir.models.bm25 import Bm25Encoder

    folder = Bm25Encoder.fit(["an apple"]).save(tmp_path / "bm25")
    refused = adapt(start=folder or tmp_path / "bm25")
    assert refused.exit_code == 4
    assert "BM25" in refused.err
    done = sparse_ir("adapt", "--corpus", "-", "--out", tmp_path / "x")
    assert "Give a file or folder" in done.err
