"""How YAML and ``--set`` become a frozen dataclass."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import yaml

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

T = TypeVar("T")


def load_settings(cls: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Make a frozen dataclass of a mapping, checking names and types.

    Args:
        cls: The dataclass.
        values: Setting -> value.
        where: What the message names, such as "pipelines/demo.yaml, stage 1 (index)".

    Raises:
        ConfigError: an unknown setting (the nearest name is proposed), a missing one, a value of
            the wrong type, or no mapping.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {values!r} is no mapping of settings. Write name: value.")
    from pydantic import TypeAdapter, ValidationError  # costs 0.1 s, and few commands need it

    _check_names(cls, values, where=where, prefix="")
    try:
        return TypeAdapter(cls).validate_python(dict(values))
    except ConfigError as error:  # of the dataclass itself, about several settings
        raise ConfigError(f"{where}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{where}: {name} is {first['input']!r}. {first['msg']}.") from None


def _check_names(cls: Any, values: Any, *, where: str, prefix: str) -> None:
    """Look for unknown and missing settings, in dataclasses within the dataclass too."""
    if not isinstance(values, Mapping):
        return  # of the wrong type: for pydantic to say
    names = [f.name for f in fields(cls)]
    for name in values:
        if name not in names:
            raise ConfigError(
                f"{where}: {prefix}{name} is not a setting.{nearest(str(name), names)}"
            )
    types = get_type_hints(cls)
    for f in fields(cls):
        if f.name not in values:
            if f.default is MISSING and f.default_factory is MISSING:
                raise ConfigError(f"{where}: {prefix}{f.name} is missing.")
            continue
        inner = _dataclass_in(types[f.name])
        if inner is None:
            continue
        value = values[f.name]
        parts = enumerate(value) if isinstance(value, list | tuple) else [(None, value)]
        for i, part in parts:
            path = f"{prefix}{f.name}." if i is None else f"{prefix}{f.name}.{i}."
            _check_names(inner, part, where=where, prefix=path)


def _dataclass_in(hint: Any) -> Any:
    """The dataclass of a type such as X, X | None or tuple[X, ...]; None where there is none."""
    for part in (hint, *get_args(hint)):
        if is_dataclass(part):
            return part
    return None


def assign(settings: Any, path: Sequence[str], value: Any) -> None:
    """Put a value at a path of nested mappings and lists, making mappings on the way.

    Raises:
        KeyError: the path leads through something that is neither, or past the end of a list.
    """
    *way, last = path
    for name in way:
        if isinstance(settings, list):
            settings = settings[_position(settings, name)]
        elif isinstance(settings, dict):
            if settings.get(name) is None:
                settings[name] = {}
            settings = settings[name]
        else:
            raise KeyError(name)
    if isinstance(settings, list):
        settings[_position(settings, last)] = value
    elif isinstance(settings, dict):
        settings[last] = value
    else:
        raise KeyError(last)


def _position(values: list[Any], name: str) -> int:
    if not name.isdigit() or int(name) >= len(values):
        raise KeyError(name)
    return int(name)


def require_least_one(**settings: int | None) -> None:
    """See that counts are at least 1; None stands for no bound.

    Raises:
        ConfigError: naming the setting that is below.
    """
    for name, value in settings.items():
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}. It must be at least 1.")


def nearest(name: object, known: Iterable[str]) -> str:
    """Propose the known name closest to a mistyped one: " Did you mean …?", or nothing.

    >>> nearest("indx", ["index", "search"]), nearest(None, ["index"])
    (' Did you mean index?', '')
    """
    close = difflib.get_close_matches(str(name), list(known), n=1)  # YAML has names of any type
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
    except ValueError as error:  # of a date that there is not, such as 2024-13-01
        raise ConfigError(f"{path}: a value cannot be read ({error}). Put it in quotes.") from None
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
        except (yaml.YAMLError, ValueError):  # the latter of a date that there is not
            raise ConfigError(f"--set {text!r}: the value is not valid YAML.") from None
    return parsed
