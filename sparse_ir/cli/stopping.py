"""What a command says when it is told to stop."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


@contextmanager
def resumable(flag: str = "--resume") -> Iterator[None]:
    """Tell who stops the block how to go on: the same command with ``flag``.

    A recipe goes on by itself when it is run again: "" stands for no flag.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated) as stop:
        # --replace stays: with --resume it starts again only where there is nothing to go on with
        words = [word for word in sys.argv[1:] if word != flag]
        command = shlex.join(["sparse-ir", *words, *([flag] if flag else [])])
        raise type(stop)(f"What is in is kept. Go on with: {command}") from None
