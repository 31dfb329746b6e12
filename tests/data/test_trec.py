from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.data.trec import read_qrels, read_run, write_qrels, write_run
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

fit = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff")
ids = st.text(fit, min_size=1, max_size=8).filter(lambda text: text.strip())
scores = st.floats(allow_nan=False, allow_infinity=False)
grades = st.integers(-2, 4)


def per_query(values):
    return st.dictionaries(ids, st.dictionaries(ids, values, min_size=1, max_size=4), min_size=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trec")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@settings(deadline=None)
@given(per_query(scores))
def test_a_run_reads_back_as_it_was_written(folder, run):
    write_run(folder / "run", run, tag="x")
    assert read_run(folder / "run") == run


@settings(deadline=None)
@given(per_query(grades))
def test_qrels_read_back_as_they_were_written(folder, qrels):
    write_qrels(folder / "qrels", qrels)
    assert read_qrels(folder / "qrels") == qrels


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_score_survives_to_the_last_bit(folder, score):
    write_run(folder / "run", {"q": {"d": score}}, tag="x")
    assert struct.pack("f", read_run(folder / "run")["q"]["d"]) == struct.pack("f", score)


def test_a_run_is_written_by_score_and_then_by_id(tmp_path):
    write_run(
        tmp_path / "run", {"q2": {"b": 1.0, "a": 1.0, "c": 2.5}, "q1": {"d": -1}}, tag="my run"
    )
    assert (tmp_path / "run").read_text() == (
        "q2 Q0 c 1 2.5 my-run\nq2 Q0 a 2 1.0 my-run\nq2 Q0 b 3 1.0 my-run\nq1 Q0 d 1 -1.0 my-run\n"
    )


def test_columns_are_separated_by_tabs_when_an_id_holds_a_blank(tmp_path):
    write_run(tmp_path / "run", {"q 1": {"a": 1.0}}, tag="x")
    assert (tmp_path / "run").read_text() == "q 1\tQ0\ta\t1\t1.0\tx\n"
    write_qrels(tmp_path / "qrels", {"q": {"a\u3000b": 1}})
    assert (tmp_path / "qrels").read_text(encoding="utf-8") == "q\t0\ta\u3000b\t1\n"


@pytest.mark.parametrize("unfit", ["a\tb", "a\nb", "", "\u2028"])
def test_ids_that_no_line_can_hold_are_refused_before_anything_is_written(tmp_path, unfit):
    with pytest.raises(InputError, match="TREC file"):
        write_run(tmp_path / "run", {"q": {unfit: 1.0}}, tag="x")
    with pytest.raises(InputError, match="TREC file"):
        write_qrels(tmp_path / "qrels", {unfit: {"d": 1}})
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_other_tools_is_read_whatever_its_blanks(tmp_path):
    lines = b"\xef\xbb\xbfq1 Q0 d1 1 15.78 bm25\r\n\n q1\tQ0  d2 2 1e-3 bm25 \r\n"
    write(tmp_path / "run.gz", gzip.compress(lines))
    assert read_run(tmp_path / "run.gz") == {"q1": {"d1": 15.78, "d2": 0.001}}


def test_trec_qrels_are_read_with_blanks_or_tabs(tmp_path):
    path = write(tmp_path / "qrels", "1 0 d1 2\n1 Q0 d2 -1\n2\t0\td 3\t+1\n")
    assert read_qrels(path) == {"1": {"d1": 2, "d2": -1}, "2": {"d 3": 1}}


def test_beir_qrels_are_read_by_their_header(tmp_path):
    path = write(tmp_path / "test.tsv", "query-id\tcorpus-id\tscore\nq 1\td 1\t2\nq 1\td2\t0\n")
    assert read_qrels(path) == {"q 1": {"d 1": 2, "d2": 0}}


def test_a_beir_folder_stands_for_its_test_judgements(tmp_path):
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "corpus.jsonl", "")
    write(tmp_path / "queries.jsonl", "")
    write(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq\td\t1\n")
    assert read_qrels(tmp_path) == {"q": {"d": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"qrels: holds no judgements"),
        ("query-id\tcorpus-id\tscore\n", r"qrels: holds no judgements"),
        ("q 0 d 1\nq 0 d\n", r"qrels, line 2: has 3 columns instead of 4"),
        ("q d 1\n", r"qrels, line 1: has 3 columns instead of 4"),
        ("q 0 d 1.5\n", r"qrels, line 1: the grade '1\.5' is not a whole number"),
        ("q 0 d 1_0\n", r"the grade '1_0' is not a whole number"),
        ("\nq 0 d 1\nq 0 d 0\n", r"line 3: query 'q' has document 'd' a second time"),
        ("query-id\tcorpus-id\tscore\nq 0 d 1\n", r"line 2: has 4 columns instead of 3"),
        (b"q 0 d\xff 1\n", r"line 1: is not UTF-8"),
    ],
)
def test_unfit_qrels_name_the_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_qrels(write(tmp_path / "qrels", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"run: holds no results"),
        ("q Q0 d 1 1.0\n", r"run, line 1: has 5 columns instead of 6"),
        ("q Q0 a b 1 1.0 x\n", r"has 7 columns.*tabs"),
        ("q Q0 d 1 high x\n", r"the score 'high' is not a number"),
        ("q Q0 d 1 nan x\n", r"the score 'nan' is not a number"),
        ("q Q0 d 1 2 x\nq Q0 d 2 1 x\n", r"line 2: query 'q' has document 'd' a second time"),
    ],
)
def test_an_unfit_run_names_the_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_run(write(tmp_path / "run", text))


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(" \t\nq0d1.e-", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_an_input_error(folder, content):
    path = write(folder / "any", content)
    for read in (read_run, read_qrels):
        try:
            assert read(path)
        except InputError as error:
            message = str(error)
            assert "\n" not in message


def test_missing_files_are_input_errors(tmp_path):
    for read in (read_run, read_qrels):
        with pytest.raises(InputError, match="no such file"):
            read(tmp_path / "none")


def test_runs_of_ms_marco_are_read_by_rank_and_candidates_in_their_order(tmp_path):
    ranked = write(tmp_path / "run.tsv", "1\t20\t2\n1\t10\t1\n2\t30\t1\n")
    assert read_run(ranked) == {"1": {"20": -2.0, "10": -1.0}, "2": {"30": -1.0}}
    top1000 = write(tmp_path / "top1000.dev", "1\t10\ta query\ta text\n1\t20\ta query\tmore\n")
    assert read_run(top1000) == {"1": {"10": -1.0, "20": -2.0}}
    with pytest.raises(InputError, match=r"line 1: the rank 'x' is no whole number"):
        read_run(write(tmp_path / "bad.tsv", "1\t10\tx\n"))
