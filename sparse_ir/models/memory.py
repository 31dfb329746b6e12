"""Memory that runs out, and memory that is given back."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
_M_MMAP_THRESHOLD = -3  # of mallopt(3)
_LARGE = 4 << 20  # bytes
_VARIABLES = {
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "64",  # torch's own cache before oneDNN's
}
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


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
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def keep_memory_flat() -> None:
    """Prepare this process for batches of ever other shapes, unless it has loaded torch already.

    A program that has is not ours: its memory is left as it is.

    Kernels are made for each shape of a batch, half a MiB of them in 16 bits: oneDNN keeps those of
    the last 1,024 shapes, and torch does so once more; here it is 64 each. glibc raises the size
    from which a block is the system's own and not a piece of the heap, up to 32 MiB, and pieces of
    ever other sizes leave gaps; here it stays at 4 MiB. Such blocks come anew each time, and torch
    takes them in pages of 2 MiB where the kernel has them on request: in pages of 4 KiB that costs
    a tenth of the time. What the environment says of these variables counts instead.
    """
    if "torch" in sys.modules:
        return
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    if _HUGE_PAGES.exists():
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    set_option = _of_glibc("mallopt")
    if set_option is not None and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        set_option(_M_MMAP_THRESHOLD, _LARGE)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where it has none, as musl."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
