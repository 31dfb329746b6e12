"""Which devices encode: ``cuda:0,cuda:1``, ``cpu,cpu`` or ``auto``."""

from __future__ import annotations

import os

from sparse_ir.errors import ConfigError


def read_devices(text: str) -> tuple[str, ...]:
    """Read a list of devices; one may be named several times.

    ``auto`` is every GPU there is, else one CPU; under torchrun with several processes on a
    machine, it is the GPU of this process's number.

    Raises:
        ConfigError: a name is empty, or torch cannot use the device.
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ConfigError(f"devices is {text!r}. Write names with commas, such as cuda:0,cuda:1.")
    if names == ("auto",):
        from sparse_ir.models.masked_lm import all_devices

        return all_devices()
    if "auto" in names:
        raise ConfigError(f"devices is {text!r}. Name every device, or auto alone.")
    if len(names) > 1 or names[0] != "cpu":
        from sparse_ir.models.masked_lm import require_device

        for name in dict.fromkeys(names):
            require_device(name)
    return names


def threads_each(devices: tuple[str, ...]) -> int:
    """How many threads each of several CPU workers has; 0 where there is nothing to share."""
    share = devices.count("cpu")
    if share < 2:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // share)
