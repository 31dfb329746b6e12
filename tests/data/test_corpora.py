from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zlib
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.data.corpora import BadRow, read_documents, read_queries
from sparse_ir.errors import InputError
from sparse_ir.types import Document, Query

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [
    Document("a b", "first text", "first title", {"year": 2020}),
    Document("文書#2", "second\ntext"),
]
LINES = (
    '{"_id": "a b", "title": "first title", "text": "first text", "metadata": {"year": 2020}}\n'
    '{"_id": "文書#2", "title": "", "text": "second\\ntext", "metadata": {}}\n'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpora")


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_jsonl_file_gives_its_documents(tmp_path):
    assert list(read_documents(write(tmp_path / "x.jsonl", LINES))) == DOCUMENTS


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"])
def test_a_beir_folder_gives_its_corpus_and_its_queries(tmp_path, name):
    pack = {"gz": gzip.compress, "zst": zstandard.compress}.get(name.rpartition(".")[2], bytes)
    (tmp_path / name).write_bytes(pack(LINES.encode()))
    write(tmp_path / "queries.jsonl", '{"_id": "q 1", "text": "what?"}\n')
    write(tmp_path / "meta.json", "{}")
    assert list(read_documents(str(tmp_path))) == DOCUMENTS
    assert list(read_queries(str(tmp_path))) == [Query("q 1", "what?")]


def test_a_folder_of_files_is_read_in_order_of_their_names(tmp_path):
    for name in ("b.jsonl", "a.tsv", "c.csv"):
        text = {"a.tsv": "1\tone\n", "b.jsonl": '{"id": 2, "text": "two"}\n'}.get(name)
        write(tmp_path / name, text or "id,text\n3,three\n")
    pq.write_table(pa.table({"docid": [4], "contents": ["four"]}), tmp_path / "d.parquet")
    write(tmp_path / "README.md", "not a corpus")
    write(tmp_path / ".hidden.jsonl", "nor this")
    texts = [(d.doc_id, d.text) for d in read_documents(str(tmp_path))]
    assert texts == [("1", "one"), ("2", "two"), ("3", "three"), ("4", "four")]


class Typed:
    """Stands in for sys.stdin, which has its bytes under .buffer."""

    def __init__(self, stream: BinaryIO) -> None:
        self.buffer = stream


def flushed_gzip(data: bytes) -> bytes:
    """A gzip stream so far: more may follow."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_standard_input_is_jsonl_or_tsv(monkeypatch, pack):
    monkeypatch.setattr(sys, "stdin", Typed(io.BytesIO(pack(LINES.encode()))))
    assert list(read_documents("-")) == DOCUMENTS
    monkeypatch.setattr(sys, "stdin", Typed(io.BytesIO(pack(b"7\tseven\n"))))
    assert list(read_documents("-")) == [Document("7", "seven")]
    monkeypatch.setattr(sys, "stdin", Typed(io.BytesIO(pack(b"what is this\nand this?\n"))))
    assert list(read_queries("-")) == [Query("1", "what is this"), Query("2", "and this?")]


@pytest.mark.parametrize("pack", [bytes, flushed_gzip])
def test_documents_come_while_standard_input_is_still_open(monkeypatch, pack):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as feed:
        monkeypatch.setattr(sys, "stdin", Typed(stream))
        feed.write(pack(LINES.encode()))
        assert list(islice(read_documents("-"), 2)) == DOCUMENTS


def test_queries_of_a_text_file_are_lines_or_ms_marco_topics(tmp_path):
    path = write(tmp_path / "q.txt", "one query\n\nanother\n")
    assert list(read_queries(path)) == [Query("1", "one query"), Query("3", "another")]
    path = write(tmp_path / "topics.txt", "1048585\twhat is paula deen's brother\n2\t Androgen\n")
    assert next(read_queries(path)) == Query("1048585", "what is paula deen's brother")


def test_limit_reads_no_further(tmp_path):
    path = write(tmp_path / "x.jsonl", LINES + "malformed\n")
    assert list(read_documents(path, limit=2)) == DOCUMENTS
    assert list(read_documents(path, limit=0)) == []
    path = write(tmp_path / "q.txt", "a\nb\n")
    assert list(read_queries(path, limit=1)) == [Query("1", "a")]


BAD = (
    '{"_id": "1", "text": "fine"}\n'
    '{"_id": "2", "text": \n'
    '{"text": "no id"}\n'
    '{"_id": "4", "text": " "}\n'
    '{"_id": "1", "text": "again"}\n'
    '{"_id": "6", "text": "fine too"}\n'
)


def test_bad_rows_are_reported_with_their_lines_and_passed_over(tmp_path):
    path = write(tmp_path / "x.jsonl", BAD)
    bad: list[BadRow] = []
    assert [d.doc_id for d in read_documents(path, on_bad=bad.append)] == ["1", "6"]
    assert bad == [
        BadRow(path, 2, "is not JSON (Expecting value, character 23)"),
        BadRow(path, 3, "has no id field (_id, id, doc_id or docid)"),
        BadRow(path, 4, "has no text"),
        BadRow(path, 5, "has the duplicate id '1' (first: line 1)"),
    ]


@pytest.mark.parametrize("line", [2, 3, 4, 5])
def test_by_default_the_first_bad_row_ends_the_reading_and_names_the_remedy(tmp_path, line):
    lines = BAD.splitlines(keepends=True)
    path = write(tmp_path / "x.jsonl", lines[0] * (line == 5) + lines[line - 1])
    where = f"x.jsonl, line {1 + (line == 5)}: "
    with pytest.raises(InputError, match=f"{where}.*--skip-bad") as caught:
        list(read_documents(path))
    assert "\n" not in str(caught.value)


def test_an_id_in_two_files_names_both_places(tmp_path):
    write(tmp_path / "a.tsv", "1\tx\n2\ty\n")
    write(tmp_path / "b.tsv", "3\tz\n2\ty\n")
    with pytest.raises(
        InputError, match=r"b\.tsv, line 2: has the duplicate id '2' .*a\.tsv, line 2\)"
    ):
        list(read_documents(str(tmp_path)))


@pytest.mark.parametrize("read", [read_documents, read_queries])
@pytest.mark.parametrize("name", ["x.jsonl", "x.tsv", "x.csv", "x.txt"])
def test_an_empty_source_is_one_clear_error(tmp_path, read, name):
    with pytest.raises(InputError, match=r"x\.\w+: holds no (documents|queries)\.$"):
        list(read(write(tmp_path / name, "\n")))


def test_a_source_of_bad_rows_only_says_so(tmp_path):
    path = write(tmp_path / "x.jsonl", "{}\n{}\n")
    with pytest.raises(InputError, match="holds no documents; 2 rows could not be used"):
        list(read_documents(path, on_bad=lambda row: None))


def test_a_wrong_name_is_noticed_before_reading_begins(tmp_path):
    write(tmp_path / "corpus.jsonl", LINES)
    with pytest.raises(InputError, match=r"Did you mean .*corpus\.jsonl\?"):
        read_documents(str(tmp_path / "corpus.json"))
    with pytest.raises(InputError, match="no such file"):
        read_queries(str(tmp_path / "corpus.json"))


def test_bad_queries_are_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"line 2: has the duplicate id '1' \(first: line 1\)\.$"):
        list(read_queries(write(tmp_path / "q.tsv", "1\ta\n1\tb\n")))


def test_a_text_of_a_megabyte_is_a_document(tmp_path):
    text = "word " * 200_000
    path = write(tmp_path / "x.jsonl", json.dumps({"_id": "1", "text": text}))
    assert list(read_documents(path)) == [Document("1", text)]


def test_the_documentation_of_python_is_a_source():
    assert len(list(read_documents("python-docs", limit=3))) == 3


names = st.sampled_from(
    ["x", "x.jsonl", "x.tsv", "x.csv", "x.parquet", "x.txt", "x.gz", "x.jsonl.zst", "x.json"]
)
magics = [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf", b"PAR1"]
signs = [bytes([sign]) for sign in b'\n\t,"\x00\r[{}']
words = [b'{"_id": "', b'"text": "', b"id,text\n", b"\\ud800", b"1e999"]
likely = st.sampled_from(magics + signs + words)
pieces = st.lists(st.binary(max_size=20) | likely, max_size=20).map(b"".join)
packs = st.sampled_from([bytes, gzip.compress, zstandard.compress])


@settings(max_examples=400, deadline=None)
@given(names, pieces, packs, st.booleans())
def test_any_bytes_are_documents_or_an_input_error(folder, name, content, pack, skip):
    path = folder / name
    path.write_bytes(pack(content))
    bad: list[BadRow] = []
    documents: list[Document] = []
    messages: list[str] = []
    try:
        documents = list(read_documents(str(path), on_bad=bad.append if skip else None))
    except InputError as error:
        messages.append(str(error))
    assert bool(documents) != bool(messages)
    json.dumps(documents, ensure_ascii=False).encode()
    assert not any("\n" in text for text in [*messages, *(row.reason for row in bad)])


@settings(deadline=None)
@given(names, pieces)
def test_any_bytes_are_queries_or_an_input_error(folder, name, content):
    path = folder / name
    path.write_bytes(content)
    with suppress(InputError):
        assert all(query.query_id and query.text.strip() for query in read_queries(str(path)))


@pytest.fixture(scope="module")
def whole(folder: Path) -> dict[str, bytes]:
    """The same rows in every format whose bytes point at each other."""
    table = pa.table({"id": [f"d{i}" for i in range(50)], "text": ["word é"] * 50, "n": range(50)})
    pq.write_table(table, folder / "whole.parquet")
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
    return {
        "m.parquet": (folder / "whole.parquet").read_bytes(),
        "m/x.arrow": sink.getvalue().to_pybytes(),
        "m.gz": gzip.compress(lines),
        "m.zst": zstandard.compress(lines),
    }


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_of_any_format_are_documents_or_an_input_error(folder, whole, data):
    name = data.draw(st.sampled_from(sorted(whole)))
    content = bytearray(whole[name])
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    if path.suffix == ".arrow":
        path = path.parent
        (path / "state.json").write_text('{"_data_files": [{"filename": "x.arrow"}]}')
    with suppress(InputError):
        assert list(read_documents(str(path), on_bad=lambda row: None))


one_line = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
).filter(lambda text: text.strip())
documents = st.lists(
    st.builds(Document, one_line, one_line, st.just("") | one_line, st.just({})),
    min_size=1,
    max_size=5,
    unique_by=lambda document: document.doc_id,
)


@settings(deadline=None)
@given(documents)
def test_documents_read_back_from_jsonl_tsv_and_parquet(folder, wanted):
    rows = [document._asdict() for document in wanted]
    write(folder / "r.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    header = "doc_id\ttext\ttitle\n"
    write(folder / "r.tsv", header + "".join(f"{d.doc_id}\t{d.text}\t{d.title}\n" for d in wanted))
    columns = {name: [row[name] for row in rows] for name in ("doc_id", "text", "title")}
    pq.write_table(pa.table(columns), folder / "r.parquet")
    for name in ("r.jsonl", "r.tsv", "r.parquet"):
        assert list(read_documents(str(folder / name))) == wanted
