"""What an index of other code holds: vectors, names of features; and queries made of them."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

from sparse_ir.engines.fields import escape_term
from sparse_ir.inspecting.verify_sample import make_queries
from sparse_ir.inspecting.verify_scores import WeighedQuery
from sparse_ir.models.loading import load_encoder
from sparse_ir.vectors import to_terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparse_ir.engines.foreign import ForeignIndex, VectorField
    from sparse_ir.types import SparseVector

IDS, ESCAPED, PIECES, TOKENS = "ids", "tokens, percent-encoded", "tokens (WordPiece)", "tokens"
_MOST_WORDS = 300
_QUERY_WORDS = 16


def read_vector(source: Mapping[str, Any], name: str) -> SparseVector:
    """The weights of a field in a ``_source``; empty where they are not there."""
    value: Any = source.get(name)
    if value is None:
        value = source
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    parts = value if isinstance(value, list) else [value]
    try:
        return {k: float(v) for p in parts if isinstance(p, dict) for k, v in p.items()}
    except (TypeError, ValueError):
        return {}


def name_style(names: Iterable[str]) -> str:
    """How features are named.

    >>> name_style(["2054", "1007"])
    'ids'
    >>> name_style(["3%2E5%25", "apple"])
    'tokens, percent-encoded'
    """
    distinct = set(names)
    if not distinct:
        return ""
    if all(name.isdecimal() for name in distinct):
        return IDS
    if any(re.search(r"%2E|%25", name) for name in distinct):
        return ESCAPED
    return PIECES if any(name.startswith("##") for name in distinct) else TOKENS


def draw_queries(
    index: ForeignIndex,
    field: VectorField,
    vectors: Mapping[str, SparseVector],
    sources: Sequence[Mapping[str, Any]],
    count: int,
    seed: int,
    notes: list[str],
) -> list[WeighedQuery]:
    """Make queries of the sampled documents' features, or of words that are features.

    Args:
        index: The index.
        field: The field.
        vectors: What the sampled documents hold in ``_source``; may be none.
        sources: The sampled documents.
        count: How many queries.
        seed: Of the sample.
        notes: Gets a line where no vector is at hand.
    """
    rng = random.Random(seed)  # noqa: S311 - a sample
    if vectors:
        return make_queries(vectors, count, rng)
    words = sorted({word for source in sources for word in _words(source)})
    words = sorted(rng.sample(words, min(len(words), _MOST_WORDS)))
    found = index.search(field, [{word: 1.0} for word in words], size=1)
    known = [word for word, hits in zip(words, found, strict=True) if hits]
    if not known:
        notes.append(
            "_source holds no vectors and no word of the texts is a feature: nothing was searched. "
            "Give --query TEXT and --model MODEL."
        )
        return []
    notes.append("_source holds no vectors: queries were made of words in the texts.")
    queries = []
    for number in range(count):
        chosen = rng.sample(known, min(_QUERY_WORDS, len(known)))
        weighed = {word: round(rng.uniform(0.1, 3.0), 4) for word in chosen}
        queries.append(WeighedQuery(f"words {number + 1}", weighed))
    return queries


def encode_query(text: str, model: str | None, naming: str) -> WeighedQuery:
    """Encode a text, with features named as the index names them."""
    encoder = load_encoder(model)
    batch = encoder.encode_queries([text])
    if naming == IDS:
        columns, weights = batch.row(0)
        pairs = zip(columns.tolist(), weights.tolist(), strict=True)
        return WeighedQuery(text, {str(column): weight for column, weight in pairs})
    vector = next(to_terms(batch, encoder.vocabulary))
    if naming == ESCAPED:
        vector = {escape_term(term): weight for term, weight in vector.items()}
    return WeighedQuery(text, vector)


def _words(source: Mapping[str, Any]) -> set[str]:
    texts = [value for value in source.values() if isinstance(value, str)]
    return {word for text in texts for word in re.findall(r"\w+", text.lower())}
