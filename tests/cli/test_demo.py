"""The demo, on the first documents of its corpus: everything but the waiting."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_the_demo_indexes_searches_explains_evaluates_and_reuses(sparse_ir, monkeypatch):
    from sparse_ir.data import python_docs

    whole = python_docs.python_docs()
    few = tuple(d for d in whole if d.doc_id.startswith(("subprocess", "filecmp", "functools")))
    assert len(few) > 30
    monkeypatch.setattr(python_docs, "python_docs", lambda: few)
    done = sparse_ir("demo")
    assert done.exit_code == 0, done.err
    for part in ("subprocess.", "filecmp.", "SPLADE", "BM25", "ndcg@10", "Go on with:"):
        assert part in done.out
    again = sparse_ir("demo")
    assert again.exit_code == 0
    assert again.err.count("done already") == 4

    asked = []
    monkeypatch.setattr("sparse_ir.serving.serve.serve", lambda s, *, ready: asked.append(s))
    assert sparse_ir("demo", "--serve", "--port", "0").exit_code == 0
    assert [(s.index, s.host, s.port) for s in asked] == [(("demo", "demo-bm25"), "127.0.0.1", 0)]
