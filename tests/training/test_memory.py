from __future__ import annotations

import pytest
import torch

from sparse_ir.errors import TrainingError
from sparse_ir.training.memory import advising, is_out_of_memory

SHORT = [
    torch.OutOfMemoryError("CUDA: Tried to allocate 2 GiB."),
    MemoryError(),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_short_memory_is_told_in_one_line(error):
    assert is_out_of_memory(error)
    with (
        pytest.raises(TrainingError, match=r"^Memory ran out\. Lower it\.$"),
        advising("Lower it."),
    ):
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), advising("Lower it."):
        raise RuntimeError("shapes cannot be multiplied")


def test_torch_does_run_out_as_expected():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
