"""Queries by a corpus's IDF: made, accepted where they fit, searched without torch installed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings

import pytest

from sparse_ir.encoding.idf import make_idf
from sparse_ir.errors import ConfigError, InputError, ModelError, ModelMismatchError
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.indexing.restamp import restamp
from sparse_ir.models.corpus_idf import read_made_for
from sparse_ir.models.loading import load_encoder
from sparse_ir.searching.search import Searcher, SearchSettings, search
from sparse_ir.types import Query

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # whatever torch warns of when it is imported
    import torch
    import transformers

WORDS = ("apple", "pear", "plum", "fruit", "car", "road", "sweet", "blue", "red", "##s")
# Every import of them fails, as where they are not installed.
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "sentence_transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def make_model(folder, *, seed=0):
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tokenizer = transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=32)
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(seed)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def corpus(write_jsonl):
    texts = ["apples and pear", "apple plum", "sweet apple", "red car, red road"]
    return str(write_jsonl("c.jsonl", ({"_id": f"d{i}", "text": t} for i, t in enumerate(texts))))


@pytest.fixture
def side(model, corpus, tmp_path):
    return make_idf(corpus, tmp_path / "side", model=str(model)).folder


def in_new_process(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_a_token_weighs_by_how_few_documents_hold_it(side):
    encoder = load_encoder(side)
    (pieces,) = [dict(zip(*pair, strict=True)) for pair in [_row(encoder, "red apple pear fruit")]]
    # of 4 documents apple is in 3, red (twice in one text) and pear in 1, fruit in none
    expected = {"apple": (4, 3), "red": (4, 1), "pear": (4, 1), "fruit": (4, 0)}
    for term, (n, df) in expected.items():
        idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
        assert pieces[term] == pytest.approx(idf, abs=1e-4), term


def _row(encoder, text):
    columns, weights = encoder.encode_queries([text]).row(0)
    return [encoder.vocabulary[c] for c in columns], weights.tolist()


def test_special_tokens_weigh_nothing(side):
    assert _row(load_encoder(side), "[CLS] zzz [MASK]") == ([], [])


def test_a_query_side_says_for_which_documents_it_was_made(model, side):
    made_for = read_made_for(side)
    assert made_for.documents == load_encoder(model).fingerprint
    assert (made_for.model, made_for.counted) == (str(model), 4)
    assert load_encoder(side).vocabulary == load_encoder(model).vocabulary
    with pytest.raises(ModelError):
        load_encoder(side).encode_documents(["it holds no model"])


@pytest.mark.parametrize("engine", ["embedded", "memory"])
def test_an_index_takes_a_query_side_made_for_its_documents(model, side, corpus, engine):
    index_corpus(IndexSettings(corpus=corpus, model=str(model), engine=engine))
    settings = SearchSettings(model=str(side), engine=engine)
    with pytest.raises(ModelMismatchError):
        search("sweet apple", settings)
    assert len(restamp("default", str(side), engine=engine).added) == 1
    assert restamp("default", str(side), engine=engine).added == ()
    (result,) = search("sweet apple", settings)
    assert sorted(result.terms) == ["apple", "sweet"]
    assert result.hits
    search("sweet apple", SearchSettings(engine=engine))  # the model itself is still accepted


def test_a_query_side_of_other_documents_is_refused(side, corpus, tmp_path):
    other = make_model(tmp_path / "other", seed=1)
    index_corpus(IndexSettings(corpus=corpus, model=str(other)))
    with pytest.raises(ModelMismatchError, match="documents of another"):
        restamp("default", str(side))
    with pytest.raises(ModelMismatchError):
        search("apple", SearchSettings(model=str(side)))


def test_a_table_beside_the_model_is_accepted_by_an_index_that_was_there(model, corpus):
    index_corpus(IndexSettings(corpus=corpus, model=str(model)))
    assert make_idf(corpus, model, model=str(model)).beside
    settings = SearchSettings(query_encoder="inference-free")
    with pytest.raises(ModelMismatchError):
        search("apple", settings)
    restamp("default", str(model))
    (result,) = search("apple pear", settings)
    assert sorted(result.terms) == ["apple", "pear"]
    with pytest.raises(ConfigError, match="--replace"):
        make_idf(corpus, model, model=str(model))


def test_a_corpus_without_a_known_token_has_no_idf(model, write_jsonl, tmp_path):
    empty = write_jsonl("e.jsonl", [{"_id": "1", "text": " ... "}])
    # dots are an unknown token, which is a special one; the corpus has no other
    with pytest.raises(InputError):
        make_idf(str(write_jsonl("n.jsonl", [])), tmp_path / "o", model=str(model))
    assert make_idf(str(empty), tmp_path / "o", model=str(model)).documents == 1


def test_text_terms_need_no_model(side):
    assert load_encoder(side).text_terms("Red apples [SEP] zzz red") == ["red", "apple", "##s"]


@pytest.mark.parametrize("engine", ["embedded", "memory"])
def test_a_search_runs_where_torch_is_not_installed(model, corpus, tmp_path, engine):
    address = f"{engine}:{tmp_path / 'indexes'}"
    make_idf(corpus, model, model=str(model))
    index_corpus(IndexSettings(corpus=corpus, model=str(model), engine=address))
    command = ["search", "sweet apple", "--engine", address, "--json"]
    free = [*command, "--query-encoder", "inference-free", "--pin", "plum", "--require", "apple"]
    done = in_new_process(
        f"{BLOCKED}\nfrom sparse_ir.cli import execute\nsys.exit(execute({free!r}))"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(found["terms"]) == ["apple", "plum", "sweet"]
    assert found["hits"]
    # and the blocker does block: the model's own side cannot be had
    done = in_new_process(
        f"{BLOCKED}\nfrom sparse_ir.cli import execute\nsys.exit(execute({command!r}))"
    )
    assert done.returncode != 0
    assert "torch" in done.stderr or "transformers" in done.stderr


def test_the_commands_make_a_query_side_and_have_it_accepted(sparse_ir, model, corpus, tmp_path):
    index_corpus(IndexSettings(corpus=corpus, model=str(model)))
    out = tmp_path / "side"
    made = sparse_ir("idf", "--corpus", corpus, "--model", model, "--out", out)
    assert made.exit_code == 0, made.err
    assert "4 documents" in made.out
    done = sparse_ir("restamp", "--model", out, "--json")
    assert len(json.loads(done.out)["added"]) == 1
    with Searcher(SearchSettings(model=str(out))) as searcher:
        assert searcher.search([Query("1", "plum")])[0].terms.keys() == {"plum"}


def test_no_table_is_written_beside_a_unicoil_model(write_jsonl, tmp_path):
    folder = tmp_path / "unicoil"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "unicoil.json").write_text("{}")
    corpus = str(write_jsonl("c.jsonl", [{"_id": "1", "text": "apple"}]))
    with pytest.raises(ConfigError, match="is a uniCOIL model"):
        make_idf(corpus, folder, model=str(folder))
    assert not (folder / "query_table.json").exists()
