"""What single terms did: the most used, and those that do not pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sparse_ir.evaluating.results import Results, TermUse

MOST = 10  # terms a list
COMMON = 0.25  # from this share of the documents on a term is common
HEAVY = 0.5  # from this share of a query's heaviest weight on a term is heavy
EXPANDED = 0.9  # from this share of its queries on a term counts as an expansion


class TermList(NamedTuple):
    """Some terms, and what they have in common."""

    title: str
    meaning: str
    terms: list[TermUse]


class SystemTerms(NamedTuple):
    """The terms of a system on a dataset."""

    dataset: str
    system: str
    lists: list[TermList]


def term_lists(results: Results, *, most: int = MOST) -> list[SystemTerms]:
    """Choose the terms to show of every system that says what its terms did."""
    return [
        SystemTerms(outcome.dataset, outcome.system, _lists(outcome.terms, most))
        for outcome in results.outcomes
        if outcome.terms
    ]


def _lists(terms: list[TermUse], most: int) -> list[TermList]:
    asked = [use for use in terms if use.queries > 0]
    stored = [use for use in terms if use.documents > 0]
    useless = [use for use in asked if use.expanded >= EXPANDED and use.gain <= 0]
    harmful = [use for use in asked if use.gain < 0]
    wacky = [use for use in asked if use.documents >= COMMON and use.weight >= HEAVY]
    return [
        TermList(
            "In most queries",
            "The terms that the largest share of the queries has.",
            sorted(asked, key=lambda use: -use.queries)[:most],
        ),
        TermList(
            "In most documents",
            "The terms that the largest share of the documents has; each makes an index larger "
            "and a search slower.",
            sorted(stored, key=lambda use: -use.documents)[:most],
        ),
        TermList(
            "Heavy though common",
            "Terms that at least a quarter of the documents has, and that weigh half as much as a "
            "query's heaviest term or more: they tell little and cost much (wacky weights, "
            "Mackenzie et al., 2021, arXiv 2110.11540).",
            sorted(wacky, key=lambda use: -use.documents * use.weight)[:most],
        ),
        TermList(
            "Expansions that do not help",
            "Terms that the model added to many queries (at least 90 % of those that have it do "
            "not hold it as a word) without a better answer.",
            sorted(useless, key=lambda use: -use.queries)[:most],
        ),
        TermList(
            "Terms that hurt most",
            "Without these terms the queries that have them would have been answered better.",
            sorted(harmful, key=lambda use: use.gain)[:most],
        ),
    ]
