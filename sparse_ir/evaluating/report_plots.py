"""Quality against cost: where each point, name and tick lies; report_plots.html draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.evaluating.report_axes import Tick, linear_axis, log_axis, pareto_front
from sparse_ir.evaluating.report_labels import Box, Label, place_labels
from sparse_ir.evaluating.report_words import clipped, figure, score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.evaluating.results import Outcome, Results

WIDTH, HEIGHT = 380, 270
FRAME = Box(46, 22, 368, 232)
_NAME = 24  # letters of a name in a picture
_LEAST_QUALITY = 0.02  # an axis of quality is at least so much wide: tiny differences look tiny
_LINE = 1.5

# Told apart without colour: outlines around (0, 0), about 11 wide, of about equal area.
MARKERS = (
    "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z",  # circle
    "M-4.5-4.5H4.5V4.5H-4.5Z",  # square
    "M0-5.8L5.8 4.6H-5.8Z",  # triangle
    "M0-6.4L6.4 0L0 6.4L-6.4 0Z",  # diamond
    "M0 5.8L5.8-4.6H-5.8Z",  # triangle upside down
    "M-1.9-5.7H1.9V-1.9H5.7V1.9H1.9V5.7H-1.9V1.9H-5.7V-1.9H-1.9Z",  # cross
    "M-3-5.5H3L6 0L3 5.5H-3L-6 0Z",  # hexagon
    "M0-7L1.8-2.2H6.7L2.8.8L4.1 5.6L0 2.8L-4.1 5.6L-2.8.8L-6.7-2.2H-1.8Z",  # star
)


class Point(NamedTuple):
    """A system in a picture.

    Attributes:
        system: Its whole name.
        number: Its place among the systems; gives shape and colour.
        x: Of the point.
        y: Of the point.
        label: Its name, perhaps clipped.
        at: Where the label lies.
        says: The values in words.
    """

    system: str
    number: int
    x: float
    y: float
    label: str
    at: Label
    says: str


class Scatter(NamedTuple):
    """A picture of one dataset: quality upwards, cost to the right on a logarithmic axis."""

    dataset: str
    x_name: str
    y_name: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    points: list[Point]
    front: str


class Plots(NamedTuple):
    """A kind of picture with one picture a dataset."""

    title: str
    meaning: str
    scatters: list[Scatter]


def quality_plots(results: Results) -> list[Plots]:
    """Quality against the time and the space it costs, a picture a dataset that has both."""
    clients = min((e.clients for o in results.outcomes for e in o.latency), default=1)

    def milliseconds(outcome: Outcome) -> float | None:
        found = [entry.total.p50 for entry in outcome.latency if entry.clients == clients]
        return found[0] if found else None

    def megabytes(outcome: Outcome) -> float | None:
        return None if outcome.index_bytes is None else outcome.index_bytes / 1e6

    who = "one client" if clients == 1 else f"{clients} clients"
    kinds = (
        ("Quality and latency", "Median latency, ms", milliseconds, f", asked by {who}"),
        ("Quality and index size", "Index, MB", megabytes, ""),
    )
    return [
        Plots(
            title,
            f"Upwards is better, to the left is cheaper{more}; the axis of cost is logarithmic, "
            "that of quality need not begin at 0. The dashed line joins the systems that no other "
            "beats in both.",
            [
                plot
                for facts in results.datasets
                if (plot := _scatter(results, facts.name, x, cost))
            ],
        )
        for title, x, cost, more in kinds
    ]


def _scatter(
    results: Results, dataset: str, x_name: str, cost: Callable[[Outcome], float | None]
) -> Scatter | None:
    metric = results.metrics[0]
    found = [
        (name, spent, outcome.mean[metric])
        for name, outcome in results.of(dataset).items()
        if metric in outcome.mean and (spent := cost(outcome))
    ]
    if not found:
        return None
    x = log_axis([spent for _, spent, _ in found], FRAME.left, FRAME.right)
    y = linear_axis([v for _, _, v in found], FRAME.bottom, FRAME.top, least=_LEAST_QUALITY)
    places = [(x.at(spent), y.at(value)) for _, spent, value in found]
    front = [places[i] for i in pareto_front([(spent, value) for _, spent, value in found])]
    names = [clipped(name, _NAME) for name, _, _ in found]
    labels = place_labels(places, names, frame=FRAME, lines=_boxes(front))
    systems = results.systems
    points = [
        Point(
            system,
            systems.index(system),
            *place,
            name,
            label,
            f"{system}: {score(value)}, {figure(spent)}",
        )
        for (system, spent, value), place, name, label in zip(
            found, places, names, labels, strict=True
        )
    ]
    return Scatter(dataset, x_name, metric, x.ticks(), y.ticks(), points, _stairs(front))


def _stairs(front: Sequence[tuple[float, float]]) -> str:
    """The front as a path: a point's quality is had at any higher cost, until the next point's."""
    (x, y), *rest = front
    return f"M{x:g} {y:g}" + "".join(f"H{x:g}V{y:g}" for x, y in rest) + f"H{FRAME.right:g}"


def _boxes(front: Sequence[tuple[float, float]]) -> list[Box]:
    """Thin boxes around the stairs."""
    ends = [*front[1:], (FRAME.right, front[-1][1])]
    boxes = []
    for (x, y), (next_x, next_y) in zip(front, ends, strict=True):
        boxes.append(Box(x, y - _LINE, next_x, y + _LINE))
        boxes.append(Box(next_x - _LINE, next_y, next_x + _LINE, y))
    return boxes
