"""The report as a page of HTML that stands alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sparse_ir.evaluating import (
    report_costs,
    report_histograms,
    report_plots,
    report_sentences,
    report_words,
)
from sparse_ir.evaluating.report_queries import duels, hardest
from sparse_ir.evaluating.report_terms import term_lists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.evaluating.report_quality import Comparisons, QualityTable
    from sparse_ir.evaluating.results import Results

_FILTERS = ("score", "signed", "figure", "count", "percent", "p_value", "metric_name", "clipped")


def page(results: Results, tables: Sequence[QualityTable], compared: Comparisons) -> str:
    """Draw the whole page."""
    return (
        _environment()
        .get_template("report.html")
        .render(
            results=results,
            made=report_words.provenance_rows(results.made),
            tables=tables,
            compared=compared,
            columns=report_costs.COLUMNS,
            stages=report_costs.STAGES,
            quantiles=report_costs.QUANTILES,
            cost_cells=report_costs.cost_cells,
            latency_rows=report_costs.latency_rows,
            plots=report_plots.quality_plots(results),
            picture=report_plots,
            histograms=report_histograms.histograms(results),
            ridge=report_histograms,
            duels=duels(results),
            hardest=hardest(results),
            terms=term_lists(results),
            say=report_sentences,
            dash=report_words.DASH,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # texts come from corpora that nobody has read
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(report_words, name) for name in _FILTERS})
    return environment
