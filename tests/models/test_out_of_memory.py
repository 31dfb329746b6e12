"""Memory that runs out while encoding: smaller batches, the same vectors, each text once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparse_ir.errors import EncodingError
from sparse_ir.models.backbone import Backbone, Options
from sparse_ir.models.dense import DenseEncoder
from sparse_ir.models.memory import keep_memory_flat
from sparse_ir.models.splade import SpladeEncoder

TEXTS = [f"the cat sat on {'a mat ' * (i % 5)}{i}" for i in range(60)]


class Small(SpladeEncoder):
    """Has memory for so many tokens at a time."""

    room = 100

    def encode_batch(self, rows):
        """Weigh a batch, if there is room."""
        if len(rows) * max(map(len, rows)) > self.room:
            raise self.error
        return super().encode_batch(rows)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_batches_are_halved_and_vectors_stay(tiny, caplog, error):
    told = []
    encoder = Small(tiny)
    encoder.error = error
    with caplog.at_level(logging.WARNING):
        found = encoder.encode_documents(TEXTS, advance=told.append)
    expected = SpladeEncoder(tiny).encode_documents(TEXTS)
    assert found.ids == expected.ids
    np.testing.assert_allclose(
        found.weights.toarray(), expected.weights.toarray(), rtol=1e-5, atol=1e-5
    )
    assert sum(told) == 60
    assert 1 <= len(caplog.records) <= 5  # every one halves what was too much, none in vain
    assert encoder.batch_tokens <= 100
    encoder.encode_documents(TEXTS)
    assert len(caplog.records) <= 5  # and it is remembered


def test_a_single_text_that_is_too_much_ends_the_run(tiny):
    encoder = Small(tiny)
    encoder.error, encoder.room = MemoryError(), 5
    with pytest.raises(EncodingError, match=r"memory ran out on cpu with a single text of \d+ tok"):
        encoder.encode_documents(TEXTS)


def test_other_errors_stay_what_they_are(tiny):
    encoder = Small(tiny)
    encoder.error = RuntimeError("device-side assert triggered")
    with pytest.raises(RuntimeError, match="device-side assert"):
        encoder.encode_documents(TEXTS)


class SmallBackbone(Backbone):
    """Has memory for so many tokens at a time."""

    def forward(self, rows, **inputs):
        """Run a batch, if there is room."""
        if len(rows) * max(map(len, rows)) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(rows, **inputs)


def test_batches_of_a_dense_model_are_halved_too(tiny, caplog):
    encoder = DenseEncoder(tiny)
    expected = encoder.encode(TEXTS)
    encoder.backbone = SmallBackbone(tiny, Options())
    encoder.backbone.room = 100
    told = []
    with caplog.at_level(logging.WARNING):
        found = encoder.encode(TEXTS, advance=told.append)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert sum(told) == 60
    assert 1 <= len(caplog.records) <= 6
    assert encoder.backbone.batch_tokens <= 100
    encoder.backbone.room = 5
    with pytest.raises(EncodingError, match=r"with a single text of \d+ tokens"):
        encoder.encode(TEXTS)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own settings")
def test_large_blocks_go_back_to_the_system_at_once():
    """In a fresh process: after blocks of growing size glibc would keep the last ones."""
    code = """if True:
        import sys
        import numpy as np, psutil
        from sparse_ir.models.memory import keep_memory_flat
        if sys.argv[1] == "flat":
            keep_memory_flat()
        for mb in (6, 10, 20, 30):  # each raises the size from which glibc asks the system
            np.ones(mb << 17)
        before = psutil.Process().memory_info().rss
        above = [np.ones(5 << 17) for _ in range(20)]
        kept = above.pop()
        del above
        print((psutil.Process().memory_info().rss - before) >> 20)
    """
    left = {
        way: int(subprocess.check_output([sys.executable, "-c", code, way], text=True))
        for way in ("flat", "as it is")
    }
    assert left["flat"] < 10  # the one of 5 MB that is held
    assert left["as it is"] > 50  # 19 below it in the heap: the test would see no difference else


HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="this kernel has no large pages")
@pytest.mark.parametrize("command", ["encode", "index"])
@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_large_pages_are_asked_for_before_torch_is_there(
    tmp_path, write_jsonl, command, given, expected
):
    """torch reads the variable once, when it first takes memory: later is too late."""
    name = "THP_MEM_ALLOC_ENABLE"
    code = f"""if True:
        import os, sys
        from sparse_ir.cli import main
        class Finder:
            def find_spec(self, module, path=None, target=None):
                if module == "torch":
                    print("seen", os.environ.get({name!r}), file=sys.stderr)
        sys.meta_path.insert(0, Finder())
        main()
    """
    corpus = write_jsonl("corpus.jsonl", [{"_id": "1", "text": "one"}])
    where = ["--out", str(tmp_path / "v")] if command == "encode" else ["--engine", "memory"]
    others = {key: value for key, value in os.environ.items() if key != name}
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--corpus", str(corpus), *where],
        env=others if given is None else {**others, name: given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"seen {expected}" in done.stderr


def test_the_memory_of_a_program_that_has_torch_is_left_as_it_is(monkeypatch):
    monkeypatch.delenv("LRU_CACHE_CAPACITY", raising=False)
    keep_memory_flat()
    assert "LRU_CACHE_CAPACITY" not in os.environ
