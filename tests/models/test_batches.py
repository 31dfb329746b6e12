from __future__ import annotations

from types import SimpleNamespace

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import ConfigError
from sparse_ir.models.batches import maximal_length, pad, token_batches, tokenize


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return transformers.AutoTokenizer.from_pretrained(tiny)


def test_tokenize_keeps_the_closing_token_of_a_cut_text_and_says_that_it_is_cut(tokenizer):
    found = tokenize(tokenizer, ["the cat", "the cat sat on the mat", ""], max_length=4)
    tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in found.ids]
    assert tokens == [
        ["[CLS]", "the", "cat", "[SEP]"],
        ["[CLS]", "the", "cat", "[SEP]"],
        ["[CLS]", "[SEP]"],
    ]
    assert found.cut == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "the cat sat " * 5_000,
        "x" * 60_000,  # one word, one unknown token
        " " * 60_000 + "the cat",
        "the" + " " * 60_000 + "cat sat",
        "the cat sat" + "\n" * 60_000,
        "catsat," * 10_000,  # no white space
        "the cat " + "y" * 60_000,
    ],
)
def test_a_very_long_text_gives_the_tokens_that_it_gives_as_a_whole(tokenizer, text):
    found = tokenize(tokenizer, [text], max_length=16)
    whole = tokenizer(text, verbose=False)["input_ids"]
    assert found.ids == [tokenizer(text, truncation=True, max_length=16)["input_ids"]]
    assert found.cut == [len(whole) > 16]


def test_only_the_beginning_of_a_very_long_text_is_tokenized(tokenizer):
    seen = []

    class Watched:
        is_fast = True

        def __call__(self, texts, **options):
            seen.extend(len(text) for text in texts)
            return tokenizer(texts, **options)

    found = tokenize(Watched(), ["the cat " * 125_000], max_length=16)
    assert found.cut == [True]
    assert max(seen) < 1_000


def test_lone_surrogates_are_read_as_unknown_characters(tokenizer):
    found = tokenize(tokenizer, ["the \ud800 cat"], max_length=16)
    assert found.ids == tokenize(tokenizer, ["the \ufffd cat"], max_length=16).ids


def test_tokenize_takes_tokenizers_without_offsets(tokenizer):
    class Slow:
        is_fast = False

        def __call__(self, texts, **options):
            return {"input_ids": tokenizer(texts, **options)["input_ids"]}

    texts = ["the cat", "the cat sat on the mat"]
    assert tokenize(Slow(), texts, max_length=5) == tokenize(tokenizer, texts, max_length=5)


@given(
    st.lists(st.integers(0, 600), max_size=200),
    st.integers(1, 2_000),
    st.integers(1, 50),
)
def test_every_text_is_in_one_batch_within_the_budget(lengths, batch_tokens, batch_texts):
    batches = [
        batch.tolist()
        for batch in token_batches(lengths, batch_tokens=batch_tokens, batch_texts=batch_texts)
    ]
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * longest <= batch_tokens
        assert len(batch) <= batch_texts


def test_the_longest_texts_come_first():
    batches = list(token_batches([3, 9, 5, 8], batch_tokens=18))
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 0]]


def test_pad_fills_on_the_right():
    ids, mask = pad([[5], [6, 7, 8]], pad_id=1)
    assert ids.tolist() == [[5, 1, 1], [6, 7, 8]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_pad_of_no_tokens_is_empty():
    assert pad([[], []], pad_id=0)[0].shape == (2, 0)


BERT = {"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}
ROBERTA = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}


@pytest.mark.parametrize(
    ("tokenizer_says", "config", "saved", "expected"),
    [
        (512, BERT, None, 512),
        (128, BERT, None, 128),
        (128, BERT, 256, 256),  # a setting of the folder comes before the tokenizer's
        (512, BERT, 1024, 512),  # but nothing comes before the table of positions
        (int(1e30), BERT, None, 512),
        (int(1e30), ROBERTA, None, 512),
        (int(1e30), {"model_type": "esm"}, None, 512),
        (8192, {"model_type": "modernbert", "max_position_embeddings": 8192}, None, 8192),
    ],
)
def test_maximal_length_is_the_model_s(tokenizer_says, config, saved, expected):
    tokenizer = SimpleNamespace(model_max_length=tokenizer_says)
    found = maximal_length(tokenizer, SimpleNamespace(**config), chosen=None, saved=saved)
    assert found == expected


def test_maximal_length_can_be_chosen_up_to_the_positions_of_the_model():
    tokenizer, config = SimpleNamespace(model_max_length=128), SimpleNamespace(**BERT)
    assert maximal_length(tokenizer, config, chosen=300, saved=64) == 300
    for wrong in (0, 513):
        with pytest.raises(ConfigError, match="reads 1 to 512 tokens"):
            maximal_length(tokenizer, config, chosen=wrong, saved=None)
