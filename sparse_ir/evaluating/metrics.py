"""Metrics of a run against judgements, equal to trec_eval's, computed by ranx.

ranx gets documents numbered in the order trec_eval would rank them, so neither ties nor the hashing
of ids can change a figure.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import threading
import types
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError, StorageError
from sparse_ir.evaluating.overlap import require_common_queries
from sparse_ir.evaluating.ranking import Table, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sparse_ir.types import Qrels, Run

DEFAULT_METRICS = ("ndcg@10", "mrr@10", "recall@100")

# Our name -> ranx's function; judged is counted here, ranx has no such metric.
_FUNCTIONS = {
    "ndcg": "ndcg",
    "mrr": "reciprocal_rank",
    "map": "average_precision",
    "recall": "recall",
    "precision": "precision",
    "hit_rate": "hit_rate",
    "judged": None,
}
_NEEDS_CUTOFF = ("precision", "judged")
_ALIASES = {"p": "precision"}
_METRIC = re.compile(r"^([a-z_]+)(?:@(\d+))?(?:-l(\d+))?$")
_one_at_a_time = threading.Lock()  # numba ends the process when two threads meet in its work queue


class Evaluation(NamedTuple):
    """What a run is worth.

    Attributes:
        mean: Metric, as it was asked for -> mean over all judged queries.
        per_query: Metric -> query_id -> value, for every judged query.
        queries: How many queries are judged; the means are over these.
        unanswered: How many of them have no hit in the run. Each counts as 0.
        unjudged: How many others have no judged hit among those that the metrics look at.
        ignored: How many queries of the run have no judgements. They do not count.
        min_grade: The lowest grade that is relevant.
    """

    mean: dict[str, float]
    per_query: dict[str, dict[str, float]]
    queries: int
    unanswered: int
    unjudged: int
    ignored: int
    min_grade: int


class _Metric(NamedTuple):
    asked: str
    name: str
    k: int  # 0: all hits
    min_grade: int


def score_run(
    run: Run,
    qrels: Qrels,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    min_grade: int = 1,
) -> Evaluation:
    """Score a run as ``trec_eval -c`` does.

    Hits rank by score in single precision, equal ones by doc_id, descending. Judged queries without
    an answer count as 0; queries without judgements are left out. Every grade above 0 adds to nDCG
    in proportion (no power of two). A query whose judgements hold nothing relevant counts as 0.

    Args:
        run: query_id -> doc_id -> score.
        qrels: query_id -> doc_id -> grade.
        metrics: Such as "ndcg@10"; of ndcg, mrr, map, recall, precision (or p), hit_rate, judged
            (share of the hits that have a judgement). Without a cutoff all hits count, which
            precision and judged do not allow. ranx's "-l2" at the end sets the lowest relevant
            grade of that metric alone, of ndcg too.
        min_grade: The lowest grade that is relevant to all metrics but ndcg; the passage tracks of
            TREC Deep Learning say 2.

    Raises:
        ConfigError: an unknown metric, a bad cutoff or grade.
        InputError: run or qrels are empty, have no query in common, or a score is NaN.
    """
    if min_grade < 1:
        raise ConfigError(f"min_grade is {min_grade}. It must be at least 1.")
    asked = [_parse_metric(text, min_grade) for text in metrics]
    judged = {query_id: grades for query_id, grades in qrels.items() if grades}
    require_common_queries(run, judged)
    per_query: dict[str, dict[str, float]] = {metric.asked: {} for metric in asked}
    with_judged_hit = 0
    for table in tables(run, judged, depth=_depth(asked)):
        with_judged_hit += int(np.isfinite(table.found[:, :, 0]).any(axis=1).sum())
        for metric in asked:
            values = _values(metric, table).tolist()
            per_query[metric.asked].update(zip(table.queries, values, strict=True))
    answered = sum(bool(run.get(query_id)) for query_id in judged)
    return Evaluation(
        mean={name: float(np.mean(list(values.values()))) for name, values in per_query.items()},
        per_query=per_query,
        queries=len(judged),
        unanswered=len(judged) - answered,
        unjudged=answered - with_judged_hit,
        ignored=sum(query_id not in judged for query_id in run),
        min_grade=min_grade,
    )


def check_metrics(metrics: Sequence[str]) -> None:
    """Check names before anything is measured.

    Raises:
        ConfigError: an unknown metric, or a bad cutoff or grade.
    """
    for metric in metrics:
        _parse_metric(metric, 1)


def _parse_metric(text: str, min_grade: int) -> _Metric:
    match = _METRIC.match(text.strip().lower())
    name = "" if match is None else _ALIASES.get(match[1], match[1])
    if match is None or name not in _FUNCTIONS:
        known = ", ".join(_FUNCTIONS)
        stem = re.split("[@-]", text.strip().lower())[0]
        raise ConfigError(
            f"{text!r} is not a metric.{nearest(stem, _FUNCTIONS)} Write one of {known}, with a "
            "cutoff as in ndcg@10."
        )
    if match[2] is None and name in _NEEDS_CUTOFF:
        raise ConfigError(f"{text!r} needs a cutoff, as in {name}@10.")
    if match[2] is not None and int(match[2]) < 1:
        raise ConfigError(f"{text!r} has the cutoff {match[2]}. It must be at least 1.")
    if match[3] is not None and int(match[3]) < 1:
        raise ConfigError(f"{text!r} has the lowest grade {match[3]}. It must be at least 1.")
    level = 1 if name == "ndcg" else min_grade
    return _Metric(text, name, int(match[2] or 0), int(match[3] or level))


def _depth(metrics: Sequence[_Metric]) -> int | None:
    cutoffs = [metric.k for metric in metrics]
    return None if 0 in cutoffs else max(cutoffs, default=1)


def _values(metric: _Metric, table: Table) -> NDArray[Any]:
    if metric.name == "judged":
        judged = np.isfinite(table.found[:, : metric.k, 0]).sum(axis=1)
        return np.asarray(judged / np.clip(table.hits, 1, metric.k))
    with _one_at_a_time:
        function = getattr(_ranx_metrics(), _FUNCTIONS[metric.name] or "")
        return np.asarray(function(table.judged, table.found, metric.k, metric.min_grade))


@cache
def _ranx_metrics() -> Any:
    """Import ``ranx.metrics`` alone.

    ``import ranx`` brings plots, tables and data sets along: 1.5 s, 170 MB, caches in the home
    folder, and an error where that cannot be written. The metrics need none of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if "ranx" in sys.modules:
                return importlib.import_module("ranx.metrics")
            return _import_without_parent("ranx.metrics")
        except RuntimeError as error:
            raise StorageError(
                f"numba finds no folder for its compiled code ({error}). Set NUMBA_CACHE_DIR to "
                "a folder that can be written."
            ) from None


def _import_without_parent(name: str) -> Any:
    parent, _, _ = name.partition(".")
    spec = importlib.util.find_spec(parent)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {parent!r}", name=parent)
    import numba

    # As ranx sets it; the other layers do not survive a fork.
    numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]
    bare = types.ModuleType(parent)
    bare.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[parent] = bare
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[parent]  # whoever imports it after us gets the whole of it
