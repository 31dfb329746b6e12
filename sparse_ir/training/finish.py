"""The end of a run: the model folder with its card, the curve beside the checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.errors import SparseIRError
from sparse_ir.evaluating.charts import training_curve
from sparse_ir.models.card import ModelCard, TrainingData, public_name
from sparse_ir.models.loading import DEFAULT
from sparse_ir.models.saving import QueryModel, SaveLayout, save_model
from sparse_ir.models.unicoil_files import UnicoilLayout
from sparse_ir.models.unicoil_saving import save_unicoil
from sparse_ir.training.history import CURVE
from sparse_ir.training.unicoil import UnicoilModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.data.examples_table import ExampleTable
    from sparse_ir.training.backbone import Backbone
    from sparse_ir.training.model import SpladeTrainee
    from sparse_ir.training.settings import ModelSettings, TrainSettings

_METRICS_LEFT_OUT = ("terms_query", "terms_document", "flops")
_SETTINGS_LEFT_OUT = ("out", "card", "resume", "replace", "log_every", "keep", "tensorboard")


def save_trained(
    out: Path,
    trainee: SpladeTrainee,
    backbone: Backbone,
    settings: TrainSettings,
    tables: list[ExampleTable],
    metrics: dict[str, float],
) -> None:
    """Write the model folder that transformers, sentence-transformers and sparse-ir load.

    Args:
        out: The folder; a finished model in it is replaced.
        trainee: The weights.
        backbone: The tokenizer and where it began.
        settings: Of the run.
        tables: The examples, for the card.
        metrics: Of the validation, for the card.

    Raises:
        StorageError: it cannot be written.
    """
    chosen = settings.model
    card = _card(out, backbone, settings, tables, metrics)
    if isinstance(trainee.documents, UnicoilModel):
        _save_unicoil(out, trainee.documents, backbone, chosen, card)
        return
    document = SaveLayout(
        pooling=chosen.pooling,
        activation=chosen.activation,
        max_length=chosen.reads_of_document,
        query_max_length=chosen.reads_of_query,
        query_terms=chosen.query_terms if trainee.queries is None else 0,
        document_terms=chosen.document_terms,
        drop_columns=chosen.drop_columns,
    )
    side: Any = None
    weights = None
    if trainee.table is not None:
        weights = trainee.table.weights.detach().cpu().numpy()
    if trainee.queries is not None:
        query = SaveLayout(
            pooling=chosen.pooling,
            activation=chosen.activation,
            max_length=chosen.reads_of_query,
            query_terms=chosen.query_terms,
            drop_columns=chosen.drop_columns,
        )
        side = QueryModel(trainee.queries.lm, backbone.tokenizer, query)
    elif trainee.table_only:
        side, weights = weights, None
    save_model(
        out,
        model=trainee.documents.lm,
        tokenizer=backbone.tokenizer,
        layout=document,
        query_side=side,
        table=weights,
        card=card,
        replace=True,
    )


def _save_unicoil(
    out: Path, model: UnicoilModel, backbone: Backbone, chosen: ModelSettings, card: ModelCard
) -> None:
    layout = UnicoilLayout(
        out,
        max_length=chosen.reads_of_document,
        query_max_length=chosen.reads_of_query,
        query_terms=chosen.query_terms,
        document_terms=chosen.document_terms,
        drop_columns=tuple(dict.fromkeys(("special", *chosen.drop_columns))),
    )
    save_unicoil(
        out,
        body=model.lm,
        weights=model.weights,
        tokenizer=backbone.tokenizer,
        layout=layout,
        card=card,
        replace=True,
    )


def _card(
    out: Path,
    backbone: Backbone,
    settings: TrainSettings,
    tables: list[ExampleTable],
    metrics: dict[str, float],
) -> ModelCard:
    chosen = settings.card
    told = {k: v for k, v in asdict(settings).items() if k not in _SETTINGS_LEFT_OUT}
    base_model, origin = _origin(backbone.name)
    measured = {k: v for k, v in metrics.items() if k not in _METRICS_LEFT_OUT}
    dataset = settings.validation.dataset if settings.validation else ""
    return ModelCard(
        name=chosen.name or out.name,
        license=chosen.license,
        summary=chosen.summary,
        language=chosen.language,
        base_model=base_model,
        base_model_note=" ".join(part for part in (origin, chosen.backbone_note) if part),
        training_data=tuple(
            TrainingData(
                public_name(table.name),
                chosen.data_licenses.get(table.name, "not stated"),
                len(table),
            )
            for table in tables
        ),
        settings=told,
        metrics={f"{public_name(dataset)} (validation)": measured} if measured else {},
        query_terms=metrics.get("terms_query"),
        document_terms=metrics.get("terms_document"),
        expected_flops=metrics.get("flops"),
        limits=chosen.limits,
        notes=chosen.notes,
    )


def _origin(name: str) -> tuple[str, str]:
    """The hub id of a backbone, and a sentence about one that is no hub model."""
    if name == DEFAULT:
        return "", "Trained from the model that sparse-ir brings."
    if Path(name).is_absolute():  # as find_model names folders
        return "", f"Trained from a local folder, {Path(name).name}."
    return name, ""


def draw_curve(work: Path, settings: TrainSettings, say: Callable[[str], None]) -> None:
    """Draw loss, sparsity and validation over the steps; a picture that fails costs no model."""
    target, validation = settings.sparsity.target_terms, settings.validation
    wanted = {} if target is None else {"query": target.query, "document": target.document}
    try:
        training_curve(
            work,
            work / CURVE,
            target_terms={side: terms for side, terms in wanted.items() if terms},
            metric=None if validation is None else validation.metric,
        )
    except (SparseIRError, OSError, ValueError) as error:
        say(f"The curve could not be drawn: {error}")
