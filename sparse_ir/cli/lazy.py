"""A click group that imports a command only when it is called for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click import Command, Context


class LazyGroup(click.Group):
    """Finds command ``NAME`` as the attribute ``NAME`` of module ``PACKAGE.NAME``.

    A hyphen in the command's name is an underscore there.
    """

    def __init__(self, *args: Any, package: str, names: Sequence[str], **kwargs: Any) -> None:
        """Take the package of the command modules and the commands in help order."""
        super().__init__(*args, **kwargs)
        self._package = package
        self._names = tuple(names)

    def list_commands(self, ctx: Context) -> list[str]:
        """Name the commands in help order."""
        del ctx
        return list(self._names)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in self._names:
            return None
        attribute = cmd_name.replace("-", "_")
        module = importlib.import_module(f"{self._package}.{attribute}")
        command: Command = getattr(module, attribute)
        return command

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Propose the nearest command for a mistyped one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from sparse_ir.config import nearest

            raise click.UsageError(f"{error.message}{nearest(args[0], self._names)}") from None
