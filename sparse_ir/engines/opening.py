"""From an address to an engine."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from sparse_ir.engines.base import Engine

SCHEMES = ("embedded", "memory")


def open_engine(address: str = "embedded") -> Engine:
    """Open the engine that an address names.

    Args:
        address: ``embedded`` or ``memory`` (kept below ``resources.home()``), either with a folder
            as in ``embedded:./indexes``, or ``memory::`` for one that is never written.

    Raises:
        ConfigError: no engine has such an address.
    """
    scheme, colon, path = address.strip().partition(":")
    if scheme in ("http", "https"):
        raise ConfigError(
            f"{address}: clusters are not supported by this version yet. Use 'embedded'."
        )
    if scheme not in SCHEMES or (colon and not path):
        raise ConfigError(f"engine {address!r} is not known. {_advice(scheme)}")
    # the chosen engine only is imported: the other's packages cost start-up time
    if scheme == "embedded":
        from sparse_ir.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(path or None)
    from sparse_ir.engines.memory import MemoryEngine, default_path

    if path == ":":
        return MemoryEngine()
    return MemoryEngine(path or default_path())


def _advice(scheme: str) -> str:
    near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1)
    if near and near[0] != scheme:
        return f"Did you mean {near[0]!r}?"
    return "Use 'embedded' or 'memory', either with a folder as in 'embedded:PATH'."
