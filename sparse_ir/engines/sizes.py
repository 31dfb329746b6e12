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


SIZES: tuple[IndexSize, ...] = (
    IndexSize("embedded", "", weight=13.0, document=447, text=1.75),
    IndexSize("opensearch 3.8.0", "rank_features", weight=15.2, document=135, text=1.25),
    IndexSize("elasticsearch 7.17.29", "rank_features", weight=15.2, document=135, text=1.22),
    IndexSize("elasticsearch 9.2.0", "sparse_vector", weight=10.0, document=126, text=1.21),
)
"""Of 10,000 MS MARCO passages with 75 terms each; Elasticsearch 7.17 of 4,000 with 101."""
