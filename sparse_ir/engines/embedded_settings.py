"""The settings of the embedded engine's store, from ``mappings/embedded.json``.

The measurements behind the values are in docs/embedded-engine.md.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, fields

from sparse_ir.errors import ConfigError
from sparse_ir.resources import resource


@dataclass(frozen=True)
class StoreSettings:
    """How the store is filled.

    Attributes:
        segment_postings: A load is turned into a finished segment whenever this many terms of
            documents have come in; memory grows with it, the number of segments shrinks.
        segment_bytes: Likewise for this many bytes of text.
        most_segments: The store merges segments down to this number, and a merge takes memory
            with the size of its result; so the number is one that is never reached.
        smallest_indexed_kb: Below this size, in KB of vectors, what came in stays as it is.
        most_number_fields: How many metadata fields with numbers get an index that makes ranges
            quick; ranges over further fields are as right, and slow.
        reserve_bytes: Nothing is written while less than this is free on the disk.
    """

    segment_postings: int
    segment_bytes: int
    most_segments: int
    smallest_indexed_kb: int
    most_number_fields: int
    reserve_bytes: int


@functools.cache
def store_settings() -> StoreSettings:
    """Read the settings.

    Raises:
        ConfigError: the file is no JSON object, or a setting is missing, unknown or no positive
            integer.
    """
    path = resource("mappings", "embedded.json")
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}.") from None
    names = {field.name for field in fields(StoreSettings)}
    if not isinstance(values, dict) or set(values) != names:
        raise ConfigError(f"{path} must hold exactly {', '.join(sorted(names))}.")
    settings = StoreSettings(**values)
    for name, value in asdict(settings).items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{path}: {name} is {value!r}. It must be an integer above 0.")
    return settings
