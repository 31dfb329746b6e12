"""Audit an index that other code made: does it give dot products, and what else if not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.fields import RANK_FEATURES, truncate_vector
from sparse_ir.engines.foreign import DEFAULT, RIGHT, WRONG
from sparse_ir.engines.opening import open_foreign
from sparse_ir.errors import ConfigError
from sparse_ir.inspecting.findings import DOTS, OTHER_SCORES, PRUNING, Finding, examples
from sparse_ir.inspecting.foreign_sample import draw_queries, encode_query, name_style, read_vector
from sparse_ir.inspecting.verify_scores import dot
from sparse_ir.inspecting.verify_weights import EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sparse_ir.engines.foreign import ForeignIndex, VectorField
    from sparse_ir.inspecting.verify_scores import WeighedQuery
    from sparse_ir.types import SparseVector

_DEPTH = 10
_BEYOND = 50  # equal scores at the cut are put in order of ids here
_MOST_NAMES = 300


@dataclass(frozen=True)
class ExistingSettings:
    """What is audited.

    Attributes:
        index: The index, or an alias of it.
        engine: The cluster, as ``open_engine`` takes it.
        field: The field of weighted terms; None where there is one only.
        query: A text to search for; needs ``model``.
        model: As ``load_encoder`` takes it; needed for ``query`` alone.
        documents: How many are sampled, at most.
        sample_queries: How many queries are made of the documents' features.
        seed: Of the sample.
    """

    index: str
    engine: str
    field: str | None = None
    query: str | None = None
    model: str | None = None
    documents: int = 100
    sample_queries: int = 20
    seed: int = 0


class Audit(NamedTuple):
    """What was found.

    Attributes:
        server: Flavour and version.
        documents: In the index.
        field: The field of weighted terms.
        kind: Its type.
        naming: How features are named; empty where none is known.
        pruning: Whether the server drops query tokens unless told not to, and who says so.
        vectors_in_source: Of how many sampled documents ``_source`` holds the vector.
        sampled: How many documents were sampled.
        dotted: Names with a dot in the sample.
        forms: The two forms of a query that were compared.
        queries: How many were searched in both.
        overlap: Mean share of the first 10 hits that both forms have; None without queries.
        first_difference: The first rank, from 1, at which a query's forms differ; None for nowhere.
        findings: What is wrong with the index.
        notes: What could not be looked at.
    """

    server: str
    documents: int
    field: str
    kind: str
    naming: str
    pruning: str
    vectors_in_source: int
    sampled: int
    dotted: int
    forms: tuple[str, str]
    queries: int
    overlap: float | None
    first_difference: int | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {**self._asdict(), "findings": [finding.to_json() for finding in self.findings]}

    def rows(self) -> list[tuple[str, str]]:
        """As lines for people: what, and how it is."""
        overlap = "not compared" if self.overlap is None else f"{self.overlap:.2f}"
        differ = "none" if self.first_difference is None else str(self.first_difference)
        return [
            ("server", self.server),
            ("documents", f"{self.documents:,}"),
            ("field", f"{self.field} ({self.kind})"),
            ("features named by", self.naming or "not known"),
            ("names with a dot", str(self.dotted)),
            ("pruning of queries", self.pruning),
            ("vectors in _source", f"{self.vectors_in_source} of {self.sampled} documents"),
            ("forms compared", " / ".join(self.forms)),
            ("queries", str(self.queries)),
            ("overlap@10 of the forms", overlap),
            ("first rank that differs", differ),
        ]


def verify_existing(settings: ExistingSettings) -> Audit:
    """Look at an index that has no stamp.

    Args:
        settings: Which, and how closely.

    Raises:
        ConfigError: the index has no field of weighted terms, or several and none was named.
        IndexNotFoundError: there is no such index.
    """
    if (settings.query is None) != (settings.model is None):
        raise ConfigError("--query and --model go together: the model encodes the query.")
    found = open_foreign(settings.engine, settings.index)
    try:
        return _audit(found, settings)
    finally:
        found.close()


def _audit(index: ForeignIndex, settings: ExistingSettings) -> Audit:
    field = _choose(index, settings.field)
    documents = index.sample(settings.documents, settings.seed)
    vectors = {i: v for i, s in documents if (v := read_vector(s, field.name))}
    naming = name_style(name for vector in vectors.values() for name in vector)
    notes: list[str] = []
    if settings.query is not None:
        queries = [encode_query(settings.query, settings.model, naming)]
    else:
        texts = [source for _, source in documents]
        count, seed = settings.sample_queries, settings.seed
        queries = draw_queries(index, field, vectors, texts, count, seed, notes)
    findings = [*_dots(index, field, vectors), *_scores(index, field, queries, vectors)]
    pruning, pruned = _pruning(index, field, queries)
    findings += pruned
    both = [
        index.search(field, [q.terms for q in queries], form=form, size=_BEYOND)
        for form in (RIGHT, WRONG)
    ]
    overlap, first = compare_rankings(*both)
    forms = ("linear", "saturation (the default)")
    if field.kind != RANK_FEATURES:
        forms = ("prune: false", "prune: true")
    dotted = {name for vector in vectors.values() for name in vector if "." in name}
    return Audit(
        index.server,
        index.count(),
        field.name,
        field.kind,
        naming,
        pruning,
        len(vectors),
        len(documents),
        len(dotted),
        forms,
        len(queries),
        overlap,
        first,
        tuple(findings),
        tuple(notes),
    )


def _choose(index: ForeignIndex, name: str | None) -> VectorField:
    fields = index.fields()
    known = ", ".join(field.name for field in fields)
    if not fields:
        raise ConfigError(
            f"index {index.index!r} has no rank_features and no sparse_vector field: there is "
            "nothing to audit."
        )
    if name is None and len(fields) > 1:
        raise ConfigError(f"index {index.index!r} has {known}. Choose one with --vector-field.")
    for field in fields:
        if name in (None, field.name):
            return field
    raise ConfigError(f"index {index.index!r} has no such field {name!r}. There is: {known}.")


def _dots(
    index: ForeignIndex, field: VectorField, vectors: Mapping[str, SparseVector]
) -> list[Finding]:
    """Names with a dot that are in ``_source`` and cannot be found."""
    dotted: dict[str, str] = {}
    for doc_id, vector in vectors.items():
        dotted.update((name, doc_id) for name in vector if "." in name)
    names = list(dotted)[:_MOST_NAMES]
    found = index.search(field, [{name: 1.0} for name in names], size=1)
    lost = [name for name, hits in zip(names, found, strict=True) if not hits]
    if not lost:
        return []
    doc_id = dotted[lost[0]]
    return [
        Finding(
            DOTS,
            f'{len(lost)} names with a "." ({examples(lost)}) are in documents and never match: '
            "the query takes what is before the last dot for the field.",
            'Escape dots one to one (sparse-ir writes "%2E") and index again.',
            doc_id,
            lost[0],
            vectors[doc_id][lost[0]],
            0.0,
        )
    ]


def _scores(
    index: ForeignIndex,
    field: VectorField,
    queries: Sequence[WeighedQuery],
    vectors: Mapping[str, SparseVector],
) -> list[Finding]:
    """Whether the right form gives the dot product of what ``_source`` says."""
    kept = {doc_id: truncate_vector(vector) for doc_id, vector in vectors.items()}
    if field.kind == RANK_FEATURES:
        kept = {i: {n: w for n, w in v.items() if "." not in n} for i, v in kept.items()}
    asked = [query.terms for query in queries] if kept else []
    found = index.search(field, asked, size=max(len(kept), 1), doc_ids=list(kept))
    wrong = []
    for query, hits in zip(queries, found, strict=False):
        scores = dict(hits)
        for doc_id, vector in kept.items():
            expected, got = dot(query.terms, vector), scores.get(doc_id, 0.0)
            if abs(expected - got) > EXACT * max(expected, got):
                wrong.append((doc_id, query.query_id, expected, got))
    if not wrong:
        return []
    what = f"{len(wrong)} scores are not the dot products with the vectors in _source."
    advice = "Vectors were merged by partial updates, or transformed on the way in: index again."
    return [Finding(OTHER_SCORES, what, advice, *wrong[0])]


def _pruning(
    index: ForeignIndex, field: VectorField, queries: Sequence[WeighedQuery]
) -> tuple[str, list[Finding]]:
    if not field.prunes:
        return field.said, []
    asked = [query.terms for query in queries]
    right = index.search(field, asked, form=RIGHT)
    default = index.search(field, asked, form=DEFAULT)
    changed = [q for q, a, b in zip(queries, right, default, strict=True) if a != b]
    what = f"a query that does not say prune: false loses tokens ({field.said})"
    finding = Finding(
        PRUNING,
        f"{what}; {len(changed)} of {len(queries)} sampled queries were changed by it.",
        "Send prune: false with every query, or index with index_options.prune: false.",
    )
    if changed:
        number = queries.index(changed[0])
        doc_id, expected = right[number][0]
        got = dict(default[number]).get(doc_id, 0.0)
        finding = finding._replace(
            doc_id=doc_id, query=changed[0].query_id, expected=expected, got=got
        )
    return f"in force ({field.said})", [finding]


def compare_rankings(
    right: Sequence[Sequence[tuple[str, float]]], wrong: Sequence[Sequence[tuple[str, float]]]
) -> tuple[float | None, int | None]:
    """Mean overlap of the first 10 hits, and the first rank (from 1) that differs in any query."""
    overlaps: list[float] = []
    ranks: list[int] = []
    for a, b in zip(right, wrong, strict=True):
        first, second = [i for i, _ in a[:_DEPTH]], [i for i, _ in b[:_DEPTH]]
        longest = max(len(first), len(second))
        overlaps.append(len(set(first) & set(second)) / longest if longest else 1.0)
        differing = [
            r for r, pair in enumerate(zip(first, second, strict=False)) if len({*pair}) > 1
        ]
        if differing or len(first) != len(second):
            ranks.append((differing or [min(len(first), len(second))])[0] + 1)
    if not overlaps:
        return None, None
    return sum(overlaps) / len(overlaps), min(ranks, default=None)
