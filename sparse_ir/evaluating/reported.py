"""A benchmark with its report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.evaluating.benchmark import benchmark
from sparse_ir.evaluating.published import read_published
from sparse_ir.evaluating.report import write_report
from sparse_ir.evaluating.significance import compare_systems

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.evaluating.benchmark_settings import BenchmarkSettings
    from sparse_ir.evaluating.results import Results


def report_benchmark(
    settings: BenchmarkSettings, *, tell: Callable[[str], None] = lambda line: None
) -> tuple[Results, list[Path]]:
    """Measure systems on datasets and write the report; see ``benchmark``.

    Published figures stand beside those of a benchmark that was searched under its own name, with
    the judgements that everybody reports.

    Returns:
        What was measured, and the files of the report, the page first.

    Raises:
        StorageError: the report cannot be written.
    """
    results = benchmark(settings, tell=tell)
    named = {
        chosen.called
        for chosen in settings.datasets
        if chosen.called == chosen.source and chosen.split == "test"
    }
    published = [row for row in read_published() if row.dataset in named]
    files = write_report(
        results, Path(settings.out), significance=compare_systems, published=published
    )
    return results, files
