"""Dense vectors and their scores: whether an index holds what the model makes of its texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sparse_ir.encoding.dense import open_dense, stored
from sparse_ir.encoding.passages import contents, parse_passages
from sparse_ir.engines.addresses import is_cluster
from sparse_ir.engines.base import SearchRequest
from sparse_ir.errors import ModelError, NoVectorsError
from sparse_ir.inspecting.findings import (
    INCOMPLETE,
    LOST_VECTORS,
    OTHER_SCORES,
    OTHER_WEIGHTS,
    WRONG_MODEL,
    Finding,
    examples,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sparse_ir.engines.base import Engine
    from sparse_ir.engines.stamp import DenseSpace, Stamp
    from sparse_ir.types import DenseVector, Document, ScoredDoc

TOLERANCE = 1e-3
"""How far a dot product may be off, as a share of the two vectors' lengths."""

_QUERIES = 20
_DEPTH = 10
_AGAIN = "Index again with --replace."


class DenseReport(NamedTuple):
    """What came of comparing dense vectors.

    Attributes:
        scores: How many scores were compared with dot products computed here.
        largest_error: The largest difference, as a share of the two vectors' lengths.
        findings: What is wrong.
        notes: What was not looked at, or is approximate.
    """

    scores: int = 0
    largest_error: float = 0.0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def check_dense(
    engine: Engine,
    index: str,
    stamp: Stamp,
    documents: Sequence[Document],
    *,
    model: str | None = None,
    tolerance: float = TOLERANCE,
) -> DenseReport:
    """Encode documents again, hold the stored vectors and the scores of searches against that.

    Args:
        engine: Where.
        index: The index.
        stamp: Its stamp.
        documents: With their stored texts.
        model: The dense model, where the stamp's name for it means nothing here.
        tolerance: As ``TOLERANCE``.
    """
    space = stamp.dense
    if space is None or not documents:
        return DenseReport()
    kept = _kept(engine, index, [document.doc_id for document in documents])
    notes: list[str] = []
    expected = _expected(stamp, space, documents, model, notes)
    if isinstance(expected, Finding):
        return DenseReport(findings=(expected,))
    if expected is None:
        if kept is None:
            return DenseReport(notes=(*notes, "Dense vectors were not looked at."))
        notes.append("Dense scores were held against the index's own vectors, not against texts.")
        expected = {i: np.array(v, np.float32) for i, v in kept.items() if v is not None}
    findings = _compare(expected, kept, tolerance) if kept is not None else []
    check = _Scores(engine, index, expected, tolerance)
    if not findings:  # scores of other vectors say nothing more
        check.run()
        findings = check.findings
    if check.missed:
        notes.append(
            f"{check.missed} of {check.expected_hits} near documents were missed: the server's "
            "search of dense vectors is approximate."
        )
    return DenseReport(check.compared, check.largest, tuple(findings), tuple(notes))


def _kept(engine: Engine, index: str, ids: Sequence[str]) -> dict[str, DenseVector | None] | None:
    """The stored vectors; None where the index keeps none that can be read back."""
    try:
        entries = engine.get(index, ids)
    except NoVectorsError:
        return None
    return {entry.document.doc_id: entry.dense for entry in entries if entry is not None}


def _expected(
    stamp: Stamp,
    space: DenseSpace,
    documents: Sequence[Document],
    model: str | None,
    notes: list[str],
) -> dict[str, NDArray[np.float32]] | Finding | None:
    """What the vectors should be; None where the model is not at hand."""
    try:
        side = open_dense(model or space.model, similarity=space.similarity)
    except ModelError as error:
        if model is not None:
            raise
        notes.append(f"The index's dense model could not be loaded: {error}")
        return None
    if side.encoder.fingerprint != space.fingerprint:
        return Finding(
            WRONG_MODEL,
            f"the dense vectors are of {space.model!r} ({space.fingerprint[:12]}); "
            f"{side.encoder.name!r} is now {side.encoder.fingerprint[:12]}.",
            "Give the dense model that made the index with --dense, or index again.",
        )
    texts, rows = contents(documents, parse_passages(stamp.passages))
    vectors = side.encode_documents(texts, rows, len(documents))
    return {
        document.doc_id: vector
        for document, vector in zip(documents, vectors, strict=True)
        if stored(vector) is not None
    }


def _compare(
    expected: Mapping[str, NDArray[np.float32]],
    kept: Mapping[str, DenseVector | None],
    tolerance: float,
) -> list[Finding]:
    lost = [doc_id for doc_id in expected if kept.get(doc_id) is None]
    if lost:
        what = f"{len(lost)} documents have no dense vector: {examples(lost)}."
        return [Finding(LOST_VECTORS, what, _AGAIN, lost[0])]
    for doc_id, vector in expected.items():
        own = np.array(kept[doc_id], np.float32)
        if float(np.linalg.norm(own - vector)) > tolerance * float(np.linalg.norm(vector)):
            return [
                Finding(
                    OTHER_WEIGHTS,
                    "a dense vector is not what the model makes of the text.",
                    f"{_AGAIN} An index encoded with bf16 needs a higher --tolerance.",
                    doc_id,
                    "itself",
                    float(vector @ vector),
                    float(own @ vector),
                )
            ]
    return []


class _Scores:
    """Searches with documents' own vectors, whose scores are known."""

    def __init__(
        self,
        engine: Engine,
        index: str,
        expected: Mapping[str, NDArray[np.float32]],
        tolerance: float,
    ) -> None:
        self._engine, self._index, self._tolerance = engine, index, tolerance
        self._approximate = is_cluster(engine.address)
        self._ids = list(expected)
        self._vectors = np.array([expected[doc_id] for doc_id in self._ids], np.float64)
        self._lengths = np.linalg.norm(self._vectors, axis=1) if self._ids else np.zeros(0)
        self.compared = self.missed = self.expected_hits = 0
        self.largest = 0.0
        self.findings: list[Finding] = []

    def run(self) -> None:
        rows = list(range(len(self._ids)))[:_QUERIES]
        requests = [
            SearchRequest({}, _DEPTH, documents=False, dense=tuple(self._vectors[row].tolist()))
            for row in rows
        ]
        for row, hits in zip(rows, self._engine.search(self._index, requests), strict=True):
            self._look_at(row, hits)
            if self.findings:
                return

    def _look_at(self, row: int, hits: Sequence[ScoredDoc]) -> None:
        products = self._vectors @ self._vectors[row]
        allowed = self._lengths * self._lengths[row]
        found = {hit.doc_id: hit.score for hit in hits}
        last = hits[-1].score if len(hits) == _DEPTH else -np.inf
        for place, doc_id in enumerate(self._ids):
            should, slack = float(products[place]), self._tolerance * float(allowed[place])
            if doc_id in found:
                self.compared += 1
                self.expected_hits += 1
                error = abs(found[doc_id] - should)
                self.largest = max(self.largest, error / float(allowed[place]))
                if error > slack:
                    what = "a dense score is not the dot product of query and document."
                    self._add(OTHER_SCORES, what, doc_id, row, should, found[doc_id])
                    return
            elif should > last + slack:
                self.expected_hits += 1
                self.missed += 1
                if not self._approximate:
                    what = f"a document is not among the {_DEPTH} nearest, where it belongs."
                    self._add(INCOMPLETE, what, doc_id, row, should, 0.0)
                    return

    def _add(
        self, cause: str, what: str, doc_id: str, row: int, expected: float, got: float
    ) -> None:
        query = f"dense vector of {self._ids[row]}"
        self.findings.append(Finding(cause, what, _AGAIN, doc_id, query, expected, got))
