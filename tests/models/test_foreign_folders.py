"""Other people's model folders, made here in their layouts: vectors equal to their own library's.

sentence-transformers computes its folders itself. OpenSearch's, light-splade's and plain masked LMs
are computed below with transformers, as their model cards say. castorini's are in test_unicoil.py.
"""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
import transformers

from sparse_ir.errors import ModelError
from sparse_ir.models.loading import load_encoder

TEXTS = ["the cat sat on the mat.", "", "Running, THE zebra 日本!", "mat " * 40]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def make_tiny_distilbert(bert, folder, seed=0):
    """A random DistilBERT with the tokenizer of the tiny BERT."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, n_layers=2, n_heads=4, hidden_dim=64,
        max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = transformers.DistilBertForMaskedLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backbones(tiny, make_tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    return {
        "bert": tiny,
        "distilbert": make_tiny_distilbert(tiny, folder / "distilbert"),
        "other": make_tiny(folder / "other", seed=7),
    }


def assert_same(ours, theirs):
    for text in TEXTS:
        for found, wanted in (
            (ours.encode_queries([text]), theirs.encode_query(text)),
            (ours.encode_documents([text]), theirs.encode_document(text)),
        ):
            np.testing.assert_allclose(
                found.weights.toarray()[0], wanted.to_dense().cpu().numpy(), **TOLERANCE
            )


@pytest.fixture(scope="module")
def st():
    """sentence-transformers with its modules."""
    import sentence_transformers
    from sentence_transformers.base import modules
    from sentence_transformers.sparse_encoder import modules as sparse

    class Names:
        SparseEncoder, Router, Transformer = (
            sentence_transformers.SparseEncoder,
            modules.Router,
            modules.Transformer,
        )
        Pooling, Static = sparse.SpladePooling, sparse.SparseStaticEmbedding

        @classmethod
        def splade(cls, folder, **pooling):
            lm = cls.Transformer(str(folder), transformer_task="fill-mask")
            return [lm, cls.Pooling(**pooling)]

    return Names


VARIANTS = [
    *product(("bert", "distilbert"), ("max", "sum"), ("relu", "log1p_relu"), ({},)),
    ("bert", "max", "relu", {"max_active_dims": 5}),
    ("bert", "sum", "relu", {"prompts": {"query": "cat: ", "document": "mat: "}}),
    ("bert", "max", "relu", {"prompts": {"query": "cat: ", "passage": "sat: "}}),
    ("bert", "max", "relu", {"prompts": {"all": "cat on "}, "default_prompt_name": "all"}),
]


@pytest.mark.parametrize(("backbone", "pooling", "activation", "more"), VARIANTS)
def test_one_model_for_both_sides(st, backbones, tmp_path, backbone, pooling, activation, more):
    modules = st.splade(
        backbones[backbone], pooling_strategy=pooling, activation_function=activation
    )
    theirs = st.SparseEncoder(modules=modules, device="cpu", **more)
    theirs.save(str(tmp_path / "saved"))
    again = st.SparseEncoder(str(tmp_path / "saved"), device="cpu")
    ours = load_encoder(tmp_path / "saved", device="cpu")
    assert_same(ours, again)


@pytest.mark.parametrize(
    "more", [{}, {"prompts": {"query": "cat: ", "document": "mat: "}}, {"max_active_dims": 3}]
)
@pytest.mark.parametrize("queries", ["static", "model"])
def test_two_sides(st, backbones, tmp_path, queries, more):
    documents = st.splade(backbones["bert"], activation_function="log1p_relu")
    if queries == "static":
        tokenizer = transformers.AutoTokenizer.from_pretrained(backbones["bert"])
        torch.manual_seed(1)
        side = [st.Static(tokenizer, torch.rand(len(tokenizer)), frozen=True)]
    else:
        side = st.splade(backbones["other"], pooling_strategy="sum")
    router = st.Router.for_query_document(side, documents)
    theirs = st.SparseEncoder(modules=[router], device="cpu", **more)
    theirs.save(str(tmp_path / "saved"))
    again = st.SparseEncoder(str(tmp_path / "saved"), device="cpu")
    assert_same(load_encoder(tmp_path / "saved", device="cpu"), again)


def test_a_bound_that_is_no_number_is_refused(st, backbones, tmp_path):
    st.SparseEncoder(modules=st.splade(backbones["bert"]), device="cpu").save(str(tmp_path))
    path = tmp_path / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_active_dims": "many"}))
    with pytest.raises(ModelError, match="max_active_dims is 'many'"):
        load_encoder(tmp_path)


@pytest.fixture
def copy(backbones, tmp_path, monkeypatch):
    def copy(backbone, *parts, weights="model.safetensors", **files):
        folder = tmp_path.joinpath(*parts)
        folder.mkdir(parents=True, exist_ok=True)
        for path in backbones[backbone].iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        if weights == "pytorch_model.bin":
            from safetensors.torch import load_file

            monkeypatch.setenv("SPARSE_IR_PICKLE", "1")
            torch.save(load_file(folder / "model.safetensors"), folder / weights)
            (folder / "model.safetensors").unlink()
        for name, content in files.items():
            suffix = ".txt" if isinstance(content, str) else ".json"
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / f"{name}{suffix}").write_text(text, encoding="utf-8")
        return folder

    return copy


def logits(folder, text):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    tokens = tokenizer([text], return_tensors="pt", truncation=True, max_length=32)
    with torch.no_grad():
        return tokenizer, model(**tokens).logits[0].amax(dim=0)


def opensearch(folder, text, *, twice, ratio=0.0):
    """The document side as the model cards and opensearch-py-ml have it."""
    tokenizer, values = logits(folder, text)
    values = torch.log(1 + torch.relu(values))
    values = torch.log(1 + values) if twice else values
    values[list(tokenizer.all_special_ids)] = 0
    return (values * (values > ratio * values.max())).numpy()


TABLE = {"the": 0.25, "cat": 2.5, "mat": 1.5, "##ning": 0.5, "[CLS]": 9.0}
LINES = "".join(f"{token}\t{weight}\n" for token, weight in TABLE.items())
GENERATIONS = [
    ("opensearch-neural-sparse-encoding-doc-v1", "bert", {"idf": TABLE}, False),
    ("opensearch-neural-sparse-encoding-doc-v2-distill", "distilbert", {"idf": TABLE}, False),
    ("doc-v2", "bert", {"query_token_weights": LINES}, False),
    ("opensearch-neural-sparse-encoding-doc-v3-distill", "distilbert",
     {"idf": TABLE, "query_token_weights": LINES}, True),
    ("mine", "bert", {"idf": TABLE, "sparse_ir": {"activation": "log1p_log1p"}}, True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "backbone", "files", "twice"), GENERATIONS)
@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_opensearch_doc_models(copy, name, backbone, files, twice, weights):
    folder = copy(backbone, name, weights=weights, **files)
    encoder = load_encoder(folder, device="cpu")
    for text in TEXTS:
        found = encoder.encode_documents([text]).weights.toarray()[0]
        np.testing.assert_allclose(found, opensearch(folder, text, twice=twice), **TOLERANCE)
    row = encoder.encode_queries(["The cat: running mat mat"]).weights
    found = {encoder.vocabulary[c]: w for c, w in zip(row.indices, row.data, strict=True)}
    assert found == {"the": 0.25, "cat": 2.5, "mat": 1.5, "##ning": 0.5}


def test_a_snapshot_of_the_hub_is_known_by_the_name_of_its_model(copy):
    name = "models--opensearch-project--opensearch-neural-sparse-encoding-doc-v3-gte"
    folder = copy("bert", name, "snapshots", "0123abcd", idf=TABLE)
    found = load_encoder(folder, device="cpu").encode_documents(TEXTS[:1]).weights.toarray()[0]
    np.testing.assert_allclose(found, opensearch(folder, TEXTS[0], twice=True), **TOLERANCE)


def test_a_prune_ratio_cuts_documents_alone(copy):
    folder = copy("bert", "pruned", idf=TABLE, sparse_ir={"prune_ratio": 0.4})
    encoder = load_encoder(folder, device="cpu")
    for text in (TEXTS[0], TEXTS[2]):
        found = encoder.encode_documents([text]).weights.toarray()[0]
        wanted = opensearch(folder, text, twice=False, ratio=0.4)
        np.testing.assert_allclose(found, wanted, **TOLERANCE)
        assert (found > 0).sum() < (opensearch(folder, text, twice=False) > 0).sum()
        explained = {o.term: o.weight for o in encoder.explain(text).terms}
        kept = {encoder.vocabulary[c]: found[c] for c in np.flatnonzero(found)}
        assert explained == pytest.approx(kept)
    (folder / "sparse_ir.json").write_text('{"prune_ratio": 0.3}')
    other = load_encoder(folder, device="cpu")
    assert other.fingerprint != encoder.fingerprint
    assert other.query_fingerprint == encoder.query_fingerprint
    (folder / "sparse_ir.json").write_text('{"prune_ratio": 1.5}')
    with pytest.raises(ModelError, match=r"prune_ratio is 1\.5"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("the 0.5\n", r"txt:1: 'the 0.5' is not a token, a tab and a weight"),
        ("the\t0.5\ncat\tx\n", r"txt:2: 'cat\\tx' is not"),
        ("dog\t0.5\n", "'dog', which is no token"),
        ("the\t-1\n", "the weight of token the is -1.0"),
        ("", "is no table"),
    ],
)
def test_damaged_query_token_weights_are_named(copy, lines, message):
    encoder = load_encoder(copy("bert", "doc", query_token_weights=lines), device="cpu")
    with pytest.raises(ModelError, match=message) as caught:
        encoder.encode_queries(["the cat"])
    assert "\n" not in str(caught.value)


def plain(folder, text):
    return logits(folder, text)[1].relu().log1p().numpy()


@pytest.mark.parametrize("backbone", ["bert", "distilbert"])
@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_a_plain_masked_lm_is_splade_max(copy, backbone, weights):
    folder = copy(backbone, "Splade_PP_en_v1", weights=weights)
    encoder = load_encoder(folder, device="cpu")
    for text in TEXTS:
        for found in (encoder.encode_documents([text]), encoder.encode_queries([text])):
            np.testing.assert_allclose(found.weights.toarray()[0], plain(folder, text), **TOLERANCE)


def test_a_query_model_below_a_masked_lm_weighs_the_queries(copy):
    folder = copy("bert", "two")
    copy("other", "two", "query_model")
    encoder = load_encoder(folder, device="cpu")
    for text in TEXTS:
        document, query = encoder.encode_documents([text]), encoder.encode_queries([text])
        np.testing.assert_allclose(document.weights.toarray()[0], plain(folder, text), **TOLERANCE)
        np.testing.assert_allclose(
            query.weights.toarray()[0], plain(folder / "query_model", text), **TOLERANCE
        )
    assert encoder.fingerprint != encoder.query_fingerprint
    alone = load_encoder(folder / "query_model", device="cpu")
    assert encoder.query_fingerprint == alone.query_fingerprint
    explained = encoder.explain(TEXTS[0], query=True).terms[0]
    row = alone.encode_queries(TEXTS[:1]).weights
    assert explained.weight == pytest.approx(row.data.max())


def test_a_query_model_of_other_tokens_is_refused(copy):
    folder = copy("bert", "two")
    below = copy("other", "two", "query_model")
    lines = (below / "vocab.txt").read_text().replace("\ncat\n", "\ncow\n")
    tokenizer = (below / "tokenizer.json").read_text().replace('"cat"', '"cow"')
    (below / "vocab.txt").write_text(lines)
    (below / "tokenizer.json").write_text(tokenizer)
    with pytest.raises(ModelError, match="do not belong together"):
        load_encoder(folder, device="cpu").encode_documents(["the cat"])
