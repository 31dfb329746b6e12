from __future__ import annotations

import pytest

from sparse_ir.data.sources import find_parts
from sparse_ir.errors import InputError


def labels(source: str, kind: str = "corpus") -> list[str]:
    return [part.label for part in find_parts(source, kind)]


def test_a_path_that_exists_is_a_path_even_when_it_looks_like_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name").write_text("1\tx\n")
    assert labels("owner/name") == ["owner/name"]


def test_owner_and_name_without_such_a_path_is_a_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert labels("BeIR/scifact") == ["hf:BeIR/scifact"]
    assert labels("BeIR/scifact:corpus@corpus") == ["hf:BeIR/scifact:corpus@corpus"]
    assert labels("hf:squad") == ["hf:squad"]


@pytest.mark.parametrize("slip", ["owner/corpus.jsonl", "owner/x.gz", "here/nme", "a/b/c", "name"])
def test_a_slip_of_the_pen_in_a_path_is_a_missing_file(tmp_path, monkeypatch, slip):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    with pytest.raises(InputError, match="no such file"):
        labels(slip)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300, "~"])
def test_names_that_no_file_can_have_are_input_errors(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError):
        list(find_parts(name, "corpus")[0].rows())


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"holds no corpus file. Expected corpus\.jsonl"):
        labels(str(tmp_path))
    with pytest.raises(InputError, match=r"Expected queries\.jsonl"):
        labels(str(tmp_path), "queries")


def test_the_plain_file_is_taken_before_its_compressed_copy(tmp_path):
    for name in ("corpus.jsonl.gz", "corpus.jsonl", "other.jsonl"):
        (tmp_path / name).touch()
    assert labels(str(tmp_path)) == [str(tmp_path / "corpus.jsonl")]
