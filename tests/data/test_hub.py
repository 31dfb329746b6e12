from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING

import huggingface_hub
import pytest

from sparse_ir.data.corpora import read_documents, read_queries
from sparse_ir.data.hub import HubName, hub_rows, parse_hub_name
from sparse_ir.errors import InputError
from sparse_ir.types import Document, Query

if TYPE_CHECKING:
    from pathlib import Path

CARD = """---
configs:
- config_name: corpus
  data_files:
  - {split: corpus, path: corpus.jsonl.gz}
- config_name: queries
  data_files:
  - {split: queries, path: queries.jsonl}
---
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Hub holds of a BEIR dataset, as a folder: load_dataset reads both alike."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "README.md").write_text(CARD)
    rows = '{"_id": "a", "title": "t", "text": "x"}\n{"_id": "b", "title": "", "text": "y"}\n'
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "what?"}\n')
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("squad", HubName("squad", None, None)),
        ("owner/name", HubName("owner/name", None, None)),
        ("owner/name:en", HubName("owner/name", "en", None)),
        ("owner/name@train[:10]", HubName("owner/name", None, "train[:10]")),
        ("owner/name:en@test", HubName("owner/name", "en", "test")),
    ],
)
def test_a_hub_name_is_taken_apart(text, expected):
    assert parse_hub_name(text) == expected


@pytest.mark.parametrize("text", ["", ":en", "@test", "a:", "a@"])
def test_an_incomplete_hub_name_says_how_to_write_it(text):
    with pytest.raises(InputError, match=r"hf:owner/name\[:config\]\[@split\]"):
        parse_hub_name(text)


def test_documents_and_queries_are_found_by_configuration_and_split(folder):
    documents = [Document("a", "x", "t"), Document("b", "y")]
    assert list(read_documents(f"hf:{folder}")) == documents
    assert list(read_documents(f"hf:{folder}:corpus@corpus", limit=1)) == documents[:1]
    assert list(read_queries(f"hf:{folder}")) == [Query("q", "what?")]


def test_the_train_split_is_taken_where_none_is_called_like_the_kind(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"id": 1, "text": "one"}\n')
    (tmp_path / "test.jsonl").write_text('{"id": 2, "text": "two"}\n')
    assert [row for _, row in hub_rows(str(tmp_path), "corpus")] == [{"id": 1, "text": "one"}]
    assert [row for _, row in hub_rows(f"{tmp_path}@test", "corpus")] == [{"id": 2, "text": "two"}]


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (":corpus@nope", "has no split 'nope'. Use corpus"),
        (":nope", "'nope' not found"),
    ],
)
def test_an_unknown_configuration_or_split_names_the_known_ones(folder, suffix, message):
    with pytest.raises(InputError, match=message) as caught:
        list(read_documents(f"hf:{folder}{suffix}"))
    assert "\n" not in str(caught.value)


def test_one_of_several_configurations_has_to_be_named(tmp_path, folder):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "README.md").write_text(CARD.replace("name: corpus", "name: en"))
    with pytest.raises(InputError, match=r"Give one: hf:.*:en \(or queries\)"):
        list(read_documents(f"hf:{tmp_path}"))


def test_rows_that_cannot_be_parsed_are_one_clear_error(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"_id": \n')
    with pytest.raises(InputError, match=r"cannot be read \(.*\)\.$") as caught:
        list(read_documents(f"hf:{tmp_path}"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["hf:sparse-ir/no-such-dataset", "sparse-ir/no-such-dataset"])
def test_without_network_a_hub_name_is_one_clear_error(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file or folder, and the Hub cannot be") as caught:
        list(read_documents(name))
    assert "\n" not in str(caught.value)
