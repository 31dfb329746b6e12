"""Running out of memory, told in one line that says what to lower."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparse_ir.errors import TrainingError
from sparse_ir.models.memory import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@contextmanager
def out_of_memory_as(tell: Callable[[], TrainingError]) -> Iterator[None]:
    """Raise an error of ours where memory runs out within the block.

    Raises:
        TrainingError: memory ran out; it is made then.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise tell() from error


def advising(advice: str) -> AbstractContextManager[None]:
    """Say what to lower where memory runs out within the block.

    Raises:
        TrainingError: memory ran out.
    """
    return out_of_memory_as(lambda: TrainingError(f"Memory ran out. {advice}"))


def lower_batch_tokens(now: int | None) -> str:
    """What to do where a teacher of ``mine`` or ``distill`` reads too much at a time."""
    value = "2048, say" if now is None else f"now {now}"
    return f"Lower batch_tokens (--batch-tokens; {value}), and go on with --resume."
