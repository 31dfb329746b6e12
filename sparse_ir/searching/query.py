"""From query texts to search requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.engines.base import SearchRequest, TwoStep, is_two_step
from sparse_ir.errors import ConfigError
from sparse_ir.pruning import NO_PRUNING, Pruning, prune
from sparse_ir.vectors import to_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.engines.filters import Filter
    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import Query, SparseVector


def weigh_queries(
    queries: Sequence[Query], encoder: SparseEncoder, *, pruning: Pruning = NO_PRUNING
) -> list[SparseVector]:
    """Encode queries and prune them: one term -> weight dict each, in order."""
    batch = encoder.encode_queries(
        [query.text for query in queries], ids=[query.query_id for query in queries]
    )
    return list(to_terms(prune(batch, pruning), encoder.vocabulary))


def build_request(
    terms: SparseVector,
    *,
    k: int = 10,
    offset: int = 0,
    conditions: Filter = (),
    documents: bool = True,
    vectors: bool = False,
    two_step: TwoStep | None = None,
    server_pruning: bool = False,
    require: tuple[str, ...] = (),
) -> SearchRequest:
    """Check the numbers and put a request together.

    Raises:
        ConfigError: k is below 1 or offset below 0.
    """
    if k < 1:
        raise ConfigError(f"k is {k}. It must be at least 1.")
    if offset < 0:
        raise ConfigError(f"offset is {offset}. It must be at least 0.")
    return SearchRequest(
        terms,
        k,
        offset,
        conditions,
        documents,
        vectors,
        two_step=two_step,
        server_pruning=server_pruning,
        require=require,
    )


def parse_two_step(text: str) -> TwoStep | None:
    """Read "on", or "ratio=0.4,expansion=5,window=200" with any of them; empty means all at once.

    Raises:
        ConfigError: an unknown name, or a number out of range.
    """
    if text in ("", "off"):
        return None
    kinds: dict[str, Callable[[str], float]] = {"ratio": float, "expansion": float, "window": int}
    found: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = part.partition("=")
        if part == "on":
            continue
        if name not in kinds:
            raise ConfigError(
                f"--two-step {part!r} is not known. Use on, ratio=R, expansion=E or window=N."
            )
        try:
            found[name] = kinds[name](value)
        except ValueError:
            raise ConfigError(
                f"--two-step {part!r} needs a number after the equals sign."
            ) from None
    step = TwoStep(**found)
    if not is_two_step(step):
        raise ConfigError(
            f"--two-step {text!r}: ratio lies between 0 and 1, expansion and window begin at 1."
        )
    return step
