"""The report as Markdown, for a README, an issue or a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparse_ir.evaluating import report_sentences as say
from sparse_ir.evaluating.report_costs import COLUMNS, QUANTILES, STAGES, cost_cells, latency_rows
from sparse_ir.evaluating.report_queries import duels, hardest
from sparse_ir.evaluating.report_terms import term_lists
from sparse_ir.evaluating.report_words import (
    DASH,
    clipped,
    count,
    figure,
    metric_name,
    p_value,
    percent,
    provenance_rows,
    score,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.evaluating.report_quality import Comparisons, QualityTable, Score
    from sparse_ir.evaluating.report_queries import Duel
    from sparse_ir.evaluating.results import Results

# What begins a heading, a quotation or a list does so at the beginning only, and an underscore
# within a word is itself: names such as splade-v3 and rank_features stay readable.
_SPECIAL = re.compile(r"([\\`*\[\]|~$]|^[#+=-]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z]))")
_NUMBERED = re.compile(r"^(\d+)([.)])(?= |$)")
# Embeddings and overrides of the direction of writing: one that is never closed turns the rest of
# a table around. On the page <bdi> keeps them apart; Markdown has no such thing.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_TERMS = 5  # of a duel's document


def escape(text: str, length: int = 300) -> str:
    r"""A text of a stranger as Markdown that shows it and nothing else, in a table's cell too.

    >>> escape("a|b <i>\n*c*")
    'a\\|b &lt;i&gt; \\*c\\*'
    """
    line = _SPECIAL.sub(r"\\\1", _DIRECTION.sub("", clipped(text, length)))
    line = _NUMBERED.sub(r"\1\\\2", line)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown(results: Results, tables: Sequence[QualityTable], compared: Comparisons) -> str:
    """Write the whole report."""
    blocks = [
        *_head(results),
        *_quality(results, tables, compared),
        *_costs(results),
        *_latency(results),
        *_duels(results),
        *_hardest(results),
        *_terms(results),
    ]
    return "\n\n".join(blocks) + "\n"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A table of cells that are escaped already; all columns but the first are figures."""
    rule = ["---"] * left + ["---:"] * (len(heading) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *rows))


def _head(results: Results) -> Iterator[str]:
    yield f"# {escape(results.name)}"
    made = provenance_rows(results.made)
    if made:
        yield "\n".join(f"- {name}: {escape(text, 2000)}" for name, text in made)


def _quality(
    results: Results, tables: Sequence[QualityTable], compared: Comparisons
) -> Iterator[str]:
    yield "## Quality"
    said = [say.BEST] if len(results.systems) > 1 else []
    said += [escape(say.marks(results), 2000)] if compared else []
    if said:
        yield " ".join(said)
    if results.left_out:
        yield "\n".join(f"- {escape(line, 2000)}" for line in results.left_out)
    for quality in tables:
        yield f"### {escape(metric_name(quality.metric))}"
        rows = [[escape(row.system), *map(_cell, row.scores)] for row in quality.rows]
        rows += [
            [f"{escape(row.system)} (published, {row.source})", *map(_cell, row.scores)]
            for row in quality.published
        ]
        yield table(["System", *map(escape, quality.columns)], rows)
        if quality.sources:
            yield "\n".join(f"{i}. {escape(s)}" for i, s in enumerate(quality.sources, start=1))
    yield from _comparisons(results, compared)


def _cell(cell: Score) -> str:
    shown = score(cell.value)
    return " ".join(filter(None, [f"**{shown}**" if cell.best else shown, cell.mark]))


def _comparisons(results: Results, compared: Comparisons) -> Iterator[str]:
    rows = [
        [
            *(escape(dataset), escape(system)),
            *(signed(versus.difference, 4), escape(p_value(versus.p_value))),
            *(escape(p_value(versus.corrected)), count(versus.wins)),
            *(count(versus.ties), count(versus.losses)),
        ]
        for (metric, dataset), systems in compared.items()
        if metric == results.metrics[0]
        for system, versus in systems.items()
    ]
    if rows:
        yield f"### {escape(metric_name(results.metrics[0]))}, less that of the baseline"
        heading = ["Difference", "p", "p, corrected", "Wins", "Ties", "Losses"]
        yield table(["Dataset", "System", *heading], rows, left=2)


def _costs(results: Results) -> Iterator[str]:
    yield "## Costs"
    yield say.COSTS
    heading = ["Dataset", "System", "Engine", "Field", *(column.heading for column in COLUMNS)]
    rows = [
        [
            *(escape(outcome.dataset), escape(outcome.system), escape(outcome.engine)),
            *(escape(outcome.field) or DASH, *cost_cells(outcome)),
        ]
        for outcome in results.outcomes
    ]
    yield table(heading, rows, left=4)


def _latency(results: Results) -> Iterator[str]:
    yield "## Latency"
    yield say.LATENCY
    names = [f"{stage}, {quantile}" for stage in STAGES.values() for quantile in QUANTILES]
    rows = [
        [
            *(escape(facts.name), escape(row.system), row.clients),
            *(*row.milliseconds, row.per_second, row.queries),
        ]
        for facts in results.datasets
        for row in latency_rows(list(results.of(facts.name).values()))
    ]
    heading = ["Dataset", "System", "Clients", *names, "Queries a second", "Queries timed"]
    yield table(heading, rows, left=2)


def _duels(results: Results) -> Iterator[str]:
    yield "## Wins and losses"
    groups = duels(results)
    if not groups:
        yield "There is nothing to compare, or no query was answered differently."
        return
    yield (
        f"By {escape(metric_name(results.metrics[0]))}, with the relevant document whose rank "
        "differs most and the terms that its two scores differ in: what each adds to the score "
        "with the system and with the baseline."
    )
    for group in groups:
        system, baseline = escape(group.system), escape(group.baseline)
        yield f"### {escape(group.dataset)}: {system} against {baseline}"
        heading = ["Query", "Document", "Terms", system, baseline, "Rank", "Rank, baseline"]
        rows = [_duel(duel) for duel in (*group.wins, *group.losses)]
        yield table(heading, rows, left=3)


def _duel(duel: Duel) -> list[str]:
    d = duel.difference
    terms = [
        f"{escape(part.term, 60)} {figure(part.system or None)}/{figure(part.baseline or None)}"
        for part in duel.parts[:_TERMS]
    ]
    ranks = [count(rank) for rank in d.ranks]
    document = escape(d.title or d.doc_id, 160)
    query = escape(duel.query or d.query_id)
    return [query, document, ", ".join(terms) or DASH, *map(score, d.values), *ranks]


def _hardest(results: Results) -> Iterator[str]:
    yield "## Hardest queries"
    yield say.HARDEST
    for group in hardest(results):
        yield f"### {escape(group.dataset)}"
        heading = ["Query", "Relevant documents", "Mean", *map(escape, group.systems)]
        yield table(
            heading,
            [
                [escape(q.query), count(q.relevant), score(q.mean), *map(score, q.values)]
                for q in group.queries
            ],
        )


def _terms(results: Results) -> Iterator[str]:
    groups = term_lists(results)
    if not groups:
        return
    yield "## Terms"
    yield say.TERMS
    for group in groups:
        yield f"### {escape(group.dataset)}: {escape(group.system)}"
        for found in group.lists:
            if found.terms:
                yield f"{found.title}. {found.meaning}"
                yield table(
                    ["Term", "Queries", "Documents", "Added", "Weight", "Gain"],
                    [
                        [
                            *(escape(use.term, 60), percent(use.queries), percent(use.documents)),
                            *(percent(use.expanded), percent(use.weight), signed(use.gain, 4)),
                        ]
                        for use in found.terms
                    ],
                )
