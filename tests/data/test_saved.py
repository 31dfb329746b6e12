from __future__ import annotations

import json
from typing import TYPE_CHECKING

import datasets
import pytest

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.errors import InputError
from sparse_ir.types import Document, Query

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"id": i, "text": f"text {i}", "title": "", "year": 2000 + i} for i in range(700)]
DOCUMENTS = [Document(str(i), f"text {i}", "", {"year": 2000 + i}) for i in range(700)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset saved in three files and after a selection, which leaves row numbers behind."""
    folder = tmp_path_factory.mktemp("saved") / "corpus"
    twice = datasets.Dataset.from_list(ROWS + ROWS).select(range(700))
    twice.save_to_disk(folder, num_shards=3)
    return folder


def test_a_saved_dataset_is_a_corpus(folder):
    assert list(read_documents(str(folder))) == DOCUMENTS


def test_rows_are_numbered_across_its_files(folder, tmp_path):
    datasets.Dataset.from_list([*ROWS, ROWS[0]]).save_to_disk(tmp_path / "d", num_shards=2)
    with pytest.raises(
        InputError, match=r"d, line 701: has the duplicate id '0' \(first: line 1\)"
    ):
        list(read_documents(str(tmp_path / "d")))


def test_the_only_split_is_taken(tmp_path):
    rows = datasets.Dataset.from_list([{"qid": "q", "query": "what?"}])
    datasets.DatasetDict({"queries": rows}).save_to_disk(tmp_path / "d")
    assert list(read_queries(str(tmp_path / "d"))) == [Query("q", "what?")]


def test_one_of_several_splits_has_to_be_named(tmp_path):
    rows = datasets.Dataset.from_list(ROWS[:2])
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "d")
    with pytest.raises(InputError, match=r"several splits. Give one of .*d/train, .*d/test"):
        list(read_documents(str(tmp_path / "d")))
    assert list(read_documents(str(tmp_path / "d" / "train"))) == DOCUMENTS[:2]


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"_data_files": [1]}', "\xff"])
def test_a_damaged_folder_is_one_clear_error(tmp_path, state):
    (tmp_path / "state.json").write_text(state, encoding="latin-1")
    with pytest.raises(InputError, match=str(tmp_path)):
        list(read_documents(str(tmp_path)))


@pytest.mark.parametrize("content", [None, b"", b"no arrow file" * 100])
def test_a_missing_or_damaged_file_is_one_clear_error(tmp_path, content):
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}]}))
    if content is not None:
        (tmp_path / "x.arrow").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.arrow: cannot be read as Arrow"):
        list(read_documents(str(tmp_path)))
