"""The systems of a benchmark: read from a file, put on engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.config import load_settings, read_yaml
from sparse_ir.errors import ConfigError
from sparse_ir.evaluating.benchmark_settings import System
from sparse_ir.resources import resource
from sparse_ir.searching.fusion import DENSE, parse_fusion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


def read_systems(path: Path | None) -> list[dict[str, Any]]:
    """Read the rows of a file of systems, each checked.

    Args:
        path: The file; None for evaluation/systems.yaml.

    Raises:
        ConfigError: there are none, or one sets what is not known.
    """
    path = path or resource("evaluation", "systems.yaml")
    rows = read_yaml(path).get("systems")
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: systems is missing. List at least one, each with a name.")
    for number, row in enumerate(rows, start=1):
        load_settings(System, row, where=f"{path}, system {number}")
    return rows


def on_engines(
    rows: Iterable[dict[str, Any]],
    engines: Sequence[str],
    *,
    model: str | None = None,
    dense: str | None = None,
    precision: str | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Put every system that names no engine on each engine, and fill in what it does not name.

    Args:
        rows: As ``read_systems`` gives them.
        engines: As ``open_engine`` takes them; none for the embedded one.
        model: For systems that name none.
        dense: The dense model of systems that need one and name none.
        precision: For systems that name none and run a model.

    Returns:
        The systems, and a line for each that is left out.
    """
    found: list[dict[str, Any]] = []
    skipped: list[str] = []
    for engine in engines or ("embedded",):
        for row in rows:
            own = {"engine": engine, **row}
            if model and not own.get("model"):
                own["model"] = model
            if precision and own.get("model") != "bm25":
                own.setdefault("precision", precision)
            fusion = parse_fusion(own.get("hybrid", ""))
            sides = () if fusion is None else fusion.sides
            if (own.get("dense_only") or DENSE in sides) and not own.get("dense"):
                if dense is None:
                    skipped.append(f"not measured: {own['name']} needs --dense MODEL.")
                    continue
                own["dense"] = dense
            if len(engines) > 1:
                own["name"] = f"{own['name']}, {_short(own['engine'], engines)}"
            if own not in found:
                found.append(own)
    return found, list(dict.fromkeys(skipped))


def _short(engine: str, engines: Sequence[str]) -> str:
    """Its kind where that tells it apart, else its address."""
    kind = engine.partition(":")[0]
    if "://" in engine and kind in {"http", "https"}:
        return engine.partition("://")[2]
    return kind if [e.partition(":")[0] for e in engines].count(kind) == 1 else engine
