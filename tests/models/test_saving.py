from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
import yaml
from safetensors.numpy import load_file

from sparse_ir.errors import ConfigError, ModelError, StorageError
from sparse_ir.models.card import ModelCard, TrainingData, render_card
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.saving import QueryModel, SaveLayout, save_model
from sparse_ir.models.sides import read_sides
from sparse_ir.vectors import to_terms

TEXTS = ["the cat sat.", "", "running " * 40, "zebra 日本 a mat!", "Mat, THE mat"]
TABLE = {"the": 0.25, "cat": 2.12345678, "mat": 1.5, "run": 1.0, "##ning": 0.5, "[UNK]": 0.75}


def loaded(folder):
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
    return {"model": model, "tokenizer": transformers.AutoTokenizer.from_pretrained(folder)}


@pytest.fixture
def parts(tiny):
    return loaded(tiny)


def dense(rows):
    return np.stack([row.to_dense().numpy() for row in rows])


def pooled_logits(folder, subfolder, texts, pooling, activation):
    """The weights as transformers alone gives them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, subfolder=subfolder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder, subfolder=subfolder)
    found = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        weights = torch.log1p(torch.relu(model(**inputs).logits[0]))
        weights = torch.log1p(weights) if activation == "log1p_log1p" else weights
        found.append(weights.amax(dim=0) if pooling == "max" else weights.sum(dim=0))
    return torch.stack(found).detach().numpy()


def assert_alike(folder, layout, *, subfolder="", texts=TEXTS):
    """All three libraries give the same vectors for the same folder."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    theirs = sentence_transformers.SparseEncoder(str(folder), device="cpu")
    ours = load_encoder(folder, device="cpu")
    documents = ours.encode_documents(texts, on_cut=lambda n: None).weights.toarray()
    np.testing.assert_allclose(
        documents, dense(theirs.encode_document(texts)), rtol=1e-5, atol=1e-5
    )
    prompted = [layout.document_prompt + text for text in texts]
    plain = pooled_logits(folder, subfolder, prompted, layout.pooling, layout.activation)
    np.testing.assert_allclose(documents, plain, rtol=1e-5, atol=1e-5)
    queries = ours.encode_queries(texts).weights.toarray()
    one_by_one = [theirs.encode_query(text) for text in texts]  # padding may touch [PAD]'s weight
    np.testing.assert_allclose(queries, dense(one_by_one), rtol=1e-5, atol=1e-5)
    return ours, documents, queries


LAYOUTS = [
    SaveLayout(max_length=20),
    SaveLayout(pooling="sum", activation="log1p_log1p", max_length=32),
    SaveLayout(max_length=16, query_prompt="run: ", document_prompt="cat, "),
    SaveLayout(max_length=32, drop_columns=("special", "unused", "the")),
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_three_libraries_load_one_model_alike(parts, tmp_path, layout):
    folder = save_model(tmp_path / "saved", **parts, layout=layout)
    encoder, documents, queries = assert_alike(folder, layout)
    assert encoder.max_length == layout.max_length
    assert (documents == queries).all() == (not layout.query_prompt)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_three_libraries_load_inference_free_queries_alike(parts, tmp_path, layout):
    folder = save_model(tmp_path / "saved", **parts, layout=layout, query_side=TABLE)
    encoder, _, _ = assert_alike(folder, layout, subfolder="document_0_MLMTransformer")
    terms = next(to_terms(encoder.encode_queries(["cat cat"]), encoder.vocabulary))
    assert terms["cat"] == pytest.approx(TABLE["cat"], abs=1e-7)
    assert len(encoder.query_fingerprints) == 1


def test_three_libraries_load_a_separate_query_encoder_alike(parts, make_tiny, tmp_path):
    other = loaded(make_tiny(tmp_path / "other", seed=1))
    layout = SaveLayout(max_length=32, query_prompt="run: ")
    queries = QueryModel(**other, layout=SaveLayout(pooling="sum", max_length=10))
    folder = save_model(tmp_path / "saved", **parts, layout=layout, query_side=queries)
    encoder, documents, found = assert_alike(folder, layout, subfolder="document_0_MLMTransformer")
    assert not np.allclose(documents, found)
    assert encoder.query_fingerprint != encoder.fingerprint
    assert encoder.query_fingerprints == (encoder.query_fingerprint,)


def test_dropped_columns_never_weigh_and_the_model_given_is_as_before(parts, tmp_path):
    before = {k: v.clone() for k, v in parts["model"].state_dict().items()}
    layout = SaveLayout(max_length=32, drop_columns=("special", "unused", "the"))
    folder = save_model(tmp_path / "saved", **parts, layout=layout)
    encoder = load_encoder(folder, device="cpu")
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", "the"]
    columns = [encoder.vocabulary.index(name) for name in names]
    weights = encoder.encode_documents(TEXTS, on_cut=lambda n: None).weights.toarray()
    assert not weights[:, columns].any()
    assert (weights[0] > 0).any()
    for name, value in parts["model"].state_dict().items():
        assert torch.equal(value, before[name])


def headless(bias, tied):
    config = transformers.ModernBertConfig(
        vocab_size=70, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, decoder_bias=bias, tie_word_embeddings=tied, pad_token_id=0,
        bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.ModernBertForMaskedLM(config)


def test_a_column_without_a_bias_is_dropped_by_its_weights_or_refused(parts, tmp_path):
    layout = SaveLayout(max_length=32, drop_columns=("cat",))
    tokenizer = parts["tokenizer"]
    folder = tmp_path / "untied"
    save_model(folder, model=headless(bias=False, tied=False), tokenizer=tokenizer, layout=layout)
    encoder = load_encoder(folder, device="cpu")
    weights = encoder.encode_documents(["the cat"]).weights.toarray()
    assert weights.any()
    assert not weights[:, encoder.vocabulary.index("cat")].any()
    with pytest.raises(ConfigError, match="no term can be dropped"):
        save_model(
            tmp_path / "tied",
            model=headless(bias=False, tied=True),
            tokenizer=tokenizer,
            layout=layout,
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["untied"]


def test_half_precision_is_saved_in_float32(parts, tmp_path):
    layout = SaveLayout(max_length=32, drop_columns=("the",))
    parts["model"].to(torch.bfloat16)
    folder = save_model(tmp_path / "saved", **parts, layout=layout)
    dtypes = {str(v.dtype) for v in load_file(folder / "model.safetensors").values()}
    assert dtypes == {"float32"}
    assert_alike(folder, layout)


def test_what_a_tokenizer_was_last_used_for_is_not_saved(parts, tmp_path):
    tokenizer = parts["tokenizer"]
    tokenizer(["the cat"], truncation=True, max_length=3, padding="max_length")
    folder = save_model(tmp_path / "s", **parts, layout=SaveLayout(max_length=32), query_side=TABLE)
    for part in ("document_0_MLMTransformer", "query_0_SparseStaticEmbedding"):
        stored = json.loads((folder / part / "tokenizer.json").read_text())
        assert (stored["truncation"], stored["padding"]) == (None, None)
        settings = json.loads((folder / part / "tokenizer_config.json").read_text())
        assert settings["model_max_length"] == 32
        assert not {"max_length", "name_or_path", "is_local"} & set(settings)
    assert load_encoder(folder).encode_queries(["the cat mat run"]).weights.nnz == 4


def test_a_table_may_lie_beside_a_model_that_weighs_queries_itself(parts, tiny, tmp_path):
    layout = SaveLayout(max_length=32)
    folder = save_model(tmp_path / "saved", **parts, layout=layout, table=TABLE)
    encoder, _, _ = assert_alike(folder, layout)
    free = load_encoder(folder, queries="inference-free")
    found = next(to_terms(free.encode_queries(["a cat, the cat"]), free.vocabulary))
    assert found == {"the": 0.25, "cat": pytest.approx(2.1235)}
    assert free.fingerprint == encoder.fingerprint
    assert free.vocabulary == encoder.vocabulary
    assert len(encoder.query_fingerprints) == 2
    assert set(free.query_fingerprints) == set(encoder.query_fingerprints)
    assert encoder.query_fingerprint == encoder.query_fingerprints[0]
    assert free.query_fingerprint == free.query_fingerprints[0] != encoder.query_fingerprint
    np.testing.assert_array_equal(
        free.encode_documents(["the cat"]).weights.toarray(),
        encoder.encode_documents(["the cat"]).weights.toarray(),
    )
    assert free.explain("cats", query=True).terms[0].word == "cats"
    assert load_encoder(tiny).query_fingerprints == (load_encoder(tiny).query_fingerprint,)


def test_a_table_may_be_an_array_in_the_order_of_the_ids(parts, tmp_path):
    tokens = parts["tokenizer"].get_vocab()
    weights = np.zeros(len(tokens), np.float32)
    for token, weight in TABLE.items():
        weights[tokens[token]] = weight
    layout = SaveLayout(max_length=32)
    tensor = torch.nn.Parameter(torch.from_numpy(weights))
    save_model(tmp_path / "a", **parts, layout=layout, query_side=weights, table=tensor)
    save_model(tmp_path / "d", **parts, layout=layout, query_side=TABLE, table=TABLE)
    for name in ("query_table.json", "query_0_SparseStaticEmbedding/model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "d" / name).read_bytes()
    sides = read_sides(tmp_path / "a")
    assert sides.table is not None
    assert sides.table != sides.queries
    assert len(load_encoder(tmp_path / "a").query_fingerprints) == 2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"dog": 1.0}, "'dog', which is no token"),
        ({"cat": -1.0}, "weight of token cat is -1"),
        (np.ones((2, 2), np.float32), r"has shape \(2, 2\)"),
        (np.ones(999, np.float32), r"has shape \(999,\), the tokenizer 70 tokens"),
    ],
)
@pytest.mark.parametrize("side", ["table", "query_side"])
def test_a_table_that_does_not_fit_is_refused_and_nothing_is_left(
    parts, tmp_path, table, message, side
):
    with pytest.raises(ModelError, match=message):
        save_model(tmp_path / "saved", **parts, **{side: table})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_left_alone_unless_it_may_be_replaced(parts, tmp_path):
    folder = save_model(tmp_path / "saved", **parts, layout=SaveLayout(max_length=32))
    with pytest.raises(ConfigError, match="holds a finished model"):
        save_model(folder, **parts)
    save_model(folder, **parts, layout=SaveLayout(max_length=9), replace=True)
    assert load_encoder(folder).max_length == 9
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    with pytest.raises(ConfigError, match="no model"):
        save_model(tmp_path / "mine", **parts, replace=True)
    with pytest.raises(ConfigError, match="no model"):
        save_model(tmp_path / "mine" / "thesis.tex", **parts, replace=True)
    with pytest.raises(StorageError, match="cannot be written"):
        save_model(tmp_path / "mine" / "thesis.tex" / "model", **parts)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "saved"]


def test_weights_that_are_no_numbers_are_not_saved(parts, tmp_path):
    with torch.no_grad():
        parts["model"].cls.predictions.bias[3] = float("nan")
    with pytest.raises(ModelError, match="not all finite"):
        save_model(tmp_path / "saved", **parts)
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_are_refused():
    with pytest.raises(ModelError, match="pooling is 'mean'"):
        SaveLayout(pooling="mean")
    with pytest.raises(ModelError, match="max_length is 0"):
        SaveLayout(max_length=0)


CARD = ModelCard(
    name="someone/tiny",
    license="apache-2.0",
    summary="For tests.",
    base_model="nobody/bert",
    base_model_note="It saw nothing.",
    training_data=(
        TrainingData(
            "Fruit | Veg", "CC BY 4.0", 5000, url="https://example.org", dataset="a/fruit"
        ),
        TrainingData("Own notes", "private"),
    ),
    settings={"steps": 300, "losses": ["kl", "margin_mse"]},
    metrics={"cranfield": {"ndcg@10": 0.41234, "mrr@10": 0.6}, "cacm": {"ndcg@10": 0.3}},
    metrics_note="Measured with `sparse-ir evaluate`.",
    query_terms=23.5,
    document_terms=118.0,
    expected_flops=1.25,
    limits=("Worse than BM25 on cacm.",),
    notes="Made on a rainy day.",
)


def test_a_card_tells_the_hub_and_people_what_the_model_is():
    text = render_card(CARD, table=True)
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["license"] == "apache-2.0"
    assert {"sparse-encoder", "splade"} <= set(facts["tags"])
    assert facts["datasets"] == ["a/fruit"]
    assert facts["metrics"] == ["ndcg@10", "mrr@10"]
    assert (facts["base_model"], facts["language"]) == ("nobody/bert", ["en"])
    titles = [line[3:] for line in body.splitlines() if line.startswith("## ")]
    assert titles == [
        "What it is", "How to use it", "Training data", "Settings", "Results", "Sparsity", "Limits",
        "Notes",
    ]  # fmt: skip
    assert "| [Fruit \\| Veg](https://example.org) | CC BY 4.0 | 5,000 |" in body
    assert "| cranfield | 0.4123 | 0.6000 |" in body
    assert "| cacm | 0.3000 |  |" in body
    assert "| terms per query | 23.5 |" in body
    assert "Made on a rainy day." in body
    assert 'load_encoder("someone/tiny", queries="inference-free")' in body


def test_a_card_of_little_is_short():
    text = render_card(ModelCard(name="x", license="mit"), sides="inference-free")
    assert "## Training data" not in text
    assert 'subfolder="document_0_MLMTransformer"' in text


def test_a_card_is_saved_beside_the_model(parts, tmp_path):
    folder = save_model(tmp_path / "saved", **parts, card=CARD)
    assert (folder / "README.md").read_text() == render_card(CARD)
