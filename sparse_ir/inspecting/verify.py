"""Trust what comes back: score a sample offline and compare it with what the engine says."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.shards import read_shard_manifest, read_shards, read_vocabulary
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError
from sparse_ir.inspecting import verify_sample as samples
from sparse_ir.inspecting.findings import SATURATION, WRONG_MODEL, Finding
from sparse_ir.inspecting.verify_causes import name_causes
from sparse_ir.inspecting.verify_dense import TOLERANCE, check_dense
from sparse_ir.inspecting.verify_models import check_shards, find_encoder
from sparse_ir.inspecting.verify_presence import check_presence, find_absent
from sparse_ir.inspecting.verify_scores import ScoreReport, WeighedQuery, check_scores
from sparse_ir.inspecting.verify_weights import NOISE, STEP, compare, forgive_few, read_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sparse_ir.engines.base import Engine
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.inspecting.verify_sample import Drawn
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import SparseVector

EXACT, ROUNDED, WRONG = "exact", "within rounding", "wrong"
_AGAIN = "texts, encoded again"


@dataclass(frozen=True)
class VerifySettings:
    """What is looked at, and what it is held against.

    Attributes:
        index: The index.
        engine: As ``open_engine`` takes it.
        queries: As ``read_queries`` takes it; None for queries made of the documents' terms.
        sample_queries: How many queries, at most.
        documents: How many documents, at most.
        corpus: The corpus that was indexed, as ``read_documents`` takes it.
        vectors: The folder of vector shards that was indexed.
        model: As ``load_encoder`` takes it; None for the model that made the index.
        dense: As ``load_dense`` takes it; None for the dense model that made the index.
        tolerance: The relative difference of a weight that counts as the encoder's own noise
            where texts are encoded again.
        precision: What texts are encoded again in, as ``load_encoder`` takes it; None for what the
            index says.
        seed: Of the sample.
    """

    index: str = "default"
    engine: str = "embedded"
    queries: str | None = None
    sample_queries: int = 50
    documents: int = 100
    corpus: str | None = None
    vectors: str | None = None
    model: str | None = None
    dense: str | None = None
    tolerance: float = STEP
    precision: str | None = None
    seed: int = 0


class Verification(NamedTuple):
    """What came of it.

    Attributes:
        verdict: "exact", "within rounding" (of 9 bits, where texts were encoded again) or "wrong".
        documents: In the index.
        expected_documents: In the corpus or the shards; None where neither is given.
        sampled: Documents whose every weight was compared.
        source: Where the expected weights are from.
        weights: How many were compared.
        weights_rounded: How many of them are off by the encoder's own noise.
        queries: How many were searched.
        scores: How many scores were compared.
        scores_exact: How many equal the expected ones to a relative 1e-5.
        largest_error: The largest relative difference of a score.
        findings: What is wrong, with cause, evidence and advice.
        notes: What was not looked at, and why.
        dense_scores: How many dense scores were compared with dot products computed here.
        dense_largest_error: The largest difference, as a share of the two vectors' lengths.
    """

    verdict: str
    documents: int
    expected_documents: int | None
    sampled: int
    source: str
    weights: int
    weights_rounded: int
    queries: int
    scores: int
    scores_exact: int
    largest_error: float
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    dense_scores: int = 0
    dense_largest_error: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**self._asdict(), "findings": [finding.to_json() for finding in self.findings]}


def verify(
    settings: VerifySettings, *, advance: Callable[[int], None] = lambda n: None
) -> Verification:
    """Compare an index with what it should hold, weight by weight and score by score.

    Args:
        settings: What is looked at.
        advance: Called with the number of queries done.

    Raises:
        ConfigError: nothing says what the index should hold.
        IndexNotFoundError: there is no such index.
    """
    engine = open_engine(settings.engine)
    try:
        return _Check(engine, settings).run(advance)
    finally:
        engine.close()


def verify_vectors(
    engine: Engine,
    index: str,
    vectors: Mapping[str, SparseVector],
    queries: Sequence[WeighedQuery],
    *,
    vocabulary: Sequence[str] = (),
    tolerance: float = 0.0,
    precision: str = "fp32",
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[ScoreReport, list[Finding], tuple[int, int]]:
    """Compare documents of an index with the vectors they should have.

    Args:
        engine: Where.
        index: The index.
        vectors: Document -> term weights, as they were before they were written.
        queries: What is asked.
        vocabulary: Terms that may be there beside those of the vectors.
        tolerance: As in ``VerifySettings``; 0 where the vectors are exact.
        precision: What the vectors were encoded in just now, as ``load_encoder`` takes it.
        advance: Called with the number of queries done.

    Returns:
        The scores, what is wrong with the weights, and how many weights were compared and rounded.
    """
    expected = {doc_id: engine.kept(vector) for doc_id, vector in vectors.items()}
    terms = {term for vector in vectors.values() for term in vector}
    terms |= {term for query in queries for term in query.terms}
    for own in samples.own_vectors(engine, index, list(expected)).values():
        terms |= own.keys()
    observed = read_weights(engine, index, list(expected), sorted(terms), vocabulary=vocabulary)
    noise = NOISE.get(precision, 0.0) if tolerance else 0.0
    compared = compare(expected, observed, tolerance=tolerance, noise=noise)
    if noise:
        compared = forgive_few(compared)
    causes = name_causes(compared, noise=noise)
    report = check_scores(
        engine, index, queries, expected=expected, observed=observed, advance=advance
    )
    counts = sum(map(len, expected.values())), sum(d.rounded for d in compared)
    return report, causes, counts


class _Check:
    """One run of ``verify``."""

    def __init__(self, engine: Engine, settings: VerifySettings) -> None:
        self.settings = settings
        self.engine = engine
        self.stamp: Stamp = engine.describe(settings.index)
        self.physical = engine.resolve(settings.index)
        self.rng = random.Random(settings.seed)  # noqa: S311 - a sample
        self.findings: list[Finding] = []
        self.notes: list[str] = []

    def run(self, advance: Callable[[int], None]) -> Verification:
        engine, index = self.engine, self.physical
        s = self.settings
        encoder = find_encoder(
            self.stamp, s.model, self.findings, self.notes, precision=s.precision
        )
        drawn = self._draw()
        documents = engine.stats(index).documents
        presence = check_presence(engine, index, drawn.documents)
        self.findings += presence.findings
        if drawn.total is None and documents > samples.SCANNED:
            self.notes.append(f"The sample is of the first {samples.SCANNED:,} documents.")
        if drawn.total is not None and drawn.total > documents:
            found = find_absent(engine, index, self._all_ids(), documents, drawn.total)
            causes = {finding.cause for finding in found}
            self.findings = [f for f in self.findings if f.cause not in causes] + found
        elif drawn.total is not None and drawn.total < documents:
            more = documents - drawn.total
            self.notes.append(f"The index holds {more:,} documents more than were given here.")
        vectors, source = self._reference(drawn, list(presence.seen), presence.seen, encoder)
        again = source == _AGAIN
        queries = self._queries(vectors, encoder)
        report, wrong, (weights, rounded) = verify_vectors(
            engine,
            index,
            vectors,
            queries,
            vocabulary=self._vocabulary(encoder),
            tolerance=s.tolerance if again else 0.0,
            precision=getattr(encoder, "precision", s.precision or self.stamp.precision),
            advance=advance,
        )
        self.findings += wrong
        if not any(finding.cause == SATURATION for finding in wrong):
            self.findings += report.findings
        dense = check_dense(
            engine,
            index,
            self.stamp,
            list(presence.seen.values()),
            model=s.dense,
            tolerance=s.tolerance if s.tolerance > STEP else TOLERANCE,
        )
        self.findings += dense.findings
        self.notes += dense.notes
        good = ROUNDED if rounded or report.exact < report.compared else EXACT
        return Verification(
            WRONG if self.findings else good,
            documents,
            drawn.total,
            len(vectors),
            source,
            weights,
            rounded,
            len(queries),
            report.compared,
            report.exact,
            report.largest_error,
            tuple(self.findings),
            tuple(self.notes),
            dense.scores,
            dense.largest_error,
        )

    def _draw(self) -> Drawn:
        s = self.settings
        if s.vectors is not None:
            manifest = read_shard_manifest(s.vectors)
            check_shards(self.stamp, manifest, s.vectors, self.findings)
            pruning = self.stamp.document_pruning
            return samples.draw_from_shards(s.vectors, s.documents, pruning, self.rng)
        if s.corpus is not None:
            return samples.draw_from_corpus(s.corpus, self.stamp.passages, s.documents, self.rng)
        return samples.draw_from_index(self.engine, self.physical, s.documents, self.rng)

    def _all_ids(self) -> Iterator[str]:
        s = self.settings
        if s.vectors is not None:
            for batch in read_shards(s.vectors):
                yield from batch.ids
        elif s.corpus is not None:
            documents = samples.corpus_documents(s.corpus, self.stamp.passages)
            yield from (document.doc_id for document in documents)

    def _reference(
        self,
        drawn: Drawn,
        doc_ids: list[str],
        seen: Mapping[str, Any],
        encoder: SparseEncoder | None,
    ) -> tuple[dict[str, SparseVector], str]:
        """What the index should hold, and where that is from."""
        if drawn.vectors:
            return {i: drawn.vectors[i] for i in doc_ids}, "vector shards"
        if encoder is not None:
            texts = [seen[i] for i in doc_ids]
            return samples.encode_again(texts, encoder, self.stamp), _AGAIN
        own = samples.own_vectors(self.engine, self.physical, doc_ids)
        if not own and doc_ids:
            if any(f.cause == WRONG_MODEL for f in self.findings):
                return {}, "nothing: the model is another one"
            raise ConfigError(
                "nothing says what the index should hold: its model is not at hand and it keeps "
                "no vectors. Give --model, or the shards with --vectors."
            )
        self.notes.append("Weights were held against the index's own vectors, not against texts.")
        return own, "the index's own vectors"

    def _queries(
        self, vectors: Mapping[str, SparseVector], encoder: SparseEncoder | None
    ) -> list[WeighedQuery]:
        s = self.settings
        if s.queries is None:
            return samples.make_queries(vectors, s.sample_queries, self.rng)
        if encoder is None:
            self.notes.append("The queries given could not be encoded; others were made of terms.")
            return samples.make_queries(vectors, s.sample_queries, self.rng)
        drawn = samples.draw_queries(s.queries, s.sample_queries, self.rng)
        return samples.weigh(drawn, encoder)

    def _vocabulary(self, encoder: SparseEncoder | None) -> Sequence[str]:
        if encoder is not None:
            return encoder.vocabulary
        return read_vocabulary(self.settings.vectors) if self.settings.vectors else ()
