"""``sparse-ir evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import (
    engine_option,
    json_option,
    min_grade_option,
    refuse,
    search_options,
    split_names,
    where_used,
)
from sparse_ir.cli.output import note, print_json, print_table, progress

if TYPE_CHECKING:
    from sparse_ir.evaluating.metrics import Evaluation

_OF_INDEX = (
    *("queries", "engine", "url", "model", "k", "query_encoder", "query_pruning", "two_step"),
    *("hybrid", "words_index", "dense_only", "dense", "server_pruning", "group", "require"),
    *("ban", "boost", "pin", "lexical_only", "mask", "save_run"),
)
_FEW = 0.1  # even where one passage a query is judged, systems that work find far more


@click.command(short_help="Score an index or a run against qrels.")
@click.option("--index", help="Evaluate this index: search it for --queries.")
@click.option("--run", "run_file", help="Evaluate this TREC run.")
@click.option("--queries", help="Queries: BEIR folder, JSONL or TSV.")
@click.option("--qrels", help="Judgements: TREC, BEIR TSV, or a BEIR folder.")
@click.option("--dataset", help="A BEIR folder or benchmark name instead of queries or qrels.")
@click.option("--split", default="test", show_default=True, help="The dataset's judgements.")
@click.option(
    "--metrics",
    default="ndcg@10,mrr@10,recall@100",
    show_default=True,
    help="Comma-separated: ndcg@k, mrr@k, map@k, recall@k, precision@k, judged@k.",
)
@min_grade_option
@engine_option
@click.option("--model", help="Another query encoder that fits the index.")
@click.option(
    "-k", "--k", "k", type=int, help="Hits per query. Default: as many as the metrics need."
)
@search_options
@click.option(
    "--fail-under",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Exit with code 8 where a mean is lower, as in ndcg@10=0.45. Repeatable.",
)
@click.option("--save-run", help="Write the run to this file (TREC), and its manifest.")
@click.option("--per-query", is_flag=True, help="With --json: every query's values.")
@json_option
def evaluate(
    index: str | None,
    run_file: str | None,
    metrics: str,
    per_query: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score an index or a run against relevance judgements.

    Ties are ordered as trec_eval does; judged queries without an answer count as 0.
    """
    from sparse_ir.evaluating.bounds import parse_bounds, require_bounds, with_bounds
    from sparse_ir.evaluating.metrics import check_metrics

    index = where_used("index", index, used=run_file is None)
    if (index is None) == (run_file is None):
        raise click.UsageError("Give --index NAME or --run FILE.")
    if run_file is not None:
        refuse(_OF_INDEX, "is for an index, and --run has its answers already")
    if options["dataset"] is None and options["qrels"] is None:
        raise click.UsageError("Give --qrels FILE, or --dataset NAME.")
    if index is not None and options["dataset"] is None and options["queries"] is None:
        raise click.UsageError("--index needs --queries FILE, or --dataset NAME.")
    bounds = parse_bounds(options["fail_under"])
    names = with_bounds(split_names(metrics), bounds)
    check_metrics(names)
    if index is None:
        result = _evaluate_run(str(run_file), names, options)
    else:
        result = _evaluate_index(index, names, options)
    if as_json:
        print_json(_as_json(result, per_query=per_query))
    else:
        _print(index or str(run_file), result)
    require_bounds(result.mean, bounds)


def _evaluate_run(run_file: str, metrics: tuple[str, ...], options: dict[str, Any]) -> Evaluation:
    from sparse_ir.data.datasets import open_dataset
    from sparse_ir.evaluating.evaluate import evaluate as evaluate_run

    qrels, min_grade = options["qrels"], 1
    if options["dataset"] is not None:
        dataset = open_dataset(options["dataset"], split=options["split"])
        qrels, min_grade = qrels or dataset.qrels, dataset.min_grade
    min_grade = options["min_grade"] or min_grade
    return evaluate_run(run_file, qrels, metrics=metrics, min_grade=min_grade)


def _evaluate_index(index: str, metrics: tuple[str, ...], options: dict[str, Any]) -> Evaluation:
    from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index

    with progress("search") as advance:
        return evaluate_index(
            EvaluateSettings(index=index, metrics=metrics, **options), advance=advance
        )


def _as_json(result: Evaluation, *, per_query: bool) -> dict[str, Any]:
    row = {**result.mean, "queries": result.queries, "unanswered": result.unanswered}
    return {**row, "per_query": result.per_query} if per_query else row


def _print(name: str, result: Evaluation) -> None:
    headers = ["", *result.mean, "queries"]
    values = [f"{value:.4f}" for value in result.mean.values()]
    print_table(headers, [[name, *values, str(result.queries)]])
    if result.unanswered:
        note(f"{result.unanswered} judged queries have no answer and count as 0.")
    if result.ignored:
        note(f"{result.ignored} queries of the run are not judged and are left out.")
    answered = result.queries - result.unanswered
    matched = answered - result.unjudged
    if matched < _FEW * answered:
        note(
            f"Only {matched} of {answered} answered queries have a judged hit. If that is not what "
            "you expect, compare the document ids of run and qrels."
        )
