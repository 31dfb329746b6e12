"""Compile a stream of examples into files that can be mapped into memory.

Texts go to disk as they come, so memory holds ids and numbers, never the texts. What is named only
by its id is looked up afterwards, in one pass over the corpus and one over the queries.
"""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.examples_table import ABOUT_NAME
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.data.examples_raw import RawExample, Text

_BATCH_ROWS = 4096
_BATCH_CHARACTERS = 1 << 22
_PAIRS = 1 << 20


class _ArrowFile:
    """An Arrow file written a batch at a time."""

    def __init__(self, path: Path, **types: Any) -> None:
        import pyarrow as pa

        self._schema = pa.schema(list(types.items()))
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, self._schema)
        self._columns: tuple[list[Any], ...] = tuple([] for _ in types)
        self._characters = 0

    def add(self, *row: Any, characters: int = 0) -> None:
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self._characters += characters
        if len(self._columns[0]) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS:
            self._flush()

    def add_batch(self, batch: Any) -> None:
        self._flush()
        self._writer.write_batch(batch)

    def _flush(self) -> None:
        import pyarrow as pa

        if self._columns[0]:
            self._writer.write_batch(pa.record_batch(list(self._columns), schema=self._schema))
            for column in self._columns:
                column.clear()
        self._characters = 0

    def close(self, *, whole: bool) -> None:
        if whole:
            self._flush()
        self._writer.close()
        self._sink.close()


class _Texts:
    """The texts of one side: a number for each id, a row on disk for each text."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.file = _ArrowFile(path, id=pa.string(), text=pa.string())
        self._numbers: dict[str, int] = {}
        self._rows = array("q")  # row on disk, -1 while there is no text
        self._digests = array("q")
        self._lines = array("q")  # where it was first needed, 0 while it is not
        self._files = array("q")
        self._stored = 0

    def number(self, text_id: str) -> int:
        """The number of an id; noting it does not ask for its text."""
        number = self._numbers.setdefault(text_id, len(self._numbers))
        if number == len(self._rows):
            self._rows.append(-1)
            for held in (self._digests, self._lines, self._files):
                held.append(0)
        return number

    def need(self, text: Text, line: int, file: int) -> int:
        """The number of a text that an example uses."""
        number = self.number(text.id)
        if not self._lines[number]:
            self._lines[number] = line or -1
            self._files[number] = file
        if text.text is not None:
            if self._rows[number] < 0:
                self._store(number, text.id, text.text)
            elif self._digests[number] != hash(text.text):
                raise ValueError(text.id)
        return number

    def _store(self, number: int, text_id: str, text: str) -> None:
        self.file.add(text_id, text, characters=len(text))
        self._digests[number] = hash(text)
        self._rows[number] = self._stored
        self._stored += 1

    def look_up(self, records: Iterator[tuple[str, str]], missing: int) -> None:
        """Store what is needed of a stream of ids and texts; stops once nothing is missing."""
        for text_id, text in records:
            number = self._numbers.get(text_id)
            if number is not None and self._lines[number] and self._rows[number] < 0:
                self._store(number, text_id, text)
                missing -= 1
                if not missing:
                    return

    def missing(self) -> NDArray[np.int64]:
        """Numbers that are needed and have no text, by the line that needs them first."""
        lines = np.array(self._lines, np.int64)
        return np.flatnonzero((np.array(self._rows, np.int64) < 0) & (lines != 0))

    def place(self, number: int) -> tuple[str, int | None, int]:
        """Id, line and file of the first example that needs it."""
        text_id = next(i for i, n in self._numbers.items() if n == number)
        line = self._lines[number]
        return text_id, line if line > 0 else None, self._files[number]

    def rows(self) -> NDArray[np.int64]:
        return np.array(self._rows, np.int64)

    def __len__(self) -> int:
        return self._stored


class _Pairs:
    """Pairs of numbers without doubles, 8 bytes each."""

    def __init__(self) -> None:
        self._new = array("Q")
        self._known = np.zeros(0, np.uint64)

    def add(self, query: int, document: int) -> None:
        self._new.append(query << 32 | document)
        if len(self._new) >= max(_PAIRS, len(self._known)):
            self._merge()

    def _merge(self) -> None:
        self._known = np.unique(np.concatenate([self._known, np.array(self._new, np.uint64)]))
        self._new = array("Q")

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        self._merge()
        low = np.uint64((1 << 32) - 1)
        return (self._known >> np.uint64(32)).astype(np.int64), (self._known & low).astype(np.int64)


def compile_examples(
    examples: Iterable[RawExample],
    folder: Path,
    *,
    about: dict[str, Any],
    corpus: str | None,
    queries: str | None,
    negatives: int | None = None,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Write the files of an ``ExampleTable`` into an empty folder.

    Args:
        examples: Read once.
        folder: Exists.
        about: What ``about.json`` says.
        corpus: Where documents that are named by id only are looked up.
        queries: The same for queries.
        negatives: Keep at most so many of each example.
        limit: Stop after so many examples.
        advance: Called with the number of examples read.

    Raises:
        InputError: there are no examples, an id is in no corpus, or has two texts.
    """
    compiler = _Compiler(folder, negatives, limit)
    whole = False
    try:
        compiler.read(examples, advance)
        compiler.look_up(queries, corpus)
        whole = True
    finally:
        compiler.close(whole=whole)
    compiler.number_by_rows()
    counts = {
        "examples": compiler.count,
        "queries": len(compiler.queries),
        "documents": len(compiler.documents),
    }
    (folder / ABOUT_NAME).write_text(json.dumps({**about, **counts}, ensure_ascii=False), "utf-8")


class _Compiler:
    def __init__(self, folder: Path, negatives: int | None, limit: int | None) -> None:
        import pyarrow as pa

        self._folder = folder
        self._negatives = negatives
        self._limit = limit
        self._types = {
            "query": pa.int32(),
            "documents": pa.list_(pa.int32()),
            "scores": pa.list_(pa.float32()),
        }
        self.queries = _Texts(folder / "queries.arrow")
        self.documents = _Texts(folder / "documents.arrow")
        self._raw = _ArrowFile(folder / "numbered.arrow", **self._types)
        self._pairs = _Pairs()
        self._paths: list[str] = []
        self.count = 0

    def read(self, examples: Iterable[RawExample], advance: Callable[[int], None]) -> None:
        for example in examples:
            before = self.count
            self._add(example)
            advance(self.count - before)
            if self._limit is not None and self.count >= self._limit:
                return

    def _add(self, example: RawExample) -> None:
        if not self._paths or self._paths[-1] != example.path:
            self._paths.append(example.path)
        where = (example.line, len(self._paths) - 1)
        stop = None if self._negatives is None else example.positives + self._negatives
        documents = example.documents[:stop]
        try:
            query = self.queries.need(example.query, *where)
            numbers = [self.documents.need(document, *where) for document in documents]
        except ValueError as error:
            raise InputError(
                f"the id {str(error)!r} stands for another text than before. Give each text an id "
                "of its own.",
                path=example.path,
                line=example.line or None,
            ) from None
        positives, rest = numbers[: example.positives], numbers[example.positives :]
        for number in (*positives, *(self.documents.number(i) for i in example.relevant)):
            self._pairs.add(query, number)
        for at, positive in enumerate(positives):
            if self._limit is not None and self.count >= self._limit:
                return
            self._raw.add(query, [positive, *rest], _scores(example, at, stop))
            self.count += 1

    def look_up(self, queries: str | None, corpus: str | None) -> None:
        if not self.count:
            raise InputError("holds no examples.", path=self._paths[0] if self._paths else None)
        self._look_up(self.queries, "query", queries, _query_texts)
        self._look_up(self.documents, "document", corpus, _document_texts)

    def _look_up(
        self,
        side: _Texts,
        what: str,
        source: str | None,
        read: Callable[[str], Iterator[tuple[str, str]]],
    ) -> None:
        missing = side.missing()
        setting = "queries" if what == "query" else "corpus"
        remedy = f"Set {setting} to the file that holds its text."
        if len(missing) and source is not None:
            side.look_up(read(source), len(missing))
            missing = side.missing()
            remedy = f"It is not in {source}."
        if len(missing):
            text_id, line, file = side.place(int(missing[0]))
            path = self._paths[file]
            raise InputError(
                f"names the {what} {text_id!r}, whose text is not known. {remedy}",
                path=path,
                line=line or _line_of(text_id, path),
            )

    def close(self, *, whole: bool) -> None:
        for file in (self._raw, self.queries.file, self.documents.file):
            file.close(whole=whole)

    def number_by_rows(self) -> None:
        """Replace numbers, given in order of appearance, by rows on disk."""
        import pyarrow as pa

        query_rows, document_rows = self.queries.rows(), self.documents.rows()
        self._write_relevant(query_rows, document_rows)
        numbered = self._folder / "numbered.arrow"
        out = _ArrowFile(self._folder / "examples.arrow", **self._types)
        with pa.memory_map(str(numbered)) as source:
            reader = pa.ipc.open_file(source)
            for at in range(reader.num_record_batches):
                out.add_batch(_renumbered(reader.get_batch(at), query_rows, document_rows))
        out.close(whole=True)
        numbered.unlink()

    def _write_relevant(
        self, query_rows: NDArray[np.int64], document_rows: NDArray[np.int64]
    ) -> None:
        import pyarrow as pa

        query_numbers, document_numbers = self._pairs.arrays()
        query, document = query_rows[query_numbers], document_rows[document_numbers]
        query, document = query[document >= 0], document[document >= 0]
        order = np.lexsort((document, query))
        counts = np.bincount(query, minlength=len(self.queries))
        offsets = np.concatenate([[0], np.cumsum(counts)])
        out = _ArrowFile(self._folder / "relevant.arrow", documents=self._types["documents"])
        for start in range(0, len(counts), _BATCH_ROWS):
            bounds = offsets[start : start + _BATCH_ROWS + 1]
            values = document[order[bounds[0] : bounds[-1]]]
            out.add_batch(
                pa.record_batch([_lists(bounds - bounds[0], values)], names=["documents"])
            )
        out.close(whole=True)


def _scores(example: RawExample, at: int, stop: int | None) -> Sequence[float] | None:
    if example.scores is None:
        return None
    return [example.scores[at], *example.scores[example.positives : stop]]


def _lists(offsets: NDArray[np.int64], values: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(values.astype(np.int32), pa.int32())
    )


def _renumbered(batch: Any, query_rows: NDArray[np.int64], document_rows: NDArray[np.int64]) -> Any:
    import pyarrow as pa

    query, documents, scores = batch.columns
    values = document_rows[documents.flatten().to_numpy()]
    queries = query_rows[query.to_numpy()].astype(np.int32)
    lists = _lists(documents.offsets.to_numpy().astype(np.int64), values)
    return pa.record_batch([pa.array(queries), lists, scores], schema=batch.schema)


def _query_texts(source: str) -> Iterator[tuple[str, str]]:
    return ((query.query_id, query.text) for query in read_queries(source))


def _document_texts(source: str) -> Iterator[tuple[str, str]]:
    return ((document.doc_id, document.content) for document in read_documents(source))


def _line_of(text_id: str, path: str) -> int | None:
    """Find the first line with an id among its columns: for what is read without line numbers."""
    from sparse_ir.data.files import open_text

    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, start=1):
                if text_id in line.rstrip("\n").split("\t") or text_id in line.split():
                    return number
    except InputError:
        pass
    return None
