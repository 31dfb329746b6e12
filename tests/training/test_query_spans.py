from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.data.spans import Span, first_words, has_words, sentences, words
from sparse_ir.training.query_spans import crop, headings


def parts(text: str, spans: list[Span]) -> list[str]:
    return [text[slice(*span)] for span in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two, three.", ["One", "two", "three"]),
        ("well-known user's_id", ["well-known", "user's", "id"]),
        ("日本語です", ["日本", "語で", "す"]),  # two characters count as a word
        ("Git本", ["Git", "本"]),
        ("... !", []),
    ],
)
def test_words_are_counted_in_every_script(text, expected):
    assert parts(text, words(text)) == expected
    assert has_words(text, len(expected))
    assert not has_words(text, len(expected) + 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One is. Two is? Three", ["One is.", "Two is?", "Three"]),
        ("一つ。二つ！三つ", ["一つ。", "二つ！", "三つ"]),
        ("Title line\n\nThen text.", ["Title line", "Then text."]),
        ('He said "no." Then left.', ['He said "no.', "Then left."]),
        ("Version 1.5 is out. ...", ["Version 1.5 is out."]),
        ("", []),
    ],
)
def test_sentences_end_at_full_stops_and_blank_lines(text, expected):
    assert parts(text, sentences(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Setup ##\ntext\n## Use it\ntext", ["Setup", "Use it"]),
        ("Setup\n=====\ntext\n\nUse\n---\ntext", ["Setup", "Use"]),
        ("Getting started\n\nFirst install it.", ["Getting started"]),
        ("Text ends here.\n\nMore text.", []),
        ("One line only", []),
        ("a\nb\nc", []),
        ("Text ends here.\n\nA last line", []),
    ],
)
def test_headings_are_marked_or_stand_alone(text, expected):
    assert parts(text, headings(text)) == expected


@given(st.text(max_size=200))
def test_spans_lie_within_any_text(text):
    for found in (words(text), sentences(text), headings(text)):
        assert all(0 <= start < end <= len(text) for start, end in found)


@given(st.text(max_size=100), st.integers(0, 99))
def test_a_crop_has_as_many_words_as_asked_for(text, seed):
    found = crop(text, Random(seed), shortest=3, longest=5)
    if found is None:
        assert len(words(text)) < 3
    else:
        whole = words(text)
        assert 3 <= sum(found.start <= w.start and w.end <= found.end for w in whole) <= 5


def test_a_span_is_cut_after_so_many_words():
    text = "zero one two three. four"
    assert text[slice(*first_words(text, Span(5, 19), 2))] == "one two"
    assert first_words(text, Span(5, 19), 3) == Span(5, 19)
