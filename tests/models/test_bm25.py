from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import ConfigError, InputError, ModelError, StorageError
from sparse_ir.models.analysis import stemmer_version
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.vectors import scores, to_terms, validate

CORPUS = ["The fleas bite the dog", "A dog barks, a dog bites", "Cats sleep"]
# stemmed: flea bite dog | dog bark dog bite | cat sleep, so the average length is 3


@pytest.fixture
def encoder() -> Bm25Encoder:
    return Bm25Encoder.fit(CORPUS)


def terms_of(encoder, batch):
    return next(to_terms(batch, encoder.vocabulary))


def test_the_vocabulary_holds_the_terms_of_the_corpus_in_order(encoder):
    assert list(encoder.vocabulary) == ["bark", "bite", "cat", "dog", "flea", "sleep"]


def test_a_document_holds_saturated_term_frequencies(encoder):
    norm = 0.9 * (1 - 0.4 + 0.4 * 4 / 3)
    assert terms_of(encoder, encoder.encode_documents([CORPUS[1]])) == pytest.approx(
        {"bark": 1 / (1 + norm), "bite": 1 / (1 + norm), "dog": 2 / (2 + norm)}
    )


def test_a_query_holds_idf_as_often_as_the_term_is_asked_for(encoder):
    assert terms_of(encoder, encoder.encode_queries(["dogs? A dog and cats!"])) == pytest.approx(
        {"dog": 2 * math.log(1 + 1.5 / 2.5), "cat": math.log(1 + 2.5 / 1.5)}
    )


def test_unknown_terms_have_no_weight_but_make_a_document_longer(encoder):
    batch = encoder.encode_documents(["dog", "dog unheard words"])
    alone, beside = to_terms(batch, encoder.vocabulary)
    assert set(alone) == set(beside) == {"dog"}
    assert beside["dog"] == pytest.approx(1 / (1 + 0.9))  # of average length
    assert alone["dog"] > beside["dog"]
    assert encoder.encode_queries(["unheard"]).weights.nnz == 0


@pytest.mark.parametrize(
    ("texts", "ids", "words"),
    [("dog", None, "one string"), (["dog"], ["d1", "d2"], "2 ids for 1 texts")],
)
def test_one_string_or_another_number_of_ids_is_refused(encoder, texts, ids, words):
    with pytest.raises(ValueError, match=words):
        encoder.encode_documents(texts, ids=ids)


def test_k1_and_b_change_documents(encoder):
    flat = Bm25Encoder.fit(CORPUS, k1=0.0)
    assert set(terms_of(flat, flat.encode_documents([CORPUS[1]])).values()) == {1.0}
    whole = Bm25Encoder.fit(CORPUS, k1=1.0, b=1.0)
    weights = terms_of(whole, whole.encode_documents([CORPUS[1]]))
    assert weights["bark"] == pytest.approx(1 / (1 + 4 / 3))


def test_no_text_and_texts_without_words_give_empty_vectors(encoder):
    assert encoder.encode_documents([]).weights.shape == (0, 6)
    assert encoder.encode_queries(["", " …", "the"]).weights.shape == (3, 6)
    assert encoder.encode_documents(["", "the"]).weights.nnz == 0


def test_ids_and_order_are_those_given(encoder):
    texts = [f"{'dog ' * (i % 7)}flea" for i in range(600)]
    batch = encoder.encode_documents(texts, ids=[f"d{i}" for i in range(600)])
    assert batch.ids == tuple(f"d{i}" for i in range(600))
    alone = encoder.encode_documents([texts[599]])
    assert batch.weights[[599]].toarray().tolist() == alone.weights.toarray().tolist()
    assert encoder.encode_queries(["dog", "flea"]).ids == ("0", "1")


def test_progress_adds_up_and_nothing_is_cut(encoder):
    finished: list[int] = []
    cut: list[int] = []
    encoder.encode_documents(["dog"] * 600, advance=finished.append, on_cut=cut.append)
    assert sum(finished) == 600
    assert not cut


words = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12).map(" ".join)


@given(
    st.lists(words, min_size=1, max_size=6),
    words,
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_the_dot_product_is_the_bm25_score(texts, query, k1, b):
    encoder = Bm25Encoder.fit(texts, k1=k1, b=b, language="none")
    found = scores(encoder.encode_queries([query]), encoder.encode_documents(texts))[0]
    documents = [Counter(text.split()) for text in texts]
    average = sum(document.total() for document in documents) / len(documents)

    def score(document: Counter[str]) -> float:
        total = 0.0
        for term in query.split():
            df = sum(term in other for other in documents)
            idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            norm = k1 * (1 - b + b * document.total() / average)
            total += idf * document[term] / (document[term] + norm) if document[term] else 0.0
        return total

    np.testing.assert_allclose(found, [score(d) for d in documents], rtol=1e-5)


@given(st.lists(st.text(), min_size=1, max_size=5), st.text())
def test_any_text_gives_a_valid_vector_with_weights_up_to_1(texts, text):
    encoder = Bm25Encoder.fit([*texts, "a word"])
    documents = encoder.encode_documents([*texts, text])
    validate(documents)
    validate(encoder.encode_queries([text]))
    assert (documents.weights.data <= 1).all()


@given(st.text())
def test_an_explanation_holds_the_vector_and_the_word_as_written(text):
    encoder = Bm25Encoder.fit([text, "a word"])
    for query in (False, True):
        encode = encoder.encode_queries if query else encoder.encode_documents
        explanation = encoder.explain(text, query=query)
        assert {t.term: t.weight for t in explanation.terms} == terms_of(encoder, encode([text]))
        assert all(text[t.start : t.end] == t.word for t in explanation.terms)


def test_an_explanation_names_the_first_occurrence_heaviest_first(encoder):
    explanation = encoder.explain("A Dog, cats, dogs")
    assert [(t.term, t.word, t.start, t.end) for t in explanation.terms] == [
        ("dog", "Dog", 2, 5),
        ("cat", "cats", 7, 11),
    ]
    assert not explanation.cut
    assert [t.term for t in encoder.explain("cats and dogs", query=True).terms] == ["cat", "dog"]


def test_japanese_is_found_by_pairs_of_characters():
    encoder = Bm25Encoder.fit(["猫は東京にいる", "犬は大阪にいる"], language="japanese")
    found = scores(encoder.encode_queries(["東京の猫"]), encoder.encode_documents(["東京", "大阪"]))
    assert found[0, 0] > 0
    assert found[0, 1] == 0


@pytest.mark.parametrize(
    ("texts", "found"), [([], "0 documents"), (["…", "the"], "2 documents"), (iter([]), "0 doc")]
)
def test_a_corpus_without_words_is_refused(texts, found):
    with pytest.raises(InputError, match=f"no word in its {found}"):
        Bm25Encoder.fit(texts)


@pytest.mark.parametrize(
    "settings",
    [
        {"k1": -0.1},
        {"k1": math.inf},
        {"k1": math.nan},
        {"b": 1.1},
        {"b": -0.1},
        {"b": math.nan},
        {"language": "klingon"},
    ],
)
def test_bad_settings_are_refused_before_the_corpus_is_read(settings):
    def corpus():
        raise AssertionError("read")
        yield

    with pytest.raises(ConfigError):
        Bm25Encoder.fit(corpus(), **settings)


def test_a_saved_encoder_comes_back_the_same(tmp_path):
    before = Bm25Encoder.fit(["Les chevaux", "猫 café"], k1=1.2, b=0.75, language="french")
    before.save(tmp_path / "model")
    after = Bm25Encoder.load(tmp_path / "model")
    assert after.vocabulary == before.vocabulary
    assert after.fingerprint == before.fingerprint
    assert after.query_fingerprint == before.query_fingerprint
    for text in ("un cheval, une 猫", "café"):
        for old, new in (
            (before.encode_documents([text]), after.encode_documents([text])),
            (before.encode_queries([text]), after.encode_queries([text])),
        ):
            assert (old.weights != new.weights).nnz == 0


def test_saving_leaves_one_file_and_replaces_the_one_before(tmp_path, encoder):
    Bm25Encoder.fit(["other"]).save(tmp_path)
    encoder.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bm25.json"]
    assert Bm25Encoder.load(tmp_path).fingerprint == encoder.fingerprint


def test_the_name_is_the_folder_once_there_is_one(tmp_path, monkeypatch, encoder):
    assert encoder.name == "bm25"
    with pytest.raises(ModelError, match="in memory only"):
        _ = encoder.path
    monkeypatch.chdir(tmp_path)
    encoder.save("model")
    assert encoder.path == tmp_path / "model"
    assert encoder.name == Bm25Encoder.load("model").name == str(tmp_path / "model")


def test_fingerprints_tell_whose_vectors_are_equal(encoder):
    same = Bm25Encoder.fit(reversed(CORPUS))
    assert same.fingerprint == encoder.fingerprint
    assert same.query_fingerprint == encoder.query_fingerprint
    other_k1 = Bm25Encoder.fit(CORPUS, k1=1.2)
    assert other_k1.fingerprint != encoder.fingerprint
    assert other_k1.query_fingerprint == encoder.query_fingerprint
    others = [
        Bm25Encoder.fit([*CORPUS, "dog"]),
        Bm25Encoder.fit([*CORPUS[:2], "Cats"]),
        Bm25Encoder.fit(["flea bite dog", "dog bark dog bite", "cat sleep"], language="none"),
    ]
    assert encoder.fingerprint not in {other.fingerprint for other in others}
    assert encoder.query_fingerprint not in {other.query_fingerprint for other in others}


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"bm25\.json: cannot be read"):
        Bm25Encoder.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"analysis": 0},
        {"settings": {"k1": 0.9, "speed": 3}},
        {"settings": {"language": "klingon"}},
        {"settings": {"k1": "much"}},
        {"settings": None},
        {"statistics": {}},
        {"statistics": []},
        {
            "statistics": {
                "documents": 1,
                "total_length": 0,
                "terms": [],
                "document_frequencies": [],
            }
        },
        {
            "statistics": {
                "documents": 1,
                "total_length": 1,
                "terms": ["a"],
                "document_frequencies": [10**30],
            }
        },
    ],
)
def test_a_damaged_model_is_refused_by_name(tmp_path, encoder, change):
    encoder.save(tmp_path)
    path = tmp_path / "bm25.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), "utf-8")
    with pytest.raises(ModelError, match=r"bm25\.json: .*Fit BM25 on the corpus again"):
        Bm25Encoder.load(tmp_path)


@pytest.mark.parametrize("content", ["", "[1]", '{"format": 1', "\udcff"])
def test_a_file_that_is_something_else_is_refused_by_name(tmp_path, content):
    (tmp_path / "bm25.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"bm25\.json: "):
        Bm25Encoder.load(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, encoder):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        encoder.save(tmp_path / "file")
    assert encoder.name == "bm25"


def test_another_stemmer_version_is_told(tmp_path, encoder, caplog):
    encoder.save(tmp_path)
    path = tmp_path / "bm25.json"
    now = stemmer_version("english")
    path.write_text(path.read_text("utf-8").replace(f'"{now}"', '"0.1"'), "utf-8")
    with caplog.at_level(logging.WARNING):
        assert Bm25Encoder.load(tmp_path).fingerprint != encoder.fingerprint
    assert f"fitted with PyStemmer 0.1 and this is {now}" in caplog.text


def test_no_neural_library_is_loaded():
    code = (
        "import sys; from sparse_ir.models.bm25 import Bm25Encoder; "
        "e = Bm25Encoder.fit(['a word']); e.encode_queries(['word']); e.explain('word'); "
        "print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
