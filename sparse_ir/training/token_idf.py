"""How rare each token of a vocabulary is in the documents trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_ir.models.batches import tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sparse_ir.data.examples_table import ExampleTable

_DOCUMENTS = 20_000  # of each table; the IDF of a token hardly changes with more
_PART = 2_000


def token_idf(
    tables: Sequence[ExampleTable],
    tokenizer: Any,
    size: int,
    *,
    max_length: int,
    dropped: Sequence[int],
) -> NDArray[Any]:
    """ln(1 + (N - df + 0.5) / (df + 0.5)) of every token, as Lucene counts IDF.

    Args:
        tables: Their documents are counted, each table's first ones.
        tokenizer: Of the model.
        size: Terms of the vocabulary.
        max_length: Tokens read of a document.
        dropped: Tokens that get 0.

    Returns:
        Float32, (size,), at least 0.
    """
    frequencies = np.zeros(size, np.int64)
    documents = 0
    for table in tables:
        last = min(len(table.documents), _DOCUMENTS)
        for start in range(0, last, _PART):
            texts = table.documents.texts(range(start, min(last, start + _PART)))
            for row in tokenize(tokenizer, texts, max_length).ids:
                frequencies[np.unique(np.asarray(row, np.int64))] += 1
            documents += len(texts)
    idf = np.log1p((documents - frequencies + 0.5) / (frequencies + 0.5))
    idf[list(dropped)] = 0.0
    return np.asarray(idf, np.float32)
