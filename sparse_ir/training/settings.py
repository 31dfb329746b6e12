"""What a training run is told, as YAML writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sparse_ir.config import nearest
from sparse_ir.data.examples import ExampleSettings  # noqa: TC001 - pydantic reads it
from sparse_ir.errors import ConfigError

ARCHITECTURES = ("splade", "unicoil")
QUERY_ENCODERS = ("shared", "separate", "table")
REGULARIZERS = ("flops", "l1", "masked_flops")
BATCHINGS = ("random", "topics")
PRECISIONS = ("fp32", "bf16", "fp16")
LOSS_NAMES = ("in_batch", "in_batch_hard", "pairwise", "margin_mse", "kl", "in_batch_kl")
"""The losses of ``training/losses.py``; named here too, as settings are read without torch."""


@dataclass(frozen=True)
class LossSettings:
    """What the losses can be tuned with.

    Attributes:
        temperature: Divides the scores in the contrastive losses (in_batch, in_batch_hard,
            pairwise). 1 suits dot products of sparse vectors.
        student_temperature: Divides the model's scores in the KL losses; the loss is multiplied by
            its square, which keeps the size of the gradient (Hinton et al., 2015,
            https://arxiv.org/abs/1503.02531).
        teacher_temperature: Divides the teacher's scores in the KL losses. Lower it for a teacher
            with a narrow range (0.05 for cosines), raise it for one that is too sure of itself.
        margin_scale: Multiplies the teacher's margins in margin_mse, for a teacher whose scores
            have another range than dot products (about 30 for cosines).
    """

    temperature: float = 1.0
    student_temperature: float = 1.0
    teacher_temperature: float = 1.0
    margin_scale: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}. Give a number above 0.")


@dataclass(frozen=True)
class TermTarget:
    """How many terms a text is to have on average.

    Attributes:
        query: Terms per query; 0 for as many as the backbone begins with.
        document: Terms per document; likewise.
    """

    query: float
    document: float


@dataclass(frozen=True)
class SparsitySettings:
    """What keeps vectors sparse.

    Attributes:
        target_terms: Terms per query and document that a controller steers to; instead of lambdas.
        lambda_query: Weight of the queries' regulariser; the controller's start where it steers.
        lambda_document: Likewise of the documents'.
        regularizer: "flops", "l1" or "masked_flops".
        mask_terms: "masked_flops" leaves out texts with at most so many terms.
        anti_zero: Weight of the term that keeps vectors from becoming empty.
        warm_up: Share of the steps over which the lambdas rise from 0; a controller takes a
            twentieth.
        warm_up_shape: "linear" or "quadratic" (Paria et al., 2020).
    """

    target_terms: TermTarget | None = None
    lambda_query: float = 0.01
    lambda_document: float = 0.005
    regularizer: str = "flops"
    mask_terms: int = 0
    anti_zero: float = 0.0
    warm_up: float = 0.33
    warm_up_shape: str = "quadratic"

    def __post_init__(self) -> None:
        _one_of("regularizer", self.regularizer, REGULARIZERS)
        _one_of("warm_up_shape", self.warm_up_shape, ("linear", "quadratic"))
        _at_least(0, self, "sparsity.", ("lambda_query", "lambda_document", "anti_zero"))
        _at_least(0, self, "sparsity.", ("mask_terms", "warm_up"))


@dataclass(frozen=True)
class AnchorSettings:
    """Pulls each text's own tokens towards their IDF, so that training starts from lexical match.

    Attributes:
        weight: At the first step; 0 for none.
        steps: Over so many it falls linearly to ``rest``.
        rest: What stays of it to the end.
        scale: The target of a token is its IDF times this.
        revive: Where an own token has fallen to weight 0, let gradients raise it again (max
            pooling); without, a term that is 0 everywhere in a text is out of reach of any loss.
    """

    weight: float = 0.0
    steps: int = 150
    rest: float = 0.0
    scale: float = 0.17
    revive: bool = False

    def __post_init__(self) -> None:
        _at_least(0, self, "anchor.", ("weight", "steps", "rest", "scale"))


@dataclass(frozen=True)
class ModelSettings:
    """What is trained.

    Attributes:
        backbone: Folder or hub id: a masked LM, an encoder without a head, or a SPLADE (uniCOIL)
            model to train on.
        architecture: "splade", or "unicoil": contextual weights of a text's own tokens alone.
        token_prior: With "unicoil": also learn a number for each token of the vocabulary, added to
            its weight wherever it stands; it begins with the IDF.
        query_encoder: "shared": one model for both sides; "separate": queries have a copy of
            their own; "table": queries are weighed by a table of token weights alone.
        table_weight: Train a table beside the shared query encoder, with this weight of its loss.
        freeze_table: Keep the table at the IDF of the training documents.
        pooling: "max" or "sum".
        activation: "log1p" or "log1p_log1p"; uniCOIL's weights have no logarithm.
        drop_columns: Terms that never get a weight: tokens, "special" or "unused".
        query_tokens: Tokens read of a query in training.
        document_tokens: Tokens read of a document in training.
        max_length: Tokens that the finished model reads of a text, and the validation too; 0 for
            as many as in training.
        query_terms: Keep at most so many of a query's heaviest terms; 0 for all.
        document_terms: Likewise of a document, in the finished model and the validation alone.
        freeze: Patterns of parameter names that are not trained, as ``bert.embeddings.*``.
        dropout: Instead of the backbone's own.
        gradient_checkpointing: Keep no hidden states within a layer, compute them again on the way
            back: much less memory for some time (Chen et al., 2016,
            https://arxiv.org/abs/1604.06174).
        checkpoint_every: With gradient_checkpointing, in every so-manieth layer alone: 2 saves
            half as much memory for half the time.
        trust_remote_code: Run Python code that the backbone brings.
    """

    backbone: str
    architecture: str = "splade"
    token_prior: bool = False
    query_encoder: str = "shared"
    table_weight: float = 0.0
    freeze_table: bool = False
    pooling: str = "max"
    activation: str = "log1p"
    drop_columns: tuple[str, ...] = ("special", "unused")
    query_tokens: int = 64
    document_tokens: int = 256
    max_length: int = 0
    query_terms: int = 0
    document_terms: int = 0
    freeze: tuple[str, ...] = ()
    dropout: float | None = None
    gradient_checkpointing: bool = False
    checkpoint_every: int = 1
    trust_remote_code: bool = False

    @property
    def reads_of_query(self) -> int:
        """Tokens that the finished model reads of a query.

        The folder of one SPLADE model for both sides has one length, that of documents.
        """
        shared = self.query_encoder == "shared" and self.architecture == "splade"
        return self.max_length or (self.document_tokens if shared else self.query_tokens)

    @property
    def reads_of_document(self) -> int:
        """Tokens that the finished model reads of a document."""
        return self.max_length or self.document_tokens

    def __post_init__(self) -> None:
        _one_of("query_encoder", self.query_encoder, QUERY_ENCODERS)
        _at_least(3, self, "model.", ("query_tokens", "document_tokens"))
        _at_least(1, self, "model.", ("checkpoint_every",))
        _at_least(
            0, self, "model.", ("max_length", "query_terms", "document_terms", "table_weight")
        )
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout is {self.dropout}. Use 0 to 1, without 1 itself.")
        _one_of("pooling", self.pooling, ("max", "sum"))
        _one_of("activation", self.activation, ("log1p", "log1p_log1p"))
        _one_of("architecture", self.architecture, ARCHITECTURES)
        if self.architecture == "unicoil":
            for name, only in (
                ("query_encoder", "shared"),
                ("table_weight", 0),
                ("pooling", "max"),
                ("activation", "log1p"),
            ):
                if getattr(self, name) != only:
                    raise ConfigError(
                        f"model.{name} is {getattr(self, name)!r}, which goes with model."
                        f"architecture: splade alone. Leave it out for unicoil."
                    )
        elif self.token_prior:
            raise ConfigError("model.token_prior goes with model.architecture: unicoil alone.")


@dataclass(frozen=True)
class BatchSettings:
    """What a step sees. All numbers are of the global batch, over all devices.

    Attributes:
        queries: Examples of a step.
        negatives: Negatives of each example; fewer where it has fewer.
        by: "random", or "topics": examples whose queries a dense teacher puts close together
            (Hofstätter et al., 2021, https://arxiv.org/abs/2104.06967).
        topics: How many clusters of queries, at most 2,500; 0 for one per 16 batches.
        accumulate: Batches whose gradients are added up before a step.
        chunk_texts: Texts that go through the model at once; a larger batch is computed twice, in
            chunks, at the memory of one (Gao et al., 2021, https://arxiv.org/abs/2101.06983).
            0 for all at once.
        phrases: Ways to put a query, as "articles that deal with {query}". The model reads the
            query in one of them, teachers the query alone: it learns which words ask for nothing.
        phrased: Share of the queries that are put so, 0 to 1.
    """

    queries: int = 32
    negatives: int = 1
    by: str = "random"
    topics: int = 0
    accumulate: int = 1
    chunk_texts: int = 0
    phrases: tuple[str, ...] = ()
    phrased: float = 0.0

    def __post_init__(self) -> None:
        _one_of("by", self.by, BATCHINGS)
        _at_least(1, self, "batch.", ("queries", "accumulate"))
        _at_least(0, self, "batch.", ("negatives", "topics", "chunk_texts"))
        if not 0 <= self.phrased <= 1:
            raise ConfigError(f"batch.phrased is {self.phrased}. Use a share, 0 to 1.")
        if self.phrased and not self.phrases:
            raise ConfigError("batch.phrased needs batch.phrases, ways to put a query.")
        for phrase in self.phrases:
            if phrase.count("{query}") != 1:
                raise ConfigError(f"batch.phrases: {phrase!r} needs {{query}} once.")


@dataclass(frozen=True)
class BatchTeacher:
    """A teacher that scores every query of a batch with every document of it.

    Attributes:
        kind: "dense" (a sentence-transformers or transformers folder), "bm25" (of the examples'
            documents), or "sparse" (whatever ``load_encoder`` takes).
        model: Folder or hub id; not for bm25.
        scale: Scores are multiplied by this; a dense cosine wants about 20. BM25 scores are first
            divided by the highest score that the query could have.
        precision: "fp32", "bf16" or "fp16", for its encoding.
        max_length: Tokens it reads of a text; its own limit where None.
    """

    kind: str
    model: str = ""
    scale: float = 1.0
    precision: str = "fp32"
    max_length: int | None = None

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, ("dense", "bm25", "sparse"))
        if self.kind != "bm25" and not self.model:
            raise ConfigError(f"A {self.kind} teacher names no model. Give its folder or hub id.")


@dataclass(frozen=True)
class OptimizerSettings:
    """How weights move.

    Attributes:
        steps: Optimiser steps in all.
        learning_rate: Of the body, at its peak.
        head_learning_rate: Of the masked-LM head's transform and bias; the body's where None.
        table_learning_rate: Of the inference-free table.
        weight_decay: AdamW's.
        warm_up_steps: Steps over which learning rates rise.
        schedule: "linear", "cosine" or "constant" after that.
        max_gradient_norm: Longer gradients are cut to this; 0 for never.
    """

    steps: int = 1000
    learning_rate: float = 2e-5
    head_learning_rate: float | None = None
    table_learning_rate: float = 1e-2
    weight_decay: float = 0.01
    warm_up_steps: int = 100
    schedule: str = "linear"
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        _one_of("schedule", self.schedule, ("linear", "cosine", "constant"))
        _at_least(1, self, "optimizer.", ("steps",))
        _at_least(0, self, "optimizer.", ("warm_up_steps", "weight_decay", "max_gradient_norm"))
        for name in ("learning_rate", "head_learning_rate", "table_learning_rate"):
            rate = getattr(self, name)
            if rate is not None and not (math.isfinite(rate) and rate >= 0):
                raise ConfigError(f"optimizer.{name} is {rate}. Use at least 0.")


@dataclass(frozen=True)
class ValidationSettings:
    """A retrieval metric on a collection of its own, now and then.

    Attributes:
        dataset: A benchmark's name or a folder in BEIR layout.
        split: Which judgements.
        every: Steps between two validations.
        metric: Decides which checkpoint is best.
        patience: Stop after so many validations without a better one; 0 for never.
        documents: All judged documents, and others up to so many together; 0 for all.
        queries: At most so many queries; 0 for all.
    """

    dataset: str
    split: str = "dev"
    every: int = 500
    metric: str = "ndcg@10"
    patience: int = 0
    documents: int = 0
    queries: int = 0

    def __post_init__(self) -> None:
        _at_least(1, self, "validation.", ("every",))
        _at_least(0, self, "validation.", ("patience", "documents", "queries"))


@dataclass(frozen=True)
class CardSettings:
    """What the model card says beside what the run knows itself.

    Attributes:
        name: Of the model; the folder's by default.
        license: The hub's short name of the model's licence, such as "apache-2.0".
        language: Codes such as "en".
        summary: What the model is for.
        backbone_note: What the backbone was itself trained on.
        data_licenses: Name of a source of examples -> its licence.
        limits: What the model is bad at, one sentence each.
        notes: Markdown.
    """

    name: str = ""
    license: str = "other"
    language: tuple[str, ...] = ("en",)
    summary: str = ""
    backbone_note: str = ""
    data_licenses: dict[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    notes: str = ""


@dataclass(frozen=True)
class TrainSettings:
    """One training run.

    Attributes:
        model: What is trained.
        out: Folder of the finished model; checkpoints and logs lie beside it, in ``OUT-training``.
        examples: Where the examples are; several sources share the batches, a batch has one.
        losses: Loss -> weight; see ``training/losses.py``.
        loss: Temperatures and the like.
        sparsity: What keeps vectors sparse.
        anchor: What starts them lexical.
        batch: What a step sees.
        teachers: For losses with a teacher over the whole batch.
        optimizer: How weights move.
        validation: Measures checkpoints; None for not at all.
        card: What the model card says.
        precision: "fp32", "bf16" or "fp16"; weights stay float32.
        device: "auto", "cpu", "cuda" or "mps"; one of several GPUs by CUDA_VISIBLE_DEVICES.
        seed: Decides order, negatives and dropout.
        save_every: Steps between two checkpoints.
        keep: Checkpoints kept, at least 2, the best one not counted.
        log_every: Steps between two lines of the log.
        tensorboard: Also write TensorBoard logs ([tensorboard] extra).
        resume: Go on from the last whole checkpoint, if there is one.
        replace: Throw away what the folder holds and start again.
    """

    model: ModelSettings
    out: str
    examples: tuple[ExampleSettings, ...]
    losses: dict[str, float] = field(default_factory=lambda: {"in_batch_hard": 1.0})
    loss: LossSettings = field(default_factory=LossSettings)
    sparsity: SparsitySettings = field(default_factory=SparsitySettings)
    anchor: AnchorSettings = field(default_factory=AnchorSettings)
    batch: BatchSettings = field(default_factory=BatchSettings)
    teachers: tuple[BatchTeacher, ...] = ()
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    validation: ValidationSettings | None = None
    card: CardSettings = field(default_factory=CardSettings)
    precision: str = "fp32"
    device: str = "auto"
    seed: int = 1
    save_every: int = 500
    keep: int = 2
    log_every: int = 10
    tensorboard: bool = False
    resume: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        if self.device.startswith("cuda:"):
            raise ConfigError(
                f"device is {self.device!r}. Training takes the first GPU it sees: use cuda, and "
                f"CUDA_VISIBLE_DEVICES={self.device[5:]} in front of the command."
            )
        _at_least(1, self, "", ("save_every", "log_every"))
        for name, weight in self.losses.items():
            if not (math.isfinite(weight) and weight > 0):
                raise ConfigError(f"losses.{name} is {weight}. Give a weight above 0.")
            if name not in LOSS_NAMES:
                raise ConfigError(
                    f"losses names {name}, which is no loss.{nearest(name, LOSS_NAMES)} "
                    f"There are {', '.join(LOSS_NAMES)}."
                )
        if not self.losses:
            raise ConfigError(f"losses is empty. Name at least one of {', '.join(LOSS_NAMES)}.")
        if self.batch.chunk_texts and self.batch.accumulate > 1:
            raise ConfigError(
                "batch.chunk_texts and batch.accumulate both make large batches of small memory. "
                "Set one: chunk_texts keeps all documents of the batch as negatives."
            )
        if self.anchor.revive and self.model.pooling == "sum":
            raise ConfigError(
                "anchor.revive works with max pooling alone, and model.pooling is sum. Leave "
                "anchor.revive out, or use model.pooling: max."
            )
        if not self.examples:
            raise ConfigError("examples is empty. Name at least one source.")
        _check_teachers(self)


def _check_teachers(settings: TrainSettings) -> None:
    if "in_batch_kl" in settings.losses and not settings.teachers:
        raise ConfigError(
            "The loss in_batch_kl needs a teacher of whole batches. Name one under teachers, "
            "or use kl with scored examples (sparse-ir distill makes them)."
        )
    if settings.batch.by == "topics" and not any(t.kind == "dense" for t in settings.teachers):
        raise ConfigError(
            "batch.by is topics, which needs a dense teacher to tell which queries are alike. "
            "Name one under teachers, or use batch.by: random."
        )
    if settings.teachers and "in_batch_kl" not in settings.losses and settings.batch.by != "topics":
        raise ConfigError(
            "teachers are named, and no loss listens to them. Add in_batch_kl to losses, or "
            "leave teachers out."
        )


def _at_least(least: int, settings: object, group: str, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(settings, name) >= least:  # also where it is not a number
            raise ConfigError(f"{group}{name} is {getattr(settings, name)}. Use at least {least}.")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}. Use {', '.join(known)}.")
