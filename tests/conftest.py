"""Fixtures that several rooms share."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Tests work on tiny models: more threads would only wait for one another, on a busy machine for
# long. Set before torch is imported, for subprocesses as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.append(str(Path(__file__).parent))  # for clusters; last, so that it hides nothing
pytest_plugins = ["clusters.fixtures"]


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test writes indexes, caches and state into a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SPARSE_IR_HOME", str(home))
    return home


class Outcome(NamedTuple):
    """What a command line did."""

    exit_code: int
    out: str
    err: str


@pytest.fixture
def sparse_ir(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line in this process: ``sparse_ir("search", "apple")``."""
    from sparse_ir.cli import execute

    def call(*arguments: str) -> Outcome:
        capsys.readouterr()
        exit_code = execute([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Outcome(exit_code, captured.out, captured.err)

    return call


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[[str, Iterable[object]], Path]:
    """Write rows as a JSONL file of this test's folder."""

    def write(name: str, rows: Iterable[object]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write


FRUIT = (
    {"_id": "d1", "title": "Apple", "text": "An apple is a sweet red fruit.", "year": 2001},
    {"_id": "d2", "title": "Pear", "text": "A pear is a sweet green fruit.", "year": 2002},
    {"_id": "d 3", "title": "Plum", "text": "A plum is a blue stone fruit.", "year": 2003},
    {"_id": "dé4", "title": "Car", "text": "Cars and trucks drive on roads.", "year": 2004},
)


@pytest.fixture
def fruit(write_jsonl: Callable[[str, Iterable[object]], Path]) -> Path:
    """Four documents with metadata; ids with a space and a letter beyond ASCII."""
    return write_jsonl("fruit.jsonl", FRUIT)


@pytest.fixture
def make_dense(tmp_path: Path) -> Callable[..., Path]:
    """Make a tiny random dense model (mean pooling, 16 numbers): ``make_dense("name", seed=1)``."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whatever torch warns of when it is imported
        import torch  # noqa: F401
        import transformers  # noqa: F401
    from tiny_bert import make_bert

    def make(name: str = "dense", *, seed: int = 0, similarity: str = "cosine") -> Path:
        folder = tmp_path / name
        words = "apple pear plum fruit car road sweet red green blue stone drive truck a an is and"
        make_bert(
            folder, words.split(), "BertModel", seed=seed, length=64, width=16, inner=16, layers=1,
            heads=2,
        )  # fmt: skip
        kind = json.dumps({"similarity_fn_name": similarity})
        (folder / "config_sentence_transformers.json").write_text(kind)
        return folder

    return make
