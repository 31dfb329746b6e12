"""Why weights are not what they should be: each known cause, tested against the numbers."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.inspecting.findings import (
    DOTS,
    LOST_LIGHT_TERMS,
    LOST_TERMS,
    LOST_VECTORS,
    MERGED,
    OTHER_WEIGHTS,
    SATURATION,
    WRONG_MODEL,
    Finding,
    examples,
)
from sparse_ir.inspecting.verify_weights import EXACT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.inspecting.verify_weights import Differences

_MOSTLY = 0.9
_SAME = 1e-3  # pivots computed from 9-bit weights and float32 scores agree to this
_MANY = 6
# Of the noise that may be, what nearly all weights stay within. On 100 texts of cranfield in bf16
# and int8, in one shard, three or five, over 90 % of saturated weights agree with another of their
# term so far; of weights that are shuffled, scaled or squeezed by tanh, 20 to 83 %.
_TYPICAL = 1 / 16


def name_causes(compared: Sequence[Differences], *, noise: float = 0.0) -> list[Finding]:
    """Name the causes of all differences, the one that explains most documents first.

    Args:
        compared: Document by document.
        noise: What a weight may be off below fp32, as ``compare`` takes it.
    """
    wrong = [d for d in compared if not d.right]
    if not wrong:
        return []
    saturated = _saturation(compared, noise)
    if saturated is not None:
        return [saturated]
    findings: list[Finding] = []
    empty = [d for d in wrong if d.expected and not d.observed]
    rest = [d for d in wrong if d.observed or not d.expected]
    if empty:
        findings.append(_lost_vectors(empty))
    dots, rest = _dots(rest)
    findings += dots
    other = [d for d in rest if (d.missing and d.extra) or d.changed]
    merged = [d for d in rest if d not in other and d.extra]
    light = [d for d in rest if d not in other and d.missing and _is_light(d)]
    lost = [d for d in rest if d not in other and d.missing and not _is_light(d)]
    for explain, group in ((_merged, merged), (_light, light), (_lost, lost)):
        if group:
            findings.append(explain(group))
    if other:
        findings.append(_others(other, len(compared)))
    return findings


def _saturation(compared: Sequence[Differences], noise: float) -> Finding | None:
    """Whether weights S come back as S / (S + pivot), one pivot a term (and shard)."""
    pivots: dict[str, dict[float, _Pivot]] = defaultdict(dict)
    there = below = 0
    for d in compared:
        heaviest = max(d.expected.values(), default=0.0)
        # what lies within the noise may be saturated as well
        for term in d.expected.keys() & d.observed.keys() if noise else d.changed:
            if d.observed[term] < 1:
                below += 1
                weight = d.expected[term]
                room = max(_SAME, _TYPICAL * noise * heaviest / weight)
                pivots[term][weight] = _Pivot(_pivot(d, term), room)
        there += sum(term in d.observed for term in d.expected)
    # equal weights come back equal whatever the function is: only different ones tell, and among
    # few of a term none may lie in the same shard
    several = [sorted(found.values()) for found in pivots.values() if len(found) > 1]
    telling = [found for found in several if len(found) >= _MANY] or several
    tested, fitting = sum(map(len, telling)), sum(map(_agreeing, telling))
    if not tested or fitting < _MOSTLY * tested or below < _MOSTLY * there:
        return None
    wrong = [d for d in compared if d.changed]
    d = wrong[0]
    term = max(d.changed, key=lambda t: d.expected[t])
    return _at(
        d,
        term,
        SATURATION,
        f"a weight S counts as S / (S + pivot), in {fitting} of {tested} weights looked at "
        f"(pivot of {term!r}: {_pivot(d, term):.4g}).",
        'Send "linear": {} in every rank_feature clause: saturation is the server\'s default '
        "and no dot product.",
    )


class _Pivot(NamedTuple):
    """The pivot that a weight tells of, and how far off its weight may have put it, relative."""

    pivot: float
    room: float


def _pivot(d: Differences, term: str) -> float:
    """The pivot p of S / (S + p), from a weight and what came back."""
    return d.expected[term] * (1 - d.observed[term]) / d.observed[term]


def _agreeing(pivots: list[_Pivot]) -> int:
    """How many equal a neighbour; shards have pivots of their own."""
    gaps = [math.inf, *(q.pivot - p.pivot for p, q in pairwise(pivots)), math.inf]
    near = map(min, pairwise(gaps))
    return sum(gap <= p.room * p.pivot for p, gap in zip(pivots, near, strict=True))


def _dots(wrong: list[Differences]) -> tuple[list[Finding], list[Differences]]:
    """Terms with dots that are not found, or were written under another term's name."""
    merged: list[tuple[Differences, str]] = []
    lost: list[tuple[Differences, str]] = []
    rest: list[Differences] = []
    for d in wrong:
        dotted = [t for t in d.missing if "." in t]
        aliases = {alias for t in d.expected if "." in t for alias in _aliases(t)}
        taken = [t for t in (*d.extra, *d.changed) if t in aliases]
        missing = tuple(t for t in d.missing if t not in dotted)
        if dotted:
            (merged if taken else lost).append((d, dotted[0]))
        elif taken:
            merged.append((d, taken[0]))
        left = d._replace(
            missing=missing,
            extra=tuple(t for t in d.extra if t not in taken),
            changed=tuple(t for t in d.changed if t not in taken),
        )
        if not left.right:
            rest.append(left)
    findings = []
    for group, what in (
        (merged, "were written under another character, where they fall together with other terms"),
        (lost, "are never found: the name of a rank_features term ends at its last dot"),
    ):
        if group:
            d, term = group[0]
            findings.append(
                _at(
                    d,
                    term,
                    DOTS,
                    f'terms with a "." {what} ({len(group)} documents).',
                    'Escape them one to one (sparse-ir writes "%2E") and index again.',
                )
            )
    return findings, rest


def _aliases(term: str) -> set[str]:
    return {term.replace(".", other) for other in ("_", "", " ", "-", "%2E")} - {""}


def _is_light(d: Differences) -> bool:
    """Whether what is missing is the light end of the vector."""
    there = [weight for term, weight in d.expected.items() if term not in d.missing]
    return bool(there) and max(d.expected[t] for t in d.missing) <= min(there) * (1 + EXACT)


def _light(group: list[Differences]) -> Finding:
    d = group[0]
    terms = sum(len(d.missing) for d in group)
    return _at(
        d,
        d.missing[0],
        LOST_LIGHT_TERMS,
        f"the lightest terms of {len(group)} documents are not in the index ({terms} terms; of "
        f"{d.doc_id!r}: {examples(list(d.missing))}).",
        "They were pruned before indexing, and the stamp does not say so: index again.",
    )


def _lost(group: list[Differences]) -> Finding:
    d = group[0]
    return _at(
        d,
        max(d.missing, key=lambda t: d.expected[t]),
        LOST_TERMS,
        f"{len(group)} documents lack terms (of {d.doc_id!r}: {examples(list(d.missing))}).",
        "Index these documents again.",
    )


def _lost_vectors(group: list[Differences]) -> Finding:
    d = group[0]
    term = max(d.expected, key=lambda t: d.expected[t])
    return _at(
        d,
        term,
        LOST_VECTORS,
        f"{len(group)} documents are in the index without any term.",
        "A partial update rewrites a document from _source, which holds no vectors: index these "
        "documents again, whole.",
    )


def _merged(group: list[Differences]) -> Finding:
    d = group[0]
    return _at(
        d,
        max(d.extra, key=lambda t: d.observed[t]),
        MERGED,
        f"{len(group)} documents hold terms that their vectors lack, beside all that they have (of "
        f"{d.doc_id!r}: {examples(list(d.extra))}).",
        "A partial update keeps the old vector's terms: index these documents again, whole.",
    )


def _others(group: list[Differences], documents: int) -> Finding:
    d = group[0]
    kinds = (("lack", d.missing), ("hold beside", d.extra), ("weigh otherwise", d.changed))
    what = "; ".join(f"{kind} {examples(list(terms))}" for kind, terms in kinds if terms)
    term = (d.missing or d.changed or d.extra)[0]
    if 2 * len(group) >= documents:
        return _at(
            d,
            term,
            WRONG_MODEL,
            f"{len(group)} of {documents} documents do not hold what the model gives them (e.g. "
            f"{d.doc_id!r}: {what}).",
            "Another model or version of it made these vectors, or --precision bf16 or int8: then "
            "verify with that --precision. Else index again, or search with that model.",
        )
    return _at(
        d,
        term,
        OTHER_WEIGHTS,
        f"{len(group)} of {documents} documents hold another vector (e.g. {d.doc_id!r}: {what}).",
        "Their text was changed without their vector, or the vector behind the index's back: index "
        "these documents again.",
    )


def _at(d: Differences, term: str, cause: str, what: str, advice: str) -> Finding:
    expected, got = d.expected.get(term, 0.0), d.observed.get(term, 0.0)
    return Finding(cause, what, advice, d.doc_id, term, expected, got)
