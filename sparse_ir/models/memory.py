"""Memory that runs out, and memory that is given back."""

from __future__ import annotations

import ctypes
import gc
import sys

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the device or on the CPU."""
    # torch's own by its name: what mines with BM25 loads no torch.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def give_back_memory() -> None:
    """Free what is no longer used, and return it to the system where the C library can be asked."""
    gc.collect()
    return_free_memory()


def return_free_memory() -> None:
    """Return what is free already; glibc else keeps it, in pieces, and more of it hour by hour."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl has none
        if trim is not None:
            trim(0)
