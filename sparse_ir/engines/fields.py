"""The field types that hold term weights in a search server: names, values, query clauses.

All of them end up as a Lucene ``FeatureField``: one posting a term whose frequency is the weight's
float32 bits shifted right by 15, so that 9 significant bits are kept and the rest is cut off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sparse_ir.types import SparseVector

VECTOR = "vector"
"""The field that holds a document's term weights."""

RANK_FEATURES = "rank_features"
SPARSE_VECTOR = "sparse_vector"
NEURAL_SPARSE = "neural_sparse"
SEISMIC = "seismic"

SMALLEST = float(np.finfo(np.float32).smallest_normal)
"""The lightest weight that Lucene takes; 2^-126."""


class Choice(NamedTuple):
    """A field type on a flavour of server.

    Attributes:
        flavour: "elasticsearch" or "opensearch".
        field: The name that ``--field`` takes.
        mapping: The file in ``mappings/`` with the index's body.
        since: The first version that has it.
    """

    flavour: str
    field: str
    mapping: str
    since: tuple[int, int]


CHOICES = (
    Choice("elasticsearch", RANK_FEATURES, "elasticsearch-rank_features.json", (7, 17)),
    Choice("elasticsearch", SPARSE_VECTOR, "elasticsearch-sparse_vector.json", (8, 15)),
    Choice("opensearch", RANK_FEATURES, "opensearch-rank_features.json", (2, 0)),
    Choice("opensearch", NEURAL_SPARSE, "opensearch-rank_features.json", (2, 14)),
    Choice("opensearch", SEISMIC, "opensearch-seismic.json", (3, 3)),
)


def default_field(flavour: str, version: tuple[int, ...]) -> str:
    """The field type chosen where the user names none: exact, and there without a plugin."""
    if flavour == "elasticsearch" and version[:2] >= (8, 15):
        return SPARSE_VECTOR
    return RANK_FEATURES


SEISMIC_TERMS = 32_768
"""SEISMIC folds token ids modulo this: with more terms, different ones would become one."""


def require_seismic(vocabulary_size: int) -> None:
    """Refuse a vocabulary that SEISMIC would fold.

    Raises:
        ConfigError: it has more terms than SEISMIC tells apart.
    """
    if vocabulary_size > SEISMIC_TERMS:
        raise ConfigError(
            f"--field seismic tells {SEISMIC_TERMS:,} terms apart, the model has "
            f"{vocabulary_size:,}: terms would be merged. Use --field rank_features."
        )


def find_choice(flavour: str, version: tuple[int, ...], field: str) -> Choice:
    """Look up a field type.

    Raises:
        ConfigError: this server has no such field type.
    """
    for choice in CHOICES:
        if (choice.flavour, choice.field) == (flavour, field):
            if version[:2] < choice.since:
                raise ConfigError(
                    f"--field {field} needs {flavour} {'.'.join(map(str, choice.since))} or later; "
                    f"the server is {'.'.join(map(str, version))}."
                )
            return choice
    known = ", ".join(c.field for c in CHOICES if c.flavour == flavour)
    raise ConfigError(f"--field {field} is not known to {flavour}. Use one of: {known}.")


def escape_term(term: str) -> str:
    """Write a term as a feature name, one to one.

    ``rank_features`` names may not hold dots, and replacing "." by another character would merge
    terms and change scores, so the dot is percent-encoded, as is the percent sign itself.

    >>> escape_term("3.5%")
    '3%2E5%25'
    """
    return term.replace("%", "%25").replace(".", "%2E")


def unescape_term(name: str) -> str:
    """Read a feature name back as the term.

    >>> unescape_term("3%2E5%25")
    '3.5%'
    """
    return name.replace("%2E", ".").replace("%25", "%")


def truncate(weights: NDArray[Any]) -> NDArray[Any]:
    """Cut float32 weights to the 9 significant bits that Lucene keeps.

    The relative error is below 2^-8, and a weight only ever gets smaller.
    """
    bits: NDArray[Any] = np.ascontiguousarray(weights, np.float32).view(np.uint32)
    return (bits >> 15 << 15).view(np.float32)


def truncate_vector(vector: SparseVector) -> SparseVector:
    """What of a document's term weights an index keeps."""
    weights = truncate(np.array(list(vector.values()), np.float32)).tolist()
    return dict(zip(vector, weights, strict=True))


def term_query(field: str, terms: Mapping[str, float], *, prune: bool = False) -> dict[str, Any]:
    """The query whose score is the dot product of ``terms`` with a document's weights.

    Args:
        field: A field type.
        terms: Term -> weight, at least one.
        prune: Let Elasticsearch drop the tokens it deems unimportant; other field types have no
            such thing.
    """
    if field == SPARSE_VECTOR:
        tokens = {escape_term(term): weight for term, weight in terms.items()}
        body: dict[str, Any] = {"field": VECTOR, "query_vector": tokens, "prune": prune}
        return {"sparse_vector": body}
    if field == NEURAL_SPARSE:
        tokens = {escape_term(term): weight for term, weight in terms.items()}
        return {"neural_sparse": {VECTOR: {"query_tokens": tokens}}}
    if field == SEISMIC:
        raise ValueError("SEISMIC needs to know how many hits are wanted: see seismic_query")
    should = [
        {
            "rank_feature": {
                "field": f"{VECTOR}.{escape_term(term)}",
                "boost": weight,
                # saturation, the default, ranks differently and raises nothing
                "linear": {},
            }
        }
        for term, weight in terms.items()
    ]
    return {"bool": {"should": should}}


def term_clause(field: str, term: str) -> dict[str, Any]:
    """The filter clause that holds for documents that have a term, whatever it weighs there.

    Args:
        field: A field type, but not SEISMIC, which has no exact search.
        term: The term.
    """
    if field == SPARSE_VECTOR:
        return term_query(field, {term: 1.0})
    if field == SEISMIC:
        raise ValueError("SEISMIC cannot be asked whether a document holds a term")
    # A neural_sparse field is of the type rank_features; without the plugin's query its two-phase
    # processor finds nothing here to split.
    return {"rank_feature": {"field": f"{VECTOR}.{escape_term(term)}", "linear": {}}}


def seismic_query(
    ids: Mapping[str, float], k: int, conditions: list[dict[str, Any]]
) -> dict[str, Any]:
    """The approximate query of OpenSearch's SEISMIC index.

    Args:
        ids: Token id, written as text, -> weight.
        k: Hits wanted.
        conditions: Filter clauses; SEISMIC searches among the documents that satisfy them.
    """
    parameters: dict[str, Any] = {"k": k, "top_n": len(ids), "heap_factor": 1.0}
    if conditions:
        parameters["filter"] = {"bool": {"filter": conditions}}
    return {"neural_sparse": {VECTOR: {"query_tokens": dict(ids), "method_parameters": parameters}}}
