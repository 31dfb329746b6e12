from __future__ import annotations

import csv
import datetime
import io
import json
import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.data.formats import format_of, read_rows
from sparse_ir.data.rows import BadRow
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

characters = st.characters(exclude_categories=["Cs"])
texts = st.text(characters, max_size=40)
# Python 3.10's csv can neither write nor read a zero byte.
csv_texts = texts if sys.version_info >= (3, 11) else texts.filter(lambda text: "\0" not in text)
one_line = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n\ufeff"), min_size=1
).filter(lambda text: text.strip())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def rows_of(tmp_path: Path, name: str, content: bytes | str) -> list:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_rows(path))


def reasons(rows: list) -> dict[int, str]:
    return {line: row.reason for line, row in rows if isinstance(row, BadRow)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("formats")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("corpus.jsonl", "jsonl"),
        ("corpus.JSONL.gz", "jsonl"),
        ("a.b/collection.tsv.zst", "tsv"),
        ("x.ndjson", "jsonl"),
        ("x.csv", "csv"),
        ("x.parquet", "parquet"),
        ("x.txt", None),
        ("x.gz", None),
        ("-", None),
    ],
)
def test_the_name_tells_the_format(name, expected):
    assert format_of(name) == expected


@settings(deadline=None)
@given(st.lists(st.dictionaries(texts, json_values, max_size=4), max_size=5), st.booleans())
def test_jsonl_reads_back_whatever_json_writes(folder, rows, ensure_ascii):
    lines = "".join(json.dumps(row, ensure_ascii=ensure_ascii) + "\n" for row in rows)
    assert rows_of(folder, "x.jsonl", lines) == list(enumerate(rows, start=1))


@settings(deadline=None)
@given(st.lists(st.tuples(one_line, one_line), min_size=1))
def test_tsv_reads_back_any_text_without_tab_and_line_break(folder, pairs):
    rows = rows_of(folder, "x.tsv", "".join(f"{a}\t{b}\n" for a, b in pairs))
    assert rows == [(n, {"id": a, "text": b}) for n, (a, b) in enumerate(pairs, start=1)]


@settings(deadline=None)
@given(st.lists(st.lists(csv_texts, min_size=3, max_size=3), max_size=5))
def test_csv_reads_back_whatever_csv_writes(folder, records):
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerows([["id", "text", "note"], *records])
    rows = rows_of(folder, "x.csv", stream.getvalue())
    assert [list(row.values()) for _, row in rows] == records


def test_lines_are_numbered_as_an_editor_does_with_blank_ones_counted(tmp_path):
    rows = rows_of(tmp_path, "x.jsonl", '{"a": 1}\n\n  \n{"a": 2}\r\n{"a": 3}')
    assert rows == [(1, {"a": 1}), (4, {"a": 2}), (5, {"a": 3})]


def test_reading_goes_on_after_bad_lines(tmp_path):
    content = (
        b'{"a": 1}\n{"a": \n[1]\n"x"\n\xff\n' + b"[" * 100_000 + b'\n{"a": "\\ud83d"}\n{"a": 2}\n'
    )
    rows = rows_of(tmp_path, "x.jsonl", content)
    assert [row for _, row in rows if not isinstance(row, BadRow)] == [{"a": 1}, {"a": 2}]
    assert reasons(rows) == {
        2: "is not JSON (Expecting value, character 8)",
        3: "is not a JSON object",
        4: "is not a JSON object",
        5: "is not UTF-8 text",
        6: "is not JSON (nested too deeply)",
        7: "holds half of a surrogate pair (\\ud800 to \\udfff)",
    }
    assert rows[1][1].path == str(tmp_path / "x.jsonl")


def test_whole_surrogate_pairs_are_characters(tmp_path):
    assert rows_of(tmp_path, "x.jsonl", '{"a": "\\ud83d\\ude00"}') == [(1, {"a": "😀"})]


def test_not_a_number_means_no_value(tmp_path):
    assert rows_of(tmp_path, "x.jsonl", '{"a": NaN, "b": -Infinity}') == [
        (1, {"a": None, "b": None})
    ]


def test_a_number_beyond_64_bits_is_refused_and_not_taken_for_none(tmp_path):
    rows = rows_of(tmp_path, "x.jsonl", '{"a": 6e666}\n{"a": 6e66}')
    assert rows[0][1].reason == "is not JSON (6e666 is beyond the largest number of 64 bits)"
    assert rows[1] == (2, {"a": 6e66})


def test_line_separators_within_a_text_do_not_end_its_line(tmp_path):
    text = "a\u2028b\x85c\x0bd\rsame line"
    rows = rows_of(tmp_path, "x.jsonl", json.dumps({"t": text}, ensure_ascii=False))
    assert rows == [(1, {"t": text})]
    assert rows_of(tmp_path, "x.tsv", f"1\t{text}\n") == [(1, {"id": "1", "text": text})]


def test_tsv_without_header_is_ms_marco(tmp_path):
    assert rows_of(tmp_path, "x.tsv", "7\ta 'quoted\" text\n") == [
        (1, {"id": "7", "text": "a 'quoted\" text"})
    ]
    assert rows_of(tmp_path, "x.tsv", "D1\thttp://u\ttitle\tbody\n") == [
        (1, {"id": "D1", "url": "http://u", "title": "title", "text": "body"})
    ]


def test_a_tsv_header_names_the_columns(tmp_path):
    rows = rows_of(tmp_path, "x.tsv", "\ufeffID\tText\ttitle\tYear\n7\tb\tt\t2020\n")
    assert rows == [(2, {"id": "7", "text": "b", "title": "t", "Year": "2020"})]


def test_a_tsv_line_with_another_number_of_columns_is_bad(tmp_path):
    rows = rows_of(tmp_path, "x.tsv", b"1\ta\n2\n3\tb\tc\n\xff\tx\n")
    assert reasons(rows) == {
        2: "has 1 column instead of 2 (id, text)",
        3: "has 3 columns instead of 2 (id, text)",
        4: "is not UTF-8 text",
    }


def test_csv_records_are_numbered_by_their_first_line(tmp_path):
    content = 'id,text,\n1,"two\nlines",0\n\n2,b,1\n3\n'
    rows = rows_of(tmp_path, "x.csv", content)
    assert rows[:2] == [(2, {"id": "1", "text": "two\nlines"}), (5, {"id": "2", "text": "b"})]
    assert reasons(rows) == {6: "has 1 column instead of 3 (id, text, )"}


def test_csv_goes_on_after_bad_records(tmp_path):
    rows = rows_of(tmp_path, "x.csv", b'id,text\n1,"a"b\n2,\xff\n3,c\n')
    assert list(reasons(rows)) == [2, 3]
    assert rows[-1] == (4, {"id": "3", "text": "c"})


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("nr,heading,body", "Found: nr, heading, body"),
        ("id;text", "Found: columns that ';' separates, where a comma must: id;text"),
    ],
)
def test_a_csv_header_that_will_not_do_is_shown(tmp_path, header, found):
    (tmp_path / "x.csv").write_text(f"{header}\n")
    with pytest.raises(InputError, match=re.escape(found)):
        list(read_rows(tmp_path / "x.csv"))


def test_a_csv_quote_that_is_never_closed_is_bad(tmp_path):
    rows = rows_of(tmp_path, "x.csv", 'id,text\n1,"open\n2,b\n')
    assert reasons(rows) == {2: "is not CSV (unexpected end of data)"}


def test_csv_texts_may_be_large(tmp_path):
    text = "word " * 200_000
    assert rows_of(tmp_path, "x.csv", f"id,text\n1,{text}\n") == [(2, {"id": "1", "text": text})]


def test_a_csv_header_without_id_or_text_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match=r"x\.csv, line 1: .*header that names an id column"):
        rows_of(tmp_path, "x.csv", "1,first text\n2,second text\n")


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ('\n {"id": 1}\n', {"id": 1}),
        ("1\ttext", {"id": "1", "text": "text"}),
        ("id,text\n1,a", {"id": "1", "text": "a"}),
        ('"_id","contents"\n1,a', {"_id": "1", "contents": "a"}),
    ],
)
def test_without_a_telling_name_the_first_line_tells_the_format(tmp_path, content, row):
    assert rows_of(tmp_path, "spool", content)[0][1] == row


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{}]", "JSON array"),
        ("PAR1abc", r"ends with \.parquet"),
        ("just words", "not known by its first line"),
    ],
)
def test_an_unknown_format_says_what_to_do(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        rows_of(tmp_path, "x.json", content)


@pytest.mark.parametrize("content", ["[\n{}\n]", '[{"id": 1}]', "PAR1abc"])
def test_what_is_plainly_another_format_is_not_read_as_lines(tmp_path, content):
    (tmp_path / "x").write_text(content)
    with pytest.raises(InputError, match=r"JSON array|Parquet"):
        list(read_rows(tmp_path / "x", otherwise="lines"))


def test_plain_lines_have_their_numbers_as_ids(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"first\n\nthird\xc3\xbc\n\xff\n")
    rows = list(read_rows(tmp_path / "x.txt", otherwise="lines"))
    assert rows[:2] == [(1, {"id": 1, "text": "first"}), (3, {"id": 3, "text": "thirdü"})]
    assert reasons(rows) == {4: "is not UTF-8 text"}


def test_an_empty_file_has_no_rows_in_any_format(tmp_path):
    for name in ("x", "x.jsonl", "x.tsv", "x.csv"):
        assert rows_of(tmp_path, name, "") == []


def test_rows_are_read_one_by_one(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' * 10)
    rows = read_rows(tmp_path / "x.jsonl")
    assert next(rows) == (1, {"a": 1})
    rows.close()  # and the file with it: an open one would be reported as a warning


def test_parquet_rows_hold_what_json_can_hold(tmp_path):
    columns = {
        "id": [1, 2],
        "text": ["a", None],
        "score": [0.5, float("nan")],
        "when": [datetime.date(2020, 1, 2), None],
        "price": [Decimal("1.50"), None],
        "tags": [["x", "y"], []],
        "more": [{"at": datetime.datetime(2020, 1, 2, 3), "n": 1}, None],
        "image": [b"\x00", None],
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    rows = list(read_rows(tmp_path / "x.parquet"))
    assert rows[0] == (
        1,
        {
            "id": 1,
            "text": "a",
            "score": 0.5,
            "when": "2020-01-02",
            "price": "1.50",
            "tags": ["x", "y"],
            "more": {"at": "2020-01-02T03:00:00", "n": 1},
        },
    )
    assert rows[1][1]["score"] is None
    json.dumps(rows)


def test_parquet_rows_are_numbered_across_batches_and_row_groups(tmp_path):
    table = pa.table({"id": list(range(1000))})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=300)
    rows = list(read_rows(tmp_path / "x.parquet"))
    assert rows == [(i + 1, {"id": i}) for i in range(1000)]


def test_parquet_text_that_is_not_utf8_is_a_bad_row_only(tmp_path):
    raw = pa.array([b"a", b"\xff", b"c"], pa.binary())
    column = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": column}), tmp_path / "x.parquet")
    rows = list(read_rows(tmp_path / "x.parquet"))
    assert reasons(rows) == {2: "is damaged, or not UTF-8 text"}
    assert [rows[0][1], rows[2][1]] == [{"text": "a"}, {"text": "c"}]


def test_damaged_parquet_is_one_clear_error(tmp_path):
    for content in (b"", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"text"):
        with pytest.raises(InputError, match=r"x\.parquet: cannot be read as Parquet \(.*\)\.$"):
            rows_of(tmp_path, "x.parquet", content)
    with pytest.raises(InputError, match="no such file"):
        list(read_rows(tmp_path / "y.parquet"))


def test_parquet_from_standard_input_is_refused():
    with pytest.raises(InputError, match="Give a file"):
        list(read_rows("-", format="parquet"))
