"""The log of a run as two plain CSV files, which any spreadsheet opens.

``training-log.csv`` has a row per logged step, ``validation.csv`` one per validation. A row takes
the place of all rows of its own and later steps, so a run that goes on from a checkpoint, or is
started again, leaves no step twice. Where a crash tore the last line, it is not a row.
"""

from __future__ import annotations

import csv
import io
import math
import time
from typing import TYPE_CHECKING

from sparse_ir.data.files import open_text, unwritable, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LOG = "training-log.csv"
VALIDATION = "validation.csv"
CURVE = "training-curve"
"""The picture that is drawn of both, without its ending."""
_FIRST_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "lambda_query",
    "lambda_document",
    "terms_query",
    "terms_document",
    "learning_rate",
    "seconds",
)


class History:
    """What is logged of one run.

    Args:
        folder: Where the files lie; made when the first row is written.
        clock: Seconds from any start.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = _Table(folder / LOG, _FIRST_COLUMNS)
        self._validation = _Table(folder / VALIDATION, ("step",))
        self._clock = clock
        self._started = clock()
        self._before: float | None = None

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        """Write what was measured at a training step.

        Args:
            step: Steps finished so far.
            values: Name -> number; NaN is left empty. Unless it is given, ``seconds`` is the time
                of the run so far, what was logged before a resume counted in.

        Raises:
            StorageError: the file cannot be written.
        """
        if self._before is None:
            self._before = self._log.last("seconds", before=step)
        seconds = round(self._before + self._clock() - self._started, 3)
        self._log.add({"seconds": seconds, **values, "step": step})

    def log_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of a validation.

        Raises:
            StorageError: the file cannot be written.
        """
        self._validation.add({**metrics, "step": step})

    def truncate(self, step: int) -> None:
        """Forget what was logged after a step: a checkpoint's, which the run goes on from.

        Raises:
            StorageError: the files cannot be written.
        """
        for table in (self._log, self._validation):
            table.truncate(step)


class _Table:
    """A CSV file that grows by rows in the order of their steps."""

    def __init__(self, path: Path, first: tuple[str, ...]) -> None:
        self._path, self._first = path, first
        self._columns: list[str] | None = None  # None: the file has not been looked at yet
        self._last_step = -math.inf

    def add(self, row: Mapping[str, float]) -> None:
        known = self._open()
        new = [name for name in row if name not in known]
        if new or row["step"] <= self._last_step:
            kept = [r for r in _read(self._path)[1] if _number(r["step"]) < row["step"]]
            names = set(known) | set(new)
            order = [n for n in self._first if n in names]
            known[:] = order + [n for n in (*known, *new) if n not in order]
            self._write(kept)
        line = _line([_cell(row.get(name)) for name in known])
        try:
            with self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(line)
        except OSError as error:
            raise unwritable(self._path, error) from None
        self._last_step = row["step"]

    def truncate(self, step: int) -> None:
        self._open()
        rows = [row for row in _read(self._path)[1] if _number(row["step"]) <= step]
        if self._path.exists():
            self._write(rows)
        self._last_step = max((_number(row["step"]) for row in rows), default=-math.inf)

    def last(self, column: str, *, before: int) -> float:
        """The column's value in the last row before a step, 0 where there is none."""
        rows = [row for row in _read(self._path)[1] if _number(row["step"]) < before]
        value = _number(rows[-1].get(column, "")) if rows else 0.0
        return value if math.isfinite(value) else 0.0

    def _open(self) -> list[str]:
        if self._columns is None:
            self._columns, rows = _read(self._path)
            self._last_step = max((_number(row["step"]) for row in rows), default=-math.inf)
            if self._path.exists():
                self._write(rows)  # without a torn line
        return self._columns

    def _write(self, rows: list[dict[str, str]]) -> None:
        columns = self._columns or []
        with writing(self._path) as file:
            if columns:
                file.write(_line(columns))
            file.writelines(_line([row.get(name, "") for name in columns]) for row in rows)


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a file and its whole rows."""
    if not path.exists():
        return [], []
    with open_text(path) as file:
        text = file.read()
    whole = text[: text.rfind("\n") + 1]
    lines = list(csv.reader(io.StringIO(whole)))
    if not lines or "step" not in lines[0]:
        return [], []
    columns = lines[0]
    rows = [
        dict(zip(columns, line, strict=True)) for line in lines[1:] if len(line) == len(columns)
    ]
    return columns, [row for row in rows if math.isfinite(_number(row["step"]))]


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else repr(float(value))  # whatever kind of float


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
