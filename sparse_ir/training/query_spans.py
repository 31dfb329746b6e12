"""Parts of a document that can stand for a query: headings and crops of a few words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sparse_ir.data.spans import Span, has_words, stripped, words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

_MARKED_HEADING = re.compile(r"[ ]{0,3}#{1,6}[ \t]+(?P<text>.+?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"[ ]{0,3}(?:={3,}|-{3,})[ \t]*$")
_NO_HEADING = (".", "!", "?", ":", ";", ",", "。", "、", "…")
_HEADING_WORDS = 12


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
        if span is not None and has_words(text[slice(*span)], 1):
            found.append(span)
    return found


def _heading(text: str, line: Span, before: str, after: str, *, alone: bool) -> Span | None:
    written = text[slice(*line)]
    marked = _MARKED_HEADING.match(written)
    if marked:
        return Span(line.start + marked.start("text"), line.start + marked.end("text"))
    whole = stripped(text, *line)
    if not written.strip() or _UNDERLINE.match(written):
        return None
    if _UNDERLINE.match(after):
        return whole
    lone = alone and not after.strip() and not before.strip() and line.end < len(text.rstrip())
    if not lone or has_words(written, _HEADING_WORDS + 1):
        return None
    return None if written.rstrip().endswith(_NO_HEADING) else whole


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


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield Span(start, start + len(line.rstrip("\r\n")))
        start += len(line)
