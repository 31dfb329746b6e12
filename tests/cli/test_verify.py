"""``verify --existing``: which options it takes."""

from __future__ import annotations

import pytest

from sparse_ir.errors import EngineError
from sparse_ir.inspecting import verify_existing


@pytest.mark.parametrize(
    "option",
    [
        ("--index", "a"), ("--queries", "q.tsv"), ("--corpus", "c.jsonl"), ("--vectors", "v"),
        ("--dense", "m"), ("--tolerance", "0.1"),
    ],
)  # fmt: skip
def test_what_an_audit_does_not_look_at_is_refused(sparse_ir, option):
    refused = sparse_ir("verify", "--existing", "theirs", *option)
    assert refused.exit_code == 2
    assert refused.err == f"Error: {option[0]} does not go with --existing.\n"


def test_as_many_queries_are_sampled_as_asked_for(sparse_ir, monkeypatch):
    asked = []

    def audit(settings):
        asked.append(settings.sample_queries)
        raise EngineError("no server.")

    monkeypatch.setattr(verify_existing, "verify_existing", audit)
    sparse_ir("verify", "--existing", "theirs", "--sample-queries", "80")
    sparse_ir("verify", "--existing", "theirs")
    assert asked == [80, 50]
