"""Pictures of numbers that were measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.files import open_text, writing
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Okabe and Ito, 2008, told apart by the colour-blind too (https://jfly.uni-koeln.de/color/).
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#5A5A5A"
_SIDES = (("query", "queries", _BLUE, "-"), ("document", "documents", _ORANGE, "-"))
_NOT_METRICS = ("step", "flops", "terms_query", "terms_document", "queries", "documents")
_SMOOTHED = 50  # a curve of more points is drawn faint, with a running mean of a fiftieth over it


class Curve(NamedTuple):
    """Numbers over steps.

    Attributes:
        steps: Where they were measured, rising.
        values: As many numbers; NaN where there is none.
    """

    steps: list[float]
    values: list[float]


def training_curve(
    folder: Path,
    out: Path,
    *,
    target_terms: Mapping[str, float] | None = None,
    metric: str | None = None,
) -> tuple[Path, Path]:
    """Draw loss, terms per text and the validation metric of a run over its steps.

    Args:
        folder: Where ``training-log.csv`` and, with a validation, ``validation.csv`` lie.
        out: The picture's path; its ending is replaced by ``.svg`` and ``.png``.
        target_terms: Wanted terms of "query" and "document", drawn as dashed lines.
        metric: The column of ``validation.csv`` to draw; by default the first metric in it.

    Returns:
        The SVG and the PNG.

    Raises:
        InputError: there is no log, it has no rows, or no such metric.
        StorageError: the pictures cannot be written.
    """
    log = _columns(folder / "training-log.csv")
    if not log.get("step"):
        raise InputError("has no rows yet. Train for some steps first.", path=folder)
    validation = _validation(folder, metric)

    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    style: Any = {
        "font.family": "DejaVu Sans",  # comes with matplotlib
        "font.size": 10.0,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "sparse-ir",  # equal numbers give equal files
    }
    with rc_context(style):
        rows = 3 if validation else 2
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        figure = Figure(figsize=(8.0, 2.6 * rows + 0.4), layout=layout)
        FigureCanvasAgg(figure)
        axes = figure.subplots(rows, 1, sharex=True)
        _draw_loss(axes[0], log)
        _draw_terms(axes[1], log, target_terms or {})
        if validation:
            _draw_metric(axes[2], *validation)
        for axis in axes:
            axis.grid(visible=True, color="#DDDDDD", linewidth=0.6)
            axis.set_axisbelow(True)
            axis.spines[["top", "right"]].set_visible(False)
        axes[-1].set_xlabel("Step")
        axes[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        figure.align_ylabels(axes)
        return save_figure(figure, out)


def _draw_loss(axis: Any, log: Mapping[str, Sequence[float]]) -> None:
    _draw(axis, _curve(log, "loss"), _GREY, "-", "loss")
    axis.set_ylabel("Training loss")
    axis.set_title("Loss", loc="left", fontweight="bold")
    if min(_finite(log["loss"]), default=0.0) >= 0:
        axis.set_ylim(bottom=0)


def _draw_terms(
    axis: Any, log: Mapping[str, Sequence[float]], targets: Mapping[str, float]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for side, plural, colour, line in _SIDES:
        name = f"terms_{side}"
        if not any(value > 0 for value in log.get(name, ())):
            continue
        target = targets.get(side)
        wanted = "" if target is None else f" (wanted: {target:g}, dashed)"
        curve = _curve(log, name)
        positive = [value if value > 0 else math.nan for value in curve.values]
        _draw(axis, Curve(curve.steps, positive), colour, line, plural + wanted)
        if target is not None:
            axis.axhline(target, color=colour, linestyle=(0, (5, 3)), zorder=3)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_ylabel("Terms per text")
    axis.set_title("Sparsity", loc="left", fontweight="bold")
    if axis.get_legend_handles_labels()[0]:
        _legend(axis)


def _draw_metric(axis: Any, name: str, curve: Curve) -> None:
    best = max(range(len(curve.values)), key=lambda i: curve.values[i])
    axis.plot(*curve, color=_GREEN, marker="o", markersize=4, linewidth=1.6)
    axis.plot(
        curve.steps[best],
        curve.values[best],
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor=_GREEN,
        markeredgewidth=1.4,
        linestyle="none",
        label=f"best: {curve.values[best]:.4f} at step {curve.steps[best]:,.0f}",
    )
    axis.set_ylabel(name)
    axis.set_title("Validation", loc="left", fontweight="bold")
    axis.margins(y=0.15)
    _legend(axis)


def _draw(axis: Any, curve: Curve, colour: str, line: str, label: str) -> None:
    """A curve; where it has many points a running mean, with the points themselves faint."""
    window = len(curve.values) // _SMOOTHED
    if window < 2:
        axis.plot(*curve, color=colour, linestyle=line, linewidth=1.6, label=label)
        return
    axis.plot(*curve, color=colour, linestyle=line, linewidth=0.7, alpha=0.35)
    smooth = _running_mean(curve.values, window)
    axis.plot(curve.steps, smooth, color=colour, linestyle=line, linewidth=1.6, label=label)


def _legend(axis: Any) -> None:
    """Beside the title, where no curve can run through it."""
    place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
    axis.legend(**place, ncols=2, frameon=False, fontsize=9)


def _running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and the ones up to half a window away on both sides."""
    half = window // 2
    means = []
    for i in range(len(values)):
        near = _finite(values[max(0, i - half) : i + half + 1])
        means.append(sum(near) / len(near) if near else math.nan)
    return means


def _validation(folder: Path, metric: str | None) -> tuple[str, Curve] | None:
    path = folder / "validation.csv"
    columns = _columns(path) if path.exists() else {}
    names = [name for name in columns if name not in _NOT_METRICS]
    if metric is not None and metric not in columns:
        raise InputError(f"has no column {metric}. It has {', '.join(names) or 'none'}.", path=path)
    name = metric or next(iter(names), None)
    if name is None:
        return None
    curve = _curve(columns, name)
    kept = [(s, v) for s, v in zip(*curve, strict=True) if math.isfinite(v)]
    return (name, Curve([s for s, _ in kept], [v for _, v in kept])) if kept else None


def _curve(columns: Mapping[str, Sequence[float]], name: str) -> Curve:
    return Curve(list(columns["step"]), list(columns[name]))


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _columns(path: Path) -> dict[str, list[float]]:
    """Column -> numbers, NaN for an empty cell. The files are ``training/history.py``'s."""
    import csv

    with open_text(path) as file:
        reader = csv.DictReader(file)
        columns: dict[str, list[float]] = {name: [] for name in reader.fieldnames or ()}
        for number, row in enumerate(reader, start=2):
            for name, values in columns.items():
                try:
                    values.append(float(row[name] or "nan"))
                except (TypeError, ValueError):
                    message = f"{name} is {row[name]!r}, which is no number."
                    raise InputError(message, path=path, line=number) from None
    return columns


def save_figure(figure: Any, out: Path) -> tuple[Path, Path]:
    """Write a matplotlib figure as SVG and PNG, without dates."""
    svg, png = out.with_suffix(".svg"), out.with_suffix(".png")
    with writing(svg, "wb") as file:
        figure.savefig(file, format="svg", metadata={"Date": None})
    with writing(png, "wb") as file:
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
    return svg, png
