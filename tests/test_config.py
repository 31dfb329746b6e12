"""YAML and --set: checked, with the nearest name for a typo."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from sparse_ir.config import assign, load_settings, nearest, parse_set, read_yaml
from sparse_ir.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    corpus: str
    limit: int | None = None
    filters: tuple[str, ...] = ()


def test_values_become_the_dataclass():
    loaded = load_settings(Settings, {"corpus": "c", "limit": 3, "filters": ["a=b"]}, where="x")
    assert loaded == Settings("c", 3, ("a=b",))


def test_a_typo_gets_the_nearest_name():
    with pytest.raises(ConfigError, match=r"^x: limt is not a setting. Did you mean limit\?$"):
        load_settings(Settings, {"corpus": "c", "limt": 3}, where="x")


def test_a_missing_setting_is_named():
    with pytest.raises(ConfigError, match="corpus is missing"):
        load_settings(Settings, {}, where="x")


def test_a_wrong_type_names_setting_and_value():
    with pytest.raises(ConfigError, match="limit is 'many'"):
        load_settings(Settings, {"corpus": "c", "limit": "many"}, where="x")


def test_yaml_errors_name_the_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("a: 1\nb: [2\nc: 3\n")
    with pytest.raises(ConfigError, match=r"r\.yaml, line 3"):
        read_yaml(path)


def test_a_date_that_there_is_not_is_one_clear_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("a: 2024-13-01\n")
    with pytest.raises(ConfigError, match=r"r\.yaml: a value cannot be read \(month must be in"):
        read_yaml(path)


def test_a_yaml_list_is_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match="mapping"):
        read_yaml(path)


def test_a_missing_yaml_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "none.yaml")


def test_set_reads_yaml_values():
    assert parse_set(["index.limit=3", "name=a b", "x=[1, 2]"]) == [
        (["index", "limit"], 3),
        (["name"], "a b"),
        (["x"], [1, 2]),
    ]


@pytest.mark.parametrize("text", ["limit", "=3", "a=[1", "a=2024-13-01"])
def test_a_wrong_set_is_one_clear_line(text):
    with pytest.raises(ConfigError, match="--set"):
        parse_set([text])


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("texts.0.x", "x"),
        ("texts.0.x.y", "x"),
        ("texts.2", "2"),
        ("text.x", "x"),
        ("text.x.y", "x"),
    ],
)
def test_nothing_is_set_within_a_text_or_past_the_end_of_a_list(path, named):
    with pytest.raises(KeyError, match=f"^'{named}'$"):
        assign({"text": "a", "texts": ["b", "c"]}, path.split("."), 1)


def test_values_are_set_within_mappings_and_lists_and_mappings_made_on_the_way():
    values = {"rows": [{"a": 1}, "b"]}
    for path in (["rows", "0", "a"], ["rows", "1"], ["new", "inner"]):
        assign(values, path, 2)
    assert values == {"rows": [{"a": 2}, 2], "new": {"inner": 2}}


def test_nearest_says_nothing_where_nothing_is_near():
    assert nearest("zzz", ["corpus"]) == ""


@dataclass(frozen=True)
class Inner:
    weight: float
    kind: str = "a"


@dataclass(frozen=True)
class Outer:
    one: Inner | None = None
    several: tuple[Inner, ...] = ()
    table: dict[str, float] | None = None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"one": {"weigth": 1}}, "here: one.weigth is not a setting. Did you mean weight?"),
        ({"several": [{"weight": 1}, {"kind": "b"}]}, "here: several.1.weight is missing."),
        ({"one": {"weight": "x"}}, "here: one.weight is 'x'"),
    ],
)
def test_nested_settings_are_checked_alike(values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_settings(Outer, values, where="here")


def test_nested_settings_become_dataclasses():
    values = {"one": {"weight": 2}, "several": [{"weight": 1}], "table": {"any": 3}}
    expected = Outer(Inner(2.0), (Inner(1.0),), {"any": 3.0})
    assert load_settings(Outer, values, where="here") == expected
