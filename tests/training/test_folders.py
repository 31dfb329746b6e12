"""What a run may delete: its own files, and nobody else's."""

from __future__ import annotations

import shutil

import pytest

from sparse_ir.config import load_settings
from sparse_ir.data.locks import writing_alone
from sparse_ir.errors import ConfigError
from sparse_ir.training.pretrain import PretrainSettings
from sparse_ir.training.pretraining_folder import Workplace


@pytest.fixture
def others(tmp_path):
    """Another trainer's checkpoint, where ours would lie."""
    place = tmp_path / "model-training" / "checkpoint-500" / "pytorch_model.bin"
    place.parent.mkdir(parents=True)
    place.write_text("weeks of work")
    return place


@pytest.mark.parametrize("how", [{}, {"replace": True}, {"resume": True, "replace": True}])
def test_train_leaves_a_folder_alone_that_it_did_not_make(run, others, how):
    with pytest.raises(ConfigError, match=r"model-training holds something that is no training"):
        run(**how)
    assert others.read_text() == "weeks of work"


@pytest.mark.parametrize("how", [{}, {"replace": True}, {"resume": True, "replace": True}])
def test_pretrain_leaves_a_folder_alone_that_it_did_not_make(others, tmp_path, how):
    settings = PretrainSettings(corpus="c.jsonl", out=str(tmp_path / "model"), **how)
    with pytest.raises(ConfigError, match="something that is no training run"):
        Workplace(tmp_path / "model").claim(settings)
    assert others.read_text() == "weeks of work"


def test_a_run_of_the_other_command_is_not_thrown_away(run, tmp_path):
    run(optimizer__steps=5)
    shutil.rmtree(tmp_path / "model")
    checkpoints = sorted((tmp_path / "model-training").glob("checkpoint-*"))
    settings = PretrainSettings(corpus="c.jsonl", out=str(tmp_path / "model"), replace=True)
    with pytest.raises(ConfigError, match="holds a run of sparse-ir train"):
        Workplace(tmp_path / "model").claim(settings)
    assert sorted((tmp_path / "model-training").glob("checkpoint-*")) == checkpoints != []


def test_replacing_a_run_keeps_what_somebody_put_beside_it(run, tmp_path):
    run(optimizer__steps=5)
    note = tmp_path / "model-training" / "notes.txt"
    note.write_text("lambda 0.01 was too much")
    run(optimizer__steps=6, replace=True)
    assert note.exists()
    names = sorted(p.name for p in note.parent.glob("checkpoint-*"))
    assert names == ["checkpoint-5", "checkpoint-6"]
    rows = (note.parent / "training-log.csv").read_text().splitlines()
    assert rows[-1].startswith("6,")


def test_the_best_checkpoint_stays_where_a_run_is_moved_and_resumed(
    run, collection, tmp_path, monkeypatch
):
    """Rotation goes by a path, which is another one then."""
    changes = {
        "optimizer__steps": 40,
        "optimizer__learning_rate": 0.0,  # the first validation stays the best
        "save_every": 5,
        "keep": 2,
    }
    validation = {"dataset": str(collection), "every": 5}
    from sparse_ir.training.callbacks import Conductor

    real = Conductor.on_step_end

    def stop(self, args, state, control, **options):
        if state.global_step == 20:
            raise KeyboardInterrupt
        return real(self, args, state, control, **options)

    monkeypatch.setattr(Conductor, "on_step_end", stop)
    with pytest.raises(KeyboardInterrupt):
        run(**changes, validation=validation)
    monkeypatch.setattr(Conductor, "on_step_end", real)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "model-training").rename(moved / "model-training")
    report = run(**changes, validation=validation, resume=True, out=moved / "model")
    assert report.best_step == 5
    assert sorted(p.name for p in (moved / "model-training").glob("checkpoint-*")) == [
        "checkpoint-35", "checkpoint-40", "checkpoint-5",
    ]  # fmt: skip


def test_a_backbone_that_was_trained_anew_makes_it_another_run(run, backbone, tmp_path):
    mine = tmp_path / "backbone"
    shutil.copytree(backbone, mine)
    run(model__backbone=str(mine), optimizer__steps=10)
    shutil.rmtree(tmp_path / "model")
    from tiny_run import make_backbone

    make_backbone(mine, seed=7)
    with pytest.raises(ConfigError, match=r"other model .*that holds has changed since"):
        run(model__backbone=str(mine), optimizer__steps=10, resume=True)


def test_a_text_that_changed_within_its_length_makes_it_another_run(run, collection, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(collection, mine)
    examples = [{"source": str(mine), "layout": "beir"}]
    run(examples=examples, optimizer__steps=10)
    shutil.rmtree(tmp_path / "model")
    corpus = mine / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace("cat cat", "dog cat", 1))
    with pytest.raises(ConfigError, match=r"other examples .*that holds has changed since"):
        run(examples=examples, optimizer__steps=10, resume=True)


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_lives(run, tmp_path):
    with (
        writing_alone(tmp_path / "model"),
        pytest.raises(ConfigError, match=r"another run is writing .*model\. Wait for it"),
    ):
        run(optimizer__steps=5)
    run(optimizer__steps=5)


def test_a_corpus_that_changed_makes_pretraining_another_run(tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "1", "text": "one"}\n')
    values = {"corpus": str(corpus), "out": str(tmp_path / "lm")}
    place = Workplace(tmp_path / "lm")
    place.claim(load_settings(PretrainSettings, values, where="test"))
    corpus.write_text('{"id": "1", "text": "another"}\n')
    values["resume"] = True
    with pytest.raises(ConfigError, match=r"made of another corpus: .*corpus\.jsonl has changed"):
        place.claim(load_settings(PretrainSettings, values, where="test"))


def test_memory_saving_settings_may_change_when_a_run_goes_on(run, tmp_path):
    run(optimizer__steps=10)
    shutil.rmtree(tmp_path / "model")
    run(
        optimizer__steps=10,
        resume=True,
        batch__chunk_texts=2,
        model__gradient_checkpointing=True,
    )
    assert (tmp_path / "model").is_dir()
