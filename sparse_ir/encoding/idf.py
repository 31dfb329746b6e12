"""Make the inference-free query side of a model and a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.data.corpora import read_documents
from sparse_ir.errors import ConfigError
from sparse_ir.models.corpus_idf import MadeFor, idf_table, save_beside, save_query_side
from sparse_ir.models.loading import find_model, load_encoder
from sparse_ir.models.sides import TableLayout, read_sides
from sparse_ir.models.unicoil_files import read_unicoil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparse_ir.data.rows import BadRow


class IdfReport(NamedTuple):
    """What was made.

    Attributes:
        folder: Where it lies.
        documents: How many were counted.
        tokens: How many weigh something.
        beside: Whether it lies beside the model itself.
    """

    folder: Path
    documents: int
    tokens: int
    beside: bool


def make_idf(
    corpus: str,
    out: str | Path,
    *,
    model: str | None = None,
    limit: int | None = None,
    on_bad: Callable[[BadRow], None] | None = None,
    replace: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> IdfReport:
    """Count a corpus and write a table of token weights.

    Args:
        corpus: As ``read_documents`` takes it: what is indexed, or much like it.
        out: A new folder for the query side alone; or the folder of the model, which then has the
            table beside it.
        model: As ``load_encoder`` takes it: what weighs the documents.
        limit: Read at most so many documents.
        on_bad: As ``read_documents`` takes it.
        replace: Replace one that was made before.
        advance: Called with the number of documents counted, as they are.

    Raises:
        InputError: the corpus cannot be read, or has no text.
        ModelError: the model cannot be loaded or has no fast tokenizer.
        ConfigError: something else lies there, or the model takes no table beside it.
        StorageError: it cannot be written.
    """
    name, source = find_model(model)
    sides = read_sides(source)
    folder = Path(out).expanduser().resolve()
    beside = folder == source
    if beside and read_unicoil(source) is not None:
        raise ConfigError(
            f"{source} is a uniCOIL model, which is loaded without a table beside it. Name another "
            "folder with --out."
        )
    if beside and isinstance(sides.queries, TableLayout):
        raise ConfigError(
            f"{source} weighs queries by a table of its own. Name another folder with --out."
        )
    documents = "" if beside else load_encoder(model).fingerprint

    def texts() -> Iterator[str]:
        for document in read_documents(corpus, limit=limit, on_bad=on_bad):
            yield document.content
            advance(1)

    table, counted = idf_table(texts(), sides.documents)
    if beside:
        save_beside(folder, table, replace=replace)
    else:
        made_for = MadeFor(documents, name, corpus, counted)
        save_query_side(folder, table, sides.documents, made_for, replace=replace)
    return IdfReport(folder, counted, len(table), beside)
