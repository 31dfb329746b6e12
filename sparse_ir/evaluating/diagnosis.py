"""Which terms won and which lost: what each did to the answers, and where two systems part."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.evaluating.metrics import score_run
from sparse_ir.evaluating.results import Difference, TermShare, TermUse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.types import Qrels, Run, SparseVector

_METRIC = "ndcg@10"
_WORD = re.compile(r"[a-z0-9_]+")
_BETWEEN = "\t"  # no id holds one: qrels and runs are split at white space


class Answered(NamedTuple):
    """What a system answered on a dataset, with all that its answers are made of.

    Attributes:
        queries: query_id -> what was searched for.
        run: The hits; deep enough to rank them again without a term.
        vectors: doc_id -> stored weights, of the hits and the relevant documents at least.
        values: query_id -> the deciding metric's value.
    """

    queries: Mapping[str, SparseVector]
    run: Run
    vectors: Mapping[str, SparseVector]
    values: Mapping[str, float]


def term_uses(
    answered: Answered,
    texts: Mapping[str, str],
    qrels: Qrels,
    shares: Mapping[str, float],
    *,
    most: int = 400,
) -> list[TermUse]:
    """Say what terms did: nDCG@10 of the same hits with a term, less that without it.

    Only the hits at hand are ranked again, so what a term brought in from below them is not seen.

    Args:
        answered: A system's answers.
        texts: query_id -> text.
        qrels: The judgements.
        shares: Term -> share of the documents that have it.
        most: Terms looked at, those of the most queries.

    Returns:
        The terms of the most queries first.
    """
    asked = {q: terms for q, terms in answered.queries.items() if q in qrels}
    having = Counter(term for terms in asked.values() for term in terms)
    chosen = [term for term, _ in sorted(having.items(), key=lambda x: (-x[1], x[0]))[:most]]
    gains = _gains(answered, asked, qrels, set(chosen))
    heaviest = {q: max(terms.values()) for q, terms in asked.items() if terms}
    uses = []
    for term in chosen:
        own = [q for q, terms in asked.items() if term in terms]
        weights = [asked[q][term] / heaviest[q] for q in own]
        expanded = sum(not written(term, texts[q]) for q in own)
        uses.append(
            TermUse(
                term=term,
                documents=shares.get(term, 0.0),
                queries=len(own) / len(asked),
                expanded=expanded / len(own),
                gain=sum(gains[term]) / len(own),
                weight=sum(weights) / len(own),
            )
        )
    return uses


def written(term: str, text: str) -> bool:
    """Whether a text holds a term: as a word's beginning, or as the later piece of a word it is.

    Scripts without spaces, and signs, are looked for anywhere.

    >>> written("##play", "a screenplay"), written("play", "players"), written("art", "a party")
    (True, True, False)
    """
    plain = term.removeprefix("##").lower()
    words = _WORD.findall(text.lower())
    if not _WORD.fullmatch(plain):
        return plain in text.lower()
    if term != plain and term.startswith("##"):
        return any(plain in word[1:] for word in words)
    return any(word.startswith(plain) for word in words)


def _gains(
    answered: Answered, asked: Mapping[str, SparseVector], qrels: Qrels, chosen: set[str]
) -> dict[str, list[float]]:
    """Term -> gain in each query that has it; where no hit has the term it is 0."""
    run: Run = {}
    judged: Qrels = {}
    gains: dict[str, list[float]] = defaultdict(list)
    for query_id, terms in asked.items():
        hits = answered.run.get(query_id, {})
        for term in chosen & terms.keys():
            name = f"{query_id}{_BETWEEN}{term}"
            without = _without(hits, term, terms[term], answered.vectors)
            if without is None:
                gains[term].append(0.0)
                continue
            run[name], judged[name] = without, qrels[query_id]
    if run:
        found = score_run(run, judged, (_METRIC,)).per_query[_METRIC]
        whole = score_run(answered.run, qrels, (_METRIC,)).per_query[_METRIC]
        for name, value in found.items():
            query_id, _, term = name.partition(_BETWEEN)
            gains[term].append(whole[query_id] - value)
    return gains


def _without(
    hits: Mapping[str, float], term: str, weight: float, vectors: Mapping[str, SparseVector]
) -> dict[str, float] | None:
    """The hits' scores without a term; None where it changes none."""
    parts = {d: weight * vectors[d].get(term, 0.0) for d in hits if d in vectors}
    if not any(parts.values()):
        return None
    return {d: score - parts.get(d, 0.0) for d, score in hits.items()}


class Named(NamedTuple):
    """A system's answers under its name."""

    name: str
    answered: Answered


def differences(
    dataset: str,
    system: Named,
    baseline: Named,
    qrels: Qrels,
    min_grade: int = 1,
    *,
    titles: Mapping[str, str],
    each: int = 5,
    terms: int = 8,
) -> list[Difference]:
    """The queries that one system answers best and worst against another, and why.

    Args:
        dataset: Its name.
        system: The system that is looked at.
        baseline: The one that it is compared with.
        qrels: The judgements.
        min_grade: The lowest grade that is relevant.
        titles: doc_id -> what a document is called.
        each: How many wins, and how many losses.
        terms: How many terms are named on each side.

    Returns:
        Wins, the largest first, then losses, the largest first.
    """
    values, others = system.answered.values, baseline.answered.values
    gaps = {q: value - others[q] for q, value in values.items() if q in others}
    wins = sorted((q for q in gaps if gaps[q] > 0), key=lambda q: (-gaps[q], q))[:each]
    losses = sorted((q for q in gaps if gaps[q] < 0), key=lambda q: (gaps[q], q))[:each]
    found = []
    for query_id in (*wins, *losses):
        doc_id, ranks = _telling(query_id, system, baseline, qrels[query_id], min_grade)
        found.append(
            Difference(
                dataset=dataset,
                query_id=query_id,
                system=system.name,
                baseline=baseline.name,
                values=(values[query_id], others[query_id]),
                doc_id=doc_id,
                title=titles.get(doc_id, ""),
                ranks=ranks,
                terms=_shares(system.answered, query_id, doc_id)[:terms],
                baseline_terms=_shares(baseline.answered, query_id, doc_id)[:terms],
            )
        )
    return found


def telling_documents(
    system: Named, baseline: Named, qrels: Qrels, min_grade: int = 1, *, each: int = 5
) -> set[str]:
    """The documents that ``differences`` will name, before their vectors are at hand."""
    found = differences("", system, baseline, qrels, min_grade, titles={}, each=each, terms=0)
    return {difference.doc_id for difference in found}


def _telling(
    query_id: str, system: Named, baseline: Named, grades: Mapping[str, int], min_grade: int
) -> tuple[str, tuple[int | None, int | None]]:
    """The relevant document whose reciprocal rank differs most, and its ranks."""
    places = [_places(side.answered.run.get(query_id, {})) for side in (system, baseline)]
    relevant = sorted(doc_id for doc_id, grade in grades.items() if grade >= min_grade)

    def gap(doc_id: str) -> float:
        first, second = (1 / p[doc_id] if doc_id in p else 0.0 for p in places)
        return abs(first - second)

    chosen = max(relevant, key=gap, default="")
    return chosen, (places[0].get(chosen), places[1].get(chosen))


def _places(hits: Mapping[str, float]) -> dict[str, int]:
    ranked = sorted(hits, key=lambda d: (-hits[d], d))
    return {doc_id: place for place, doc_id in enumerate(ranked, start=1)}


def _shares(answered: Answered, query_id: str, doc_id: str) -> list[TermShare]:
    """What a document's score is made of, the largest part first."""
    query = answered.queries.get(query_id, {})
    document = answered.vectors.get(doc_id, {})
    shares = [TermShare(t, w, document[t]) for t, w in query.items() if t in document]
    return sorted(shares, key=lambda s: (-s.query * s.document, s.term))


def expected_products(queries: Sequence[SparseVector], shares: Mapping[str, float]) -> float:
    """FLOPS as a metric: products a query and a document need on average.

    Sum over terms of the share of queries that have it times that of documents (Paria et al., 2020,
    https://arxiv.org/abs/2004.05665).
    """
    having = Counter(term for terms in queries for term in terms)
    return sum(n * shares.get(term, 0.0) for term, n in having.items()) / max(len(queries), 1)
