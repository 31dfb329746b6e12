"""``sparse-ir benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import ENCODING_PRECISIONS, json_option, min_grade_option, split_names
from sparse_ir.cli.output import note, print_json, print_table
from sparse_ir.cli.stopping import resumable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.evaluating.results import Results


@click.command(short_help="Measure systems on datasets; write a report.")
@click.argument("datasets", nargs=-1, required=True)
@click.option("--out", required=True, help="Folder for the report.")
@click.option(
    "--systems",
    type=click.Path(path_type=Path),
    help="YAML file of systems. Default: BM25 and the bundled model in several ways.",
)
@click.option(
    "--engine", "engines", multiple=True, help="Measure on this engine; may be given repeatedly."
)
@click.option("--model", help="In the place of the bundled model.")
@click.option(
    "--dense", metavar="MODEL", help="The dense model of systems that search dense vectors."
)
@click.option("--split", default="test", show_default=True, help="The datasets' judgements.")
@min_grade_option
@click.option(
    "--metrics",
    default="ndcg@10,mrr@10,recall@100",
    show_default=True,
    help="Comma-separated; the first decides.",
)
@click.option("--baseline", default="", help="Compare the others with this system.")
@click.option("--clients", default="1,4", show_default=True, help="Ask with so many at once.")
@click.option(
    "--latency-queries",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Queries timed.",
)
@click.option(
    "--precision", type=click.Choice(ENCODING_PRECISIONS), help="Of systems that name none."
)
@click.option("--devices", default="auto", show_default=True, help="As for encode.")
@click.option("--keep-indexes", is_flag=True, help="Leave the indexes in their engines.")
@json_option
def benchmark(
    datasets: Sequence[str],
    systems: Path | None,
    engines: Sequence[str],
    split: str,
    min_grade: int | None,
    metrics: str,
    clients: str,
    as_json: bool,
    model: str | None,
    dense: str | None,
    precision: str | None,
    **options: Any,
) -> None:
    """Measure systems on datasets: quality, latency, size and cost side by side.

    DATASETS are names of evaluation/benchmarks.yaml or folders in BEIR layout; NAME=FOLDER gives
    one a name of its own. A stopped benchmark goes on when it is called again. The report is a
    page, with Markdown, CSV and JSON beside it.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.evaluating.benchmark_settings import BenchmarkSettings
    from sparse_ir.evaluating.reported import report_benchmark
    from sparse_ir.evaluating.systems import on_engines, read_systems

    rows = read_systems(systems)
    chosen, skipped = on_engines(rows, engines, model=model, dense=dense, precision=precision)
    for line in skipped:
        note(line)
    settings = load_settings(
        BenchmarkSettings,
        {
            **options,
            "name": Path(options["out"]).name,
            "datasets": [
                {**_dataset(text), "split": split, "min_grade": min_grade} for text in datasets
            ],
            "systems": chosen,
            "metrics": split_names(metrics),
            "clients": _numbers(clients),
            "left_out": skipped,
        },
        where="benchmark",
    )
    with resumable(flag=""):
        results, written = report_benchmark(settings, tell=note)
    if as_json:
        print_json({"report": [str(path) for path in written], "results": _means(results)})
        return
    _print(results)
    click.echo(f"Report: {written[0]}")


def _dataset(text: str) -> dict[str, str]:
    name, equals, source = text.partition("=")
    if not equals or Path(text).is_dir():
        return {"source": text}
    return {"source": source, "name": name}


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in split_names(text)]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers.", param_hint="clients") from None


def _means(results: Results) -> list[dict[str, Any]]:
    return [
        {"dataset": outcome.dataset, "system": outcome.system, **outcome.mean}
        for outcome in results.outcomes
    ]


def _print(results: Results) -> None:
    metric = results.metrics[0]
    rows = []
    for system in results.systems:
        cells = []
        for dataset in results.datasets:
            outcome = results.of(dataset.name).get(system)
            cells.append("-" if outcome is None else f"{outcome.mean[metric]:.4f}")
        rows.append([system, *cells])
    print_table([metric, *(d.name for d in results.datasets)], rows)
