"""A SPLADE model as the start of another: what must be said for training to go on with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.errors import ModelError, brief
from sparse_ir.models.loading import find_model
from sparse_ir.models.sides import TableLayout, read_sides
from sparse_ir.models.unicoil_files import read_unicoil
from sparse_ir.training.settings import ModelSettings

if TYPE_CHECKING:
    from sparse_ir.models.layouts import SpladeLayout

_USUAL_LENGTH = 512
_DROPPED = ModelSettings.drop_columns
_TABLE_WEIGHT = 0.5  # of the loss of a query table trained beside a model, as the default model has


def start_settings(model: str) -> dict[str, Any]:
    """Say how training goes on with a model as it is: pooling, activation, length, query side.

    An inference-free query side is not taken over: its table is learned anew, from the IDF of the
    documents trained on.

    Args:
        model: As ``load_encoder`` takes it.

    Returns:
        Names of ``ModelSettings`` -> values.

    Raises:
        ModelError: there is no such model, or training cannot go on with it.
    """
    name, folder = find_model(model)
    if (folder / "bm25.json").is_file():
        raise ModelError(f"{name} is BM25, which is not trained. Give a SPLADE model.")
    if read_unicoil(folder) is not None:
        raise ModelError(
            f"{name} is a uniCOIL model, and adapt trains SPLADE models. Train it on with "
            "sparse-ir train and model.architecture: unicoil."
        )
    sides = read_sides(folder)
    documents = sides.documents
    table = isinstance(sides.queries, TableLayout)
    if not table and sides.queries != documents:
        raise ModelError(
            f"{name} has a model of its own for queries, and one for both sides is wanted. Give "
            f"one of them: {documents.model}"
        )
    require_plain(name, documents)
    return {
        "backbone": model if documents.model == folder else str(documents.model),
        "query_encoder": "table" if table else "shared",
        "table_weight": _TABLE_WEIGHT if sides.table is not None and not table else 0.0,
        "pooling": documents.pooling,
        "activation": documents.activation,
        "max_length": _length(documents),
        "drop_columns": list(dict.fromkeys((*_DROPPED, *documents.drop_columns))),
        "query_terms": documents.query_terms,
        "document_terms": documents.document_terms,
    }


def require_plain(name: str, layout: SpladeLayout) -> None:
    """Refuse what training does not know, and a model would lose without a word.

    Raises:
        ModelError: naming it.
    """
    prompts = layout.document_prompt or layout.query_prompt
    for what, there in (
        ("prompts", prompts),
        ("lower-casing of its own", layout.lowercase),
        ("positions that are dropped", layout.drop_positions),
        ("a prune ratio", layout.prune_ratio),
    ):
        if there:
            raise ModelError(
                f"{name} has {what}, which training does not know and would lose. Give another "
                "model to start from."
            )


def _length(layout: SpladeLayout) -> int:
    """Tokens that the model reads of a text."""
    from transformers import AutoConfig

    from sparse_ir.models.batches import maximal_length
    from sparse_ir.models.masked_lm import load_tokenizer

    try:
        # False, or else whoever is at the terminal is asked whether to run the folder's own code
        config = AutoConfig.from_pretrained(
            layout.model, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whatever a file of unknown origin may make it raise
        raise ModelError(
            f"{layout.model}: config.json cannot be used ({type(error).__name__}: {brief(error)})."
        ) from error
    tokenizer = load_tokenizer(layout.model)
    return maximal_length(tokenizer, config, chosen=None, saved=layout.max_length or _USUAL_LENGTH)
