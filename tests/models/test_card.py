"""What a card says of settings: every one in a row of its own, no path of its maker's disk."""

from __future__ import annotations

import pytest

from sparse_ir.models.card import ModelCard, public_name, render_card


def rows(settings):
    text = render_card(ModelCard(name="x", license="mit", settings=settings))
    found = text.partition("## Settings")[2].partition("##")[0].splitlines()
    cells = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in found if line]
    return cells[2:]


def test_nested_settings_are_told_flat(tmp_path):
    settings = {
        "steps": 3,
        "model": {"backbone": str(tmp_path / "bert"), "freeze": ("a.*", "b.*"), "dropout": None},
        "examples": ({"source": "hf:someone/pairs"}, {"source": f"{tmp_path}/mine.tsv"}),
        "teachers": (),
        "losses": {"kl": 0.5},
        "resume": False,
    }
    assert rows(settings) == [
        ("steps", "3"),
        ("model.backbone", "bert"),
        ("model.freeze", "a.*, b.*"),
        ("examples.0.source", "hf:someone/pairs"),
        ("examples.1.source", "mine.tsv"),
        ("losses.kl", "0.5"),
        ("resume", "False"),
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/home/me/bert", "bert"),
        ("../bert/", "bert"),
        ("~/bert", "bert"),
        ("here/bert", "bert"),
        ("nobody/bert", "nobody/bert"),
        ("bert-base-uncased", "bert-base-uncased"),
        ("hf:someone/pairs:config", "hf:someone/pairs:config"),
        ("", ""),
    ],
)
def test_a_local_path_is_told_by_its_name(tmp_path, monkeypatch, text, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here" / "bert").mkdir(parents=True)
    assert public_name(text) == name
