"""Examples to train on: triplets, scored negatives and teacher scores in every known layout.

Any layout is compiled once, streaming, into files that are mapped into memory.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparse_ir.config import nearest
from sparse_ir.data.corpora import files_stamp
from sparse_ir.data.examples_compile import compile_examples
from sparse_ir.data.examples_layouts import LAYOUTS, Wanted, recognise
from sparse_ir.data.examples_raw import grouped
from sparse_ir.data.examples_scored import ScoredExample, read_scored, write_examples
from sparse_ir.data.examples_table import ABOUT_NAME, Example, ExampleTable, TextTable
from sparse_ir.data.files import unwritable
from sparse_ir.errors import ConfigError
from sparse_ir.resources import cache as cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparse_ir.data.examples_layouts import Taken

__all__ = [
    "Example",
    "ExampleSettings",
    "ExampleTable",
    "ScoredExample",
    "TextTable",
    "open_examples",
    "read_scored",
    "write_examples",
]

_FORMAT = 1  # of the compiled files; another number compiles anew


@dataclass(frozen=True)
class ExampleSettings:
    """One source of examples.

    Attributes:
        source: A file, a folder, or a Hugging Face dataset id (``hf:owner/name[:config]``).
        layout: auto, triplets, scored, lightsplade, flagembedding, columns or beir.
        corpus: Where documents that are named by id are looked up, as ``read_documents`` takes it;
            by default what lies beside the examples.
        queries: The same for queries, as ``read_queries`` takes it.
        split: Which part of a dataset.
        negatives: Keep at most so many negatives of each example; None keeps all.
        limit: Take only the first so many examples.
        group: Join lines that follow one another with the same query and positive into one example
            with all their negatives; a file of triplets has one negative a line.
        qrels: Further judgements, as ``read_qrels`` takes them: what they call relevant is never a
            negative of that query, though no example names it as a positive.
        weight: Share of the batches relative to other sources, times the number of examples.
    """

    source: str
    layout: str = "auto"
    corpus: str | None = None
    queries: str | None = None
    split: str = "train"
    negatives: int | None = None
    limit: int | None = None
    group: bool = False
    qrels: str | None = None
    weight: float = 1.0


def open_examples(
    settings: ExampleSettings,
    *,
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> ExampleTable:
    """Open examples; the first time, and when a file has changed, they are compiled.

    Args:
        settings: Which examples.
        cache: Folder for compiled examples; the user's cache folder by default.
        advance: Called with the number of examples compiled.

    Raises:
        ConfigError: a setting is out of range.
        InputError: the source cannot be read, or a row is malformed or names an id that is in no
            corpus; file, line and id are named.
        StorageError: the cache cannot be written.
    """
    _check(settings)
    taken = recognise(
        Wanted(settings.source, settings.layout, settings.corpus, settings.queries, settings.split)
    )
    folder = (cache or cache_folder() / "examples") / _key(settings, taken)
    if not (folder / ABOUT_NAME).is_file():
        _compile(settings, taken, folder, advance)
    return ExampleTable(folder)


def _check(settings: ExampleSettings) -> None:
    if settings.layout not in LAYOUTS:
        raise ConfigError(
            f"layout is {settings.layout!r}. Use {', '.join(LAYOUTS)}."
            f"{nearest(settings.layout, LAYOUTS)}"
        )
    for name, least in (("negatives", 0), ("limit", 1)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} is {value}. It must be at least {least}.")
    if not 0 < settings.weight < float("inf"):
        raise ConfigError(f"weight is {settings.weight}. It must be a number above 0.")


def _compile(
    settings: ExampleSettings, taken: Taken, folder: Path, advance: Callable[[int], None]
) -> None:
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        aside.mkdir(parents=True)
        compile_examples(
            grouped(taken.examples()) if settings.group else taken.examples(),
            aside,
            about={"name": settings.source, "layout": taken.layout, "taken": taken.how},
            corpus=taken.corpus,
            queries=taken.queries,
            qrels=settings.qrels,
            negatives=settings.negatives,
            limit=settings.limit,
            advance=advance,
        )
        _put(aside, folder)
    except OSError as error:
        raise unwritable(folder, error) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put(aside: Path, folder: Path) -> None:
    """Give the compiled files their name, unless another process was first."""
    try:
        aside.rename(folder)
    except OSError:
        if not (folder / ABOUT_NAME).is_file():
            raise


def _key(settings: ExampleSettings, taken: Taken) -> str:
    chosen = {name: value for name, value in asdict(settings).items() if name != "weight"}
    places = (settings.source, taken.corpus, taken.queries, settings.qrels, *taken.files)
    what = [_FORMAT, chosen, taken.layout, [_stamp(place) for place in places]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _stamp(source: str | None) -> Any:
    """What changes when a source does, wherever this process stands."""
    if source is None or not Path(source).exists():
        return source and files_stamp(source)
    return files_stamp(str(Path(source).absolute()))
