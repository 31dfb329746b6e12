from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.layouts import SpladeLayout
from sparse_ir.models.screening import can_screen
from sparse_ir.models.splade import SpladeEncoder
from sparse_ir.vectors import to_terms

TEXTS = [
    "the cat sat on the mat.",
    "",
    "Running!",
    "the mat " * 40,
    "a b c d e f g",
    "zebra, 日本語 and \t emoji 🎉",
    "on",
]


@pytest.fixture(scope="module")
def encoder(tiny):
    return SpladeEncoder(tiny)


def plain(folder, texts, *, max_length=32, pooling="max", double=False):
    """SPLADE in ten lines of transformers, one text at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    vectors = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            values = torch.log1p(torch.relu(model(**inputs).logits[0]))
        values = torch.log1p(values) if double else values
        vectors.append(values.amax(dim=0) if pooling == "max" else values.sum(dim=0))
    return torch.stack(vectors).numpy()


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_vectors_are_those_of_plain_transformers(tiny, pooling, double):
    activation = "log1p_log1p" if double else "log1p"
    encoder = SpladeEncoder(tiny, layout=SpladeLayout(tiny, pooling=pooling, activation=activation))
    found = encoder.encode_documents(TEXTS).weights.toarray()
    np.testing.assert_allclose(
        found, plain(tiny, TEXTS, pooling=pooling, double=double), rtol=1e-5, atol=1e-5
    )


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.text(alphabet="the catsmn.,é本 \n", max_size=40), max_size=6),
    st.integers(1, 100),
)
def test_neither_order_nor_batches_change_a_vector(encoder, texts, batch_tokens):
    encoder.batch_tokens = batch_tokens
    found = encoder.encode_documents(texts)
    turned = encoder.encode_documents(texts[::-1])
    assert found.ids == tuple(str(i) for i in range(len(texts)))
    assert found.weights.shape == (len(texts), len(encoder.vocabulary))
    rows = found.weights.toarray()
    np.testing.assert_allclose(rows, turned.weights.toarray()[::-1], rtol=1e-4, atol=1e-4)
    for row, text in zip(rows, texts, strict=True):
        alone = encoder.encode_documents([text]).weights.toarray()[0]
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-4)


def test_weights_are_valid_csr_with_the_ids_given(encoder):
    batch = encoder.encode_documents(["the cat", "", "mat"], ids=["b", "a", "ü 1"])
    assert batch.ids == ("b", "a", "ü 1")
    assert batch.weights.dtype == np.float32
    assert batch.weights.has_sorted_indices
    assert (batch.weights.data > 0).all()


def test_another_number_of_ids_than_texts_is_refused(encoder):
    with pytest.raises(ValueError, match="2 ids for 1 texts"):
        encoder.encode_documents(["the cat"], ids=["a", "b"])


def test_a_single_string_is_refused(encoder):
    with pytest.raises(ValueError, match="Give a list"):
        encoder.encode_documents("the cat")


def test_more_texts_than_a_window_keep_their_order(tiny, encoder, monkeypatch):
    encoder = SpladeEncoder(tiny)
    monkeypatch.setattr(encoder._ahead, "window", 3)
    whole = encoder.encode_documents(TEXTS).weights.toarray()
    one_by_one = np.vstack([encoder.encode_documents([t]).weights.toarray() for t in TEXTS])
    np.testing.assert_allclose(whole, one_by_one, rtol=1e-5, atol=1e-5)


def test_texts_that_were_foreseen_and_others_have_their_vectors(tiny, encoder):
    expected = encoder.encode_documents(TEXTS).weights.toarray()
    ahead = SpladeEncoder(tiny)
    ahead.foresee(TEXTS)
    np.testing.assert_allclose(
        ahead.encode_documents(TEXTS).weights.toarray(), expected, rtol=1e-4, atol=1e-5
    )
    others = TEXTS[::-1]
    ahead.foresee(TEXTS)  # and then something else is asked for
    np.testing.assert_allclose(
        ahead.encode_documents(others).weights.toarray(), expected[::-1], rtol=1e-5, atol=1e-5
    )
    ahead.foresee(TEXTS)
    assert ahead.encode_queries(["the cat"]).weights.nnz
    ahead.foresee([])


def test_get_sparse_gives_the_terms_of_plain_transformers_heaviest_first(encoder, tiny):
    inputs = encoder.tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    found = encoder.get_sparse(inputs["input_ids"], inputs["attention_mask"])
    expected = plain(tiny, TEXTS[:3])
    for vector, row in zip(found, expected, strict=True):
        assert vector == pytest.approx(
            {encoder.vocabulary[i]: row[i] for i in row.nonzero()[0]}, rel=1e-4, abs=1e-5
        )
        assert list(vector.values()) == sorted(vector.values(), reverse=True)


def test_get_sparse_takes_lists(encoder):
    inputs = encoder.tokenizer(["the cat"])
    found = encoder.get_sparse(inputs["input_ids"], inputs["attention_mask"])
    assert found == [
        pytest.approx(next(to_terms(encoder.encode_queries(["the cat"]), encoder.vocabulary)))
    ]


def test_cut_texts_are_counted(encoder):
    counts = []
    encoder.encode_documents(["the " * 50, "the", "the " * 30, "the " * 31], on_cut=counts.append)
    assert counts == [2]


def test_cut_texts_are_logged_once_where_nobody_counts(encoder, caplog):
    with caplog.at_level(logging.WARNING):
        encoder.encode_documents(["the " * 50, "the", "cat " * 50])
    assert [r.getMessage() for r in caplog.records] == [
        "2 of 3 texts are longer than 32 tokens; the rest of them is not read"
    ]


def test_texts_that_fit_are_not_reported(encoder, caplog):
    counts = []
    encoder.encode_documents(["the cat"], on_cut=counts.append)
    encoder.encode_queries(["the cat"])
    assert counts == []
    assert caplog.records == []


def test_advance_counts_every_text(encoder):
    steps = []
    encoder.batch_tokens = 16
    encoder.encode_documents(TEXTS, on_cut=lambda n: None, advance=steps.append)
    assert sum(steps) == len(TEXTS)
    assert len(steps) > 1


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_encoding_never_holds_batch_times_length_times_vocabulary(
    tiny, tmp_path, monkeypatch, largest_tensor, pooling
):
    folder = enlarged(tiny, tmp_path / "large", size=4_000)
    encoder = SpladeEncoder(folder, layout=SpladeLayout(folder, pooling=pooling))
    monkeypatch.setattr("sparse_ir.models.head.TILE_NUMBERS", 2**15)
    texts = ["the cat sat on the mat and " * 4] * 8
    tokens = sum(len(ids) for ids in encoder.tokenizer(texts)["input_ids"])
    with largest_tensor() as largest:
        encoder.encode_documents(texts, on_cut=lambda n: None)
        encoder.explain(texts[0])
    assert tokens >= 8 * 32
    # From the pooled weights up to the output layer itself; all logits are 8 times that.
    assert 4_000 * 8 <= largest.numbers <= 4_000 * 32


def enlarged(tiny, folder, *, size):
    """The tiny model with a vocabulary of more terms than its tokenizer has."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny)
    model.resize_token_embeddings(size, mean_resizing=False)
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny / file, folder)
    return folder


def test_vocabulary_is_distinct_and_in_the_order_of_ids(encoder):
    assert encoder.vocabulary[:3] == ("[PAD]", "[UNK]", "[CLS]")
    assert encoder.tokenizer.convert_ids_to_tokens(59) == encoder.vocabulary[59]
    assert len(set(encoder.vocabulary)) == len(encoder.vocabulary)


def test_terms_without_a_token_are_named_by_their_id(tiny, tmp_path, encoder):
    known = len(encoder.vocabulary)
    vocabulary = SpladeEncoder(enlarged(tiny, tmp_path / "large", size=known + 2)).vocabulary
    assert vocabulary == (*encoder.vocabulary, f"[id:{known}]", f"[id:{known + 1}]")


def test_a_tokenizer_of_another_model_is_refused(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "other"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    tokenizer.add_tokens([f"new{i}" for i in range(5)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="do not belong together"):
        SpladeEncoder(folder)


def test_dropped_positions_and_columns_weigh_nothing(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "dropping"))
    plain_encoder = SpladeEncoder(tiny)
    options = {"drop_positions": ["special", "."], "drop_columns": ["unused", "cat"]}
    (folder / "sparse_ir.json").write_text(json.dumps(options))
    encoder = SpladeEncoder(folder)
    columns = [
        i for i, t in enumerate(encoder.vocabulary) if t in ("[unused0]", "[unused1]", "cat")
    ]
    found = encoder.encode_documents(["the cat.", "."]).weights.toarray()
    assert not found[:, columns].any()
    assert not found[1].any()
    words = {origin.word for origin in encoder.explain("the cat.").terms}
    assert words <= {"the", "cat"}
    assert encoder.fingerprint != plain_encoder.fingerprint


def test_query_terms_keep_the_heaviest_terms_of_a_query_alone(tiny, encoder):
    short = SpladeEncoder(tiny, layout=SpladeLayout(tiny, query_terms=2))
    texts = ["the cat sat on the mat.", "cat"]
    whole = encoder.encode_queries(texts).weights.toarray()
    heaviest = np.sort(whole, axis=1)[:, -2:]
    found = short.encode_queries(texts).weights
    assert found.nnz == 4
    np.testing.assert_allclose(np.sort(found.toarray(), axis=1)[:, -2:], heaviest, rtol=1e-4)
    documents = short.encode_documents(texts).weights.toarray()
    expected = encoder.encode_documents(texts).weights.toarray()
    np.testing.assert_allclose(documents, expected, rtol=1e-4, atol=1e-5)
    explained = short.explain(texts[0], query=True).terms
    assert [origin.weight for origin in explained] == pytest.approx(heaviest[0, ::-1], rel=1e-4)
    assert len(short.explain(texts[0]).terms) > 2
    assert short.fingerprint == encoder.fingerprint
    assert short.query_fingerprint not in (encoder.query_fingerprint, short.fingerprint)


def test_document_terms_keep_the_heaviest_terms_of_a_document_alone(tiny, encoder):
    short = SpladeEncoder(tiny, layout=SpladeLayout(tiny, document_terms=2))
    texts = ["the cat sat on the mat.", "cat"]
    whole = encoder.encode_documents(texts).weights.toarray()
    heaviest = np.sort(whole, axis=1)[:, -2:]
    found = short.encode_documents(texts).weights
    assert found.nnz == 4
    np.testing.assert_allclose(np.sort(found.toarray(), axis=1)[:, -2:], heaviest, rtol=1e-4)
    queries = short.encode_queries(texts).weights.toarray()
    expected = encoder.encode_queries(texts).weights.toarray()
    np.testing.assert_allclose(queries, expected, rtol=1e-4, atol=1e-5)
    assert len(short.explain(texts[0]).terms) == 2
    assert len(short.explain(texts[0], query=True).terms) > 2
    assert short.fingerprint != encoder.fingerprint
    assert short.query_fingerprint == encoder.query_fingerprint


def test_a_dropped_token_that_does_not_exist_is_refused(tiny):
    with pytest.raises(ModelError, match="'nosuchtoken'"):
        SpladeEncoder(tiny, layout=SpladeLayout(tiny, drop_columns=("nosuchtoken",)))


def test_prompts_go_in_front_and_have_fingerprints_of_their_own(tiny, encoder):
    layout = SpladeLayout(tiny, query_prompt="the cat: ")
    prompted = SpladeEncoder(tiny, layout=layout)
    np.testing.assert_allclose(
        prompted.encode_queries(["mat"]).weights.toarray(),
        encoder.encode_queries(["the cat: mat"]).weights.toarray(),
        rtol=1e-5,
        atol=1e-6,
    )
    assert prompted.fingerprint == encoder.fingerprint == encoder.query_fingerprint
    assert prompted.query_fingerprint != encoder.query_fingerprint


def test_lower_casing_is_asked_for_by_the_layout(tmp_path, tiny):
    cased = Path(shutil.copytree(tiny, tmp_path / "cased"))
    content = json.loads((cased / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "NFC"}  # None is too little for transformers 4
    (cased / "tokenizer.json").write_text(json.dumps(content))
    texts = ["THE Cat"]
    found = SpladeEncoder(cased, layout=SpladeLayout(cased, lowercase=True)).encode_queries(texts)
    expected = SpladeEncoder(cased).encode_queries(["the cat"])
    np.testing.assert_allclose(found.weights.toarray(), expected.weights.toarray(), rtol=1e-5)
    explained = SpladeEncoder(cased, layout=SpladeLayout(cased, lowercase=True)).explain(texts[0])
    assert {"THE", "Cat"} & {origin.word for origin in explained.terms}


def test_a_shorter_length_can_be_chosen_and_changes_the_fingerprint(tiny, encoder):
    short = SpladeEncoder(tiny, max_length=4)
    assert short.max_length == 4
    np.testing.assert_allclose(
        short.encode_documents(["the cat sat on"], on_cut=lambda n: None).weights.toarray(),
        encoder.encode_documents(["the cat"]).weights.toarray(),
        rtol=1e-5,
        atol=1e-6,
    )
    assert short.fingerprint != encoder.fingerprint


@pytest.mark.parametrize(
    ("setting", "value"), [("precision", "int4"), ("device", "cuda:99"), ("device", "abacus")]
)
def test_wrong_settings_are_refused(tiny, setting, value):
    with pytest.raises(ConfigError, match=f"{setting} is '{value}'"):
        SpladeEncoder(tiny, **{setting: value})


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bits_stay_close(tiny, encoder, precision):
    found = SpladeEncoder(tiny, precision=precision)
    np.testing.assert_allclose(
        found.encode_queries(["the cat"]).weights.toarray(),
        encoder.encode_queries(["the cat"]).weights.toarray(),
        rtol=0.1,
        atol=0.1,
    )
    assert found.fingerprint == encoder.fingerprint


@pytest.mark.skipif(not can_screen(torch.device("cpu")), reason="this processor has no VNNI")
def test_int8_stays_close_in_any_batch(tiny, encoder):
    found = SpladeEncoder(tiny, precision="int8")
    texts = ["the cat", "the cat sat on the mat and read one more book", "a dog"]
    weights = found.encode_documents(texts).weights.toarray()
    exact = encoder.encode_documents(texts).weights.toarray()
    error = np.linalg.norm(weights - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert error.min() > 0
    assert error.max() < 0.1
    alone = [found.encode_documents([text]).weights.toarray()[0] for text in texts]
    np.testing.assert_allclose(weights, alone, rtol=1e-5, atol=1e-5)
    assert found.fingerprint == encoder.fingerprint


def test_weights_that_are_no_numbers_are_an_error(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "large"))
    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny)
    with torch.no_grad():
        model.bert.encoder.layer[0].intermediate.dense.weight.mul_(1e5)
    model.save_pretrained(folder)
    assert SpladeEncoder(folder).encode_queries(["the cat"]).weights.nnz > 0
    with pytest.raises(ModelError, match=r"not finite numbers.*fp16"):
        SpladeEncoder(folder, precision="fp16").encode_queries(["the cat"])


# explain


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_an_explanation_holds_the_vector_heaviest_term_first(tiny, pooling):
    encoder = SpladeEncoder(tiny, layout=SpladeLayout(tiny, pooling=pooling))
    text = "The cat sat, running on a mat!"
    found = encoder.explain(text)
    weights = [origin.weight for origin in found.terms]
    assert weights == sorted(weights, reverse=True)
    assert {o.term: o.weight for o in found.terms} == pytest.approx(
        next(to_terms(encoder.encode_documents([text]), encoder.vocabulary)), rel=1e-5
    )
    assert not found.cut


@pytest.mark.parametrize("pooling", ["max", "sum"])
def test_every_term_comes_from_the_word_with_the_largest_contribution(tiny, pooling):
    encoder = SpladeEncoder(tiny, layout=SpladeLayout(tiny, pooling=pooling))
    text = "The  CAT sat!"
    words = [("[CLS]", -1), ("The", 0), ("CAT", 5), ("sat", 9), ("!", 12), ("[SEP]", -1)]
    inputs = encoder.tokenizer(text, return_tensors="pt")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tiny).eval()
    with torch.no_grad():
        best = model(**inputs).logits[0].argmax(dim=0)
    for origin in encoder.explain(text).terms:
        word, start = words[best[encoder.vocabulary.index(origin.term)]]
        assert (origin.word, origin.start) == (word, start)
        if start >= 0:
            assert text[origin.start : origin.end] == word


def test_pieces_of_a_word_count_as_the_word_as_written(encoder):
    text = "  Zebra runNING"
    spans = {(o.word, o.start, o.end) for o in encoder.explain(text).terms}
    assert spans <= {
        ("Zebra", 2, 7),
        ("runNING", 8, 15),
        ("[CLS]", -1, -1),
        ("[SEP]", -1, -1),
    }
    assert ("Zebra", 2, 7) in spans


def test_the_explanation_of_a_cut_text_names_whole_words_that_were_read(encoder):
    text = "zebra " * 40
    found = encoder.explain(text)
    assert found.cut
    assert {o.word for o in found.terms} <= {"zebra", "[CLS]", "[SEP]"}
    assert max(o.end for o in found.terms) < 60


def test_words_of_a_prompt_have_no_place_in_the_text(tiny):
    encoder = SpladeEncoder(tiny, layout=SpladeLayout(tiny, query_prompt="the cat "))
    found = encoder.explain("mat", query=True)
    places = {(o.word, o.start, o.end) for o in found.terms}
    assert places <= {
        *(("the", -1, -1), ("cat", -1, -1), ("mat", 0, 3)),
        *(("[CLS]", -1, -1), ("[SEP]", -1, -1)),
    }
    assert found.text == "mat"


def test_an_empty_text_is_explained_by_its_special_tokens(encoder):
    assert {o.word for o in encoder.explain("").terms} <= {"[CLS]", "[SEP]"}


def test_a_text_without_any_token_gives_an_empty_vector(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "bare"))
    content = json.loads((folder / "tokenizer.json").read_text())
    content["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for pooling in ("max", "sum"):
        encoder = SpladeEncoder(folder, layout=SpladeLayout(folder, pooling=pooling))
        batch = encoder.encode_documents(["", "the cat", ""])
        assert [len(batch.row(i)[0]) > 0 for i in range(3)] == [False, True, False]
        assert encoder.encode_documents([""]).weights.nnz == 0
        assert encoder.explain("").terms == ()


def test_text_terms_are_the_tokens_of_the_text_that_are_read(tiny):
    encoder = SpladeEncoder(tiny, max_length=6)
    assert encoder.text_terms("The cat running [MASK] the é") == ["the", "cat", "run", "##ning"]
    assert encoder.text_terms("") == []
