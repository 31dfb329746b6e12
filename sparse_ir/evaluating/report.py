"""The report of a benchmark: one page to read, one to paste, a table and the numbers themselves."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from sparse_ir.data.files import writing
from sparse_ir.evaluating.report_costs import csv_rows
from sparse_ir.evaluating.report_page import page
from sparse_ir.evaluating.report_quality import compare_all, quality_tables
from sparse_ir.evaluating.report_text import markdown
from sparse_ir.evaluating.report_words import printable
from sparse_ir.evaluating.results import write_results

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sparse_ir.evaluating.published import PublishedRow
    from sparse_ir.evaluating.report_quality import Significance
    from sparse_ir.evaluating.results import Results


def write_report(
    results: Results,
    out: Path,
    *,
    significance: Significance | None = None,
    published: Sequence[PublishedRow] = (),
) -> list[Path]:
    """Write ``report.html``, ``report.md``, ``results.csv`` and ``results.json`` into a folder.

    The page stands alone: nothing is loaded from elsewhere, and it needs no script. Every text of
    a corpus is taken as hostile and escaped.

    Args:
        results: What was measured.
        out: The folder, made where it is missing; reports that are there are replaced.
        significance: Compares the baseline's values with those of the other systems, query by
            query; called for every dataset and metric. Without it there are no marks.
        published: Numbers of papers; those of other datasets and metrics are left out.

    Returns:
        The four files.

    Raises:
        StorageError: one of them cannot be written.
    """
    compared = compare_all(results, significance)
    tables = quality_tables(results, compared, published)
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(csv_rows(results, compared))
    texts = {
        "report.html": page(results, tables, compared),
        "report.md": markdown(results, tables, compared),
        "results.csv": table.getvalue(),
    }
    for name, text in texts.items():
        with writing(out / name) as stream:
            stream.write(printable(text))
    write_results(out / "results.json", results)
    return [*(out / name for name in texts), out / "results.json"]
