"""Text -> terms for lexical models: lower-cased, stemmed words; bigrams where no space parts words.

A word is a run of letters, digits and underscores. Combining marks, joiners and soft hyphens do not
end it. Runs of Chinese, Japanese and Korean characters become overlapping pairs of characters, as
in Lucene's CJKAnalyzer, whatever the language.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import Stemmer

from sparse_ir.config import nearest
from sparse_ir.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERSION = 1
"""Raised whenever a text may come to other terms than before."""

UNSTEMMED = ("chinese", "japanese", "korean", "none")
"""Languages that are taken as they are written."""

# fmt: off
_ENGLISH_STOP_WORDS = frozenset((  # those of Lucene's EnglishAnalyzer
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it",
    "no", "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they",
    "this", "to", "was", "will", "with",
))
# fmt: on
_STOP_WORDS = {"english": _ENGLISH_STOP_WORDS, "porter": _ENGLISH_STOP_WORDS}

_LONGEST_WORD = 255  # characters; a longer word is taken in pieces, as Lucene does
_CACHED_WORDS = 200_000
_CACHED_LENGTH = 40  # longer ones hardly come again

_ASCII_WORD = re.compile(r"[a-zA-Z0-9_]+")
_IGNORED = dict.fromkeys(map(ord, "\u00ad\u200c\u200d"))  # soft hyphen, non-joiner, joiner
_TURKISH_CASE = str.maketrans({"I": "\u0131", "\u0130": "i"})
_CJK = (
    "\u1100-\u11ff\u3005-\u3007\u3031-\u3035\u303b\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7a3\ud7b0-\ud7fb\uf900-\ufaff\uff66-\uffdc\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff"
)
_CJK_START = re.compile(f"[{_CJK}]")


class Token(NamedTuple):
    """A term and where it comes from.

    Attributes:
        term: As a vector holds it.
        start: Where its word begins in the text, in characters.
        end: Where its word ends, exclusive.
    """

    term: str
    start: int
    end: int


class _WordTerms(dict[str, tuple[str, ...]]):
    """Word as written -> its terms, made when first asked for."""

    def __init__(self, split: Callable[[str], Iterable[str]]) -> None:
        super().__init__()
        self._split = split

    def __missing__(self, word: str) -> tuple[str, ...]:
        terms = tuple(self._split(word))
        if len(word) <= _CACHED_LENGTH:
            if len(self) >= _CACHED_WORDS:
                self.clear()
            self[word] = terms
        return terms


class Analyzer:
    """Gives a text its terms, in the order of the text; one instance serves one thread.

    English leaves out Lucene's 33 stop words; no other language has any. Width variants and
    ligatures are made alike (NFKC); accents are kept.
    """

    def __init__(self, language: str = "english") -> None:
        """Choose the stemmer.

        Args:
            language: A Snowball language of PyStemmer, or one of ``UNSTEMMED``.

        Raises:
            ConfigError: the language is not known.
        """
        known = languages()
        if language not in known:
            raise ConfigError(
                f"language {language!r} is not known.{nearest(language, known)} "
                f"Use one of {', '.join(known)}."
            )
        self.language = language
        self._stemmer = None if language in UNSTEMMED else Stemmer.Stemmer(language, 0)
        self._stop_words = _STOP_WORDS.get(language, frozenset())
        self._terms = _WordTerms(self._split)

    def __call__(self, text: str) -> list[str]:
        """Every term of the text, repeated as often as it occurs."""
        words = _word_pattern(text).findall(text)
        return list(chain.from_iterable(map(self._terms.__getitem__, words)))

    def tokens(self, text: str) -> Iterator[Token]:
        """The same terms with the characters each comes from."""
        for match in _word_pattern(text).finditer(text):
            word, start = match.group(), match.start()
            terms = self._terms[word]
            if len(terms) > 1 and list(terms) == _bigrams(word):
                yield from (Token(t, start + i, start + i + 2) for i, t in enumerate(terms))
            else:
                yield from (Token(term, start, match.end()) for term in terms)

    def _split(self, word: str) -> Iterator[str]:
        plain = self._normalise(word)
        for part in _word_pattern(plain).findall(plain):
            if _CJK_START.match(part):
                yield from _bigrams(part)
                continue
            for start in range(0, len(part), _LONGEST_WORD):
                piece = part[start : start + _LONGEST_WORD]
                if piece not in self._stop_words:
                    yield self._stemmer.stemWord(piece) if self._stemmer else piece

    def _normalise(self, word: str) -> str:
        if self.language == "turkish":
            word = word.translate(_TURKISH_CASE)
        if word.isascii():
            return word.lower()
        return unicodedata.normalize("NFKC", word.translate(_IGNORED)).lower()


def languages() -> list[str]:
    """Every language an ``Analyzer`` takes, ascending."""
    return sorted({*Stemmer.algorithms(), *UNSTEMMED})


def stemmer_version(language: str) -> str:
    """The version of PyStemmer that stems this language here; empty where nothing stems it."""
    return "" if language in UNSTEMMED else str(Stemmer.version())


def _bigrams(run: str) -> list[str]:
    return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]


def _word_pattern(text: str) -> re.Pattern[str]:
    return _ASCII_WORD if text.isascii() else _unicode_word()


@lru_cache(maxsize=1)
def _unicode_word() -> re.Pattern[str]:
    marks = "".join(
        chr(point)
        for point in (*range(0x300, 0x20000), *range(0xE0100, min(0xE01F0, sys.maxunicode)))
        if unicodedata.category(chr(point)).startswith("M")
    )
    joining = f"[{re.escape(marks)}{''.join(map(chr, _IGNORED))}]"
    letter = rf"[^\W{_CJK}]"
    # The classes of a loop share no character, so any text is read in linear time. ASCII words come
    # first, and leave their quick class only before something else than ASCII.
    rest = rf"{letter}*(?:{joining}+{letter}*)*"
    return re.compile(
        rf"[a-zA-Z0-9_]+(?:(?=[^\x00-\x7f]){rest})?"
        rf"|[{_CJK}](?:[{_CJK}]|{joining})*"
        rf"|{letter}{rest}"
    )
