"""``sparse-ir.yaml``: settings for all commands, or for one of them, kept beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.config import nearest, read_yaml
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import click


def default_map(path: Path, ctx: click.Context) -> dict[str, Any]:
    """Read defaults: top-level settings for every command, a section per command for its own.

    >>> # index: {chunk_documents: 256}   a section: the name of a command, a mapping
    >>> # engine: embedded:./indexes      a setting of every command that has it

    Raises:
        ConfigError: a name is neither a setting nor a command, a section has an unknown setting,
            or a name is no text.
    """
    from sparse_ir.cli import main

    commands = {name: main.get_command(ctx, name) for name in main.list_commands(ctx)}
    options = {name: _names(command) for name, command in commands.items() if command is not None}
    values = read_yaml(path)
    _require_texts(path, values)
    common = {n: v for n, v in values.items() if not (n in commands and isinstance(v, dict))}
    known = set().union(*options.values())
    for name in common:
        if name not in known:
            close = nearest(name, known | set(commands))
            raise ConfigError(f"{path}: {name} is not a setting or a command.{close}")
    merged: dict[str, Any] = {}
    for command, names in options.items():
        section = values.get(command)
        section = section if isinstance(section, dict) else {}
        _require_texts(path, section, within=f"{command}.")
        for name in section:
            if name not in names:
                raise ConfigError(
                    f"{path}: {command}.{name} is not a setting.{nearest(name, set(names))}"
                )
        given = {n: v for n, v in common.items() if n in names} | section
        merged[command] = dict(names[name](value) for name, value in given.items())
        if "devices" in names and "device" in common:  # one device is a list of one
            merged[command].setdefault("devices", common["device"])
    return merged


def _names(command: click.Command) -> dict[str, Callable[[Any], tuple[str, Any]]]:
    """What a command's settings may be called: as its parameters, or as its flags are written.

    Returns:
        Name -> what makes the parameter's name and value of a value; an option that may be given
        several times takes a single value too.
    """

    def setting(name: str, multiple: bool) -> Callable[[Any], tuple[str, Any]]:
        return lambda value: (name, [value] if multiple and not isinstance(value, list) else value)

    found: dict[str, Callable[[Any], tuple[str, Any]]] = {}
    for parameter in command.params:
        if parameter.name is not None:
            made = setting(parameter.name, bool(getattr(parameter, "multiple", False)))
            flags = (flag[2:].replace("-", "_") for flag in parameter.opts if flag[:2] == "--")
            found |= dict.fromkeys((parameter.name, *flags), made)
    return found


def _require_texts(path: Path, names: Iterable[object], *, within: str = "") -> None:
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(
                f"{path}: YAML reads the name {within}{name} as {type(name).__name__}, not as "
                "text. Write it in quotes."
            )
