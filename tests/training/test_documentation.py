"""docs/training.md names every setting of a training run, with its default, and no other."""

from __future__ import annotations

import re
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path

import pytest
import yaml

from sparse_ir.data.examples import ExampleSettings
from sparse_ir.training import settings
from sparse_ir.training.losses import LOSSES
from sparse_ir.training.pretrain import PretrainSettings
from sparse_ir.training.settings import REGULARIZERS

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = {
    "train": settings.TrainSettings,
    "model": settings.ModelSettings,
    "loss": settings.LossSettings,
    "sparsity": settings.SparsitySettings,
    "target_terms": settings.TermTarget,
    "anchor": settings.AnchorSettings,
    "batch": settings.BatchSettings,
    "teachers": settings.BatchTeacher,
    "optimizer": settings.OptimizerSettings,
    "validation": settings.ValidationSettings,
    "card": settings.CardSettings,
    "pretrain": PretrainSettings,
}


def text():
    return (DOCS / "training.md").read_text(encoding="utf-8")


def documented(section):
    """Setting -> default as it is written, of a table of "All settings"."""
    found = text().partition("## All settings")[2].partition(f"\n### {section}\n")[2]
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", found.partition("\n### ")[0], re.MULTILINE)
    return {name: default.strip() for name, default in rows}


def default(field):
    """A default as YAML gives it; "" where there is none, or it is a group of settings."""
    if field.default is MISSING and field.default_factory is MISSING:
        return ""
    value = field.default if field.default_factory is MISSING else field.default_factory()
    if is_dataclass(value):
        return ""
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_is_documented_with_its_default(section):
    written = documented(section)
    known = {field.name: default(field) for field in fields(SECTIONS[section])}
    assert list(written) == list(known)
    for name, value in known.items():
        said = yaml.safe_load(written[name].strip("`")) if written[name] else ""
        assert said == value, f"{section}.{name}"


def test_every_group_of_settings_has_a_section():
    groups = {type(value) for value in asdict_groups(settings.TrainSettings)}
    assert groups <= set(SECTIONS.values())


def asdict_groups(cls):
    made = (f.default_factory() for f in fields(cls) if f.default_factory is not MISSING)
    return [value for value in made if is_dataclass(value) and asdict(value)]


def test_every_setting_of_examples_is_documented():
    formats = (DOCS / "formats.md").read_text(encoding="utf-8")
    table = formats.partition("## Examples to train on")[2].partition("### triplets")[0]
    for field in fields(ExampleSettings):
        assert f"`{field.name}`" in table


@pytest.mark.parametrize("name", [*LOSSES, *REGULARIZERS])
def test_every_loss_and_regulariser_is_told_of(name):
    assert f"| `{name}` |" in text()


def test_every_bundled_recipe_for_training_is_told_of():
    from sparse_ir.resources import resource

    for path in resource("pipelines").glob("*.yaml"):
        recipe = path.read_text(encoding="utf-8")
        assert "- train:" not in recipe or f"| `{path.stem}` |" in text()


def test_links_within_the_page_lead_somewhere():
    headings = re.findall(r"^#+ (.+)$", text(), re.MULTILINE)
    anchors = []
    for heading in headings:
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        anchors.append(f"{anchor}-{anchors.count(anchor)}" if anchor in anchors else anchor)
    for target in re.findall(r"\]\(#([\w-]+)\)", text()):
        assert target in anchors
