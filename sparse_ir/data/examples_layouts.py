"""Which layout a source of examples has, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.examples_lightsplade import find_lightsplade, lightsplade_examples
from sparse_ir.data.examples_raw import RawExample, by_id, make_example, refusal
from sparse_ir.data.examples_rows import CONVERTERS, layout_of
from sparse_ir.data.examples_sources import find_tables, is_beir
from sparse_ir.data.examples_tsv import tsv_examples
from sparse_ir.data.records import RowError
from sparse_ir.data.rows import BadRow
from sparse_ir.data.sources import find_named
from sparse_ir.errors import ConfigError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparse_ir.data.examples_sources import Table

LAYOUTS = ("auto", "triplets", "scored", "lightsplade", "flagembedding", "columns", "beir")


class Taken(NamedTuple):
    """How a source is understood.

    Attributes:
        layout: Its layout.
        how: The same for people.
        examples: Reads it from the start.
        corpus: Where documents that are named by id are looked up.
        queries: The same for queries.
        files: What is read besides: when it changes, the examples do.
    """

    layout: str
    how: str
    examples: Callable[[], Iterator[RawExample]]
    corpus: str | None
    queries: str | None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What of ``ExampleSettings`` decides how a source is read."""

    source: str
    layout: str
    corpus: str | None
    queries: str | None
    split: str


def recognise(wanted: Wanted) -> Taken:
    """Tell the layout of a source by its files and columns, or take the one that is asked for.

    Raises:
        InputError: there is no such source, it has no layout that is known, or another one than
            asked for.
    """
    folder = Path(wanted.source)
    if wanted.layout in ("auto", "lightsplade") and folder.is_dir():
        found = find_lightsplade(folder, wanted.split)
        if found is not None:
            kind = "scores" if found.scores else "triplets" if found.triplets else "positives"
            return Taken(
                "lightsplade",
                f"light-splade masters with {kind}, {found.queries.parent}",
                lambda: lightsplade_examples(found),
                wanted.corpus or str(found.documents),
                wanted.queries or str(found.queries),
                tuple(str(path) for path in found if path is not None),
            )
    if wanted.layout == "lightsplade":
        raise InputError("the folder holds no query_master.ndjson.", path=wanted.source)
    if wanted.layout == "beir" or (wanted.layout == "auto" and is_beir(wanted.source)):
        return _beir(wanted)
    return _tables(wanted)


def _beir(wanted: Wanted) -> Taken:
    from sparse_ir.data.datasets import open_dataset
    from sparse_ir.data.trec import read_qrels

    corpus, queries, qrels, least = wanted.corpus, wanted.queries, wanted.source, 1
    if not Path(wanted.source).is_file() and not wanted.source.startswith("irds:"):
        dataset = open_dataset(wanted.source, split=wanted.split)
        corpus, queries = corpus or dataset.corpus, queries or dataset.queries
        qrels, least = dataset.qrels, max(1, dataset.min_grade)

    def examples() -> Iterator[RawExample]:
        for query_id, graded in read_qrels(qrels).items():
            relevant = [doc_id for doc_id, grade in graded.items() if grade >= least]
            if relevant:
                documents = [by_id(doc_id, "positive") for doc_id in relevant]
                yield make_example((qrels, 0), by_id(query_id, "query"), documents, [])

    return Taken(
        "beir", f"judgements without negatives, {qrels}", examples, corpus, queries, (qrels,)
    )


def _tables(wanted: Wanted) -> Taken:
    tables = find_tables(wanted.source, wanted.split)
    beside = Path(wanted.source).parent if Path(wanted.source).is_file() else None
    corpus, queries = _texts(wanted, beside)
    first = tables[0].first()
    if isinstance(first, list):
        return _tsv(wanted, tables, first, corpus, queries)
    found = layout_of(first)
    layout = found if wanted.layout == "auto" else wanted.layout
    if layout is None:
        raise InputError(
            f"has no columns that are known (found: {', '.join(first) or 'none'}). Name them query,"
            " positive and negative, or set the layout.",
            path=tables[0].label,
        )
    if layout not in CONVERTERS:
        raise ConfigError(f"layout {layout!r} is not read from {wanted.source}.")
    if layout == "flagembedding" and wanted.layout == "auto" and _single_texts(first):
        layout = "triplets"
    how = f"{layout}, columns {', '.join(first)}"
    return Taken(layout, how, lambda: _converted(tables, layout), corpus, queries)


def _single_texts(row: dict[str, Any]) -> bool:
    return isinstance(row.get("pos"), str)


def _texts(wanted: Wanted, beside: Path | None) -> tuple[str | None, str | None]:
    """Corpus and queries: as set, else those of a corpus folder, else files beside the examples."""
    corpus, queries = wanted.corpus, wanted.queries
    folder = Path(corpus) if corpus is not None else beside
    if folder is not None and folder.is_dir():
        corpus = corpus or _named(folder, "corpus")
        queries = queries or _named(folder, "queries")
    return corpus, queries


def _named(folder: Path, stem: str) -> str | None:
    path = find_named(folder, stem)
    return None if path is None else str(path)


def _tsv(
    wanted: Wanted,
    tables: list[Table],
    first: list[str],
    corpus: str | None,
    queries: str | None,
) -> Taken:
    numbers = all(value.strip().isdigit() for value in first)
    ids = wanted.corpus is not None or numbers
    if wanted.layout not in ("auto", "triplets") or (wanted.layout == "auto" and len(first) < 3):
        raise InputError(
            f"has {len(first)} tab-separated columns without a known header. Expected triplets: "
            "query, positive, negative.",
            path=tables[0].label,
        )
    how = f"triplets of {'ids' if ids else 'texts'}, tab-separated"

    def examples() -> Iterator[RawExample]:
        return chain.from_iterable(tsv_examples(table.label, ids=ids) for table in tables)

    return Taken("triplets", how, examples, corpus, queries)


def _converted(tables: list[Table], layout: str) -> Iterator[RawExample]:
    convert = CONVERTERS[layout]
    for table in tables:
        for line, row in table.rows():
            try:
                yield convert(_usable(row), (table.label, line))
            except RowError as error:
                raise refusal(error, table.label, line) from None


def _usable(row: dict[str, Any] | BadRow) -> dict[str, Any]:
    if isinstance(row, BadRow):
        raise RowError(row.reason)
    return row
