"""Save a model as a folder that transformers, sentence-transformers and sparse-ir load alike.

One model for both sides lies in the folder itself, where ``AutoModelForMaskedLM`` of transformers
finds it. Two sides lie below it as a sentence-transformers ``Router``; transformers then loads
each with ``subfolder=``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError

from sparse_ir.errors import ConfigError, ModelError, StorageError
from sparse_ir.models import saved_files
from sparse_ir.models.batches import named_tokens
from sparse_ir.models.card import render_card
from sparse_ir.models.inference_free import check_table
from sparse_ir.models.layouts import SpladeLayout, read_json
from sparse_ir.models.pretrained import quiet
from sparse_ir.models.sides import QUERY_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sparse_ir.models.card import ModelCard

OFF = -1e4
"""The output bias of a dropped column: nothing lifts it above 0, and half precision holds it."""


@dataclass(frozen=True)
class SaveLayout:
    """How a masked LM is to be used as a SPLADE encoder; see ``SpladeLayout``.

    Attributes:
        pooling: "max" or "sum".
        activation: "log1p" or "log1p_log1p".
        max_length: Tokens read of a text, special ones included.
        query_max_length: Tokens read of a query by a table of token weights; None for as many.
        lowercase: Whether texts are lower-cased before the tokenizer sees them.
        document_prompt: Put in front of every document.
        query_prompt: Put in front of every query.
        query_terms: A query keeps at most so many of its heaviest terms; 0 for all. Only sparse-ir
            reads it: other libraries give queries all their terms.
        document_terms: Likewise of a document.
        drop_columns: Terms that are never weighed: tokens, "special" or "unused".
    """

    pooling: str = "max"
    activation: str = "log1p"
    max_length: int = 512
    query_max_length: int | None = None
    lowercase: bool = False
    document_prompt: str = ""
    query_prompt: str = ""
    query_terms: int = 0
    document_terms: int = 0
    drop_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        SpladeLayout(  # checks them
            Path(),
            self.pooling,
            self.activation,
            self.max_length,
            query_terms=self.query_terms,
            document_terms=self.document_terms,
        )


class QueryModel(NamedTuple):
    """A second model, for queries alone.

    Attributes:
        model: A transformers masked LM.
        tokenizer: Its transformers tokenizer, of the same vocabulary as the documents'.
        layout: How it is used; its prompts are not looked at.
    """

    model: Any
    tokenizer: Any
    layout: SaveLayout


def save_model(
    folder: str | Path,
    *,
    model: Any,
    tokenizer: Any,
    layout: SaveLayout | None = None,
    query_side: Mapping[str, float] | NDArray[Any] | QueryModel | None = None,
    table: Mapping[str, float] | NDArray[Any] | None = None,
    card: ModelCard | None = None,
    replace: bool = False,
) -> Path:
    """Write a model folder, whole or not at all.

    Dropped columns are switched off in the weights themselves, since no other library knows of
    dropping: by a bias of ``OFF`` where the output layer has one, by a row of zeros where it has
    none and shares its weights with nobody. The model given is as before afterwards.

    Args:
        folder: Where it will lie.
        model: A transformers masked LM: the document side, and the query side unless there is one.
        tokenizer: Its transformers tokenizer.
        layout: How it is used; SPLADE-max over 512 tokens by default.
        query_side: How queries are weighed instead: a weight for each token (token -> weight, or
            an array or tensor in the order of the ids), or a second model.
        table: A table of token weights beside a model that weighs queries too; a user chooses it
            with ``queries="inference-free"``. Kept with four decimals.
        card: Written as README.md.
        replace: Replace a model that lies there.

    Returns:
        The folder.

    Raises:
        ConfigError: something lies there, or a column cannot be dropped from this model.
        ModelError: a table does not fit the tokenizer, or weights are not finite.
        StorageError: it cannot be written.
    """
    layout = layout or SaveLayout()
    folder = Path(folder)
    with saved_files.made_aside(folder, replace=replace) as made:
        try:
            _write(made, model, tokenizer, layout, query_side)
        except SafetensorError as error:  # safetensors has its own for a full disk
            raise StorageError(f"{folder} cannot be written: {error}. Make room there.") from error
        if table is not None:
            named = _named(table, tokenizer)
            _require_fast(made, query_side, "query_table.json")
            saved_files.put_json(made / QUERY_TABLE, saved_files.small_table(named))
        if card is not None:
            readme = render_card(card, sides=_sides(query_side), table=table is not None)
            saved_files.put(made / "README.md", readme.encode())
    return folder


def _write(made: Path, model: Any, tokenizer: Any, layout: SaveLayout, queries: Any) -> None:
    prompts = {"document_prompt": layout.document_prompt, "query_prompt": layout.query_prompt}
    if queries is None:
        _write_lm(made, model, tokenizer, layout)
        files = saved_files.splade_files(
            pooling=layout.pooling,
            activation=layout.activation,
            max_length=layout.max_length,
            lowercase=layout.lowercase,
            **prompts,
        )
    else:
        _write_route(made, saved_files.DOCUMENTS, model, tokenizer, layout)
        if isinstance(queries, QueryModel):
            if queries.tokenizer.get_vocab() != tokenizer.get_vocab():
                raise ModelError("query and document model have different vocabularies.")
            _write_route(made, saved_files.QUERIES, *queries)
        else:
            _write_table(made / saved_files.QUERY_WEIGHTS, queries, tokenizer, layout)
        files = saved_files.router_files(table=not isinstance(queries, QueryModel), **prompts)
    for name, content in files.items():
        saved_files.put_json(made / name, content)


def _write_route(
    made: Path, names: tuple[str, str], model: Any, tokenizer: Any, layout: SaveLayout
) -> None:
    _write_lm(made / names[0], model, tokenizer, layout)
    saved_files.put_json(
        made / names[0] / "sentence_bert_config.json",
        saved_files.reader(layout.max_length, lowercase=layout.lowercase),
    )
    saved_files.put_json(
        made / names[1] / "config.json", saved_files.pooled(layout.pooling, layout.activation)
    )


def _write_lm(made: Path, model: Any, tokenizer: Any, layout: SaveLayout) -> None:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise ModelError(f"the weights of {name} are not all finite numbers; not saved.")
    half = any(p.dtype is not torch.float32 for p in model.parameters())
    with quiet(), _dropped(model, named_tokens(tokenizer, layout.drop_columns)):
        # A model in half precision is saved in float32, so that all libraries compute alike.
        single = {k: v.detach().float() for k, v in model.state_dict().items()} if half else None
        model.save_pretrained(made, state_dict=single)
        tokenizer.save_pretrained(made)
    config = made / "config.json"
    saved_files.put_json(config, saved_files.without_traces(config.name, read_json(config)))
    saved_files.clean_tokenizer(made, max_length=layout.max_length)
    bounds = saved_files.options(
        query_terms=layout.query_terms, document_terms=layout.document_terms
    )
    for name, content in bounds.items():
        saved_files.put_json(made / name, content)


def _write_table(made: Path, table: Any, tokenizer: Any, layout: SaveLayout) -> None:
    from safetensors.numpy import save

    named = _named(table, tokenizer)
    tokens = tokenizer.get_vocab()
    # SparseStaticEmbedding reads as many as there are tokens.
    weights = np.zeros(max(len(tokens), *(i + 1 for i in tokens.values())), np.float32)
    for token, weight in named.items():
        weights[tokens[token]] = weight
    with quiet():
        made.mkdir(parents=True)
        tokenizer.save_pretrained(made)
    saved_files.clean_tokenizer(made, max_length=layout.query_max_length or layout.max_length)
    _require_fast(made, None, "an inference-free query side")
    saved_files.put(made / "model.safetensors", save({"weight": weights}, {"format": "pt"}))
    saved_files.put_json(made / "config.json", {"frozen": False})


def _require_fast(made: Path, queries: Any, what: str) -> None:
    place = made if queries is None else made / saved_files.DOCUMENTS[0]
    if not (place / "tokenizer.json").is_file():
        raise ConfigError(f"{what} needs a fast tokenizer (one that is saved as tokenizer.json).")


def _named(table: Any, tokenizer: Any) -> dict[str, float]:
    """A table as token -> weight, in the order of the ids."""
    tokens = tokenizer.get_vocab()
    if not isinstance(table, Mapping):
        if isinstance(table, torch.Tensor):
            table = table.detach().cpu().numpy()
        weights = np.asarray(table, np.float32)
        by_id = {i: token for token, i in tokens.items()}
        lost = [i for i in np.flatnonzero(weights).tolist() if i not in by_id]
        if weights.ndim != 1 or lost:
            raise ModelError(
                f"the table has shape {weights.shape}, the tokenizer {len(tokens)} tokens."
            )
        table = {by_id[i]: float(weights[i]) for i in np.flatnonzero(weights).tolist()}
    checked = check_table(dict(table), "the query table", tokens)
    return dict(sorted(checked.items(), key=lambda item: tokens[item[0]]))


@contextmanager
def _dropped(model: Any, columns: list[int]) -> Iterator[None]:
    """Switch columns of the output off within the block."""
    if not columns:
        yield
        return
    output = model.get_output_embeddings()
    target, value = _switch(model, output)
    rows = torch.tensor(columns, device=target.device)
    with torch.no_grad():
        before = target[rows].clone()
        target[rows] = value
    try:
        yield
    finally:
        with torch.no_grad():
            target[rows] = before


def require_droppable(model: Any) -> None:
    """Refuse a masked LM whose terms cannot be switched off when it is saved.

    Raises:
        ConfigError: naming its class.
    """
    _switch(model, model.get_output_embeddings())


def _switch(model: Any, output: Any) -> tuple[Any, float]:
    """The tensor whose rows switch terms off, and the value that does."""
    size = (len(output.weight),)
    biases = [p for n, p in model.named_parameters() if n.endswith("bias") and p.shape == size]
    bias = getattr(output, "bias", None)
    if bias is None and len(biases) == 1:  # some models add it behind the layer
        bias = biases[0]
    if bias is not None:
        return bias, OFF
    shared = model.get_input_embeddings()
    if shared is not None and shared.weight.data_ptr() == output.weight.data_ptr():
        raise ConfigError(
            f"{type(model).__name__} has no output bias and shares its output weights with its "
            "input, so no term can be dropped from it. Leave drop_columns empty."
        )
    return output.weight, 0.0


def _sides(queries: Any) -> str:
    if queries is None:
        return "one"
    return "separate" if isinstance(queries, QueryModel) else "inference-free"
