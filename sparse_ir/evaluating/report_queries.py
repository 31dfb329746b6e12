"""The queries that tell systems apart, and those that all of them find hard."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.evaluating.results import Difference, Results, TermShare

HARDEST = 10  # queries a dataset
_PARTS = 8  # terms shown of a document's score


class Part(NamedTuple):
    """A term's part of a document's score with either system; the widths are percent of a bar."""

    term: str
    system: float
    baseline: float
    system_width: float
    baseline_width: float


class Duel(NamedTuple):
    """A query on which a system and the baseline differ."""

    query: str
    difference: Difference
    parts: list[Part]


class Duels(NamedTuple):
    """What a system won and lost against the baseline on a dataset, the largest first."""

    dataset: str
    system: str
    baseline: str
    wins: list[Duel]
    losses: list[Duel]


class HardQuery(NamedTuple):
    """A query with the values of all systems that were asked it."""

    query_id: str
    query: str
    relevant: int | None
    mean: float
    values: list[float | None]


class HardQueries(NamedTuple):
    """The queries of a dataset with the lowest mean over its systems."""

    dataset: str
    systems: list[str]
    queries: list[HardQuery]


def duels(results: Results) -> list[Duels]:
    """Group the differences by dataset and system, in the order of the benchmark."""
    texts = {facts.name: facts.queries for facts in results.datasets}
    groups: dict[tuple[str, str, str], list[Difference]] = {}
    for difference in results.differences:
        key = (difference.dataset, difference.system, difference.baseline)
        groups.setdefault(key, []).append(difference)
    datasets, systems = list(texts), results.systems
    order = sorted(groups, key=lambda key: (_place(key[0], datasets), _place(key[1], systems)))
    return [Duels(*key, *_wins_and_losses(groups[key], texts.get(key[0], {}))) for key in order]


def _place(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else len(names)


def _wins_and_losses(
    differences: Sequence[Difference], texts: dict[str, str]
) -> tuple[list[Duel], list[Duel]]:
    ordered = sorted(differences, key=lambda d: -abs(d.values[0] - d.values[1]))
    entries = [
        Duel(texts.get(d.query_id, ""), d, parts(d.terms, d.baseline_terms)) for d in ordered
    ]
    won = [duel for duel in entries if duel.difference.values[0] >= duel.difference.values[1]]
    lost = [duel for duel in entries if duel.difference.values[0] < duel.difference.values[1]]
    return won, lost


def parts(
    terms: Sequence[TermShare], baseline_terms: Sequence[TermShare], *, most: int = _PARTS
) -> list[Part]:
    """Put the terms of two scores side by side, those first whose shares differ most.

    Scores of different models have different scales, so a bar's width is relative to the largest
    part of the same system's score, and shares rather than parts are compared.
    """
    mine = _products(terms)
    theirs = _products(baseline_terms)
    my_total, their_total = sum(mine.values()) or 1.0, sum(theirs.values()) or 1.0
    my_top, their_top = max(mine.values(), default=1.0), max(theirs.values(), default=1.0)
    found = [
        Part(
            term,
            mine.get(term, 0.0),
            theirs.get(term, 0.0),
            _width(mine.get(term, 0.0), my_top),
            _width(theirs.get(term, 0.0), their_top),
        )
        for term in dict.fromkeys([*mine, *theirs])
    ]
    found.sort(key=lambda part: -abs(part.system / my_total - part.baseline / their_total))
    return found[:most]


def _products(terms: Sequence[TermShare]) -> dict[str, float]:
    return {share.term: share.query * share.document for share in terms}


def _width(value: float, top: float) -> float:
    return round(100 * max(value, 0.0) / top, 1) if top > 0 else 0.0


def hardest(results: Results, *, most: int = HARDEST) -> list[HardQueries]:
    """Find the queries of each dataset with the lowest mean of the first metric over systems."""
    found = []
    for facts in results.datasets:
        outcomes = results.of(facts.name)
        values = {
            name: outcome.per_query.get(results.metrics[0], {})
            for name, outcome in outcomes.items()
        }
        queries = []
        for query_id, text in facts.queries.items():
            row = [values[name].get(query_id) for name in outcomes]
            known = [value for value in row if value is not None]
            if known:
                mean = sum(known) / len(known)
                relevant = facts.relevant.get(query_id)
                queries.append(HardQuery(query_id, text, relevant, mean, row))
        queries.sort(key=lambda query: query.mean)  # stable: equal ones stay in order
        if queries:
            found.append(HardQueries(facts.name, list(outcomes), queries[:most]))
    return found
