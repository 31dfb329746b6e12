from __future__ import annotations

from sparse_ir.training import progress


def test_progress_is_said_now_and_then(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    said = []
    advance = progress.now_and_then(said.append, "vectors", 5000)
    for seconds in (1, 10, 10, 1, 19):
        clock[0] += seconds
        advance(1000)
    assert said == ["vectors: 3,000 of 5,000 texts", "vectors: 5,000 of 5,000 texts"]
