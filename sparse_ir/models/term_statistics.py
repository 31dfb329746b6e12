"""One pass over a corpus: how many documents, how long, and in how many each term occurs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TermStatistics:
    """What BM25 and IDF query tables know of a corpus.

    Attributes:
        documents: How many, empty ones among them.
        total_length: Terms of all documents together, repetitions counted.
        terms: Every term, V of them, ascending by code point.
        document_frequencies: In how many documents each term occurs, int64, (V,).
    """

    documents: int
    total_length: int
    terms: tuple[str, ...]
    document_frequencies: NDArray[Any]

    @property
    def average_length(self) -> float:
        """Terms per document; 0 where there is no document."""
        return self.total_length / self.documents if self.documents else 0.0

    def idf(self) -> NDArray[Any]:
        """ln(1 + (N - df + 0.5) / (df + 0.5)) of every term, float64, (V,), always above 0.

        The form that Lucene uses; Robertson's own turns negative for a term that more than half
        of the documents hold (Kamphuis et al., 2020, https://doi.org/10.1007/978-3-030-45442-5_4).
        """
        df = self.document_frequencies
        return np.asarray(np.log1p((self.documents - df + 0.5) / (df + 0.5)))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; ``statistics_from_json`` reads it back."""
        return {
            "documents": self.documents,
            "total_length": self.total_length,
            "terms": list(self.terms),
            "document_frequencies": self.document_frequencies.tolist(),
        }


def count_terms(texts: Iterable[str], analyze: Callable[[str], list[str]]) -> TermStatistics:
    """Read the texts once; memory is one text and the vocabulary, whatever the corpus.

    Args:
        texts: One a document.
        analyze: Text -> terms, repeated as often as they occur.
    """
    documents = total_length = 0
    frequencies: Counter[str] = Counter()
    for text in texts:
        terms = analyze(text)
        documents += 1
        total_length += len(terms)
        frequencies.update(set(terms))
    vocabulary = tuple(sorted(frequencies))
    counts = np.fromiter((frequencies[t] for t in vocabulary), np.int64, len(vocabulary))
    return TermStatistics(documents, total_length, vocabulary, counts)


def count_matrix(
    texts: Sequence[str], analyze: Callable[[str], list[str]], columns: Mapping[str, int]
) -> tuple[sparse.csr_array, NDArray[Any]]:
    """Count the terms of each text.

    Args:
        texts: n texts.
        analyze: Text -> terms, repeated as often as they occur.
        columns: Term -> column, V of them; other terms are counted in the length alone.

    Returns:
        Term frequencies, float64 CSR, (n, V), and how many terms each text has, float64, (n,).
    """
    lengths: list[int] = []
    found: list[int] = []
    for text in texts:
        terms = analyze(text)
        lengths.append(len(terms))
        found.extend(map(columns.get, terms, repeat(-1)))
    column = np.asarray(found, np.int64)
    row = np.repeat(np.arange(len(texts)), lengths)[column >= 0]
    cells, counts = np.unique(row * len(columns) + column[column >= 0], return_counts=True)
    rows, cols = np.divmod(cells, max(1, len(columns)))
    row_ends = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(texts)))])
    matrix = sparse.csr_array(
        (counts.astype(np.float64), cols, row_ends), shape=(len(texts), len(columns))
    )
    return matrix, np.asarray(lengths, np.float64)


def statistics_from_json(stored: Mapping[str, Any]) -> TermStatistics:
    """Read what ``TermStatistics.to_json`` gave.

    Raises:
        KeyError: a part is missing.
        TypeError: a part is of the wrong kind.
        ValueError: the parts contradict one another.
    """
    terms = tuple(stored["terms"])
    if not all(isinstance(term, str) for term in terms):
        raise TypeError("a term is not a text")
    statistics = TermStatistics(
        int(stored["documents"]),
        int(stored["total_length"]),
        terms,
        np.asarray(stored["document_frequencies"], np.int64),
    )
    _check(statistics)
    return statistics


def _check(statistics: TermStatistics) -> None:
    df = statistics.document_frequencies
    if df.shape != (len(statistics.terms),):
        raise ValueError(f"{len(statistics.terms)} terms with {df.size} document frequencies")
    if len(set(statistics.terms)) != len(statistics.terms):
        raise ValueError("a term occurs twice in the vocabulary")
    if df.size and not 1 <= df.min() <= df.max() <= statistics.documents:
        raise ValueError("a term occurs in more documents than there are, or in none")
    if df.sum() > statistics.total_length:
        raise ValueError("the documents are shorter than the terms they hold")
