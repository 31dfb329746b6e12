"""Words and sentences of a text, in every script.

Where a script has no blanks between words (Chinese, Japanese), two characters count as one word.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import NamedTuple

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Characters of such scripts, for a class of a regular expression."""

_LETTERS = rf"[^\W_{UNSPACED}]+"
_WORD = re.compile(rf"[{UNSPACED}]{{1,2}}|{_LETTERS}(?:['’-]{_LETTERS})*")
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])[」』）]*\s*|\s*\n\s*\n\s*")


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
    spans = (stripped(text, a, b) for a, b in zip(bounds[::2], bounds[1::2], strict=True))
    return [span for span in spans if _WORD.search(text, *span)]


def stripped(text: str, start: int, end: int) -> Span:
    """A span without the blanks at its ends."""
    part = text[start:end]
    left = start + len(part) - len(part.lstrip())
    return Span(left, max(left, start + len(part.rstrip())))


def first_words(text: str, span: Span, longest: int) -> Span:
    """Cut a span after so many words."""
    found = words(text[slice(*span)])
    return span if len(found) <= longest else Span(span.start, span.start + found[longest - 1].end)
