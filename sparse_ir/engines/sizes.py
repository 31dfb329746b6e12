"""How large an index becomes, as measured: ``python evaluation/index_sizes.py``."""

from __future__ import annotations

from typing import NamedTuple


class IndexSize(NamedTuple):
    """Of one engine and field type, one shard, no replicas, merged.

    Attributes:
        engine: Its name, and the versions that were measured.
        field: The field type; empty where there is but one.
        weight: Bytes for each stored weight.
        document: Bytes for each document, whatever it holds.
        text: Bytes for each UTF-8 byte of title and text.
    """

    engine: str
    field: str
    weight: float
    document: float
    text: float


SIZES: tuple[IndexSize, ...] = ()
