"""What a run that is started again goes on with, and what it makes anew."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
import tiny_run

from sparse_ir.config import load_settings
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.stages import STAGES
from sparse_ir.training.settings import TrainSettings


class StoppedError(Exception):
    """What ends a run in the middle."""


@pytest.fixture
def settings(backbone, tmp_path):
    """Settings of a run of 20 steps over a collection of this test's own."""
    collection = tiny_run.write_collection(tmp_path / "words")

    def make(**changes):
        out = changes.pop("out", tmp_path / "model")
        values = tiny_run.settings(backbone, collection, out, **changes)
        return load_settings(TrainSettings, values, where="test")

    return make


@pytest.fixture
def train(settings):
    """Train and return what progress was told; ``stop=13`` ends the run after that step."""

    def call(*, stop=None, **changes):
        from sparse_ir.training.train import train

        told = []

        def advance(n):
            told.append(n)
            if sum(told) == stop:
                raise StoppedError

        if stop is None:
            train(settings(**changes), advance=advance)
        else:
            with pytest.raises(StoppedError):
                train(settings(**changes), advance=advance)
        return told

    return call


@pytest.fixture
def log(tmp_path):
    """Read the log: a column by step."""

    def read(column):
        with (tmp_path / "model-training" / "training-log.csv").open() as file:
            return {int(row["step"]): float(row[column]) for row in csv.DictReader(file)}

    return read


def test_replace_with_resume_goes_on_with_the_same_run(train, log, tmp_path, weights_of):
    train(out=tmp_path / "straight")
    train(stop=13)
    assert train(resume=True, replace=True) == [10, *[1] * 10]
    assert list(log("loss")) == [5, 10, 15, 20]
    straight, resumed = weights_of(tmp_path / "straight"), weights_of(tmp_path / "model")
    assert all((tensor == resumed[name]).all() for name, tensor in straight.items())


def test_a_checkpoint_with_a_changed_byte_is_refused_and_the_one_before_it_goes_on(train, tmp_path):
    train(stop=13, save_every=5, keep=2)
    last = tmp_path / "model-training" / "checkpoint-10"
    files = [path for path in last.rglob("*") if path.is_file()]
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "sparse_ir.json"} <= {
        path.name for path in files
    }
    for path in files:
        whole = path.read_bytes()
        half = len(whole) // 2
        path.write_bytes(whole[:half] + bytes([whole[half] ^ 1]) + whole[half + 1 :])
        with pytest.raises(InputError, match="the checkpoint is damaged") as raised:
            train(resume=True, save_every=5, keep=2)
        assert path.name in str(raised.value)
        path.write_bytes(whole)
    (last / "optimizer.pt").unlink()
    with pytest.raises(InputError, match="the checkpoint is damaged"):
        train(resume=True, save_every=5, keep=2)
    shutil.rmtree(last)
    assert train(resume=True, save_every=5, keep=2)[0] == 5


def test_replace_with_resume_starts_again_where_the_checkpoint_is_damaged(train, tmp_path):
    train(stop=13, save_every=5)
    (tmp_path / "model-training" / "checkpoint-10" / "scheduler.pt").write_bytes(b"torn")
    assert sum(train(resume=True, replace=True, save_every=5)) == 20


def test_replace_with_resume_starts_again_where_the_settings_differ(train):
    train(stop=13)
    assert train(resume=True, replace=True, batch__queries=4) == [1] * 20


def test_replace_alone_throws_the_stopped_run_away(train):
    train(stop=13)
    assert train(replace=True) == [1] * 20


def test_replace_with_resume_trains_a_finished_model_anew_and_can_itself_go_on(train):
    train()
    train(stop=13, resume=True, replace=True)
    assert train(resume=True, replace=True) == [10, *[1] * 10]


def test_a_run_killed_before_its_model_was_saved_saves_it(train, tmp_path):
    train(stop=20)  # the last step is told of before its checkpoint is written
    assert train(resume=True) == [15, *[1] * 5]
    assert (tmp_path / "model" / "config.json").is_file()


def test_examples_that_changed_meanwhile_are_noticed(train, tmp_path):
    train(stop=13)
    qrels = tmp_path / "words" / "qrels" / "train.tsv"
    qrels.write_text(qrels.read_text().replace("q0\td0\t1", "q0\td1\t1"))
    with pytest.raises(
        ConfigError, match=r"was made with other examples and texts 1 .*changed since"
    ):
        train(resume=True)
    assert train(resume=True, replace=True) == [1] * 20


def test_a_router_folder_is_a_finished_model_too(train, tmp_path):
    train(model__query_encoder="table")
    assert not (tmp_path / "model" / "config.json").exists()
    with pytest.raises(ConfigError, match="holds a finished model"):
        train(model__query_encoder="table")


def test_a_resumed_run_takes_the_learning_rate_of_its_settings(train, log):
    schedule = {"steps": 20, "warm_up_steps": 0, "schedule": "constant", "weight_decay": 0.0}
    train(stop=13, optimizer={**schedule, "learning_rate": 1e-3})
    train(resume=True, optimizer={**schedule, "learning_rate": 1e-5})
    assert log("learning_rate") == pytest.approx({5: 1e-3, 10: 1e-3, 15: 1e-5, 20: 1e-5})


def test_the_stage_replaces_a_model_whose_settings_changed(settings, tmp_path):
    stage = STAGES["train"]

    def run(chosen):
        told = []
        stage.run(chosen, told.append)
        return told

    chosen = settings(optimizer__steps=10)
    assert not stage.there(chosen)
    assert run(chosen) == [1] * 10
    assert stage.there(chosen)
    assert run(settings(optimizer__steps=12)) == [1] * 12
    (tmp_path / "model" / "config.json").unlink()
    (tmp_path / "model" / "modules.json").unlink()
    assert not stage.there(chosen)


def test_a_checkpoint_names_its_content_wherever_the_cache_lies(train, tmp_path, monkeypatch):
    train(stop=13)
    monkeypatch.setenv("SPARSE_IR_HOME", str(tmp_path / "elsewhere"))
    state = json.loads((tmp_path / "model-training/checkpoint-10/sparse_ir.json").read_text())
    assert [name.split()[0] for name in state["content"]] == ["examples", "model"]
    assert train(resume=True) == [10, *[1] * 10]


@pytest.mark.parametrize(("keep", "kept"), [(1, [18, 20]), (3, [16, 18, 20])])
def test_as_many_checkpoints_are_kept_as_asked_for(train, tmp_path, keep, kept):
    train(save_every=2, keep=keep)
    names = [path.name for path in (tmp_path / "model-training").glob("checkpoint-*")]
    assert sorted(int(name.rpartition("-")[2]) for name in names) == kept


def test_a_run_killed_after_its_early_end_is_saved_without_another_step(
    train, settings, tmp_path, monkeypatch
):
    def killed(*_, **__):
        raise StoppedError

    early = {
        "optimizer__steps": 200,
        "optimizer__learning_rate": 0.3,  # falls apart after the first steps
        "validation": {"dataset": str(tmp_path / "words"), "every": 5, "patience": 2},
    }
    with monkeypatch.context() as patch:
        patch.setattr("sparse_ir.training.train.save_trained", killed)
        with pytest.raises(StoppedError):
            train(**early)
    (last,) = train(resume=True, **early)
    assert last < 200
    assert (tmp_path / "model" / "model.safetensors").is_file()
