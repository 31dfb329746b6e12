"""What can be set about an index in a search server."""

from __future__ import annotations

from dataclasses import dataclass

from sparse_ir.config import require_least_one
from sparse_ir.errors import ConfigError


@dataclass(frozen=True)
class ClusterOptions:
    """How an index is laid out in a cluster and written to.

    Attributes:
        field: The field type of the vectors; empty for the server's default.
        shards: Primary shards; None for what the mapping says.
        replicas: Copies of each; None for what the mapping says.
        keep_vectors: Keep the vectors in ``_source`` too, which doubles the index: then they can
            be exported, and partial updates by other programs keep them.
        force_merge: Merge to one segment a shard before the index comes into sight.
        bulk_documents: Documents a request, at most.
        bulk_bytes: Bytes a request, at most.
        in_flight: Requests at a time, at most.
        patience: Seconds to wait for a cluster that takes nothing.
    """

    field: str = ""
    shards: int | None = None
    replicas: int | None = None
    keep_vectors: bool = False
    force_merge: bool = False
    bulk_documents: int = 512
    bulk_bytes: int = 4 << 20
    in_flight: int = 4
    patience: float = 600.0

    def __post_init__(self) -> None:
        require_least_one(
            bulk_documents=self.bulk_documents,
            bulk_bytes=self.bulk_bytes,
            in_flight=self.in_flight,
            shards=self.shards,
        )
        if self.replicas is not None and self.replicas < 0:
            raise ConfigError(f"replicas is {self.replicas}. It must be at least 0.")
