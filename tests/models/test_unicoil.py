"""uniCOIL: by hand on a few tokens, and castorini's folders against a computation of their own."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.unicoil import UnicoilEncoder, load_body
from sparse_ir.models.unicoil_files import UnicoilLayout, UnicoilWeights, read_unicoil
from sparse_ir.models.unicoil_saving import save_unicoil

TEXTS = ["the cat sat on the mat. the cat!", "", "running cats", "zebra 日本", "the the the"]


@pytest.fixture(scope="module")
def parts(tiny):
    """Body, projection and tokenizer."""
    body = load_body(tiny)
    torch.manual_seed(3)
    weights = UnicoilWeights(torch.randn(32) / 4, torch.tensor(0.2))
    return body, weights, transformers.AutoTokenizer.from_pretrained(tiny)


@pytest.fixture
def save(parts, tmp_path):
    def save(**layout):
        prior = layout.pop("prior", None)
        body, weights, tokenizer = parts
        return save_unicoil(
            tmp_path / "unicoil",
            body=body,
            weights=weights._replace(prior=prior),
            tokenizer=tokenizer,
            layout=UnicoilLayout(tmp_path, **layout),
            replace=True,
        )

    return save


def token_weights(parts, text, length=32):
    """Tokens of a text with their weights, special ones included."""
    body, weights, tokenizer = parts
    ids = tokenizer(text, truncation=True, max_length=length, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = body(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    found = (hidden @ weights.weight + weights.bias).relu().tolist()
    return list(zip(tokenizer.convert_ids_to_tokens(ids[0].tolist()), found, strict=True))


def expected(parts, text, *, skipped, pool=max, length=32):
    rows: dict[str, list[float]] = {}
    for token, weight in token_weights(parts, text, length):
        if token not in skipped:
            rows.setdefault(token, []).append(weight)
    return {token: pool(found) for token, found in rows.items() if pool(found) > 0}


def terms(batch, encoder, i=0):
    row = batch.weights[[i]]
    return {encoder.vocabulary[c]: w for c, w in zip(row.indices, row.data, strict=True)}


def assert_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for term, weight in wanted.items():
        assert found[term] == pytest.approx(weight, abs=1e-5)


SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]")


@pytest.mark.parametrize("text", TEXTS)
def test_a_token_weighs_the_most_that_it_weighs_anywhere_in_the_text(save, parts, text):
    encoder = load_encoder(save(), device="cpu")
    wanted = expected(parts, text, skipped=SPECIAL)
    assert_equal(terms(encoder.encode_documents([text]), encoder), wanted)
    assert_equal(terms(encoder.encode_queries([text]), encoder), wanted)


def test_a_text_names_its_own_terms(save):
    encoder = load_encoder(save(), device="cpu")
    assert encoder.text_terms("the cat: running cat") == ["the", "cat", "run", "##ning"]


def test_batches_change_nothing(save):
    encoder = load_encoder(save(), device="cpu")
    whole = encoder.encode_documents(TEXTS).weights.toarray()
    single = [encoder.encode_documents([text]).weights.toarray()[0] for text in TEXTS]
    np.testing.assert_allclose(whole, single, atol=1e-5)


def test_every_term_is_explained_by_the_word_that_weighs_most(save, parts):
    encoder = load_encoder(save(), device="cpu")
    text = TEXTS[0]
    explained = encoder.explain(text)
    assert {o.term: o.weight for o in explained.terms} == pytest.approx(
        terms(encoder.encode_documents([text]), encoder)
    )
    assert [o.weight for o in explained.terms] == sorted(
        (o.weight for o in explained.terms), reverse=True
    )
    read = token_weights(parts, text)  # [CLS] the cat sat on the mat . the cat ! [SEP]
    places = {"the": (0, 15, 24), "cat": (4, 28)}
    for term, starts in places.items():
        weights = [w for token, w in read if token == term]
        origin = next((o for o in explained.terms if o.term == term), None)
        if max(weights) > 0:
            assert origin.word == term
            assert origin.start == starts[int(np.argmax(weights))]


def test_bounds_lengths_and_drops_are_those_of_the_folder(save, parts):
    folder = save(
        query_terms=2, document_terms=3, max_length=8, query_max_length=5,
        drop_columns=("special", "cat"), query_pooling="sum",
    )  # fmt: skip
    encoder = load_encoder(folder, device="cpu")
    assert (encoder.max_length, encoder.query_max_length) == (8, 5)
    document = expected(parts, TEXTS[0], skipped=(*SPECIAL, "cat"), length=8)
    query = expected(parts, TEXTS[4], skipped=SPECIAL, pool=sum, length=5)
    found = terms(encoder.encode_documents(TEXTS[:1]), encoder)
    assert_equal(found, dict(sorted(document.items(), key=lambda t: -t[1])[:3]))
    assert_equal(terms(encoder.encode_queries(TEXTS[4:]), encoder), query)
    assert load_encoder(folder, device="cpu", max_length=6).max_length == 6


def test_a_prior_is_added_before_the_relu(save, parts):
    prior = torch.zeros(parts[0].config.vocab_size)
    cat, mat = parts[2].convert_tokens_to_ids(["cat", "mat"])
    prior[cat], prior[mat] = 100.0, -100.0
    without = load_encoder(save(), device="cpu")
    plain = terms(without.encode_documents(TEXTS[:1]), without)
    encoder = load_encoder(save(prior=prior), device="cpu")
    found = terms(encoder.encode_documents(TEXTS[:1]), encoder)
    assert "mat" not in found
    assert found["cat"] > 90
    assert found.get("the") == pytest.approx(plain.get("the"))


def test_fingerprints_tell_models_and_sides_apart(save):
    fingerprints = []
    for options in (
        {},
        {"query_terms": 3},
        {"document_terms": 3},
        {"max_length": 9, "query_max_length": 32},
        {"prior": torch.ones(70)},
    ):
        encoder = load_encoder(save(**options), device="cpu")
        fingerprints.append((encoder.fingerprint, encoder.query_fingerprint))
    documents, queries = zip(*fingerprints, strict=True)
    assert documents[0] == documents[1] != documents[2]
    assert queries[0] == queries[2] != queries[1]
    assert documents[3] != documents[0]
    assert queries[3] == queries[0]
    assert len({documents[0], documents[2], documents[3], documents[4]}) == 4
    assert encoder.query_fingerprints == (encoder.query_fingerprint,)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_other_precisions_are_near(save, precision):
    from sparse_ir.models.screening import can_screen

    folder = save()
    if precision == "int8" and not can_screen(torch.device("cpu")):
        with pytest.raises(ConfigError, match="VNNI"):
            load_encoder(folder, device="cpu", precision="int8")
        return
    exact = load_encoder(folder, device="cpu").encode_documents(TEXTS).weights.toarray()
    near = load_encoder(folder, device="cpu", precision=precision).encode_documents(TEXTS)
    assert 0 < np.abs(near.weights.toarray() - exact).max() < 0.3


CASTORINI = ("[CLS]", "[PAD]")  # Pyserini skips the first and stops at the second
LAYOUTS = [
    ("model.safetensors", "coil_encoder.bert.", "coil_encoder.tok_proj"),
    ("pytorch_model.bin", "coil_encoder.bert.", "coil_encoder.tok_proj"),
    ("pytorch_model.bin", "bert.", "tok_proj"),
    ("model.safetensors", "bert.", "coil"),
]


@pytest.fixture
def castorini(parts, tmp_path, monkeypatch):
    def castorini(file, prefix, projection, **more):
        body, weights, tokenizer = parts
        folder = tmp_path / "castorini"
        tokenizer.save_pretrained(folder)
        body.config.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        config["architectures"] = ["UniCOILEncoder"]
        (folder / "config.json").write_text(json.dumps(config))
        tensors = {f"{prefix}{name}": t.clone() for name, t in body.state_dict().items()}
        tensors[f"{prefix}embeddings.position_ids"] = torch.arange(32).unsqueeze(0)
        tensors[f"{prefix}pooler.dense.weight"] = torch.eye(32)
        tensors[f"{projection}.weight"] = weights.weight.view(1, -1)
        tensors[f"{projection}.bias"] = weights.bias.view(1)
        tensors |= more
        if file.endswith(".bin"):
            monkeypatch.setenv("SPARSE_IR_PICKLE", "1")
            torch.save(tensors, folder / file)
        else:
            from safetensors.torch import save_file

            save_file(tensors, folder / file)
        return folder

    return castorini


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(layout[:2]))
def test_castorini_folders_give_what_pyserini_computes(castorini, parts, layout):
    encoder = load_encoder(castorini(*layout), device="cpu")
    assert isinstance(encoder, UnicoilEncoder)
    for i, text in enumerate(TEXTS):
        document = expected(parts, text, skipped=CASTORINI)
        query = expected(parts, text, skipped=CASTORINI, pool=sum)
        assert_equal(terms(encoder.encode_documents(TEXTS), encoder, i), document)
        assert_equal(terms(encoder.encode_queries(TEXTS), encoder, i), query)


def test_a_model_saved_for_pyserini_has_its_names_and_loads_again(save, parts):
    from safetensors.torch import load_file

    folder = save(castorini=True)
    names = load_file(folder / "model.safetensors")
    assert names["coil_encoder.tok_proj.weight"].shape == (1, 32)
    assert "coil_encoder.bert.encoder.layer.1.output.dense.weight" in names
    assert read_unicoil(folder).castorini
    encoder = load_encoder(folder, device="cpu")
    wanted = expected(parts, TEXTS[0], skipped=CASTORINI)
    assert_equal(terms(encoder.encode_documents(TEXTS[:1]), encoder), wanted)
    with pytest.raises(ModelError, match="no place for a prior"):
        save(castorini=True, prior=torch.zeros(70))


def test_a_masked_lm_is_none_and_no_pickle_is_run(tiny, tmp_path, castorini):
    assert read_unicoil(tiny) is None
    folder = castorini(*LAYOUTS[1])

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save({**tensors, "evil": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(folder, device="cpu")
    assert not (tmp_path / "harm").exists()


def test_what_is_missing_or_wrong_is_one_clear_line(castorini, save, tmp_path):
    folder = castorini(*LAYOUTS[0], **{"coil_encoder.tok_proj.weight": torch.zeros(1, 7)})
    with pytest.raises(ModelError, match="no projection of 32 numbers to one") as caught:
        load_encoder(folder, device="cpu")
    assert "\n" not in str(caught.value)
    folder = save()
    (folder / "unicoil.json").write_text('{"querry_terms": 1}')
    with pytest.raises(ModelError, match="sets 'querry_terms'"):
        load_encoder(folder)
    (folder / "unicoil.json").write_text('{"query_pooling": "mean"}')
    with pytest.raises(ModelError, match="query_pooling is 'mean'"):
        load_encoder(folder)
    (folder / "unicoil.json").write_text('{"query_terms": "many"}')
    with pytest.raises(ModelError, match=r"unicoil\.json is damaged"):
        load_encoder(folder)
    (folder / "unicoil.json").write_text("{}")
    (folder / "unicoil.safetensors").unlink()
    with pytest.raises(ModelError, match=r"unicoil.safetensors cannot be read"):
        load_encoder(folder, device="cpu")
    with pytest.raises(ModelError, match="has no inference-free query side"):
        load_encoder(folder, queries="inference-free")


@pytest.mark.parametrize("layout", ["onnx", "opensearch-ml", "eland"])
@pytest.mark.parametrize("castorini", [False, True])
def test_an_export_is_refused_in_one_line(save, sparse_ir, tmp_path, castorini, layout):
    folder = save(castorini=castorini)
    out = tmp_path / "out"
    done = sparse_ir("export", "--format", layout, "--model", folder, "--out", out)
    assert done.exit_code == ModelError.exit_code
    assert done.err.strip().endswith(
        "is a uniCOIL model, and only masked LMs are exported. Encode with sparse-ir, and export "
        "the vectors."
    )
    assert len(done.err.strip().splitlines()) == 1
    assert not out.exists()
