"""Term control as a client sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError
from sparse_ir.searching.control import parse_control

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.searching.control import TermControl

_MOST = {"ban": 100, "boost": 100, "pin": 100, "require": 64}
"""How often each may be given; the embedded engine looks for no more required terms."""


def read_controls(
    *,
    ban: Sequence[str] = (),
    boost: Sequence[str] = (),
    pin: Sequence[str] = (),
    require: Sequence[str] = (),
    lexical: bool = False,
) -> TermControl:
    """Read what a client sent, as ``parse_control`` takes it.

    Raises:
        ConfigError: a number is missing or out of range, or there are too many.
    """
    kinds = {"ban": ban, "boost": boost, "pin": pin, "require": require}
    for name, terms in kinds.items():
        most = _MOST[name]
        if len(terms) > most:
            raise ConfigError(f"{name} is given {len(terms)} times; at most {most} are taken.")
    return parse_control(ban=ban, boost=boost, pin=pin, require=require, lexical_only=lexical)
