"""Several processes, played by one."""

from __future__ import annotations

import pytest

from sparse_ir.errors import ConfigError, StorageError
from sparse_ir.training import gather


def play(monkeypatch, *, rank, said=None):
    """Be process ``rank`` of two, of which the first said something; returns what is sent."""
    sent = []

    def broadcast(objects, src):
        assert src == 0
        sent.append(list(objects))
        if rank != 0:
            objects[0] = said

    monkeypatch.setattr(gather, "rank", lambda: rank)
    monkeypatch.setattr(gather, "world_size", lambda: 2)
    monkeypatch.setattr(gather.dist, "broadcast_object_list", broadcast)
    return sent


def refuse():
    raise StorageError("no room")


def test_what_the_first_process_is_refused_stops_it_and_is_told(monkeypatch):
    sent = play(monkeypatch, rank=0)
    with pytest.raises(StorageError, match="no room"):
        gather.first_alone(refuse)
    assert sent == [["no room"]]


def test_what_the_first_process_is_refused_stops_the_others(monkeypatch):
    play(monkeypatch, rank=1, said="no room")
    with pytest.raises(ConfigError, match="no room"):
        gather.first_alone(pytest.fail)  # never called here


def test_all_go_on_where_the_first_process_was_not_refused(monkeypatch):
    done = []
    sent = play(monkeypatch, rank=0)
    gather.first_alone(lambda: done.append(True))
    play(monkeypatch, rank=1, said=None)
    gather.first_alone(pytest.fail)
    assert (sent, done) == ([[None]], [True])
