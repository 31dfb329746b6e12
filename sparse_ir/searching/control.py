"""A person's hand on a query's terms: banned, boosted, pinned, required, or only its own words."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparse_ir.data.files import open_text
from sparse_ir.errors import ConfigError
from sparse_ir.models.base import TermOrigin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from sparse_ir.models.base import Explanation
    from sparse_ir.types import SparseVector

PINNED = 1.0
"""What a pinned term weighs where nobody says."""

_LEAST, _MOST = 1e-6, 1e6  # within them no weight leaves what float32 can hold
_NEAR, _LIKE = 3, 0.7
_COMPARED = 5_000  # terms whose likeness is computed, some 10 microseconds each
_BEGINNINGS = ("", "##", "Ġ", "▁")  # how tokenizers write the inside, or the beginning, of a word


@dataclass(frozen=True)
class TermControl:
    """What is done to the terms that an encoder gives a query.

    Attributes:
        ban: Terms that are taken out.
        boost: Terms and the factor on their weight, where the query has them.
        pin: Terms and the weight that they have in the query, whatever the encoder says.
        require: Terms that a hit must hold, whether they are in the query or not.
        lexical_only: Keep only terms that are tokens of the query's own text; pinned ones stay.

    Raises:
        ConfigError: one term is asked for twice in ways that exclude one another, or a number is
            no factor or weight.
    """

    ban: tuple[str, ...] = ()
    boost: tuple[tuple[str, float], ...] = ()
    pin: tuple[tuple[str, float], ...] = ()
    require: tuple[str, ...] = ()
    lexical_only: bool = False

    def __post_init__(self) -> None:
        said: dict[str, str] = {}
        for how, terms in (
            ("banned", self.ban),
            ("boosted", tuple(term for term, _ in self.boost)),
            ("pinned", tuple(term for term, _ in self.pin)),
        ):
            for term in dict.fromkeys(terms):
                if term in said:
                    raise ConfigError(
                        f"the term {term!r} is both {said[term]} and {how}. Choose one."
                    )
                said[term] = how
        for option, numbers in (("--boost", self.boost), ("--pin", self.pin)):
            for term, number in numbers:
                if not _LEAST <= number <= _MOST:
                    raise ConfigError(
                        f"{option} {term}={number:g}: the number must lie between {_LEAST:g} and "
                        f"{_MOST:g}. To leave a term out, ban it."
                    )

    @property
    def weighs(self) -> bool:
        """Whether it changes what a query weighs; a required term alone does not."""
        return bool(self.ban or self.boost or self.pin or self.lexical_only)

    @property
    def terms(self) -> tuple[str, ...]:
        """Every term it names, in the order ban, boost, pin, require, each once."""
        named = [*self.ban, *(t for t, _ in self.boost), *(t for t, _ in self.pin), *self.require]
        return tuple(dict.fromkeys(named))

    def kept(self, terms: SparseVector, *, own: Collection[str]) -> SparseVector:
        """The terms that are neither banned nor, where only those are wanted, foreign to the text.

        Args:
            terms: Of the query.
            own: Tokens of its text; looked at with ``lexical_only`` alone.
        """
        banned = set(self.ban)
        words = set(own) if self.lexical_only else terms.keys()
        return {t: w for t, w in terms.items() if t not in banned and t in words}

    def weighted(self, terms: SparseVector) -> SparseVector:
        """The terms with boosts and pins; a boost does nothing to a term that is not there."""
        factors = dict(self.boost)
        found = {term: weight * factors.get(term, 1.0) for term, weight in terms.items()}
        return found | dict(self.pin)

    def applied(self, terms: SparseVector, *, own: Collection[str]) -> SparseVector:
        """Do all of it: what the query is searched with; arguments as in ``kept``.

        >>> control = TermControl(ban=("b",), boost=(("a", 2.0),), pin=(("z", 1.5),))
        >>> control.applied({"a": 0.5, "b": 3.0, "c": 1.0}, own=())
        {'a': 1.0, 'c': 1.0, 'z': 1.5}
        """
        return self.weighted(self.kept(terms, own=own))


NO_CONTROL = TermControl()


def parse_control(
    *,
    ban: Iterable[str] = (),
    boost: Iterable[str] = (),
    pin: Iterable[str] = (),
    require: Iterable[str] = (),
    lexical_only: bool = False,
) -> TermControl:
    """Read term control as the command line has it.

    Args:
        ban: Terms.
        boost: "term=factor" each.
        pin: "term=weight", or "term" for the weight 1.
        require: Terms.
        lexical_only: See ``TermControl``.

    Raises:
        ConfigError: a number is missing or none; see ``TermControl`` too.
    """
    return TermControl(
        ban=tuple(_named("--ban", text) for text in ban),
        boost=tuple(_numbered("--boost", text, None) for text in boost),
        pin=tuple(_numbered("--pin", text, PINNED) for text in pin),
        require=tuple(_named("--require", text) for text in require),
        lexical_only=lexical_only,
    )


def read_mask(path: str) -> frozenset[str]:
    """Read terms that are never used, one a line; the empty path masks nothing.

    Raises:
        InputError: the file cannot be read.
    """
    if not path:
        return frozenset()
    with open_text(path) as file:
        return frozenset(line.strip() for line in file if line.strip())


def require_unmasked(control: TermControl, mask: frozenset[str]) -> None:
    """Refuse to weigh a term that is never to be used.

    Raises:
        ConfigError: a term is boosted or pinned, and masked.
    """
    for how, terms in (("boosted", control.boost), ("pinned", control.pin)):
        for term, _ in terms:
            if term in mask:
                raise ConfigError(f"the term {term!r} is {how}, and the mask leaves it out.")


def controlled(
    terms: SparseVector,
    control: TermControl,
    *,
    own: Callable[[], Collection[str]],
    mask: frozenset[str] = frozenset(),
    prune: Callable[[SparseVector], SparseVector] = lambda terms: terms,
) -> SparseVector:
    """Bring a query under control, around its pruning.

    What is banned or masked goes before the pruning, so that others take its place; what a person
    asked for by boost or pin is never pruned.

    Args:
        terms: Of the query, as the encoder weighs them.
        control: What is done to them.
        own: Gives the tokens of the query's text; called only if they are looked at.
        mask: Terms that are never used.
        prune: Keeps fewer terms.
    """
    unmasked = {t: w for t, w in terms.items() if t not in mask}
    kept = control.kept(unmasked, own=own() if control.lexical_only else ())
    boosted = {term: kept[term] for term, _ in control.boost if term in kept}
    return control.weighted(prune(kept) | boosted)


def explained(
    explanation: Explanation,
    control: TermControl,
    *,
    own: Callable[[], Collection[str]],
    mask: frozenset[str] = frozenset(),
) -> Explanation:
    """Bring an explained query under control; arguments as in ``controlled``."""
    terms = {origin.term: origin.weight for origin in explanation.terms}
    return reweighed(explanation, controlled(terms, control, own=own, mask=mask))


def reweighed(explanation: Explanation, terms: SparseVector) -> Explanation:
    """The explanation of a query that is searched with other terms or weights than its encoder's.

    A term that no word produced, a pinned one, has no word.
    """
    origins = {origin.term: origin for origin in explanation.terms}
    found = [
        origins[term]._replace(weight=weight)
        if term in origins
        else TermOrigin(term, weight, "", -1, -1)
        for term, weight in terms.items()
    ]
    return explanation._replace(terms=tuple(sorted(found, key=lambda t: (-t.weight, t.term))))


def require_known(terms: Iterable[str], vocabulary: Collection[str]) -> None:
    """Refuse terms that no vector of the model can hold.

    Args:
        terms: As a person wrote them.
        vocabulary: Of the model.

    Raises:
        ConfigError: naming the nearest terms that there are.
    """
    asked = tuple(dict.fromkeys(terms))
    if not asked:
        return
    known = vocabulary if isinstance(vocabulary, frozenset) else frozenset(vocabulary)
    for term in asked:
        if term not in known:
            near = ", ".join(map(repr, near_terms(term, known)))
            advice = f"Near it: {near}." if near else "sparse-ir explain shows the terms of a text."
            raise ConfigError(f"{term!r} is no term of the model's vocabulary. {advice}")


def near_terms(term: str, vocabulary: Collection[str]) -> list[str]:
    """The terms that are written most like a given text, at most three."""
    folded = term.strip().casefold()
    if not folded:
        return []
    exact = [form + folded for form in _BEGINNINGS if form + folded in vocabulary]
    alike = sorted(term for term in vocabulary if _may_be_near(folded, term))
    close = difflib.get_close_matches(folded, alike[:_COMPARED], n=_NEAR, cutoff=_LIKE)
    return list(dict.fromkeys([*exact, *close]))[:_NEAR]


def _may_be_near(folded: str, term: str) -> bool:
    """Whether a term may be near enough: of its letter, and no longer or shorter than ``_LIKE``.

    Comparing two terms takes a hundred times as long.
    """
    length = len(term)
    if not _LIKE * (length + len(folded)) <= 2 * min(length, len(folded)):
        return False
    first = term[2] if length > 2 and term.startswith("##") else term[0]
    return (term[1] if first in "Ġ▁" and length > 1 else first) == folded[0]


def _named(option: str, text: str) -> str:
    term = text.strip()
    if not term:
        raise ConfigError(f"{option} needs a term.")
    return term


def _numbered(option: str, text: str, default: float | None) -> tuple[str, float]:
    """Split "term=number" at its last equals sign; what is no number belongs to the term."""
    term, _, number = text.rpartition("=")
    value = _number(number)
    if term.strip() and value is not None:
        return term.strip(), value
    if default is None:
        raise ConfigError(f"{option} {text!r} needs a number, as in {option} term=2.")
    return _named(option, text), default


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value
