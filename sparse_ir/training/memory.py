"""Running out of memory, told in one line that says what to lower."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparse_ir.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or on the CPU."""
    # torch's own by its name: what mines with BM25 loads no torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


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
