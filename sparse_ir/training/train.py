"""The front door of training: examples in, a model folder out."""

from __future__ import annotations

import copy
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers

from sparse_ir.data.examples import open_examples
from sparse_ir.errors import TrainingError
from sparse_ir.models.pretrained import quiet
from sparse_ir.training import checkpoints, claims
from sparse_ir.training.arguments import training_arguments
from sparse_ir.training.backbone import Backbone, load_backbone
from sparse_ir.training.callbacks import Conductor
from sparse_ir.training.controller import FixedLambdas, SparsityController
from sparse_ir.training.encoder import TraineeEncoder
from sparse_ir.training.finish import draw_curve, save_trained
from sparse_ir.training.gather import rank, world_size
from sparse_ir.training.history import History
from sparse_ir.training.memory import out_of_memory_as
from sparse_ir.training.model import QueryTable, SpladeTrainee
from sparse_ir.training.regularizers import mean_terms
from sparse_ir.training.sampling import Batches, Sampler, Source
from sparse_ir.training.teachers import dense_vectors, open_teacher
from sparse_ir.training.token_idf import token_idf
from sparse_ir.training.topics import cluster, topic_count
from sparse_ir.training.trainer import SpladeTrainer, freeze, load_weights
from sparse_ir.training.unicoil import UnicoilModel, load_unicoil_backbone, start_lexical
from sparse_ir.training.validation import read_validation, validate
from sparse_ir.training.work_folder import training_alone, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.data.examples_table import ExampleTable, TextTable
    from sparse_ir.training.settings import TrainSettings
    from sparse_ir.training.validation import ValidationSet

_FITTED = 400  # documents that a first projection of uniCOIL is fitted to
_SAMPLE = 64  # documents that the backbone is looked at with
_COUNTED = 256  # queries and documents whose terms are counted before the first step
_TABLE_START = 0.3  # a query table begins at this times the IDF


class TrainReport(NamedTuple):
    """What a run made.

    Attributes:
        out: The model folder.
        steps: Steps in all, those before a resume counted in.
        best_step: The checkpoint that was kept, by the validation; else the last step.
        metrics: Of that checkpoint: validation metrics and mean terms.
        start: The validation metrics before the first step; empty without a validation.
        seconds: What this run took, without what came before a resume.
    """

    out: str
    steps: int
    best_step: int
    metrics: dict[str, float]
    start: dict[str, float]
    seconds: float


def train(
    settings: TrainSettings,
    *,
    advance: Callable[[int], None] = lambda n: None,
    say: Callable[[str], None] = lambda line: None,
) -> TrainReport:
    """Train a SPLADE or uniCOIL model.

    Under torchrun every process calls this with the same settings; they share each batch.

    Args:
        settings: What, on what, how long.
        advance: Called with the number of steps finished, as they are.
        say: Called with lines about what is being prepared.

    Raises:
        ConfigError: settings contradict one another or the examples, or a resumed run was started
            with others.
        InputError: examples are unusable, naming the file and the id.
        ModelError: the backbone cannot be trained, or a checkpoint is of another architecture.
        TrainingError: the loss is no number, the vectors collapsed, or memory is short; the last
            good checkpoint is kept.
    """
    with training_alone(Path(settings.out)):
        return _train(settings, advance, say)


def _train(
    settings: TrainSettings, advance: Callable[[int], None], say: Callable[[str], None]
) -> TrainReport:
    started = time.monotonic()
    transformers.set_seed(settings.seed)
    out = Path(settings.out)
    work = work_folder(out)
    claims.require_free(out, work, settings)
    arguments = training_arguments(settings, work)  # from here on the processes know one another
    collection = None
    with arguments.main_process_first(local=False):  # what it finds or makes, the others find
        tables = [open_examples(source) for source in settings.examples]
        claims.require_fitting(tables, settings)
        if settings.validation is not None and rank() == 0:
            collection = read_validation(settings.validation)
        content = checkpoints.contents(tables, settings)
        resume = claims.claim(work, settings, content)
    for table in tables:
        say(f"{table.name}: {len(table):,} examples, {len(table.documents):,} documents")
    backbone = _backbone(
        tables, settings, plain=arguments.device.type == "cpu" and settings.precision != "fp32"
    )
    trainee, idf = _trainee(backbone, tables, settings, say)
    freeze(trainee, settings.model.freeze)
    with arguments.main_process_first(local=False):
        sources = [_source(t, i, settings, say) for i, t in enumerate(tables)]
    trainer = _trainer(
        trainee, backbone, sources, content, idf, settings, work, arguments, collection, advance
    )
    conductor = trainer.conductor
    with out_of_memory_as(partial(_out_of_memory, settings, trainer)):
        if resume is not None:
            conductor.go_on(trainer, resume)
        elif settings.validation is not None:
            conductor.measure_start(trainer)
        if not conductor.stopped:  # else it was killed between its early end and the saving
            with quiet():
                trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    best = conductor.best_checkpoint()
    if best is not None:
        checkpoints.require_undamaged(best)
        load_weights(trainee, best)
    metrics = conductor.final_metrics()
    if rank() == 0:
        save_trained(out, trainee, backbone, settings, tables, metrics)
        draw_curve(work, settings, say)
        checkpoints.mark_finished(work)
    return TrainReport(
        str(out),
        trainer.state.global_step,
        conductor.best_step or trainer.state.global_step,
        metrics,
        conductor.start,
        time.monotonic() - started,
    )


def _sample(tables: list[TextTable], count: int) -> list[str]:
    """The first texts of each table."""
    share = max(1, count // len(tables))
    return [text for table in tables for text in table.texts(range(min(share, len(table))))]


def _backbone(tables: list[ExampleTable], settings: TrainSettings, *, plain: bool) -> Backbone:
    if settings.model.architecture == "unicoil":
        return load_unicoil_backbone(settings.model, plain_attention=plain)
    sample = _sample([table.documents for table in tables], _SAMPLE)
    return load_backbone(settings.model, sample, seed=settings.seed, plain_attention=plain)


def _trainee(
    backbone: Backbone,
    tables: list[ExampleTable],
    settings: TrainSettings,
    say: Callable[[str], None],
) -> tuple[SpladeTrainee, Any]:
    chosen = settings.model
    unicoil = isinstance(backbone.model, UnicoilModel)
    table = idf = None
    with_table = chosen.query_encoder == "table" or chosen.table_weight > 0
    if unicoil or with_table or settings.anchor.weight > 0 or settings.anchor.rest > 0:
        idf = torch.from_numpy(
            token_idf(
                tables,
                backbone.tokenizer,
                backbone.model.size,
                max_length=chosen.document_tokens,
                dropped=backbone.model.dropped,
            )
        )
    if with_table and idf is not None:
        start = idf if chosen.freeze_table else idf * _TABLE_START
        # A query is weighed by its own tokens: none of those that the tokenizer adds.
        never = sorted({*backbone.model.dropped, *backbone.tokenizer.all_special_ids})
        table = QueryTable(start, dropped=never, frozen=chosen.freeze_table)
    if unicoil and idf is not None:
        sample = _sample([table.documents for table in tables], _FITTED)
        share = start_lexical(
            backbone.model, backbone.tokenizer, sample, idf, chosen.document_tokens
        )
        say(f"{backbone.name}: the first weights explain {share:.0%} of the tokens' IDF")
    else:
        say(f"{backbone.name}: a document begins with {backbone.start_terms:.0f} terms")
    backbone.model.revive = settings.anchor.revive
    trainee = SpladeTrainee(
        backbone.model,
        queries=copy.deepcopy(backbone.model) if chosen.query_encoder == "separate" else None,
        table=table,
        table_only=chosen.query_encoder == "table",
        query_terms=chosen.query_terms,
    )
    return trainee, idf


def _source(
    table: ExampleTable, number: int, settings: TrainSettings, say: Callable[[str], None]
) -> Source:
    device = settings.device
    scorers = [open_teacher(t, table, device=device, say=say) for t in settings.teachers]
    topics = None
    if settings.batch.by == "topics":
        dense = next(t for t in settings.teachers if t.kind == "dense")
        vectors, _ = dense_vectors(dense, table, device=device, say=say)
        count = settings.batch.topics or topic_count(len(vectors), settings.batch.queries)
        topics = cluster(vectors, count, seed=settings.seed)[table.query_rows()]
    return Source(table, settings.examples[number].weight, topics, tuple(scorers))


def _trainer(
    trainee: SpladeTrainee,
    backbone: Backbone,
    sources: list[Source],
    content: dict[str, str],
    idf: Any,
    settings: TrainSettings,
    work: Path,
    arguments: Any,
    collection: ValidationSet | None,
    advance: Callable[[int], None],
) -> SpladeTrainer:
    history = History(work)
    encoder = TraineeEncoder(
        trainee, backbone.tokenizer, settings.model, precision=settings.precision
    )
    has_table = trainee.table is not None and not trainee.table_only

    def measure() -> dict[str, float]:
        if collection is None or settings.validation is None:
            return {}
        return validate(encoder, collection, settings.validation.metric, table=has_table)

    conductor = Conductor(settings, history, work, advance)
    batches = Batches(
        Sampler(sources, settings.batch, seed=settings.seed),
        sources,
        backbone.tokenizer,
        settings.model,
        settings.batch,
        count=settings.optimizer.steps * settings.batch.accumulate,
        rank=rank(),
        world_size=world_size(),
        split=arguments.device.type == "cpu",
    )
    return SpladeTrainer(
        trainee,
        settings,
        batches,
        arguments=arguments,
        control_lambdas=_lambdas(settings, trainee.size, encoder, [s.table for s in sources]),
        anchor_targets=None if idf is None else idf * settings.anchor.scale,
        measure=None if settings.validation is None else measure,
        conductor=conductor,
        content=content,
    )


def _lambdas(
    settings: TrainSettings, vocabulary: int, encoder: TraineeEncoder, tables: list[ExampleTable]
) -> FixedLambdas | SparsityController:
    chosen, steps = settings.sparsity, settings.optimizer.steps
    warm_up = round(chosen.warm_up * steps)
    if chosen.target_terms is None:
        return FixedLambdas(
            chosen.lambda_query,
            chosen.lambda_document,
            vocabulary=vocabulary,
            steps=steps,
            warm_up_steps=warm_up,
            warm_up_kind=chosen.warm_up_shape,
        )
    query: float | None = chosen.target_terms.query
    if settings.model.query_encoder == "table":
        query = None  # it has as many terms as the query has tokens
    elif query == 0:
        read = encoder.reading(settings.model.query_tokens)
        query = mean_terms(read.queries(_sample([t.queries for t in tables], _COUNTED)))
    document = chosen.target_terms.document
    if document == 0:
        read = encoder.reading(settings.model.document_tokens)
        document = mean_terms(read.documents(_sample([t.documents for t in tables], _COUNTED)))
    return SparsityController(
        query,
        document,
        vocabulary=vocabulary,
        steps=steps,
        start=(chosen.lambda_query, chosen.lambda_document),
        warm_up_kind=chosen.warm_up_shape,
    )


def _out_of_memory(settings: TrainSettings, trainer: Any) -> TrainingError:
    chunk = settings.batch.chunk_texts
    advice = (
        f"Lower batch.chunk_texts (now {chunk})"
        if chunk
        else "Set batch.chunk_texts (8, say): the batch stays as it is, in chunks"
    )
    return TrainingError(
        f"Memory ran out at step {trainer.state.global_step}. {advice}, or set "
        "model.gradient_checkpointing, and go on with --resume; or start again with fewer "
        f"batch.queries ({settings.batch.queries}), batch.negatives ({settings.batch.negatives}) "
        f"or model.document_tokens ({settings.model.document_tokens}). {trainer.last_good()}"
    )
