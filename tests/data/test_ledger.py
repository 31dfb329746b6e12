"""The ledger: what is acknowledged stays, what is torn is done again."""

from __future__ import annotations

import json

import pytest

from sparse_ir.data.ledger import FORMAT, Chunk, Ledger, digest_documents
from sparse_ir.errors import ConfigError, CorpusChangedError, InputError, StorageError
from sparse_ir.seals import sealed
from sparse_ir.types import Document


def chunk(number, documents=2, rejected=0):
    return Chunk(number, documents, rejected, 0, f"digest-{number}")


def test_acknowledged_chunks_are_there_after_reopening(tmp_path):
    path = tmp_path / "state" / "l.jsonl"
    ledger = Ledger.create(path, {"corpus": "c"})
    ledger.acknowledge(chunk(0))
    ledger.acknowledge(chunk(1, documents=5, rejected=1))
    again = Ledger.open(path)
    assert again.settings == {"corpus": "c"}
    assert again.chunks == [chunk(0), chunk(1, documents=5, rejected=1)]
    assert (again.documents, again.rejected) == (7, 1)


def test_there_is_no_ledger_where_there_is_none(tmp_path):
    assert Ledger.open(tmp_path / "none.jsonl") is None


def test_a_torn_last_line_is_cut_off_and_written_anew(tmp_path):
    path = tmp_path / "l.jsonl"
    ledger = Ledger.create(path, {})
    ledger.acknowledge(chunk(0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number": 1, "docum')
    again = Ledger.open(path)
    assert again.chunks == [chunk(0)]
    again.acknowledge(chunk(1))
    assert Ledger.open(path).chunks == [chunk(0), chunk(1)]


@pytest.mark.parametrize("line", [b"{broken\n", b'{"number": 7}\n', b"[1]\n"])
def test_damage_before_the_end_is_an_error_and_not_a_guess(tmp_path, line):
    path = tmp_path / "l.jsonl"
    Ledger.create(path, {})
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(InputError, match=r"line 2: the ledger is damaged"):
        Ledger.open(path)


def test_a_run_started_otherwise_cannot_be_resumed(tmp_path):
    ledger = Ledger.create(tmp_path / "l.jsonl", {"corpus": "c", "limit": None})
    ledger.require_settings({"corpus": "c", "limit": None})
    with pytest.raises(ConfigError, match=r"limit was None .* is 5 now"):
        ledger.require_settings({"corpus": "c", "limit": 5})


def test_the_digest_sees_every_part_of_a_document():
    base = Document("1", "text", "title", {"a": 1})
    others = [
        base._replace(doc_id="2"),
        base._replace(text="texts"),
        base._replace(title="titles"),
        base._replace(metadata={"a": 2}),
    ]
    digests = {digest_documents([d]) for d in (base, *others)}
    assert len(digests) == 5


def test_the_digest_does_not_see_the_order_of_fields():
    one, other = Document("1", "x", "", {"a": 1, "b": 2}), Document("1", "x", "", {"b": 2, "a": 1})
    assert digest_documents([one]) == digest_documents([other])


def test_what_was_acknowledged_is_known_without_reading_it_again(tmp_path):
    ledger = Ledger.create(tmp_path / "a" / "b" / "l.jsonl", {})
    ledger.acknowledge(chunk(0))
    assert ledger.chunks == [chunk(0)]


@pytest.mark.parametrize(
    "first", [{"format": 0, "settings": {}}, {"format": FORMAT, "settings": []}]
)
def test_a_ledger_of_another_format_is_refused_with_its_name(tmp_path, first):
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps(sealed(first)) + "\n")
    with pytest.raises(InputError, match=r"l\.jsonl: not a ledger of this version; start"):
        Ledger.open(path)


@pytest.mark.parametrize("change", [{"number": 1}, {"more": 1}])
def test_a_chunk_out_of_place_or_with_other_fields_is_damage(tmp_path, change):
    path = tmp_path / "l.jsonl"
    Ledger.create(path, {})
    row = sealed({**chunk(0)._asdict(), **change})
    path.write_bytes(path.read_bytes() + json.dumps(row).encode() + b"\n")
    with pytest.raises(InputError, match="line 2: the ledger is damaged"):
        Ledger.open(path)


def test_a_ledger_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"l\.jsonl"):
        Ledger.create(tmp_path / "file" / "l.jsonl", {})


def test_a_corpus_of_another_size_is_told_from_another_setting(tmp_path):
    ledger = Ledger.create(tmp_path / "l.jsonl", {"corpus_bytes": 10})
    with pytest.raises(CorpusChangedError, match="it had 10 bytes and has 1,000"):
        ledger.require_settings({"corpus_bytes": 1000})
    with pytest.raises(ConfigError, match=r"was 10 .* None now\. Use the same"):
        ledger.require_settings({"corpus_bytes": None})
    Ledger.create(tmp_path / "old.jsonl", {}).require_settings({"corpus_bytes": 5})


def test_a_ledger_that_was_removed_meanwhile_is_not_begun_anew_in_the_middle(tmp_path):
    ledger = Ledger.create(tmp_path / "l.jsonl", {})
    ledger.acknowledge(chunk(0))
    ledger.path.unlink()
    with pytest.raises(StorageError, match="is gone"):
        ledger.acknowledge(chunk(1))
    assert not ledger.path.exists()
