"""Compile a stream of examples into files that can be mapped into memory.

Texts go to disk as they come, so memory holds ids and numbers, never the texts. What is named only
by its id is looked up afterwards, in one pass over the corpus and one over the queries.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.examples_table import ABOUT_NAME
from sparse_ir.data.examples_writing import ArrowFile, Pairs, TextFile
from sparse_ir.data.trec import read_qrels
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sparse_ir.data.examples_raw import RawExample

_BATCH_ROWS = 4096


def compile_examples(
    examples: Iterable[RawExample],
    folder: Path,
    *,
    about: dict[str, Any],
    corpus: str | None,
    queries: str | None,
    qrels: str | None = None,
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
        qrels: Judgements that say which further documents are relevant.
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
        if qrels is not None:
            compiler.judge(qrels)
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
        self.queries = TextFile(folder / "queries.arrow")
        self.documents = TextFile(folder / "documents.arrow")
        self._raw = ArrowFile(folder / "numbered.arrow", **self._types)
        self._pairs = Pairs()
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

    def judge(self, qrels: str) -> None:
        """Note what judgements call relevant, of queries and documents that examples use."""
        for query_id, graded in read_qrels(qrels).items():
            query = self.queries.known(query_id)
            for doc_id, grade in graded.items():
                document = self.documents.known(doc_id)
                if query is not None and document is not None and grade > 0:
                    self._pairs.add(query, document)

    def look_up(self, queries: str | None, corpus: str | None) -> None:
        if not self.count:
            raise InputError("holds no examples.", path=self._paths[0] if self._paths else None)
        self._look_up(self.queries, "query", queries, _query_texts)
        self._look_up(self.documents, "document", corpus, _document_texts)

    def _look_up(
        self,
        side: TextFile,
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
        out = ArrowFile(self._folder / "examples.arrow", **self._types)
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
        out = ArrowFile(self._folder / "relevant.arrow", documents=self._types["documents"])
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
