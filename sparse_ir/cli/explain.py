"""``sparse-ir explain``."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from sparse_ir.cli.models import load_named
from sparse_ir.cli.options import (
    control_options,
    engine_option,
    json_option,
    query_encoder_option,
)
from sparse_ir.cli.output import console, print_json, print_table, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.models.base import Explanation
    from sparse_ir.searching.explain import PairExplanation, SharedTerm

_NAMED_MISSING = 8


@click.command(short_help="Show terms and the words they came from.")
@click.argument("texts", nargs=-1, required=True, metavar="TEXT [TEXT]")
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Folder, hub id, bm25 or index:NAME; repeat to compare side by side.",
)
@engine_option
@query_encoder_option
@click.option("--query", is_flag=True, help="Weigh a single text as a query.")
@control_options
@click.option(
    "--top", default=30, show_default=True, type=click.IntRange(min=1), help="Terms shown."
)
@json_option
def explain(
    texts: tuple[str, ...],
    models: tuple[str, ...],
    engine: str,
    query_encoder: str,
    query: bool,
    top: int,
    as_json: bool,
    ban: tuple[str, ...],
    boost: tuple[str, ...],
    pin: tuple[str, ...],
    lexical_only: bool,
    mask: str,
) -> None:
    """Show a text's terms and the word each came from; of two texts, what they share.

    Of two texts the first is the query, the second the document; the options that control terms
    hold for the query.
    """
    from sparse_ir.searching.control import parse_control, read_mask, require_known
    from sparse_ir.searching.explain import explain as explain_text
    from sparse_ir.searching.explain import explain_pair, explain_query

    control = parse_control(ban=ban, boost=boost, pin=pin, lexical_only=lexical_only)
    masked = read_mask(mask)
    if len(texts) == 1 and not query and (control.weighs or masked):
        raise click.UsageError("terms are controlled in queries. Add --query, or a second text.")
    if len(texts) > 2:
        raise click.UsageError("explain takes one text or two. Put each in quotes.")
    loaded = [
        load_named(name, engine=engine, texts=texts, queries=query_encoder)
        for name in models or (None,)
    ]
    for encoder, _ in loaded:
        require_known(control.terms, encoder.vocabulary)
    found: Any
    if len(texts) == 2:
        found = [
            (name, explain_pair(*texts, encoder, control=control, mask=masked))
            for encoder, name in loaded
        ]
        _pair(found, top=top, as_json=as_json)
    elif query:
        found = [
            (name, explain_query(texts[0], encoder, control=control, mask=masked))
            for encoder, name in loaded
        ]
        _one(found, top=top, as_json=as_json)
    else:
        found = [(name, explain_text(texts[0], encoder)) for encoder, name in loaded]
        _one(found, top=top, as_json=as_json)


def _one(found: Sequence[tuple[str, Explanation]], *, top: int, as_json: bool) -> None:
    if as_json:
        print_json([{"model": name, **_explanation_json(e)} for name, e in found])
        return
    columns = [[_origin(t) for t in e.terms[:top]] for _, e in found]
    rows = list(zip_longest(*columns, fillvalue=""))
    print_table([f"{name}: {len(e.terms)} terms" for name, e in found], rows)
    for name, e in found:
        if e.cut:
            cut = f"{name}: the text is longer than the model reads and was cut."
            console().print(printable(cut))
        if not e.terms:
            console().print(printable(f"{name}: no term."))


def _origin(term: Any) -> str:
    word = term.word or "(no word)"
    came = "" if word.lower() == term.term else f" ← {word}"
    return f"{term.weight:6.3f}  {term.term}{came}"


def _explanation_json(explanation: Explanation) -> dict[str, Any]:
    return {
        "text": explanation.text,
        "cut": explanation.cut,
        "terms": [term._asdict() for term in explanation.terms],
    }


def _pair(found: Sequence[tuple[str, PairExplanation]], *, top: int, as_json: bool) -> None:
    if as_json:
        print_json([{"model": name, **_pair_json(pair)} for name, pair in found])
        return
    if len(found) == 1:
        _print_pair(*found[0], top=top)
    else:
        _print_pairs(found, top=top)


def _pair_json(pair: PairExplanation) -> dict[str, Any]:
    return {
        "dot": pair.dot,
        "cosine": pair.cosine,
        "shared": [{**t._asdict(), "contribution": t.contribution} for t in pair.shared],
        "query": _explanation_json(pair.query),
        "document": _explanation_json(pair.document),
    }


def _print_pair(name: str, pair: PairExplanation, *, top: int) -> None:
    title = f"{name}: dot product {pair.dot:.3f}, cosine {pair.cosine:.3f}"
    if not pair.shared:
        console().print(printable(title))
        console().print(printable(_no_overlap(pair)))
        return
    rows = [
        [t.term, f"{t.contribution:.3f}", f"{t.query_weight:.3f}", f"{t.document_weight:.3f}",
         t.query_word, t.document_word]
        for t in pair.shared[:top]
    ]  # fmt: skip
    headers = ["shared term", "adds", "query", "document", "from", "from"]
    print_table(headers, rows, title=title)
    if len(pair.shared) > top:
        rest = sum(t.contribution for t in pair.shared[top:])
        console().print(f"{len(pair.shared) - top} more shared terms add {rest:.3f}.")


def _print_pairs(found: Sequence[tuple[str, PairExplanation]], *, top: int) -> None:
    """One column a model: what each shared term adds, largest first."""
    columns = [[_added(t) for t in pair.shared[:top]] or ["no shared term"] for _, pair in found]
    rows = list(zip_longest(*columns, fillvalue=""))
    headers = [f"{name}: dot {pair.dot:.3f}, cosine {pair.cosine:.3f}" for name, pair in found]
    print_table(headers, rows)
    for name, pair in found:
        if not pair.shared:
            console().print(printable(f"{name}: {_no_overlap(pair)}"))


def _added(term: SharedTerm) -> str:
    same = term.query_word.lower() == term.document_word.lower()
    words = term.query_word if same else f"{term.query_word} → {term.document_word}"
    came = "" if words.lower() == term.term else f" ({words})"
    return f"{term.contribution:6.3f}  {term.term}{came}"


def _no_overlap(pair: PairExplanation) -> str:
    return (
        "No shared term. The query asks for: "
        + _named(pair.query)
        + ". The document offers: "
        + _named(pair.document)
        + "."
    )


def _named(explanation: Explanation) -> str:
    if not explanation.terms:
        return "nothing (no term that the model knows)"
    shown = ", ".join(term.term for term in explanation.terms[:_NAMED_MISSING])
    more = len(explanation.terms) - _NAMED_MISSING
    return shown + (f" and {more} more" if more > 0 else "")
