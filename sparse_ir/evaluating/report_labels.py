"""Names beside points, so that they hide neither one another nor a point."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CHARACTER = 5.9  # width of a letter in units of the picture, on average
_HEIGHT = 13.0
_RADIUS = 7.0  # of a point with its air
_ROUNDS = 4  # after the first, names are moved when a later one got in their way


class Box(NamedTuple):
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """Area that two boxes have in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """Of the box."""
        return (self.right - self.left) * (self.bottom - self.top)


class Label(NamedTuple):
    """Where a name lies.

    Attributes:
        box: The room it takes, as far as that is known without its letters.
        side: Which end of it lies beside the point: "start", "mid" or "end".
        far: Whether it lies so far from its point that a line must join them.
    """

    box: Box
    side: str
    far: bool

    @property
    def x(self) -> float:
        """Where its side lies."""
        ends = {"start": self.box.left, "end": self.box.right}
        return round(ends.get(self.side, (self.box.left + self.box.right) / 2), 1)

    @property
    def y(self) -> float:
        """Its base line."""
        return round(self.box.bottom - 3.5, 1)


def place_labels(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    *,
    frame: Box,
    lines: Sequence[Box] = (),
) -> list[Label]:
    """Choose a place near its point for every name.

    Each name takes the best of some places around its point, given where the others lie; a few
    rounds of this settle.

    Args:
        points: Where the points lie.
        names: One a point.
        frame: What no name should leave.
        lines: Boxes of lines that names should rather not cross.
    """
    marks = [Box(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS) for x, y in points]
    choices = [_places(x, y, name) for (x, y), name in zip(points, names, strict=True)]
    chosen: list[Label | None] = [None] * len(points)
    for _ in range(_ROUNDS):
        for i, places in enumerate(choices):
            others = [label.box for j, label in enumerate(chosen) if label and j != i]
            rest = marks[:i] + marks[i + 1 :]
            costs = [
                _cost(place.box, others, rest, lines, frame) + order
                for order, place in enumerate(places)
            ]
            chosen[i] = places[costs.index(min(costs))]
    return [label for label in chosen if label]


def _cost(
    box: Box, names: Sequence[Box], marks: Sequence[Box], lines: Sequence[Box], frame: Box
) -> float:
    return (
        20 * (box.area - box.shared(frame))
        + 10 * sum(box.shared(other) for other in names)
        + 6 * sum(box.shared(mark) for mark in marks)
        + 1 * sum(box.shared(line) for line in lines)
    )


def _places(x: float, y: float, name: str) -> list[Label]:
    """Around the point, the favourite first, then the same farther and farther away."""
    width, height = CHARACTER * len(name) + 4, _HEIGHT
    places = []
    for away in (1.0, 2.2, 3.6, 5.2):
        side, up = 7.0 * away, 6.0 * away
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)):
            left = x - width / 2 + dx * (width / 2 + side * (0.7 if dy else 1))
            top = y - height / 2 + dy * (height / 2 + up)
            end = ("mid", "start", "end")[dx]
            places.append(Label(Box(left, top, left + width, top + height), end, away > 1))
    return places
