"""What tuning a hybrid search found, as files: settings that commands take, and a table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing
from sparse_ir.evaluating.tuned_settings import as_named, as_side, given, write_settings
from sparse_ir.searching.fusion import DENSE, SPARSE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.evaluating.tune_hybrid import Trial, TunedHybrid, TuneHybridSettings
    from sparse_ir.searching.fusion import Fusion


_OF_SERVE = ("hybrid", "words_index", "dense", "query_encoder")


def search_settings(fusion: Fusion, words_index: str | None) -> dict[str, Any]:
    """What ``search`` and ``evaluate`` are asked for a fusion, or one side alone.

    >>> from sparse_ir.searching.fusion import Fusion
    >>> search_settings(Fusion("convex", (("dense", 1.0),)), None)
    {'dense_only': True}
    """
    if fusion.sides == (SPARSE,):
        return {}
    if fusion.sides == (DENSE,):
        return {"dense_only": True}
    found: dict[str, Any] = {"hybrid": str(fusion)}
    if "words" in fusion.sides and words_index is not None:
        found["words_index"] = words_index
    return found


def write_tuned_hybrid(settings: TuneHybridSettings, tuned: TunedHybrid) -> list[Path]:
    """Write ``hybrid.yaml`` and ``hybrid.csv`` into the folder.

    Returns:
        The files, the settings first.

    Raises:
        StorageError: one cannot be written.
    """
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    return [
        _write_settings(out / "hybrid.yaml", settings, tuned),
        _write_table(out / "hybrid.csv", settings, tuned),
    ]


def _write_settings(path: Path, settings: TuneHybridSettings, tuned: TunedHybrid) -> Path:
    """As ``sparse-ir --config`` reads them."""
    fusion = tuned.chosen.fusion
    chosen = search_settings(fusion, settings.words_index) | given(
        model=as_named(settings.model),
        query_encoder=as_side(settings.query_encoder),
        dense=as_named(settings.dense) if DENSE in fusion.sides else "",
    )
    lines = [
        f"# The best {settings.metric} of what sparse-ir tune-hybrid tried on "
        f"{settings.dataset.called} ({settings.dataset.split}, {tuned.queries:,} queries):",
        f"# {_told(tuned.chosen)}; the best side alone: {_told(tuned.best_single)}.",
        f"# Use it with: sparse-ir --config {path.name} search --index {settings.index} …",
    ]
    sections = {"search": chosen, "evaluate": chosen, "serve": _served(chosen)}
    return write_settings(path, lines, sections)


def _served(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What of it a server takes, which has its index's own model and one word for a side alone."""
    found = {name: value for name, value in chosen.items() if name in _OF_SERVE}
    return {"hybrid": f"{DENSE}=1", **found} if "dense_only" in chosen else found


def _told(trial: Trial) -> str:
    return f"{trial.fusion} {trial.value:.4f}"


def _write_table(path: Path, settings: TuneHybridSettings, tuned: TunedHybrid) -> Path:
    with writing(path) as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["fusion", "sides", settings.metric, "chosen"])
        for trial in tuned.trials:
            sides = "+".join(trial.fusion.sides)
            chosen = int(trial == tuned.chosen)
            rows.writerow([str(trial.fusion), sides, f"{trial.value:.6f}", chosen])
    return path
