"""Two rankings into one, computed here, so that no server needs a licence for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.types import ScoredDoc

RRF_CONSTANT = 60


@dataclass(frozen=True)
class Fusion:
    """How the hits by weighted terms and those by BM25 on the text become one list.

    Attributes:
        method: "rrf" or "convex".
        alpha: For convex, the share of the weighted terms, 0 to 1.
        depth: Hits taken from each list; at least as many as are wanted.
    """

    method: str = "rrf"
    alpha: float = 0.5
    depth: int = 100

    def __post_init__(self) -> None:
        if self.method not in ("rrf", "convex"):
            raise ConfigError(f"--hybrid {self.method} is not known. Use rrf or convex=ALPHA.")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"--hybrid convex={self.alpha}: ALPHA lies between 0 and 1.")


def parse_fusion(text: str) -> Fusion | None:
    """Read "rrf", "convex" or "convex=0.7"; the empty text means no fusion.

    Raises:
        ConfigError: it is none of these.
    """
    if not text:
        return None
    method, _, share = text.partition("=")
    if not share:
        return Fusion(method)
    if method != "convex":
        raise ConfigError(f"--hybrid {text} is not known. Use rrf or convex=ALPHA.")
    try:
        return Fusion(method, float(share))
    except ValueError:
        raise ConfigError(f"--hybrid {text}: {share!r} is not a number.") from None


def fuse(
    by_terms: Sequence[ScoredDoc], by_text: Sequence[ScoredDoc], fusion: Fusion
) -> list[ScoredDoc]:
    """Fuse two rankings; each hit's score becomes the fused one.

    ``rrf`` is reciprocal rank fusion, the sum of 1 / (60 + rank) (Cormack et al. 2009,
    https://doi.org/10.1145/1571941.1572114). ``convex`` divides the scores of a list by its highest
    and adds alpha of the one to 1 - alpha of the other: both scores have 0 for their least, so this
    is the theoretical min-max of Bruch et al. 2023 (https://arxiv.org/abs/2210.11934).

    Returns:
        All hits of both, by score, then doc_id.
    """
    if fusion.method == "rrf":
        shares = [_reciprocal_ranks(by_terms), _reciprocal_ranks(by_text)]
    else:
        shares = [
            _scaled(by_terms, fusion.alpha),
            _scaled(by_text, 1 - fusion.alpha),
        ]
    hits = {hit.doc_id: hit for hit in [*by_text, *by_terms]}
    fused = [
        hit._replace(score=sum(share.get(doc_id, 0.0) for share in shares))
        for doc_id, hit in hits.items()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.doc_id))


def _reciprocal_ranks(hits: Sequence[ScoredDoc]) -> dict[str, float]:
    return {hit.doc_id: 1 / (RRF_CONSTANT + rank) for rank, hit in enumerate(hits, start=1)}


def _scaled(hits: Sequence[ScoredDoc], share: float) -> dict[str, float]:
    highest = max((hit.score for hit in hits), default=0.0)
    return {hit.doc_id: share * hit.score / highest for hit in hits} if highest > 0 else {}
