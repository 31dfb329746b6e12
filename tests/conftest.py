"""Fixtures that several rooms share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test writes indexes, caches and state into a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SPARSE_IR_HOME", str(home))
    return home
