"""The stages that a recipe can name: for each its settings, how it runs, when it is done."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.corpora import files_stamp
from sparse_ir.data.counting import count_rows
from sparse_ir.data.datasets import open_dataset
from sparse_ir.data.shards import MANIFEST_NAME, read_shard_manifest
from sparse_ir.encoding.encode import EncodeSettings, encode
from sparse_ir.engines.opening import open_engine
from sparse_ir.evaluating.benchmark_settings import BenchmarkDataset, BenchmarkSettings
from sparse_ir.evaluating.bounds import parse_bounds, require_bounds
from sparse_ir.evaluating.evaluate_index import EvaluateSettings, evaluate_index
from sparse_ir.evaluating.reported import report_benchmark
from sparse_ir.evaluating.tune import tune
from sparse_ir.evaluating.tune_files import write_tuned
from sparse_ir.evaluating.tune_hybrid import TuneHybridSettings, tune_hybrid
from sparse_ir.evaluating.tune_hybrid_files import write_tuned_hybrid
from sparse_ir.evaluating.tune_settings import TuneSettings
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.training.average import AverageSettings, average
from sparse_ir.training.distill import DistillSettings, distill
from sparse_ir.training.mine import MineSettings, mine
from sparse_ir.training.pretrain import PretrainSettings, pretrain
from sparse_ir.training.pseudo_queries import PseudoQuerySettings, pseudo_queries
from sparse_ir.training.pseudo_queries import made as pseudo_queries_made
from sparse_ir.training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sparse_ir.data.examples import ExampleSettings


class Made(NamedTuple):
    """What a stage made: one line for people, JSON values for the next reader."""

    summary: str
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Stage:
    """One kind of stage.

    Attributes:
        settings: Its frozen dataclass.
        run: Does it; takes the settings and what to call with progress.
        there: Whether what it makes is there.
        input_key: JSON values that change when its input does.
        total: Units of progress, where known.
        same: Whether what is there is what the run made, by its result.
    """

    settings: type[Any]
    run: Callable[[Any, Callable[[int], None]], Made]
    there: Callable[[Any], bool]
    input_key: Callable[[Any], Any]
    total: Callable[[Any], int | None]
    same: Callable[[Any, Mapping[str, Any]], bool] = lambda settings, result: True


def _index(settings: IndexSettings, advance: Callable[[int], None]) -> Made:
    # A recipe is started again to go on: resume what can be resumed, build anew what has changed.
    report = index_corpus(replace(settings, resume=True, replace=True), advance=advance)
    summary = f"index {report.name!r} holds {report.documents:,} documents"
    return Made(summary, {**report._asdict(), "skipped": len(report.skipped)})


def _index_same(settings: IndexSettings, result: Mapping[str, Any]) -> bool:
    physical: str = result.get("details", {}).get("physical", "")
    with closing(open_engine(settings.engine)) as engine:
        if settings.aside:
            return engine.exists(physical)
        return settings.index in engine.indexes() and engine.resolve(settings.index) == physical


def _encode(settings: EncodeSettings, advance: Callable[[int], None]) -> Made:
    report = encode(replace(settings, resume=True, replace=True), advance=advance)
    summary = f"{report.out} holds {report.documents:,} vectors"
    return Made(summary, {**report._asdict(), "skipped": len(report.skipped)})


def _encode_there(settings: EncodeSettings) -> bool:
    out = Path(settings.out)
    return (out / MANIFEST_NAME).is_file() and read_shard_manifest(out).complete


def _evaluate(settings: EvaluateSettings, advance: Callable[[int], None]) -> Made:
    result = evaluate_index(settings, advance=advance)
    require_bounds(result.mean, parse_bounds(settings.fail_under))
    summary = ", ".join(f"{name} {value:.4f}" for name, value in result.mean.items())
    return Made(summary, result._asdict())


def _benchmark(settings: BenchmarkSettings, advance: Callable[[int], None]) -> Made:
    _, files = report_benchmark(settings, tell=lambda line: advance(0))
    return Made(f"{files[0]} is written", {"files": [str(path) for path in files]})


def _tune(settings: TuneSettings, advance: Callable[[int], None]) -> Made:
    tuned = tune(settings, tell=lambda line: advance(0))
    files = write_tuned(settings, tuned)
    chosen = ", ".join(filter(None, tuned.chosen.choice)) or "no pruning"
    return Made(f"{files[0]}: {chosen}", {"files": [str(path) for path in files]})


def _tune_hybrid(settings: TuneHybridSettings, advance: Callable[[int], None]) -> Made:
    tuned = tune_hybrid(settings, advance=advance)
    files = write_tuned_hybrid(settings, tuned)
    found = {"fusion": str(tuned.chosen.fusion), "files": [str(path) for path in files]}
    return Made(f"{files[0]}: {tuned.chosen.fusion}", found)


def _tune_hybrid_key(settings: TuneHybridSettings) -> Any:
    with closing(open_engine(settings.engine)) as engine:
        names = filter(None, (settings.index, settings.words_index))
        stamps = [engine.describe(name).to_json() for name in names]
    models = [model_key(settings.model), model_key(settings.dense)]
    return [_dataset_files(settings.dataset), stamps, models]


def _dataset_files(chosen: BenchmarkDataset) -> Any:
    dataset = chosen.open()
    return [files_stamp(source) for source in (dataset.corpus, dataset.queries, dataset.qrels)]


def _evaluate_key(settings: EvaluateSettings) -> Any:
    judged = [settings.queries, settings.qrels, settings.mask or None]
    if settings.dataset is not None:
        dataset = open_dataset(settings.dataset, split=settings.split)
        judged += [dataset.queries, dataset.qrels]
    with closing(open_engine(settings.engine)) as engine:
        indexes = [
            [engine.describe(name).to_json(), engine.stats(name).documents]
            for name in filter(None, (settings.index, settings.words_index))
        ]
    files = [files_stamp(source) for source in judged if source is not None]
    return [indexes, files, model_key(settings.model), model_key(settings.dense)]


def _pseudo_queries(settings: PseudoQuerySettings, advance: Callable[[int], None]) -> Made:
    report = pseudo_queries(settings, advance)
    summary = f"{report.out} holds {report.examples:,} examples of {report.documents:,} documents"
    return Made(summary, pseudo_queries_made(report))


def _mine(settings: MineSettings, advance: Callable[[int], None]) -> Made:
    report = mine(replace(settings, resume=True, replace=True), advance)
    summary = f"{report.out} holds {report.negatives:,} negatives of {report.queries:,} queries"
    return Made(summary, report._asdict())


def _mine_key(settings: MineSettings) -> Any:
    stamps = []
    for one in settings.indexes:
        with closing(open_engine(one.engine)) as engine:
            stamps.append([engine.resolve(one.index), engine.stats(one.index).documents])
    models = [one.model for one in settings.indexes]
    if settings.teacher is not None:
        models.append(settings.teacher.model)
    return [_examples_key(settings.examples), stamps, *map(model_key, models)]


def _distill(settings: DistillSettings, advance: Callable[[int], None]) -> Made:
    report = distill(replace(settings, resume=True, replace=True), advance)
    summary = f"{report.out} holds {report.examples:,} examples with {report.pairs:,} scores"
    return Made(summary, report._asdict())


def _pretrain(settings: PretrainSettings, advance: Callable[[int], None]) -> Made:
    report = pretrain(replace(settings, resume=True, replace=True), advance=advance)
    summary = f"{report.out} holds a masked LM after {report.steps:,} steps, loss {report.loss:.3f}"
    return Made(summary, report._asdict())


def _train(settings: TrainSettings, advance: Callable[[int], None]) -> Made:
    from sparse_ir.training.train import train

    report = train(replace(settings, resume=True, replace=True), advance=advance)
    figures = ", ".join(f"{name} {value:.4f}" for name, value in report.metrics.items())
    summary = f"{report.out} is trained; step {report.best_step:,}"
    return Made(f"{summary}: {figures}" if figures else summary, report._asdict())


def _average(settings: AverageSettings, advance: Callable[[int], None]) -> Made:
    report = average(replace(settings, replace=True))
    advance(report.models)
    return Made(f"{report.out} is the mean of {report.models} models", report._asdict())


def _train_there(settings: TrainSettings) -> bool:
    out = Path(settings.out)
    return (out / "config.json").is_file() or (out / "modules.json").is_file()


def _examples_key(examples: ExampleSettings) -> Any:
    named = (examples.source, examples.corpus, examples.queries, examples.qrels)
    return [files_stamp(source) for source in named if source is not None]


def _distill_key(settings: DistillSettings) -> Any:
    models = [teacher.model for teacher in settings.teachers]
    return [_examples_key(settings.examples), *map(model_key, models)]


def _train_key(settings: TrainSettings) -> Any:
    models = [settings.model.backbone, *(teacher.model for teacher in settings.teachers)]
    chosen_by = []
    if settings.validation is not None and settings.validation.dataset:
        found = open_dataset(settings.validation.dataset, split=settings.validation.split)
        chosen_by = [files_stamp(s) for s in (found.corpus, found.queries, found.qrels)]
    return [*map(model_key, models), *map(_examples_key, settings.examples), *chosen_by]


def model_key(model: str | None) -> Any:
    """JSON values that change when the files of a folder do; its name where there is none."""
    return files_stamp(model) if model and Path(model).is_dir() else model


STAGES: dict[str, Stage] = {
    "index": Stage(
        settings=IndexSettings,
        run=_index,
        there=lambda s: True,  # same looks for it too, and opens the engine once
        input_key=lambda s: [
            files_stamp(s.corpus),
            model_key(s.model),
            files_stamp(s.vectors) if s.vectors else None,
            *([model_key(s.dense)] if s.dense else ()),
        ],
        total=lambda s: count_rows(s.corpus, limit=s.limit),
        same=_index_same,
    ),
    "encode": Stage(
        settings=EncodeSettings,
        run=_encode,
        there=_encode_there,
        input_key=lambda s: [files_stamp(s.corpus), model_key(s.model)],
        total=lambda s: count_rows(s.corpus, limit=s.limit),
    ),
    "evaluate": Stage(
        settings=EvaluateSettings,
        run=_evaluate,
        there=lambda s: s.save_run is None or Path(s.save_run).is_file(),
        input_key=_evaluate_key,
        total=lambda s: None,
    ),
    "benchmark": Stage(
        settings=BenchmarkSettings,
        run=_benchmark,
        there=lambda s: (Path(s.out) / "report.html").is_file(),
        input_key=lambda s: [
            [_dataset_files(dataset) for dataset in s.datasets],
            [[model_key(system.model), model_key(system.dense)] for system in s.systems],
        ],
        total=lambda s: None,
    ),
    "tune": Stage(
        settings=TuneSettings,
        run=_tune,
        there=lambda s: (Path(s.out) / "tuned.yaml").is_file(),
        input_key=lambda s: [
            _dataset_files(s.dataset),
            None if s.confirm is None else _dataset_files(s.confirm),
            model_key(s.model),
        ],
        total=lambda s: None,
    ),
    "tune_hybrid": Stage(
        settings=TuneHybridSettings,
        run=_tune_hybrid,
        there=lambda s: (Path(s.out) / "hybrid.yaml").is_file(),
        input_key=_tune_hybrid_key,
        total=lambda s: None,
    ),
    "mine": Stage(
        settings=MineSettings,
        run=_mine,
        there=lambda s: Path(s.out).is_file(),
        input_key=_mine_key,
        total=lambda s: None,
    ),
    "distill": Stage(
        settings=DistillSettings,
        run=_distill,
        there=lambda s: Path(s.out).is_file(),
        input_key=_distill_key,
        total=lambda s: None,
    ),
    "pretrain": Stage(
        settings=PretrainSettings,
        run=_pretrain,
        there=lambda s: (Path(s.out) / "config.json").is_file(),
        input_key=lambda s: files_stamp(s.corpus),
        total=lambda s: s.steps,
    ),
    "train": Stage(
        settings=TrainSettings,
        run=_train,
        there=_train_there,
        input_key=_train_key,
        total=lambda s: s.optimizer.steps,
    ),
    "average": Stage(
        settings=AverageSettings,
        run=_average,
        there=lambda s: (Path(s.out) / "config.json").is_file(),
        input_key=lambda s: [model_key(model) for model in s.models],
        total=lambda s: len(s.models),
    ),
    "pseudo_queries": Stage(
        settings=PseudoQuerySettings,
        run=_pseudo_queries,
        there=lambda s: Path(s.out).is_file(),
        input_key=lambda s: files_stamp(s.corpus),
        total=lambda s: count_rows(s.corpus, limit=s.limit),
    ),
}
