"""What torch can compute on here."""

from __future__ import annotations


def describe_devices() -> str:
    """Name the devices that ``device="auto"`` chooses from, best first."""
    import torch

    found = [
        f"cuda:{i} {torch.cuda.get_device_name(i)}"
        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    if torch.backends.mps.is_available():
        found.append("mps")
    found.append(f"cpu ({torch.get_num_threads()} threads)")
    return ", ".join(found)
