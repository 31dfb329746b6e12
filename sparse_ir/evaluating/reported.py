"""A benchmark with its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.evaluating.benchmark import benchmark
from sparse_ir.evaluating.published import PublishedRow, read_published
from sparse_ir.evaluating.report import write_report
from sparse_ir.evaluating.significance import compare_systems

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset, BenchmarkSettings
    from sparse_ir.evaluating.results import Results


def report_benchmark(
    settings: BenchmarkSettings, *, tell: Callable[[str], None] = lambda line: None
) -> tuple[Results, list[Path]]:
    """Measure systems on datasets and write the report; see ``benchmark``.

    Published figures stand beside the measured ones, see ``published_for``.

    Returns:
        What was measured, and the files of the report, the page first.

    Raises:
        StorageError: the report cannot be written.
    """
    results = benchmark(settings, tell=tell)
    files = write_report(
        results,
        Path(settings.out),
        significance=compare_systems,
        published=published_for(settings.datasets),
    )
    return results, files


def published_for(datasets: Sequence[BenchmarkDataset]) -> list[PublishedRow]:
    """What others report on the datasets, by their names; test splits alone.

    A folder that is given the name of one, as in ``beir-scifact=FOLDER``, counts as that one.
    """
    named = {chosen.called for chosen in datasets if chosen.split == "test"}
    return [row for row in read_published() if row.dataset in named]
