"""The ledger: what is acknowledged stays, what is torn is done again."""

from __future__ import annotations

import pytest

from sparse_ir.data.ledger import Chunk, Ledger, digest_documents
from sparse_ir.errors import ConfigError, InputError, StorageError
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


def test_a_ledger_that_was_removed_meanwhile_is_not_begun_anew_in_the_middle(tmp_path):
    ledger = Ledger.create(tmp_path / "l.jsonl", {})
    ledger.acknowledge(chunk(0))
    ledger.path.unlink()
    with pytest.raises(StorageError, match="is gone"):
        ledger.acknowledge(chunk(1))
    assert not ledger.path.exists()
