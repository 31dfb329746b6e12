"""What others report, each number with the place it is from: ``evaluation/published.csv``."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.config import nearest
from sparse_ir.data.datasets import read_benchmarks
from sparse_ir.data.files import open_text
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.evaluating.metrics import check_metrics
from sparse_ir.resources import resource

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class PublishedRow(NamedTuple):
    """A reported number.

    Attributes:
        dataset: A name of ``evaluation/benchmarks.yaml``.
        system: As the field calls it.
        metric: As ``score_run`` takes it.
        value: From 0 to 1.
        source: The paper and its table, or an address.
    """

    dataset: str
    system: str
    metric: str
    value: float
    source: str


def read_published(path: Path | None = None) -> list[PublishedRow]:
    """Read the reported numbers.

    Args:
        path: A CSV file with the columns of ``PublishedRow``; None for the project's own.

    Raises:
        InputError: a row with an unknown dataset or metric, a value that is not from 0 to 1, no
            source, or of a dataset, system and metric that were there before; with its line.
    """
    path = path or resource("evaluation", "published.csv")
    datasets = read_benchmarks()
    rows: list[PublishedRow] = []
    seen: set[tuple[str, ...]] = set()
    with open_text(path) as file:
        reader = csv.reader(file)
        if tuple(next(reader, ())) != PublishedRow._fields:
            expected = ",".join(PublishedRow._fields)
            raise InputError(f"the first line must be {expected}", path=path, line=1)
        for cells in reader:
            if not cells:
                continue
            try:
                row = _parse(cells, datasets)
                if row[:3] in seen:
                    raise ValueError(f"{row.metric} of {row.system} is there a second time.")
            except (ConfigError, ValueError) as error:
                raise InputError(str(error), path=path, line=reader.line_num) from None
            seen.add(row[:3])
            rows.append(row)
    return rows


def _parse(cells: list[str], datasets: Collection[str]) -> PublishedRow:
    if len(cells) != len(PublishedRow._fields):
        raise ValueError(f"{len(cells)} columns instead of {len(PublishedRow._fields)}.")
    dataset, system, metric, written, source = (cell.strip() for cell in cells)
    if dataset not in datasets:
        raise ValueError(f"there is no dataset {dataset!r}.{nearest(dataset, datasets)}")
    check_metrics([metric])
    if not system or not source:
        raise ValueError("a number needs a system and a source.")
    try:
        value = float(written)
    except ValueError:
        raise ValueError(f"the value {written!r} is not a number.") from None
    if not 0 <= value <= 1:
        raise ValueError(f"the value {written} is not from 0 to 1.")
    return PublishedRow(dataset, system, metric, value, source)
