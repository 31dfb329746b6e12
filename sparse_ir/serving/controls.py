"""Terms that a client bans, boosts, pins or requires."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.base import SearchRequest
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparse_ir.models.base import SparseEncoder
    from sparse_ir.types import SparseVector

_MOST = 100  # of a kind
_LARGEST = 1000.0


class Controls(NamedTuple):
    """What is done to a query's terms, in this order.

    Attributes:
        lexical: Only terms that are words of the query itself.
        ban: Terms that are taken away.
        boost: Factors on the weights of terms.
        pin: Terms that are in with this weight, whatever the model says.
        require: Terms that a hit must have.
    """

    lexical: bool = False
    ban: tuple[str, ...] = ()
    boost: tuple[tuple[str, float], ...] = ()
    pin: tuple[tuple[str, float], ...] = ()
    require: tuple[str, ...] = ()


def read_controls(
    *,
    ban: Sequence[str] = (),
    boost: Sequence[str] = (),
    pin: Sequence[str] = (),
    require: Sequence[str] = (),
    lexical: bool = False,
) -> Controls:
    """Read what a client sent: ``term`` and ``term=number``.

    Raises:
        ConfigError: a number is missing or out of range, or there are too many.
    """
    kinds = {"ban": ban, "boost": boost, "pin": pin, "require": require}
    for name, terms in kinds.items():
        if len(terms) > _MOST:
            raise ConfigError(f"{name} is given {len(terms)} times; at most {_MOST} are taken.")
        if not all(terms):
            raise ConfigError(f"{name} is empty. Name a term.")
    if require and "require" not in SearchRequest._fields:
        raise ConfigError("require is not known to this version's engines. Leave it out.")
    return Controls(
        lexical,
        tuple(ban),
        tuple(_weighted("boost", text, None) for text in boost),
        tuple(_weighted("pin", text, 1.0) for text in pin),
        tuple(require),
    )


def apply(controls: Controls, terms: SparseVector, own: Sequence[str]) -> SparseVector:
    """What is searched for.

    Args:
        controls: What the client wants.
        terms: What the model gave.
        own: Terms that are words of the query's own text.
    """
    kept = {t: w for t, w in terms.items() if not controls.lexical or t in own}
    for term in controls.ban:
        kept.pop(term, None)
    for term, factor in controls.boost:
        if term in kept:
            kept[term] *= factor
    kept.update(controls.pin)
    return kept


def own_terms(encoder: SparseEncoder, text: str) -> list[str]:
    """The terms that are words of a text, by the encoder or by the words it names."""
    said = getattr(encoder, "text_terms", None)
    if said is not None:
        return list(said(text))
    origins = encoder.explain(text, query=True).terms
    return [t.term for t in origins if t.word.lower() == t.term]


def required(request: SearchRequest, controls: Controls) -> SearchRequest:
    """The request for hits that have the terms that must be."""
    if not controls.require:
        return request
    changed: dict[str, Any] = {"require": controls.require}
    return request._replace(**changed)


def _weighted(name: str, text: str, default: float | None) -> tuple[str, float]:
    term, equals, number = text.rpartition("=")
    if not equals or not term:  # "=" itself is a term too
        term, number = text, ""
    if not number and default is not None:
        return term, default
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LARGEST:
        raise ConfigError(
            f"{name} {text!r} is not understood. Write {name}=TERM=NUMBER, above 0 and at most "
            f"{_LARGEST:.0f}."
        )
    return term, value
