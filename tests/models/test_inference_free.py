from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import ModelError
from sparse_ir.models.inference_free import InferenceFreeQueries
from sparse_ir.models.sides import TableLayout
from sparse_ir.vectors import to_terms

TABLE = {"the": 0.25, "cat": 2.5, "mat": 1.5, "run": 1.0, "##ning": 0.5, "a": 0.125, "[UNK]": 0.75}
TEXTS = ["The cat, the CAT sat on a mat", "", "running", "日本 cat", "zz " * 60 + "cat", "[SEP] a"]


@pytest.fixture(scope="module")
def folder(make_tiny, tmp_path_factory):
    path = make_tiny(tmp_path_factory.mktemp("table") / "tiny")
    (path / "idf.json").write_text(json.dumps(TABLE))
    return path


@pytest.fixture
def table(folder):
    return InferenceFreeQueries(TableLayout(folder / "idf.json", folder))


def terms(table, text):
    return next(to_terms(table.encode_queries([text]), table.vocabulary))


def test_each_distinct_token_counts_once_and_special_tokens_are_not_added(table):
    assert terms(table, "The cat, the CAT sat on a mat") == {
        "the": 0.25, "cat": 2.5, "mat": 1.5, "a": 0.125,
    }  # fmt: skip
    assert terms(table, "running") == {"run": 1.0, "##ning": 0.5}
    assert terms(table, "sat") == terms(table, "") == {}
    assert table.encode_queries([]).weights.shape == (0, len(table.vocabulary))


def test_no_more_tokens_are_read_than_the_tokenizer_says(table, caplog):
    assert table.max_length == 32
    assert terms(table, "the " * 32 + "cat") == {"the": 0.25}
    assert "1 of 1 texts are longer than 32 tokens" in caplog.text


def test_sentence_transformers_gives_the_same_vectors(folder, table):
    modules = pytest.importorskip("sentence_transformers.sparse_encoder.modules")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    static = modules.SparseStaticEmbedding.from_json(str(folder / "idf.json"), tokenizer)
    theirs = sentence_transformers.SparseEncoder(modules=[static], device="cpu")
    for text in TEXTS:  # one at a time: the padding of a batch may write over [PAD] alone
        np.testing.assert_allclose(
            table.encode_queries([text]).weights.toarray()[0],
            theirs.encode_query(text).to_dense().numpy(),
            atol=1e-6,
        )


def test_explain_names_the_word_of_each_term(table):
    found = table.explain("Running, a cat")
    assert [(t.term, t.weight, t.word, t.start, t.end) for t in found.terms] == [
        ("cat", 2.5, "cat", 11, 14),
        ("run", 1.0, "Running", 0, 7),
        ("##ning", 0.5, "Running", 0, 7),
        ("a", 0.125, "a", 9, 10),
    ]
    assert not found.cut
    assert table.explain("the " * 33).cut


def test_a_query_keeps_its_heaviest_tokens(folder, table):
    two = InferenceFreeQueries(TableLayout(folder / "idf.json", folder, terms=2))
    assert terms(two, "The cat sat on a mat") == {"cat": 2.5, "mat": 1.5}
    assert terms(two, "a") == {"a": 0.125}
    assert [t.term for t in two.explain("The cat sat on a mat").terms] == ["cat", "mat"]
    assert two.query_fingerprint != table.query_fingerprint


def test_a_prompt_is_read_and_is_no_word_of_the_text(folder):
    prompted = InferenceFreeQueries(TableLayout(folder / "idf.json", folder, prompt="the mat. "))
    assert terms(prompted, "cat") == {"the": 0.25, "cat": 2.5, "mat": 1.5}
    words = {t.term: (t.word, t.start) for t in prompted.explain("cat").terms}
    assert words == {"the": ("the", -1), "mat": ("mat", -1), "cat": ("cat", 0)}


def test_lower_casing_comes_before_the_tokenizer(make_tiny, tmp_path):
    cased = make_tiny(tmp_path / "cased")
    stored = json.loads((cased / "tokenizer.json").read_text())
    stored["normalizer"]["lowercase"] = False
    (cased / "tokenizer.json").write_text(json.dumps(stored))
    (cased / "idf.json").write_text(json.dumps(TABLE))
    plain = InferenceFreeQueries(TableLayout(cased / "idf.json", cased))
    lowered = InferenceFreeQueries(TableLayout(cased / "idf.json", cased, lowercase=True))
    assert terms(plain, "CAT") == {"[UNK]": 0.75}
    assert terms(lowered, "CAT") == {"cat": 2.5}
    assert plain.query_fingerprint != lowered.query_fingerprint


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_texts_give_what_they_give_alone(folder, texts):
    table = InferenceFreeQueries(TableLayout(folder / "idf.json", folder))
    batch = table.encode_queries(texts)
    assert batch.ids == tuple(map(str, range(len(texts))))
    for i, text in enumerate(texts):
        (alone,) = table.encode_queries([text]).weights.toarray()
        np.testing.assert_array_equal(batch.weights.toarray()[i], alone)
        assert {t.term for t in table.explain(text).terms} == set(terms(table, text))


def test_the_fingerprint_is_of_weights_tokenizer_and_length_and_of_nothing_else(folder, table):
    layout = table.layout
    assert InferenceFreeQueries(layout, size=99).query_fingerprint == table.query_fingerprint
    assert len(InferenceFreeQueries(layout, size=99).vocabulary) == 99
    short = InferenceFreeQueries(layout, max_length=5)
    assert short.query_fingerprint != table.query_fingerprint
    other = folder / "other.json"
    other.write_text(json.dumps(TABLE | {"cat": 2.0}))
    changed = InferenceFreeQueries(TableLayout(other, folder))
    assert changed.query_fingerprint != table.query_fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"dog": 1.0}, "weighs 'dog', which is no token"),
        ({"cat": -1.0}, "the weight of token cat is -1.0"),
        ({"cat": float("nan")}, "the weight of token cat is nan"),
        ({"cat": "x"}, "the weight of token cat is x"),
        ({"cat": True}, "the weight of token cat is True"),
        ([1.0], "is no table"),
        ({}, "is no table"),
    ],
)
def test_a_wrong_table_is_one_clear_error(folder, tmp_path, content, message):
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message) as caught:
        InferenceFreeQueries(TableLayout(tmp_path / "t.json", folder))
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=r"holds no tokenizer\.json"):
        InferenceFreeQueries(TableLayout(folder / "idf.json", tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="the tokenizer cannot be loaded"):
        InferenceFreeQueries(TableLayout(folder / "idf.json", tmp_path))


def test_missing_or_damaged_weights_are_one_clear_error(folder, tmp_path):
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        InferenceFreeQueries(TableLayout(tmp_path / "model.safetensors", folder))
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ModelError, match="holds no weights of tokens"):
        InferenceFreeQueries(TableLayout(tmp_path / "model.safetensors", folder))


def test_it_imports_neither_torch_nor_transformers(folder):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sparse_ir.models.inference_free import InferenceFreeQueries\n"
        "from sparse_ir.models.sides import TableLayout\n"
        f"folder = Path({str(folder)!r})\n"
        "table = InferenceFreeQueries(TableLayout(folder / 'idf.json', folder))\n"
        "print(table.encode_queries(['the cat']).weights.nnz)\n"
        "print({'torch', 'transformers'} & {*sys.modules})"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.split("\n")[:2] == ["2", "set()"]
