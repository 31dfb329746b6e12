"""How YAML and ``--set`` become a frozen dataclass."""

from __future__ import annotations

import difflib
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")


def load_settings(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Make a frozen dataclass of a mapping, checking names and types.

    Args:
        cls: The dataclass.
        values: Setting -> value.
        where: What the message names, such as "pipelines/demo.yaml, stage 1 (index)".

    Raises:
        ConfigError: an unknown setting (the nearest name is proposed), a missing one, or a value
            of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError  # costs 0.1 s, and few commands need it

    names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ConfigError(f"{where}: {name} is not a setting.{nearest(name, names)}")
    for f in fields(cls):  # type: ignore[arg-type]
        if f.name not in values and f.default is MISSING and f.default_factory is MISSING:
            raise ConfigError(f"{where}: {f.name} is missing.")
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {name} is {first['input']!r}. {first['msg']}.") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """Propose the known name closest to a mistyped one: " Did you mean …?", or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        ConfigError: no such file, not YAML (with the line), or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise ConfigError(f"{path}{line}: not valid YAML: {problem}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of settings.")
    return values


def parse_set(assignments: Sequence[str]) -> list[tuple[list[str], Any]]:
    """Read ``a.b=value`` texts; the value is YAML, so numbers and lists come out as such.

    Raises:
        ConfigError: a text has no equals sign or its value is not YAML.
    """
    parsed = []
    for text in assignments:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise ConfigError(f"--set {text!r} is not understood. Write --set name=value.")
        try:
            parsed.append((path.split("."), yaml.safe_load(value)))
        except yaml.YAMLError:
            raise ConfigError(f"--set {text!r}: the value is not valid YAML.") from None
    return parsed
