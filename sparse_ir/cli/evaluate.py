"""``sparse-ir evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import engine_option, json_option
from sparse_ir.cli.output import note, print_json, print_table, progress

if TYPE_CHECKING:
    from sparse_ir.evaluating.metrics import Evaluation


@click.command()
@click.option("--index", help="Evaluate this index: search it for --queries.")
@click.option("--run", "run_file", help="Evaluate this TREC run.")
@click.option("--queries", help="Queries: BEIR folder, JSONL or TSV.")
@click.option("--qrels", required=True, help="Judgements: TREC, BEIR TSV, or a BEIR folder.")
@click.option(
    "--metrics",
    default="ndcg@10,mrr@10,recall@100",
    show_default=True,
    help="Comma-separated: ndcg@k, mrr@k, map@k, recall@k, precision@k, judged@k.",
)
@click.option(
    "--min-grade",
    default=1,
    show_default=True,
    help="Grades from here on are relevant for all but nDCG (MS MARCO DL: 2).",
)
@engine_option
@click.option("--model", help="Another query encoder that fits the index.")
@click.option("-k", "k", default=1000, show_default=True, help="Hits per query.")
@click.option("--query-pruning", default="", metavar="RULES", help="As for search.")
@click.option("--save-run", help="Write the run to this file (TREC).")
@click.option("--per-query", is_flag=True, help="With --json: every query's values.")
@json_option
def evaluate(
    index: str | None,
    run_file: str | None,
    queries: str | None,
    qrels: str,
    metrics: str,
    min_grade: int,
    save_run: str | None,
    per_query: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Score an index or a run against relevance judgements.

    Ties are ordered as trec_eval does; judged queries without an answer count as 0.
    """
    from sparse_ir.evaluating.evaluate import EvaluateSettings, evaluate_index
    from sparse_ir.evaluating.evaluate import evaluate as evaluate_run

    if (index is None) == (run_file is None):
        raise click.UsageError("Give --index NAME with --queries FILE, or --run FILE.")
    if index is not None and queries is None:
        raise click.UsageError("--index needs --queries FILE.")
    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    if index is None:
        result = evaluate_run(str(run_file), qrels, metrics=names, min_grade=min_grade)
    else:
        settings = EvaluateSettings(
            index=index, queries=str(queries), qrels=qrels, metrics=names, min_grade=min_grade,
            save_run=save_run, **options,
        )  # fmt: skip
        with progress("search") as advance:
            result = evaluate_index(settings, advance=advance)
    if as_json:
        print_json(_as_json(result, per_query=per_query))
    else:
        _print(index or str(run_file), result)


def _as_json(result: Evaluation, *, per_query: bool) -> dict[str, Any]:
    row = {**result.mean, "queries": result.queries, "unanswered": result.unanswered}
    return {**row, "per_query": result.per_query} if per_query else row


def _print(name: str, result: Evaluation) -> None:
    headers = ["", *result.mean, "queries"]
    values = [f"{value:.4f}" for value in result.mean.values()]
    print_table(headers, [[name, *values, str(result.queries)]])
    if result.unanswered:
        note(f"{result.unanswered} judged queries have no answer and count as 0.")
