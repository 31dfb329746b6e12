"""Metrics compiled while something else is done: ranx takes a quarter of a minute for it, once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def compiled(metrics: Sequence[str]) -> Iterator[None]:
    """Compile metrics beside what is done within, unless an earlier process has left them there.

    At the end they are there, or the compiling is given up where what was done has failed.
    """
    if _seem_compiled():
        yield
        return
    with start_compiling(metrics) as process:
        try:
            yield
        except BaseException:
            process.kill()
            raise


def start_compiling(metrics: Sequence[str]) -> subprocess.Popen[bytes]:
    """Compile metrics in another process.

    ranx compiles a metric at its first use, some seconds each, and keeps the result on disk for
    every later process. A process rather than a thread: compiling holds the interpreter's lock.

    Returns:
        The process. Wait for it before ``score_run``, or that compiles once more; it may be killed
        at any time.
    """
    code = (
        "import sys; from sparse_ir.evaluating.metrics import score_run; "
        "score_run({'q': {'d': 1.0}}, {'q': {'d': 1}}, sys.argv[1:])"
    )
    return subprocess.Popen(  # noqa: S603 - our own interpreter and code; metrics are arguments
        [sys.executable, "-c", code, *metrics],
        cwd=Path(__file__).parents[2],  # where this very package is imported from
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _seem_compiled() -> bool:
    """Whether compiled code lies where numba puts it first: beside ranx, if that can be written."""
    if "ranx.metrics" in sys.modules:
        return True
    spec = importlib.util.find_spec("ranx")
    if "NUMBA_CACHE_DIR" in os.environ or spec is None or spec.origin is None:
        return False
    kept = Path(spec.origin).parent / "metrics" / "__pycache__"
    return any(kept.glob("*.nbi"))
