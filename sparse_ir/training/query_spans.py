"""Parts of a document that can stand for a query: headings, sentences, crops of a few words.

Words are counted in every script: where a script has no blanks between words (Chinese, Japanese),
two characters count as one.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTERS = rf"[^\W_{_UNSPACED}]+"
_WORD = re.compile(rf"[{_UNSPACED}]{{1,2}}|{_LETTERS}(?:['’-]{_LETTERS})*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])[」』）]*\s*|\s*\n\s*\n\s*")
_MARKED_HEADING = re.compile(r"[ ]{0,3}#{1,6}[ \t]+(?P<text>.+?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"[ ]{0,3}(?:={3,}|-{3,})[ \t]*$")
_NO_HEADING = (".", "!", "?", ":", ";", ",", "。", "、", "…")
_HEADING_WORDS = 12


class Span(NamedTuple):
    """Where a part of a text begins and ends, in characters."""

    start: int
    end: int


def words(text: str) -> list[Span]:
    """The words of a text."""
    return [Span(*match.span()) for match in _WORD.finditer(text)]


def has_words(text: str, n: int) -> bool:
    """Whether a text has at least n words."""
    return sum(1 for _ in islice(_WORD.finditer(text), n)) >= n


def sentences(text: str) -> list[Span]:
    """The sentences of a text that hold a word: split after full stops and at blank lines."""
    bounds = [0]
    for match in _SENTENCE_END.finditer(text):
        bounds += match.span()
    bounds.append(len(text))
    spans = (_stripped(text, a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True))
    return [span for span in spans if _WORD.search(text, *span)]


def headings(text: str) -> list[Span]:
    """The headings of a text, without their marks.

    A heading is a line marked as in Markdown (``#`` before, ``===`` or ``---`` below), or a line of
    its own of up to 12 words between blank lines that does not end like a sentence. A text of one
    paragraph has none.
    """
    lines = list(_lines(text))
    found = []
    for at, line in enumerate(lines):
        before = text[slice(*lines[at - 1])] if at else ""
        after = text[slice(*lines[at + 1])] if at + 1 < len(lines) else ""
        span = _heading(text, line, before, after, alone=len(lines) > 1)
        if span is not None and _WORD.search(text, *span):
            found.append(span)
    return found


def _heading(text: str, line: Span, before: str, after: str, *, alone: bool) -> Span | None:
    written = text[slice(*line)]
    marked = _MARKED_HEADING.match(written)
    if marked:
        return Span(line.start + marked.start("text"), line.start + marked.end("text"))
    stripped = _stripped(text, *line)
    if not written.strip() or _UNDERLINE.match(written):
        return None
    if _UNDERLINE.match(after):
        return stripped
    lone = alone and not after.strip() and not before.strip() and line.end < len(text.rstrip())
    if not lone or has_words(written, _HEADING_WORDS + 1):
        return None
    return None if written.rstrip().endswith(_NO_HEADING) else stripped


def crop(text: str, random: Random, *, shortest: int, longest: int) -> Span | None:
    """A run of words that begins anywhere; None where the text is too short.

    Args:
        text: What to crop.
        random: Decides length and place.
        shortest: In words.
        longest: In words.
    """
    found = words(text)
    if len(found) < shortest:
        return None
    length = random.randint(shortest, min(longest, len(found)))
    first = random.randrange(len(found) - length + 1)
    return Span(found[first].start, found[first + length - 1].end)


def first_words(text: str, span: Span, longest: int) -> Span:
    """Cut a span after so many words."""
    found = words(text[slice(*span)])
    return span if len(found) <= longest else Span(span.start, span.start + found[longest - 1].end)


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield Span(start, start + len(line.rstrip("\r\n")))
        start += len(line)


def _stripped(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    left = start + len(part) - len(part.lstrip())
    return Span(left, max(left, start + len(part.rstrip())))
