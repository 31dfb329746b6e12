"""Several rankings into one, computed here, so that no server needs a licence for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.types import ScoredDoc

SPARSE, DENSE, WORDS = "sparse", "dense", "words"
SIDES = (SPARSE, DENSE, WORDS)
"""What a list of hits may be found by: weighted terms, dense vectors, BM25 on the text."""

RRF, CONVEX = "rrf", "convex"
RRF_CONSTANT = 60
DEPTH, LARGEST_DEPTH = 100, 10_000
"""Hits taken from each list, and the most of them: as deep as servers page a dense search."""

_MOST_DIGITS = 9
_FORMS = (
    "Use rrf, convex=ALPHA, rrf:sparse,dense or sparse=0.6,dense=0.4 (sides: sparse, dense, words)."
)


@dataclass(frozen=True)
class Fusion:
    """How lists of hits become one.

    Attributes:
        method: "rrf" or "convex".
        shares: (side, share) of each list, at least one, in the order of ``SIDES``; those of
            "convex" add up to 1.
        depth: Hits taken from each list; at least as many as are wanted.
        constant: For rrf, what is added to a rank.
    """

    method: str = RRF
    shares: tuple[tuple[str, float], ...] = ((SPARSE, 1.0), (WORDS, 1.0))
    depth: int = DEPTH
    constant: int = RRF_CONSTANT

    def __post_init__(self) -> None:
        if self.method not in (RRF, CONVEX):
            raise ConfigError(f"--hybrid {self.method} is not known. {_FORMS}")
        names = [side for side, _ in self.shares]
        unknown = next((side for side in names if side not in SIDES), None)
        if unknown is not None:
            raise ConfigError(f"--hybrid: {unknown!r} is no side. {_FORMS}")
        if len(set(names)) < len(names) or not names:
            raise ConfigError(f"--hybrid names a side twice, or none. {_FORMS}")
        total = sum(share for _, share in self.shares)
        if not all(0 <= share < math.inf for _, share in self.shares) or total <= 0:
            raise ConfigError("--hybrid: shares are 0 or more, and not all of them 0.")
        if self.constant < 1 or not 1 <= self.depth <= LARGEST_DEPTH:
            raise ConfigError(
                f"--hybrid: k begins at 1, and depth lies between 1 and {LARGEST_DEPTH:,}."
            )
        scale = total if self.method == CONVEX else 1.0
        ordered = tuple(
            sorted(
                ((side, share / scale) for side, share in self.shares),
                key=lambda share: SIDES.index(share[0]),
            )
        )
        object.__setattr__(self, "shares", ordered)

    @property
    def sides(self) -> tuple[str, ...]:
        """The lists that count."""
        return tuple(side for side, share in self.shares if share > 0)

    def __str__(self) -> str:
        """As ``parse_fusion`` reads it, to six digits."""
        depth = [] if self.depth == DEPTH else [f"depth={self.depth}"]
        if self.method == CONVEX:
            return ",".join([*(f"{side}={share:.6g}" for side, share in self.shares), *depth])
        parts = [side if share == 1 else f"{side}={share:.6g}" for side, share in self.shares]
        if self.constant != RRF_CONSTANT:
            parts.append(f"k={self.constant}")
        return f"rrf:{','.join([*parts, *depth])}"


def parse_fusion(text: str) -> Fusion | None:
    """Read how lists are fused; the empty text means no fusion.

    ``rrf`` and ``convex=0.7`` fuse the weighted terms (with that share) and BM25 on the text.
    ``rrf:sparse,dense``, also with shares as in ``rrf:sparse=2,dense`` and a constant as in
    ``rrf:sparse,dense,k=20``, and ``sparse=0.6,dense=0.4`` name the sides: sparse, dense, words.
    Both of these take ``depth=500`` as well: the hits of each side that are fused, else 100.

    Raises:
        ConfigError: it is none of these.
    """
    text = text.strip()
    if not text:
        return None
    if text == RRF:
        return Fusion()
    method, _, share = text.partition("=")
    if method == CONVEX:
        alpha = _number(share, text) if share else 0.5
        if not 0 <= alpha <= 1:
            raise ConfigError(f"--hybrid convex={alpha}: ALPHA lies between 0 and 1.")
        return Fusion(CONVEX, ((SPARSE, alpha), (WORDS, 1 - alpha)))
    kind, colon, rest = text.partition(":")
    if colon and kind == RRF:
        shares, numbers = _shares(rest, text, default=1.0)
        return Fusion(RRF, shares, depth=numbers["depth"], constant=numbers["k"])
    if "=" not in text or method == RRF:
        raise ConfigError(f"--hybrid {text} is not known. {_FORMS}")
    shares, numbers = _shares(text, text, default=None)
    return Fusion(CONVEX, shares, depth=numbers["depth"])


def _shares(
    listed: str, text: str, *, default: float | None
) -> tuple[tuple[tuple[str, float], ...], dict[str, int]]:
    """Read "side=share" parts, "depth=N", and for rrf (whose shares have a default) "k=N"."""
    shares: list[tuple[str, float]] = []
    numbers = {"k": RRF_CONSTANT, "depth": DEPTH}
    for part in (part.strip() for part in listed.split(",")):
        name, equals, value = part.partition("=")
        if name == "depth" or (name == "k" and default is not None):
            if not value.isdecimal() or len(value) > _MOST_DIGITS:
                raise ConfigError(
                    f"--hybrid: {name}={value[: _MOST_DIGITS + 1]} is no whole number of at most "
                    f"{_MOST_DIGITS} digits."
                )
            numbers[name] = int(value)
        elif equals or default is None:
            shares.append((name, _number(value, text)))
        else:
            shares.append((name, default))
    return tuple(shares), numbers


def _number(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"--hybrid {text}: {value!r} is not a number. {_FORMS}") from None


def fuse(
    lists: Mapping[str, Sequence[ScoredDoc]],
    fusion: Fusion,
    *,
    cosine: bool = True,
) -> list[ScoredDoc]:
    """Fuse rankings; each hit's score becomes the fused one.

    ``rrf`` is reciprocal rank fusion, the sum of share / (60 + rank) (Cormack et al. 2009,
    https://doi.org/10.1145/1571941.1572114). ``convex`` adds up shares of scores that were brought
    to 0 to 1 by the theoretical min-max of Bruch et al. 2023 (https://arxiv.org/abs/2210.11934):
    (score - least) / (highest of the list - least), where the least is what a score can be: 0 for
    terms and BM25, -1 for a cosine. A dot product has no such bound, and the least of its list is
    taken. A document that a list of terms leaves out counts 0 there. Every document has a dense
    score: one that the dense list leaves out counts as its last hit, which scores no less.

    Args:
        lists: The hits of each side, by score; all sides of the fusion.
        fusion: How.
        cosine: Whether dense scores are cosines.

    Returns:
        All hits of all lists, by score, then doc_id; title, text and vector as the first side in
        the order of ``SIDES`` has them.
    """
    scored = []
    for side, share in fusion.shares:
        if share <= 0:
            continue
        if fusion.method == RRF:
            scored.append((_reciprocal_ranks(lists[side], fusion.constant, share), 0.0))
        else:
            scored.append(_scaled(lists[side], share, dense=side == DENSE, cosine=cosine))
    hits = {hit.doc_id: hit for side in reversed(fusion.sides) for hit in lists[side]}
    fused = [
        hit._replace(score=sum(found.get(doc_id, absent) for found, absent in scored))
        for doc_id, hit in hits.items()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.doc_id))


def _reciprocal_ranks(hits: Sequence[ScoredDoc], constant: int, share: float) -> dict[str, float]:
    return {hit.doc_id: share / (constant + rank) for rank, hit in enumerate(hits, start=1)}


def _scaled(
    hits: Sequence[ScoredDoc], share: float, *, dense: bool, cosine: bool
) -> tuple[dict[str, float], float]:
    """Each hit's part of the score, and that of a document which is no hit."""
    if not hits:
        return {}, 0.0
    highest = max(hit.score for hit in hits)
    lowest = min(hit.score for hit in hits)
    least = 0.0 if not dense else -1.0 if cosine else lowest
    if highest <= least:
        return {}, 0.0
    parts = {hit.doc_id: share * (hit.score - least) / (highest - least) for hit in hits}
    return parts, share * (lowest - least) / (highest - least) if dense else 0.0
