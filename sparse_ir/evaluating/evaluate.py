"""The front door of evaluation: a run and judgements, in memory or in files, to figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.trec import read_qrels, read_run
from sparse_ir.evaluating.metrics import DEFAULT_METRICS, Evaluation, check_metrics, score_run
from sparse_ir.evaluating.overlap import NAMES, require_overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.types import Qrels, Run


def evaluate(
    run: Run | str | Path,
    qrels: Qrels | str | Path,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    min_grade: int = 1,
) -> Evaluation:
    """Score a run against judgements, with figures equal to trec_eval's.

    Args:
        run: query_id -> doc_id -> score, or a TREC run file.
        qrels: query_id -> doc_id -> grade, or a file in TREC or BEIR form.
        metrics: As ``score_run`` takes them, such as "ndcg@10".
        min_grade: The lowest grade that is relevant to all metrics but ndcg.

    Raises:
        ConfigError: an unknown metric, a bad cutoff or grade.
        InputError: a file cannot be read, run and qrels have no query in common, or the qrels
            know no document of the run.
    """
    check_metrics(metrics)
    names = (
        str(run) if isinstance(run, str | Path) else NAMES[0],
        str(qrels) if isinstance(qrels, str | Path) else NAMES[1],
    )
    scored = read_run(run) if isinstance(run, str | Path) else run
    judged = read_qrels(qrels) if isinstance(qrels, str | Path) else qrels
    require_overlap(scored, judged, names=names)
    return score_run(scored, judged, metrics, min_grade=min_grade)
