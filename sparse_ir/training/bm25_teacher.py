"""BM25 with the statistics of a table's own documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.errors import ModelError
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.training.texts import all_texts

if TYPE_CHECKING:
    from sparse_ir.data.examples_table import ExampleTable


def fitted_bm25(table: ExampleTable) -> Bm25Encoder:
    """Fit BM25 on the documents, once: it is kept beside the compiled examples.

    Raises:
        InputError: no document holds a word.
        StorageError: it cannot be kept.
    """
    folder = table.folder / "teachers" / "bm25"
    try:
        kept = Bm25Encoder.load(folder)
        # The same statistics as one would read them now: settings and stemmer may be others.
        if Bm25Encoder(kept.statistics).fingerprint == kept.fingerprint:
            return kept
    except ModelError:
        pass
    encoder = Bm25Encoder.fit(all_texts(table.documents))
    encoder.save(folder)
    return encoder
