"""BM25 as a sparse encoder: the lexical baseline in the same index and query path.

The dot product of a document and a query vector is the BM25 score of Robertson et al. (1994) as
Lucene computes it, with exact lengths ("Lucene (accurate)" in Kamphuis et al., 2020,
https://doi.org/10.1007/978-3-030-45442-5_4). A document vector holds saturated term frequencies and
needs the average length only; a query vector holds the IDF.
"""

from __future__ import annotations

import hashlib
import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from sparse_ir.errors import ConfigError, InputError, ModelError, SparseIRError
from sparse_ir.models import analysis
from sparse_ir.models.base import Explanation, TermOrigin
from sparse_ir.models.batches import text_ids
from sparse_ir.models.bm25_file import damaged, read_bm25, write_bm25
from sparse_ir.models.fingerprint import fingerprint
from sparse_ir.models.term_statistics import (
    TermStatistics,
    count_matrix,
    count_terms,
    statistics_from_json,
)
from sparse_ir.vectors import SparseBatch, concatenate, make_batch, vocabulary_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_TEXTS_AT_ONCE = 256


class Bm25Encoder:
    """Weighs the stemmed words of a text by the statistics of one corpus.

    Attributes:
        statistics: Of the corpus it was fitted on; they stay when documents come or go.
        k1: How late the weight of a repeated term saturates, at least 0.
        b: How much a long document is damped, 0 to 1.
        language: Decides stemmer and stop words; see ``analysis.languages``.
        stemmer: The version of PyStemmer that made the terms; empty where nothing stems.
        precision: What it computes in, whatever is asked for.
    """

    precision = "fp32"

    def __init__(
        self,
        statistics: TermStatistics,
        *,
        k1: float = 0.9,
        b: float = 0.4,
        language: str = "english",
        stemmer: str | None = None,
    ) -> None:
        """Use ``fit`` or ``load``; arguments as the attributes.

        Raises:
            ConfigError: a setting is out of range or the language is not known.
            InputError: the statistics hold no term.
        """
        _require_range(k1, b)
        if not statistics.terms:
            raise InputError(
                "BM25 takes its weights from the corpus, and found no word in its "
                f"{statistics.documents:,} documents. Give the corpus that will be indexed."
            )
        self._analyzer = analysis.Analyzer(language)
        self._folder: Path | None = None
        self.statistics = statistics
        self.k1, self.b = float(k1), float(b)
        self.language = language
        self.stemmer = analysis.stemmer_version(language) if stemmer is None else stemmer

    @classmethod
    def fit(
        cls, texts: Iterable[str], *, k1: float = 0.9, b: float = 0.4, language: str = "english"
    ) -> Bm25Encoder:
        """Read a corpus once and keep its statistics.

        Args:
            texts: One a document, as ``encode_documents`` will get them.
            k1: See the class; the default is Anserini's.
            b: See the class; the default is Anserini's.
            language: See the class.

        Raises:
            ConfigError: a setting is out of range or the language is not known.
            InputError: there is no document, or none holds a word.
        """
        _require_range(k1, b)
        statistics = count_terms(texts, analysis.Analyzer(language))
        return cls(statistics, k1=k1, b=b, language=language)

    @classmethod
    def load(cls, folder: str | Path) -> Bm25Encoder:
        """Read what ``save`` wrote.

        Raises:
            ModelError: there is no ``bm25.json``, or it is damaged or of another format.
        """
        folder = Path(folder)
        stored = read_bm25(folder)
        try:
            encoder = cls(statistics_from_json(stored["statistics"]), **stored["settings"])
        except (KeyError, TypeError, ValueError, OverflowError, SparseIRError) as error:
            raise damaged(folder, error) from None
        encoder._folder = folder.resolve()
        encoder._warn_of_another_stemmer()
        return encoder

    def save(self, folder: str | Path) -> None:
        """Write ``bm25.json``, whole or not at all; from then on the folder is ``path``.

        Raises:
            StorageError: the folder cannot be written.
        """
        content = {"settings": self._settings, "statistics": self.statistics.to_json()}
        write_bm25(Path(folder), content)
        self._folder = Path(folder).resolve()

    @property
    def name(self) -> str:
        """The folder it is saved in; "bm25" before it is."""
        return "bm25" if self._folder is None else str(self._folder)

    @property
    def path(self) -> Path:
        """The folder it is saved in.

        Raises:
            ModelError: it has not been saved.
        """
        if self._folder is None:
            raise ModelError("this BM25 encoder lies in memory only. Call save(folder) first.")
        return self._folder

    @property
    def vocabulary(self) -> Sequence[str]:
        """The terms of the corpus, ascending."""
        return self.statistics.terms

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, hex, of settings and statistics."""
        return fingerprint(
            {
                "queries": self.query_fingerprint,
                "k1": self.k1,
                "b": self.b,
                "total_length": self.statistics.total_length,
            }
        )

    @cached_property
    def query_fingerprint(self) -> str:
        """SHA-256, hex, of what makes terms and IDF; k1 and b weigh documents only."""
        df = self.statistics.document_frequencies.astype("<i8").tobytes()
        return fingerprint(
            {
                "encoder": "bm25",
                "analysis": analysis.VERSION,
                "language": self.language,
                "stemmer": self.stemmer,
                "documents": self.statistics.documents,
                "terms": vocabulary_hash(self.statistics.terms),
                "document_frequencies": hashlib.sha256(df).hexdigest(),
            }
        )

    @property
    def query_fingerprints(self) -> tuple[str, ...]:
        """There is one query side."""
        return (self.query_fingerprint,)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        ids: Sequence[str] | None = None,
        on_cut: Callable[[int], None] | None = None,
        advance: Callable[[int], None] = lambda n: None,
    ) -> SparseBatch:
        """Weigh documents by tf / (tf + k1 * (1 - b + b * length / average length)).

        The length counts every term of the text, also those outside the vocabulary, which get no
        weight. Weights lie between 0 and 1. Nothing is ever cut.
        """
        del on_cut
        return self._encode(texts, ids, self._saturate, advance)

    def encode_queries(
        self, texts: Sequence[str], *, ids: Sequence[str] | None = None
    ) -> SparseBatch:
        """Weigh queries by tf * idf; terms outside the vocabulary are left out."""
        return self._encode(texts, ids, self._weigh_by_idf, lambda n: None)

    def explain(self, text: str, *, query: bool = False) -> Explanation:
        """Weigh one text and name the first word that produced each term."""
        batch = self.encode_queries([text]) if query else self.encode_documents([text])
        first: dict[str, analysis.Token] = {}
        for token in self._analyzer.tokens(text):
            first.setdefault(token.term, token)
        columns, weights = batch.row(0)
        origins = []
        for column, weight in zip(columns.tolist(), weights.tolist(), strict=True):
            term, start, end = first[self.vocabulary[column]]
            origins.append(TermOrigin(term, weight, text[start:end], start, end))
        origins.sort(key=lambda origin: (-origin.weight, origin.term))
        return Explanation(text, tuple(origins), cut=False)

    def text_terms(self, text: str) -> list[str]:
        """List the stems of a text that the corpus has; see ``SparseEncoder``."""
        return [term for term in dict.fromkeys(self._analyzer(text)) if term in self._columns]

    def _warn_of_another_stemmer(self) -> None:
        installed = analysis.stemmer_version(self.language)
        if self.stemmer != installed:
            logger.warning(
                "%s was fitted with PyStemmer %s and this is %s: a word that they stem differently "
                "is not found. Fit BM25 on the corpus again to be sure.",
                self.path,
                self.stemmer,
                installed,
            )

    @property
    def _settings(self) -> dict[str, Any]:
        return {"k1": self.k1, "b": self.b, "language": self.language, "stemmer": self.stemmer}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.statistics.terms)}

    @cached_property
    def _idf(self) -> NDArray[Any]:
        return self.statistics.idf()

    def _encode(
        self,
        texts: Sequence[str],
        ids: Sequence[str] | None,
        weigh: Callable[[sparse.csr_array, NDArray[Any]], NDArray[Any]],
        advance: Callable[[int], None],
    ) -> SparseBatch:
        names = text_ids(texts, ids)
        batches = [make_batch((), sparse.csr_array((0, len(self.vocabulary)), dtype=np.float32))]
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            part = texts[start : start + _TEXTS_AT_ONCE]
            counts, lengths = count_matrix(part, self._analyzer, self._columns)
            counts.data = weigh(counts, lengths)
            batches.append(make_batch(names[start : start + len(part)], counts))
            advance(len(part))
        return concatenate(batches)

    def _saturate(self, counts: sparse.csr_array, lengths: NDArray[Any]) -> NDArray[Any]:
        norms = self.k1 * (1 - self.b + self.b * lengths / self.statistics.average_length)
        return np.asarray(counts.data / (counts.data + np.repeat(norms, np.diff(counts.indptr))))

    def _weigh_by_idf(self, counts: sparse.csr_array, lengths: NDArray[Any]) -> NDArray[Any]:
        del lengths
        return np.asarray(counts.data * self._idf[counts.indices])


def _require_range(k1: float, b: float) -> None:
    if not 0 <= k1 < np.inf:
        raise ConfigError(f"BM25's k1 is {k1}. It must be finite and at least 0.")
    if not 0 <= b <= 1:
        raise ConfigError(f"BM25's b is {b}. It must lie between 0 and 1.")
