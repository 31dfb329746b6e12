from __future__ import annotations

import pytest

from sparse_ir.evaluating import compiling
from sparse_ir.evaluating.compiling import compiled, start_compiling


def test_another_process_leaves_compiled_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert start_compiling(["mrr@10"]).wait(timeout=120) == 0
    assert any("reciprocal_rank" in path.name for path in tmp_path.rglob("*.nbi"))


@pytest.fixture
def started(monkeypatch):
    processes = []

    def start(metrics):
        processes.append(start_compiling(metrics))
        return processes[-1]

    monkeypatch.setattr(compiling, "start_compiling", start)
    return processes


def test_it_has_ended_when_the_work_beside_it_has(started, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delitem(compiling.sys.modules, "ranx.metrics", raising=False)
    with compiled(["mrr@10"]):
        assert started[0].poll() is None
    assert started[0].returncode == 0


def test_it_is_given_up_with_the_work(started, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delitem(compiling.sys.modules, "ranx.metrics", raising=False)
    with pytest.raises(ZeroDivisionError), compiled(["mrr@10"]):
        raise ZeroDivisionError
    assert started[0].returncode != 0


def test_nothing_starts_where_the_metrics_are_loaded_already(started, monkeypatch):
    monkeypatch.setitem(compiling.sys.modules, "ranx.metrics", compiling)
    with compiled(["mrr@10"]):
        pass
    assert started == []
