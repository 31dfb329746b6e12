"""What the card of a trained model says of where it comes from."""

from __future__ import annotations

import yaml

from sparse_ir.models import loading


def card_of(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_a_model_of_local_files_names_no_folder_of_its_maker(run, tmp_path, backbone, collection):
    run(optimizer__steps=1, validation={"dataset": str(collection), "every": 1})
    facts, body = card_of(tmp_path / "model")
    assert "base_model" not in facts
    assert f"Trained from a local folder, {backbone.name}." in body
    assert f"| model.backbone | {backbone.name} |" in body
    assert f"| examples.0.source | {collection.name} |" in body
    assert f"{collection.name} (validation)" in body
    assert str(backbone.parent) not in body
    assert str(collection.parent) not in body


def test_a_model_of_the_hub_is_named_whatever_its_id(run, tmp_path, backbone, monkeypatch):
    monkeypatch.setattr(loading, "_download", lambda name, **_: backbone)
    for number, name in enumerate(("bert-base-uncased", "someone/bert")):
        out = tmp_path / f"model-{number}"
        run(out=out, model__backbone=name, optimizer__steps=1)
        facts, body = card_of(out)
        assert facts["base_model"] == name
        assert f"Trained from {name}." in body
