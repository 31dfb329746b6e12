"""How many rows there are, as far as it is cheap to know."""

from __future__ import annotations

import gzip

import pytest

from sparse_ir.data.counting import count_rows


@pytest.mark.parametrize(("limit", "counted"), [(None, 3), (2, 2), (3, 3), (9, 3)])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_rows_are_counted_up_to_the_limit(tmp_path, limit, counted, ending):
    with gzip.open(tmp_path / "x.jsonl.gz", "wt") as stream:
        stream.write("{}\n{}\n{}" + ending)
    assert count_rows(str(tmp_path / "x.jsonl.gz"), limit=limit) == counted


def test_no_more_is_read_than_will_be_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("sparse_ir.data.counting._BLOCK", 4)
    whole = gzip.compress(b"{}\n{}\n{}\n")
    (tmp_path / "x.jsonl.gz").write_bytes(whole[:-8])  # its end cannot be read
    assert count_rows(str(tmp_path / "x.jsonl.gz")) is None
    assert count_rows(str(tmp_path / "x.jsonl.gz"), limit=1) == 1


def test_what_does_not_tell_is_unknown(tmp_path):
    (tmp_path / "x.csv").write_text("id,text\n1,a\n")
    assert count_rows(str(tmp_path / "x.csv")) is None
    assert count_rows(str(tmp_path / "missing.jsonl")) is None
