"""``sparse-ir benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import json_option, split_names
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
@click.option("--precision", help="Of systems that name none: fp32, bf16, fp16 or int8.")
@click.option("--devices", default="auto", show_default=True, help="As for encode.")
@click.option("--keep-indexes", is_flag=True, help="Leave the indexes in their engines.")
@json_option
def benchmark(
    datasets: Sequence[str],
    systems: Path | None,
    engines: Sequence[str],
    split: str,
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

    skipped: list[str] = []
    rows = _read_systems(systems)
    chosen = _on_engines(
        rows, engines, model=model, dense=dense, precision=precision, skipped=skipped
    )
    for line in skipped:
        note(line)
    settings = load_settings(
        BenchmarkSettings,
        {
            **options,
            "name": Path(options["out"]).name,
            "datasets": [_dataset(text, split) for text in datasets],
            "systems": chosen,
            "metrics": split_names(metrics),
            "clients": _numbers(clients),
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


def _dataset(text: str, split: str) -> dict[str, str]:
    name, equals, source = text.partition("=")
    if not equals or Path(text).is_dir():
        return {"source": text, "split": split}
    return {"source": source, "split": split, "name": name}


def _read_systems(path: Path | None) -> list[dict[str, Any]]:
    """The rows of a file of systems, each checked."""
    from sparse_ir.config import load_settings, read_yaml
    from sparse_ir.errors import ConfigError
    from sparse_ir.evaluating.benchmark_settings import System
    from sparse_ir.resources import resource

    path = path or resource("evaluation", "systems.yaml")
    rows = read_yaml(path).get("systems")
    if not isinstance(rows, list) or not rows:
        raise ConfigError(f"{path}: systems is missing. List at least one, each with a name.")
    for number, row in enumerate(rows, start=1):
        load_settings(System, row, where=f"{path}, system {number}")
    return rows


def _on_engines(
    rows: list[dict[str, Any]],
    engines: Sequence[str],
    *,
    model: str | None,
    dense: str | None,
    precision: str | None,
    skipped: list[str],
) -> list[dict[str, Any]]:
    """Every system that names no engine on each engine; what a row does not name is filled in."""
    from sparse_ir.engines.addresses import is_cluster
    from sparse_ir.searching.fusion import DENSE, WORDS, parse_fusion

    found: list[dict[str, Any]] = []
    for engine in engines or ("embedded",):
        for row in rows:
            own = {"engine": engine, **row}
            if model and not own.get("model"):
                own["model"] = model
            if precision and own.get("model") != "bm25":
                own.setdefault("precision", precision)
            fusion = parse_fusion(own.get("hybrid", ""))
            sides = () if fusion is None else fusion.sides
            if (own.get("dense_only") or DENSE in sides) and not own.get("dense"):
                if dense is None:
                    skipped.append(f"{own['name']} needs --dense MODEL and is left out.")
                    continue
                own["dense"] = dense
            if WORDS in sides and not is_cluster(own["engine"]):
                skipped.append(f"{own['name']} needs a cluster and is left out on {own['engine']}.")
                continue
            if len(engines) > 1:
                own["name"] = f"{own['name']}, {_short(own['engine'], engines)}"
            if own not in found:
                found.append(own)
    return found


def _short(engine: str, engines: Sequence[str]) -> str:
    """Its kind where that tells it apart, else its address."""
    kind = engine.partition(":")[0]
    if "://" in engine and kind in {"http", "https"}:
        return engine.partition("://")[2]
    return kind if [e.partition(":")[0] for e in engines].count(kind) == 1 else engine


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
