"""An inference-free query side of a corpus: each token weighs by how few documents hold it."""

from __future__ import annotations

import shutil
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.errors import ConfigError, InputError, ModelError
from sparse_ir.models import saved_files
from sparse_ir.models.batches import encodable
from sparse_ir.models.inference_free import load_fast_tokenizer
from sparse_ir.models.layouts import read_json, read_object
from sparse_ir.models.sides import IDF, QUERY_TABLE, TableLayout
from sparse_ir.models.term_statistics import TermStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tokenizers import Tokenizer

    from sparse_ir.models.layouts import SpladeLayout

MADE_FOR = "query_side.json"
"""Beside a query side that lies alone: which documents it was made for."""

_TOGETHER = 256


class MadeFor(NamedTuple):
    """What a query side without a model says about itself.

    Attributes:
        documents: Fingerprint of the document encoder whose vectors it asks for.
        model: The name of that model.
        corpus: What the weights were counted on, for people to read.
        counted: How many documents that was.
    """

    documents: str
    model: str
    corpus: str
    counted: int


def token_statistics(texts: Iterable[str], tokenizer: Tokenizer) -> TermStatistics:
    """Count in how many texts each token of a vocabulary occurs; texts are read to their end.

    Args:
        texts: One a document, streamed.
        tokenizer: Finds the tokens; its special ones are not counted.

    Returns:
        Statistics with a term for every token, ascending by id, also for those that never occur.
    """
    tokens = tokenizer.get_vocab(with_added_tokens=True)
    added = tokenizer.get_added_tokens_decoder()
    ids = [i for i in sorted(tokens.values()) if i not in added or not added[i].special]
    size = max(tokens.values(), default=-1) + 1
    frequencies = np.zeros(size, np.int64)
    documents = length = 0
    rest = iter(texts)
    while part := list(islice(rest, _TOGETHER)):
        read = [encodable(text) for text in part]
        found = [e.ids for e in tokenizer.encode_batch_fast(read, add_special_tokens=False)]
        documents += len(found)
        length += sum(map(len, found))
        once = list(chain.from_iterable(set(row) for row in found))
        frequencies += np.bincount(np.asarray(once, np.int64), minlength=size)
    terms = tuple(str(tokenizer.id_to_token(i)) for i in ids)
    return TermStatistics(documents, length, terms, frequencies[ids])


def idf_table(texts: Iterable[str], layout: SpladeLayout) -> tuple[dict[str, float], int]:
    """Weigh every token of a model by its IDF over texts, as ``TermStatistics.idf`` has it.

    A token that no text holds weighs most: documents may hold it by expansion.

    Args:
        texts: One a document.
        layout: The model whose tokens they are.

    Returns:
        Token -> weight, four decimals, and how many texts there were.

    Raises:
        ModelError: the model has no fast tokenizer.
        InputError: there is no text.
    """
    tokenizer = _tokenizer(layout)
    statistics = token_statistics(texts, tokenizer)
    if not statistics.total_length:
        raise InputError(
            f"IDF counts the tokens of a corpus, and found none in {statistics.documents:,} "
            "documents. Give the corpus that is indexed."
        )
    weighed = zip(statistics.terms, statistics.idf().tolist(), strict=True)
    return saved_files.small_table(dict(weighed)), statistics.documents


def save_query_side(
    folder: Path,
    table: dict[str, float],
    layout: SpladeLayout,
    made_for: MadeFor,
    *,
    replace: bool = False,
) -> None:
    """Write a folder that weighs queries by a table and holds no model: a megabyte, no torch.

    ``load_encoder`` takes it; documents cannot be weighed with it.

    Args:
        folder: Where it will lie.
        table: Token -> weight.
        layout: Of the document model, whose tokenizer is copied and whose bound on the terms of a
            query holds for the table too.
        made_for: What the folder says about itself.
        replace: Replace one that lies there.

    Raises:
        ConfigError: something lies there.
        StorageError: it cannot be written.
    """
    tokenizer = _tokenizer(layout)
    with saved_files.made_aside(folder, replace=replace) as made:
        size = read_object(layout.model / "config.json").get("vocab_size")
        kind = read_object(layout.model / "config.json").get("model_type")
        saved_files.put_json(made / "config.json", {"model_type": kind, "vocab_size": size})
        saved_files.put(made / "tokenizer.json", tokenizer.to_str().encode())
        settings = layout.model / "tokenizer_config.json"
        if settings.is_file():
            shutil.copyfile(settings, made / settings.name)
        saved_files.put_json(made / IDF, table)
        saved_files.put_json(made / MADE_FOR, made_for._asdict())
        if layout.query_terms:
            saved_files.put_json(made / "sparse_ir.json", {"query_terms": layout.query_terms})


def save_beside(folder: Path, table: dict[str, float], *, replace: bool = False) -> None:
    """Write a table beside the model of a folder, to be chosen with ``inference-free``.

    Raises:
        ConfigError: the model has one, or weighs its queries by a table of its own.
        StorageError: it cannot be written.
    """
    path = folder / QUERY_TABLE
    if path.is_file() and not replace:
        raise ConfigError(f"{path} is there already. Say --replace to write it anew.")
    saved_files.put_whole(path, saved_files.readable_json(table))


def read_made_for(folder: Path) -> MadeFor | None:
    """Read which documents a query side was made for; None where the folder does not say.

    Raises:
        ModelError: the file is damaged.
    """
    stored: Any = read_json(folder / MADE_FOR)
    if not stored:
        return None
    try:
        return MadeFor(**stored)
    except TypeError:
        raise ModelError(f"{folder / MADE_FOR} is damaged. Make the query side again.") from None


def _tokenizer(layout: SpladeLayout) -> Tokenizer:
    # lower-casing goes into the copy, which then needs nobody to know of it
    return load_fast_tokenizer(TableLayout(layout.model, layout.model, layout.lowercase))
