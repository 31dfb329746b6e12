"""Texts a window at a time: tokens made, weighed, and told where a text is longer than is read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from sparse_ir.vectors import SparseBatch, concatenate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.models.batches import TokenizedTexts

WINDOW = 4096
"""Texts tokenised and sorted at a time."""

_log = logging.getLogger(__name__)


def weigh_in_windows(
    texts: Sequence[str],
    ids: Sequence[str] | None,
    *,
    window: int,
    tokens: Callable[[int], TokenizedTexts],
    weigh: Callable[[list[list[int]], Sequence[str]], SparseBatch],
    max_length: int,
    size: int,
    on_cut: Callable[[int], None] | None,
) -> SparseBatch:
    """Weigh texts in the order given, at the memory of a window.

    Args:
        texts: n texts.
        ids: One id a text; "0", "1", … by default.
        window: Texts at a time.
        tokens: Gives those of the window that begins at a place.
        weigh: Gives the vectors of a window's rows of token ids, with their text ids.
        max_length: Tokens read of a text, for the warning.
        size: Number of terms.
        on_cut: Called with the number of texts that were longer; by default a warning is logged.

    Raises:
        ValueError: one string is given instead of texts, or not one id a text.
    """
    if isinstance(texts, str):
        raise ValueError("texts is one string. Give a list of texts.")
    names = [str(i) for i in range(len(texts))] if ids is None else list(ids)
    if len(names) != len(texts):
        raise ValueError(f"{len(names)} ids for {len(texts)} texts")
    cut = 0
    batches = []
    for start in range(0, len(texts), window):
        found = tokens(start)
        cut += sum(found.cut)
        batches.append(weigh(found.ids, names[start : start + window]))
    if cut and on_cut is not None:
        on_cut(cut)
    elif cut:
        _log.warning(
            "%d of %d texts are longer than %d tokens; the rest of them is not read",
            cut,
            len(texts),
            max_length,
        )
    if not batches:
        return SparseBatch((), sparse.csr_array((0, size), dtype=np.float32))
    return batches[0] if len(batches) == 1 else concatenate(batches)
