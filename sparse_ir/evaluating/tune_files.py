"""What tuning found, as files: settings that commands take, a table and a picture."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.data.files import writing
from sparse_ir.evaluating.charts import save_figure
from sparse_ir.evaluating.tuned_settings import as_named, as_side, given, write_settings

if TYPE_CHECKING:
    from sparse_ir.evaluating.tune_settings import Choice, Point, Tuned, TuneSettings

_GREY, _BLUE, _ORANGE = "#5A5A5A", "#0072B2", "#D55E00"


def write_tuned(settings: TuneSettings, tuned: Tuned) -> list[Path]:
    """Write ``tuned.yaml``, ``tune.csv`` and ``tune.svg`` and ``.png`` into the folder.

    Returns:
        The files, the settings first.

    Raises:
        StorageError: one cannot be written.
    """
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    return [
        _write_settings(out / "tuned.yaml", settings, tuned),
        _write_table(out / "tune.csv", settings, tuned),
        *_draw(out / "tune", settings, tuned),
    ]


def _write_settings(path: Path, settings: TuneSettings, tuned: Tuned) -> Path:
    """As ``sparse-ir --config`` reads them."""
    choice = tuned.chosen.choice
    indexed = given(
        model=as_named(settings.model),
        document_pruning=choice.document_pruning,
        field=settings.field,
    )
    searched = given(
        query_encoder=as_side(settings.query_encoder),
        query_pruning=choice.query_pruning,
        two_step=choice.two_step,
    )
    sections = {"index": indexed, "search": searched, "evaluate": searched}
    lines = [
        f"# The fastest search within {settings.within:.1%} of the best {settings.metric} of what",
        f"# sparse-ir tune tried on {settings.dataset.called} ({settings.dataset.split}): "
        f"{_told(tuned.chosen, settings.metric)},",
        f"# unpruned {_told(tuned.unpruned, settings.metric)}.",
        *_confirmation(settings, tuned),
        "# Use it with: sparse-ir --config tuned.yaml index …, and … search …",
    ]
    return write_settings(path, lines, sections)


def _confirmation(settings: TuneSettings, tuned: Tuned) -> list[str]:
    if settings.confirm is None or tuned.confirmed is None:
        return []
    chosen, unpruned = (_told(point, settings.metric) for point in tuned.confirmed)
    return [f"# On {settings.confirm.called}: {chosen}, unpruned {unpruned}."]


def _told(point: Point, metric: str) -> str:
    return f"{metric} {point.value:.4f} in {point.milliseconds:.2f} ms"


def _write_table(path: Path, settings: TuneSettings, tuned: Tuned) -> Path:
    with writing(path) as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(
            ["document_pruning", "query_pruning", "two_step", settings.metric, "milliseconds",
             "query_terms", "index_bytes", "front", "chosen"]
        )  # fmt: skip
        for point in tuned.points:
            rows.writerow(
                [*point.choice, f"{point.value:.6f}", f"{point.milliseconds:.4f}",
                 f"{point.query_terms:.2f}", point.index_bytes, int(point in tuned.front),
                 int(point == tuned.chosen)]
            )  # fmt: skip
    return path


def _draw(out: Path, settings: TuneSettings, tuned: Tuned) -> tuple[Path, Path]:
    """Quality against time, with the front and what it cost to leave it."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = {"font.family": "DejaVu Sans", "svg.fonttype": "none", "svg.hashsalt": "sparse-ir"}
    with rc_context(style):
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        _scatter(axis, tuned.points, color=_GREY, marker="o", s=14, alpha=0.6, label="tried")
        axis.plot(
            [p.milliseconds for p in tuned.front],
            [p.value for p in tuned.front],
            color=_BLUE,
            marker="s",
            markersize=5,
            drawstyle="steps-post",
            label="nothing tried is better and faster",
        )
        _scatter(axis, [tuned.unpruned], color="black", marker="x", s=70, label="no pruning")
        _scatter(
            axis,
            [tuned.chosen],
            facecolors="none",
            edgecolors=_ORANGE,
            linewidths=2,
            marker="o",
            s=150,
            label=f"chosen: {_name(tuned.chosen.choice)}",
        )
        floor = (1 - settings.within) * max(point.value for point in tuned.points)
        axis.axhline(floor, color=_GREY, linestyle=(0, (5, 3)), linewidth=1)
        axis.set_xscale("log")
        axis.set_xlabel("Milliseconds a search, median (log)")
        axis.set_ylabel(settings.metric)
        axis.set_title(settings.dataset.called, loc="left", fontweight="bold")
        axis.grid(visible=True, which="both", color="#DDDDDD", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(loc="lower right", fontsize=9)
        return save_figure(figure, out)


def _scatter(axis: Any, points: Any, **style: Any) -> None:
    axis.scatter([p.milliseconds for p in points], [p.value for p in points], zorder=3, **style)


def _name(choice: Choice) -> str:
    names = zip(("documents", "queries", "two-step"), choice, strict=True)
    return ", ".join(f"{name} {value}" for name, value in names if value) or "no pruning"
