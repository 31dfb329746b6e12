from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import ConfigError
from sparse_ir.models.analysis import UNSTEMMED, Analyzer, languages


def test_words_are_lower_cased_and_stemmed():
    assert Analyzer()("Fleas jumped; a FLEA jumps.") == ["flea", "jump", "flea", "jump"]


def test_english_leaves_out_stop_words_whatever_their_case():
    assert Analyzer()("The cat and THE dog") == ["cat", "dog"]


def test_without_a_language_words_stay_as_they_are():
    assert Analyzer("none")("The fleas jumped") == ["the", "fleas", "jumped"]


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("german", "Die Häuser", ["die", "haus"]),
        ("french", "les chevaux", ["le", "cheval"]),
        ("turkish", "IŞIK", ["ışık"]),
    ],
)
def test_other_languages_have_their_own_stemmer(language, text, terms):
    assert Analyzer(language)(text) == terms


def test_digits_and_underscores_are_part_of_a_word():
    assert Analyzer()("snake_case utf8 3.5") == ["snake_cas", "utf8", "3", "5"]


@pytest.mark.parametrize("language", ["english", "japanese"])
def test_japanese_and_chinese_become_pairs_of_characters_in_any_language(language):
    terms = Analyzer(language)("東京タワーはTokyo 2、猫。")
    assert terms == ["東京", "京タ", "タワ", "ワー", "ーは", "tokyo", "2", "猫"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cafe\u0301", "café"),  # combining accent
        ("ＡＢＣ１２", "abc12"),  # full width
        ("ﾃﾞｰﾀ", "データ"),  # half width
        ("ﬁle", "file"),  # ligature
        ("data\u00adbase", "database"),  # soft hyphen
        ("गर्\u200dयो", "गर्यो"),  # joiner
    ],
)
def test_other_spellings_of_the_same_characters_are_the_same_term(one, other):
    assert Analyzer()(one) == Analyzer()(other)


def test_a_vowel_sign_does_not_end_a_word():
    assert Analyzer("none")("हिन्दी में") == ["हिन्दी", "में"]


def test_accents_make_another_word():
    assert Analyzer("none")("résumé") != Analyzer("none")("resume")


def test_an_endless_word_is_taken_in_pieces():
    assert [len(term) for term in Analyzer("none")("x" * 600)] == [255, 255, 90]


def test_tokens_name_the_characters_of_each_term():
    text = "Fleas at 東京駅"
    assert [(term, text[start:end]) for term, start, end in Analyzer().tokens(text)] == [
        ("flea", "Fleas"),
        ("東京", "東京"),
        ("京駅", "京駅"),
    ]


def test_a_term_of_another_spelling_points_at_the_whole_word():
    assert [tuple(token) for token in Analyzer().tokens("x ﾃﾞｰﾀ")][1:] == [
        ("デー", 2, 6),
        ("ータ", 2, 6),
    ]


def test_an_unknown_language_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'englich' is not known\. Did you mean english\?"):
        Analyzer("englich")


@pytest.mark.parametrize("language", languages())
def test_every_language_listed_can_be_used(language):
    assert isinstance(Analyzer(language)("Word 12 слово λέξη"), list)


def test_languages_without_a_stemmer_are_listed_too():
    assert set(UNSTEMMED) < set(languages())


@given(st.text())
def test_any_text_has_the_same_terms_with_and_without_places(text):
    analyzer = Analyzer()
    tokens = list(analyzer.tokens(text))
    assert [token.term for token in tokens] == analyzer(text)
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)


@given(st.text(), st.text())
def test_texts_apart_have_the_terms_of_both(one, other):
    analyzer = Analyzer()
    assert analyzer(f"{one}\n{other}") == analyzer(one) + analyzer(other)


@given(st.text())
def test_terms_hold_no_space_and_are_never_empty(text):
    assert all(term and not any(map(str.isspace, term)) for term in Analyzer()(text))
