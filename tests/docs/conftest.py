"""The folder in which a reader of the documentation stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.append(str(HERE))


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Tiny models in place of those that the pages name."""
    from sandbox import make_models

    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def stand(tmp_path, monkeypatch, models, server_url):
    """Put a reader into a folder with the files that the pages speak of: ``stand() -> run``."""
    from reader import Reader
    from sandbox import write_files

    def begin():
        folder = tmp_path / "reader"
        write_files(folder, models)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("SPARSE_IR_HOME", str(tmp_path / "home"))
        return Reader(folder, models, lambda: server_url("opensearch"))

    reader = None

    def remember():
        nonlocal reader
        reader = begin()
        return reader

    yield remember
    if reader is not None:
        reader.leave()
