"""``sparse-ir search``."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.options import engine_option, index_option, json_option, search_options
from sparse_ir.cli.output import console, note, print_json, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.searching.explain import SharedTerm
    from sparse_ir.searching.search import Searcher, SearchResult
    from sparse_ir.types import Query, ScoredDoc

_SHOWN_TERMS = 8
_SHOWN_CHARACTERS = 200


@click.command(short_help="Search an index.")
@click.argument("query", nargs=-1)
@click.option("--queries", help="Answer the queries of this file instead.")
@index_option
@engine_option
@click.option("--model", help="Another query encoder that fits the index.")
@click.option("-k", "--k", "k", default=10, show_default=True, help="Hits per query.")
@click.option("--offset", default=0, help="Pass over so many hits first.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="COND",
    help="field=value, field=a|b, field>=number; repeat to ask for all.",
)
@search_options
@click.option("--explain", is_flag=True, help="Show which terms matched and their words.")
@click.option("--save-run", help="Write the hits to this file (TREC), and its manifest.")
@json_option
def search(
    query: tuple[str, ...],
    queries: str | None,
    explain: bool,
    save_run: str | None,
    as_json: bool,
    **options: object,
) -> None:
    """Search an index: sparse-ir search "your question".

    Several words without quotes are one query. The index knows which model made it.
    """
    from sparse_ir.config import load_settings
    from sparse_ir.searching.search import Searcher, SearchSettings

    asked = _asked(query, queries)
    settings = load_settings(SearchSettings, options, where="search")
    with Searcher(settings) as searcher:
        started = datetime.now(timezone.utc)
        results = searcher.search(asked, vectors=explain)
        if save_run is not None:
            _save_run(results, save_run, searcher, queries, started)
        first = settings.offset + 1
        for result in results:
            if as_json:
                print_json(_as_json(result, searcher, explain=explain, first=first))
            elif save_run is None:
                print_result(result, searcher, explain=explain, first=first)


def _asked(words: Sequence[str], path: str | None) -> list[Query]:
    from sparse_ir.data.corpora import read_queries
    from sparse_ir.types import Query

    text = " ".join(words).strip()
    if bool(text) == (path is not None):
        raise click.UsageError(
            'Give a query, as in: sparse-ir search "your question", or --queries FILE.'
        )
    return list(read_queries(path, vectors=True)) if path is not None else [Query("1", text)]


def _save_run(
    results: Sequence[SearchResult],
    path: str,
    searcher: Searcher,
    queries: str | None,
    started: datetime,
) -> None:
    from sparse_ir.searching.runs import save_run

    run = {r.query.query_id: {hit.doc_id: hit.score for hit in r.hits} for r in results}
    save_run(path, run, searcher, queries=queries, k=searcher.settings.k, started=started)
    note(f"{path}: {sum(map(len, run.values())):,} hits of {len(run):,} queries.")


def _as_json(
    result: SearchResult, searcher: Searcher, *, explain: bool, first: int
) -> dict[str, Any]:
    matched = _matched(result, searcher) if explain else [()] * len(result.hits)
    hits = []
    for rank, (hit, terms) in enumerate(zip(result.hits, matched, strict=True), start=first):
        row: dict[str, Any] = {"rank": rank, "doc_id": hit.doc_id, "score": hit.score}
        if hit.document is not None:
            row |= {"title": hit.document.title, "text": hit.document.text}
            row["metadata"] = dict(hit.document.metadata)
        if explain:
            row["terms"] = [{**t._asdict(), "contribution": t.contribution} for t in terms]
        hits.append(row)
    return {
        "query_id": result.query.query_id,
        "query": result.query.text,
        "terms": result.terms,
        "hits": hits,
    }


def _matched(result: SearchResult, searcher: Searcher) -> list[tuple[SharedTerm, ...]]:
    from sparse_ir.searching.explain import explain_hit

    if searcher.settings.dense_only:
        raise click.UsageError("--explain names terms that matched; --dense-only searches none.")
    if result.query.vector is not None or searcher.settings.query_encoder == "ready":
        raise click.UsageError(
            "--explain names the words that a model weighed; ready query vectors have none."
        )
    query = searcher.encoder.explain(result.query.text, query=True)
    return [explain_hit(result.terms, query, hit, searcher.encoder) for hit in result.hits]


def print_result(result: SearchResult, searcher: Searcher, *, explain: bool, first: int) -> None:
    """Print one answered query: a headline, a snippet and, if asked, the matched terms a hit."""
    from rich.padding import Padding
    from rich.text import Text

    out = console()
    if result.query.query_id != "1" or explain:
        out.print(Text(printable(result.query.text), style="bold"))
    if explain:
        out.print(_query_line(result))
    if not result.hits:
        out.print(_nothing(result, searcher))
    matched = _matched(result, searcher) if explain else [()] * len(result.hits)
    for rank, (hit, terms) in enumerate(zip(result.hits, matched, strict=True), start=first):
        out.print(_headline(rank, hit))
        body = _snippet(hit)
        if body:
            out.print(Padding(Text(printable(body)), (0, 0, 0, 4)))
        if explain:
            out.print(Padding(_matched_line(terms), (0, 0, 0, 4)))


def _query_line(result: SearchResult) -> Any:
    from rich.text import Text

    heaviest = sorted(result.terms.items(), key=lambda t: (-t[1], t[0]))[:_SHOWN_TERMS]
    terms = " ".join(f"{term} {weight:.2f}" for term, weight in heaviest)
    more = len(result.terms) - len(heaviest)
    line = f"query terms: {terms}" + (f" and {more} more" if more > 0 else "")
    return Text(printable(line), style="dim")


def _nothing(result: SearchResult, searcher: Searcher) -> str:
    if searcher.by_dense:
        return "No hit: the index is empty, or a filter (or required term) leaves no document."
    if not result.terms and not searcher.settings.hybrid:
        return "No hit: the query has no term that the model knows."
    unknown = searcher.unknown_field()
    if unknown is not None:
        field, there = unknown
        known = f"there are {', '.join(there)}" if there else "they have none"
        return f"No hit: no document looked at has a field {field!r} to filter by ({known})."
    return "No hit: no document shares a term with the query (or a filter leaves none)."


def _headline(rank: int, hit: ScoredDoc) -> Any:
    from rich.text import Text

    line = Text(f"{rank:>2}. ")
    line.append(f"{hit.score:.2f}  ", style="cyan")
    line.append(printable(hit.doc_id), style="bold")
    title = hit.document.title if hit.document is not None else ""
    if title and title != hit.doc_id:
        same = title.startswith(hit.doc_id)
        line.append(printable(title.removeprefix(hit.doc_id) if same else f"  {title}"))
    return line


def _snippet(hit: ScoredDoc) -> str:
    if hit.document is None:
        return ""
    text = " ".join(hit.document.text.split())
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return text[:_SHOWN_CHARACTERS].rsplit(" ", 1)[0] + " …"


def _matched_line(terms: Sequence[SharedTerm]) -> Any:
    from rich.text import Text

    line = Text(style="dim")
    for term in terms[:_SHOWN_TERMS]:
        line.append(printable(term.term), style="green")
        line.append(f" {term.contribution:.2f}")
        line.append(printable(_words(term)) + "  ")
    rest = terms[_SHOWN_TERMS:]
    if rest:
        line.append(f"{len(rest)} more {sum(term.contribution for term in rest):.2f}")
    return line


def _words(term: SharedTerm) -> str:
    """Where the term came from, if that is not the word itself."""
    query, document = term.query_word.lower(), term.document_word.lower()
    if query == term.term == document:
        return ""
    return f" ({term.query_word} → {term.document_word})"
