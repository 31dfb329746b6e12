"""How far a long task is, said in lines and not too often."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_SECONDS = 20.0


def now_and_then(say: Callable[[str], None], what: str, total: int) -> Callable[[int], None]:
    """Make an ``advance`` that says how many of how many are done.

    Args:
        say: Called with a line, once in ``EVERY_SECONDS`` at most.
        what: Begins the line.
        total: How many there are.
    """
    done, said = 0, monotonic()

    def advance(count: int) -> None:
        nonlocal done, said
        done += count
        if monotonic() - said >= EVERY_SECONDS:
            said = monotonic()
            say(f"{what}: {done:,} of {total:,} texts")

    return advance
