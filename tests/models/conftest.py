"""A tiny random BERT, made here, and the bundled model."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from tiny_bert import make_bert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sparse_ir.models.splade import SpladeEncoder

with warnings.catch_warnings():
    # Whatever torch and its like warn of when they are first imported is not ours to mend.
    warnings.simplefilter("ignore")
    import torch
    import transformers  # noqa: F401
    from torch.utils._python_dispatch import TorchDispatchMode

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *("the", "cat", "sat", "on", "mat", "run", "##ning", ".", ",", "'", "!"),
]


def make_tiny_bert(folder: Path, *, positions: int = 32, seed: int = 0) -> Path:
    """Save a random BertForMaskedLM (2 layers, 32 wide) with a WordPiece tokenizer."""
    make_bert(folder, VOCABULARY, seed=seed, length=positions)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random BERT that reads 32 tokens. Not to be written to."""
    return make_tiny_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def make_tiny() -> Callable[..., Path]:
    """Make a tiny random BERT in a folder of one's own: ``make_tiny(folder, seed=1)``."""
    return make_tiny_bert


@pytest.fixture(scope="session")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> SpladeEncoder:
    """The bundled model, unpacked once for all tests."""
    from sparse_ir.models.loading import load_encoder

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSE_IR_HOME", str(tmp_path_factory.mktemp("bundled")))
        return load_encoder()  # type: ignore[return-value]


class LargestTensor(TorchDispatchMode):
    """Records how many numbers the largest tensor holds that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                # of a sparse one, what it holds: its shape is no size
                held = tensor._values() if tensor.layout is torch.sparse_coo else tensor
                self.numbers = max(self.numbers, held.numel())
        return made


@pytest.fixture
def largest_tensor() -> type[LargestTensor]:
    """A context that records the size of the largest tensor made in it."""
    return LargestTensor


class Held:
    """What tensors took.

    Attributes:
        most: The highest sum of bytes that were held at once, beyond what was held before.
    """

    most = 0


@contextmanager
def _held_at_once() -> Iterator[Held]:
    held, now = Held(), 0
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True) as profile:
        yield held
    with TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    taken = [event for event in events if event.get("name") == "[memory]"]
    for event in sorted(taken, key=lambda event: event["ts"]):
        now += event["args"]["Bytes"]  # below 0 where it is given back
        held.most = max(held.most, now)


@pytest.fixture
def held_at_once() -> Callable[[], AbstractContextManager[Held]]:
    """A context that adds up all that torch's allocator gives out and takes back in it."""
    return _held_at_once
