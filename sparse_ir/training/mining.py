"""Choose hard negatives among the hits of a part of the queries."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.examples import ScoredExample
from sparse_ir.data.files import sha256_text
from sparse_ir.training.hit_texts import text_of
from sparse_ir.training.scoring import Group
from sparse_ir.types import Query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.searching.search import Searcher, SearchResult
    from sparse_ir.training.hit_texts import CorpusTexts
    from sparse_ir.training.scoring import PairScorer


class Rules(NamedTuple):
    """Which candidates become negatives; see ``MineSettings``."""

    negatives: int = 8
    depth: int = 100
    skip_top: int = 0
    random: bool = True
    seed: int = 0
    max_share: float | None = None
    max_margin: float | None = None
    texts: bool = True

    @property
    def filters(self) -> bool:
        """Whether scores decide about candidates."""
        return self.max_share is not None or self.max_margin is not None


class Wanting(NamedTuple):
    """A query that wants negatives.

    Attributes:
        query_id: The query.
        text: Its text.
        positives: Id -> text of each.
        relevant: Ids of everything known to be relevant, the positives among them.
    """

    query_id: str
    text: str
    positives: Mapping[str, str]
    relevant: frozenset[str]


class Mined(NamedTuple):
    """The examples of a part, and counts as in ``MineReport``."""

    examples: list[ScoredExample]
    counts: Counter[str]


class _Candidate(NamedTuple):
    doc_id: str
    text: str
    score: float
    order: tuple[int, int]


class _Choice:
    """The candidates of one query and what has become of them."""

    def __init__(self, one: Wanting, candidates: list[_Candidate], rules: Rules) -> None:
        self.one = one
        self.waiting = list(candidates)
        self.taken: list[_Candidate] = []
        self.scores: dict[str, float] = {}
        self.threshold = float("inf")
        if rules.random:
            Random(int(sha256_text(str(rules.seed), one.query_id)[:16], 16)).shuffle(  # noqa: S311
                self.waiting
            )


class Miner:
    """Searches indexes for queries and chooses among the hits."""

    def __init__(
        self,
        searchers: Sequence[Searcher],
        texts: CorpusTexts,
        scorer: PairScorer | None,
        rules: Rules,
    ) -> None:
        """Take open indexes and, where there is one, the teacher.

        Args:
            searchers: Opened with the depth as their number of hits.
            texts: Where texts are looked up that an index does not store.
            scorer: Scores candidates; None for the index's own scores.
            rules: Which candidates become negatives.
        """
        self._searchers, self._texts = searchers, texts
        self._scorer, self._rules = scorer, rules

    def mine(self, queries: Sequence[Wanting]) -> Mined:
        """Find the negatives of some queries.

        Raises:
            ConfigError: an index stores no texts, and there is no corpus to look them up.
            InputError: the corpus does not hold them.
        """
        counts: Counter[str] = Counter()
        found = [self._search(searcher, queries) for searcher in self._searchers]
        choices = [
            _Choice(one, self._candidates(one, [hits[i] for hits in found], counts), self._rules)
            for i, one in enumerate(queries)
        ]
        self._score_positives(choices, found[0])
        while busy := [c for c in choices if c.waiting and self._lacks(c)]:
            self._take(busy, counts)
        examples = [self._example(choice) for choice in choices]
        for choice in choices:
            counts["queries"] += 1
            counts["negatives"] += len(choice.taken)
            counts["few"] += len(choice.taken) < self._rules.negatives
            counts["none"] += not choice.taken
        return Mined(examples, counts)

    def _search(self, searcher: Searcher, queries: Sequence[Wanting]) -> list[SearchResult]:
        found = searcher.search([Query(one.query_id, one.text) for one in queries])
        relevant = [one.relevant for one in queries]
        return self._texts.complete(found, relevant, index=searcher.settings.index)

    def _lacks(self, choice: _Choice) -> int:
        return self._rules.negatives - len(choice.taken)

    def _candidates(
        self, one: Wanting, results: Sequence[SearchResult], counts: Counter[str]
    ) -> list[_Candidate]:
        """What may be a negative, best rank in any index first, each document and text once."""
        listed = [
            (rank, index, hit)
            for index, result in enumerate(results)
            for rank, hit in enumerate(result.hits)
        ]
        listed.sort(key=lambda entry: entry[:2])
        seen = {_plain(text) for text in one.positives.values()}
        ids: set[str] = set()
        relevant: set[str] = set()
        kept = []
        for rank, index, hit in listed:
            text = text_of(hit)
            if hit.doc_id in one.relevant or _plain(text) in seen:
                relevant.add(hit.doc_id)
                continue
            if hit.doc_id in ids:
                continue
            ids.add(hit.doc_id)  # by its best rank in any index
            if rank < self._rules.skip_top:
                continue
            kept.append(_Candidate(hit.doc_id, text, hit.score, (rank, index)))
        counts["relevant"] += len(relevant)
        return _distinct(kept)

    def _score_positives(self, choices: Sequence[_Choice], found: Sequence[SearchResult]) -> None:
        if self._scorer is not None:
            groups = [Group(c.one.text, tuple(c.one.positives.values())) for c in choices]
            for choice, scores in zip(choices, self._scorer.score(groups), strict=True):
                known = zip(choice.one.positives, map(float, scores), strict=True)
                self._note_positives(choice, dict(known))
        elif len(self._searchers) == 1:
            for choice, result in zip(choices, found, strict=True):
                self._note_positives(choice, self._own_scores(choice.one, result))

    def _own_scores(self, one: Wanting, result: SearchResult) -> dict[str, float]:
        known = {hit.doc_id: hit.score for hit in result.hits if hit.doc_id in one.positives}
        deeper = [doc_id for doc_id in one.positives if doc_id not in known]
        if deeper and result.terms:
            known.update(self._searchers[0].scores_of(deeper, result.terms))
        return known

    def _note_positives(self, choice: _Choice, scores: dict[str, float]) -> None:
        choice.scores.update(scores)
        if scores and self._rules.filters:
            choice.threshold = threshold(min(scores.values()), self._rules)

    def _take(self, choices: Sequence[_Choice], counts: Counter[str]) -> None:
        """Look at as many further candidates of each query as it lacks."""
        drawn = []
        for choice in choices:
            n = self._lacks(choice)
            drawn.append(choice.waiting[:n])
            del choice.waiting[:n]
        for choice, candidates, scores in zip(
            choices, drawn, self._scores(choices, drawn), strict=True
        ):
            for candidate, score in zip(candidates, scores, strict=True):
                if score > choice.threshold:
                    counts["false"] += 1
                    continue
                choice.taken.append(candidate)
                choice.scores[candidate.doc_id] = score

    def _scores(
        self, choices: Sequence[_Choice], drawn: Sequence[Sequence[_Candidate]]
    ) -> list[list[float]]:
        if self._scorer is None:
            return [[candidate.score for candidate in one] for one in drawn]
        groups = [
            Group(choice.one.text, tuple(candidate.text for candidate in one))
            for choice, one in zip(choices, drawn, strict=True)
        ]
        return [[float(score) for score in scores] for scores in self._scorer.score(groups)]

    def _example(self, choice: _Choice) -> ScoredExample:
        one = choice.one
        taken = sorted(choice.taken, key=lambda candidate: candidate.order)
        documents = (*one.positives, *(candidate.doc_id for candidate in taken))
        texts = (*one.positives.values(), *(candidate.text for candidate in taken))
        scored = self._scorer is not None or len(self._searchers) == 1
        return ScoredExample(
            one.query_id,
            documents,
            one.text if self._rules.texts else None,
            texts if self._rules.texts else None,
            tuple(choice.scores.get(doc_id) for doc_id in documents) if scored else None,
            len(one.positives),
            tuple(sorted(one.relevant.difference(documents))),
        )


def threshold(positive: float, rules: Rules) -> float:
    """The score above which a candidate is likely a false negative.

    A share s of a score p below 0 is taken as p - (1 - s) |p|, so that it lies below p always.

    >>> threshold(10.0, Rules(max_share=0.9))
    9.0
    >>> threshold(-10.0, Rules(max_share=0.9))
    -11.0
    >>> threshold(10.0, Rules(max_share=0.9, max_margin=3.0))
    7.0
    """
    limits = [float("inf")]
    if rules.max_share is not None:
        limits.append(positive - (1.0 - rules.max_share) * abs(positive))
    if rules.max_margin is not None:
        limits.append(positive - rules.max_margin)
    return min(limits)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _distinct(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    seen: dict[str, _Candidate] = {}
    for candidate in candidates:
        seen.setdefault(_plain(candidate.text) or candidate.doc_id, candidate)
    return list(seen.values())
