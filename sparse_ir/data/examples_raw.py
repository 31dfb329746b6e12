"""An example as a file gives it: texts by id, by themselves, or both, with the place they stand."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.files import sha256_text
from sparse_ir.data.records import RowError, to_id
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DERIVED = "text:"
_LARGEST = 3.4e38  # scores are kept in single precision


class Text(NamedTuple):
    """A query or document as an example names it.

    Attributes:
        id: Its id; where the file gives none, one made of the text.
        text: The text, or None where it has to be looked up by its id.
    """

    id: str
    text: str | None = None


class RawExample(NamedTuple):
    """One row of a file of examples.

    Attributes:
        path: The file or dataset.
        line: Line (or row) number, counted from 1.
        query: The query.
        documents: Its positives, then its negatives.
        positives: How many of the documents are positives, at least 1.
        scores: A teacher's score of each document, NaN where it is not known; or None.
        relevant: Ids of further documents that are known to be relevant.
    """

    path: str
    line: int
    query: Text
    documents: tuple[Text, ...]
    positives: int = 1
    scores: tuple[float, ...] | None = None
    relevant: tuple[str, ...] = ()


def by_text(value: Any, what: str) -> Text:
    """Name a text by itself: equal texts get equal ids.

    Raises:
        RowError: it is no text, or empty.
    """
    text = to_text(value, what)
    return Text(f"{_DERIVED}{sha256_text(text)[:32]}", text)


def to_text(value: Any, what: str) -> str:
    """Require a text that is not blank.

    Raises:
        RowError: it is no text, or empty.
    """
    if not isinstance(value, str):
        raise RowError(f"has a {what} that is not text ({value!r:.60})")
    if not value.strip():
        raise RowError(f"has an empty {what}")
    return value


def by_id(value: Any, what: str) -> Text:
    """Name a text by its id.

    Raises:
        RowError: the id is missing or unfit.
    """
    if value is None:
        raise RowError(f"has no {what} id")
    return Text(to_id(value))


def to_score(value: Any, *, unknown: bool = False) -> float:
    """Read a teacher's score.

    Args:
        value: A number, or its text (CSV knows no numbers).
        unknown: Take null as "not known", NaN.

    Raises:
        RowError: it is no finite number.
    """
    if value is None and unknown:
        return math.nan
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not abs(score) <= _LARGEST:
        raise RowError(f"has a score that is not a finite number ({value!r:.60})")
    return score


def make_example(
    place: tuple[str, int],
    query: Text,
    positives: Sequence[Text],
    negatives: Sequence[Text],
    scores: Sequence[float] | None = None,
    *,
    relevant: Sequence[str] = (),
) -> RawExample:
    """Put an example together.

    A text without an id that stands in the example twice counts once, at its first place.

    Args:
        place: File and line.
        query: The query.
        positives: At least one.
        negatives: Any number.
        scores: Of positives and negatives, in this order.
        relevant: Ids of further relevant documents.

    Raises:
        RowError: there is no positive, an id stands there twice, or the number of scores differs.
    """
    documents = [*positives, *negatives]
    if not positives:
        raise RowError(f"has no positive (query {query.id!r})")
    if scores is not None and len(scores) != len(documents):
        raise RowError(
            f"has {len(scores)} scores for {len(documents)} documents (query {query.id!r})"
        )
    kept = _without_doubles(documents)
    n_positives = sum(at < len(positives) for at in kept)
    known = None if scores is None else tuple(scores[at] for at in kept)
    if known is not None and all(math.isnan(score) for score in known):
        known = None
    chosen = tuple(documents[at] for at in kept)
    return RawExample(*place, query, chosen, n_positives, known, tuple(relevant))


def _without_doubles(documents: Sequence[Text]) -> Sequence[int]:
    if len({document.id for document in documents}) == len(documents):
        return range(len(documents))
    seen: set[str] = set()
    kept = []
    for at, document in enumerate(documents):
        if document.id not in seen:
            seen.add(document.id)
            kept.append(at)
        elif not (document.text is not None and document.id.startswith(_DERIVED)):
            raise RowError(f"names the document {document.id!r} twice")
    return kept


def refusal(error: RowError, path: str, line: int) -> InputError:
    """Say where an unusable row stands."""
    return InputError(f"{error}.", path=path, line=line)


def grouped(examples: Iterable[RawExample]) -> Iterator[RawExample]:
    """Join examples that follow one another with the same query and the same single positive.

    Files of triplets have one negative a line; joined, an example has all of them, in the order of
    the lines, each once. The place is that of the first line.
    """
    run: list[RawExample] = []
    for example in examples:
        if run and not _same_pair(run[0], example):
            yield _joined(run)
            run.clear()
        run.append(example)
    if run:
        yield _joined(run)


def _same_pair(one: RawExample, other: RawExample) -> bool:
    return (
        one.positives == other.positives == 1
        and one.query.id == other.query.id
        and one.documents[0].id == other.documents[0].id
        and one.path == other.path
    )


def _joined(run: Sequence[RawExample]) -> RawExample:
    first = run[0]
    if len(run) == 1:
        return first
    found: dict[str, tuple[Text, float]] = {}
    for example in run:
        scores = example.scores or (math.nan,) * len(example.documents)
        for document, score in zip(example.documents, scores, strict=True):
            text, known = found.setdefault(document.id, (document, score))
            if text.text is None or math.isnan(known):
                found[document.id] = (
                    document if text.text is None else text,
                    score if math.isnan(known) else known,
                )
    joined = tuple(score for _, score in found.values())
    return first._replace(
        documents=tuple(document for document, _ in found.values()),
        scores=None if all(math.isnan(score) for score in joined) else joined,
        relevant=tuple(dict.fromkeys(doc_id for example in run for doc_id in example.relevant)),
    )
