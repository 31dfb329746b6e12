"""Score groups of documents with a teacher, asking it only what it has not said before."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from sparse_ir.resources import cache
from sparse_ir.training.score_cache import Kept, pair_key, text_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.training.scorers import PairTeacher, VectorTeacher


class Group(NamedTuple):
    """A query and the texts to score with it."""

    query: str
    documents: tuple[str, ...]


class _Pair(NamedTuple):
    key: bytes
    query: str
    document: str


class PairScorer(ExitStack):
    """A teacher with what it has said before.

    Scores of pairs are kept in the cache, for good; vectors of texts in the run's own folder. Both
    are written a call at a time, so that a run that was killed goes on with the numbers it had.

    Attributes:
        asked: Pairs that the teacher itself was asked for.
        encoded: Texts that it encoded.
    """

    def __init__(self, teacher: PairTeacher | VectorTeacher, folder: Path) -> None:
        """Open the files.

        Args:
            teacher: Who scores.
            folder: For vectors, as long as the run lasts.
        """
        super().__init__()
        self._teacher = teacher
        self.asked = self.encoded = 0
        name = f"{teacher.fingerprint[:32]}.sqlite"
        self._scores = self.enter_context(Kept(cache() / "teachers" / name, "REAL"))
        self._vectors: Kept | None = None
        if hasattr(teacher, "encode"):
            self._vectors = self.enter_context(Kept(folder / name, "BLOB"))

    def score(
        self, groups: Sequence[Group], advance: Callable[[int], None] = lambda n: None
    ) -> list[NDArray[np.float64]]:
        """Score the documents of each group with its query.

        Args:
            groups: What to score.
            advance: Called with the number of texts or pairs that the teacher has read.

        Returns:
            For each group one score a document, (n,).
        """
        queries = {group.query: text_key(group.query, query=True) for group in groups}
        documents = {text: text_key(text) for group in groups for text in group.documents}
        keys = [
            [pair_key(queries[group.query], documents[text]) for text in group.documents]
            for group in groups
        ]
        known = self._scores.find(list({key for row in keys for key in row}))
        missing: dict[bytes, _Pair] = {}
        for group, row in zip(groups, keys, strict=True):
            for key, text in zip(row, group.documents, strict=True):
                if key not in known and key not in missing:
                    missing[key] = _Pair(key, group.query, text)
        if missing:
            new = self._ask(list(missing.values()), queries, documents, advance)
            self._scores.add(new)
            self.asked += len(new)
            known.update(new)
        return [np.array([known[key] for key in row], np.float64) for row in keys]

    def _ask(
        self,
        pairs: list[_Pair],
        queries: dict[str, bytes],
        documents: dict[str, bytes],
        advance: Callable[[int], None],
    ) -> dict[bytes, float | bytes]:
        if self._vectors is None:
            teacher = cast("PairTeacher", self._teacher)
            scores = teacher.score_pairs(
                [pair.query for pair in pairs], [pair.document for pair in pairs], advance
            )
            return {pair.key: float(score) for pair, score in zip(pairs, scores, strict=True)}
        return self._compare(pairs, self._vectors, queries, documents, advance)

    def _compare(
        self,
        pairs: list[_Pair],
        kept: Kept,
        queries: dict[str, bytes],
        documents: dict[str, bytes],
        advance: Callable[[int], None],
    ) -> dict[bytes, float | bytes]:
        teacher = cast("VectorTeacher", self._teacher)
        by_query: dict[str, list[_Pair]] = {}
        for pair in pairs:
            by_query.setdefault(pair.query, []).append(pair)
        texts = dict.fromkeys(pair.document for pair in pairs)
        sides = (
            (True, {t: queries[t] for t in by_query}),
            (False, {t: documents[t] for t in texts}),
        )
        vectors: dict[bytes, float | bytes] = {}
        for query, wanted in sides:
            vectors.update(kept.find(list(wanted.values())))
            new = [text for text, key in wanted.items() if key not in vectors]
            made = teacher.encode(new, query=query, advance=advance) if new else []
            fresh = {wanted[text]: vector for text, vector in zip(new, made, strict=True)}
            if fresh:
                kept.add(fresh)
                self.encoded += len(fresh)
                vectors.update(fresh)
        found: dict[bytes, float | bytes] = {}
        for text, own in by_query.items():
            rows = [cast("bytes", vectors[documents[pair.document]]) for pair in own]
            scores = teacher.compare(cast("bytes", vectors[queries[text]]), rows)
            found.update({pair.key: float(s) for pair, s in zip(own, scores, strict=True)})
        return found
