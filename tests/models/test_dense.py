"""Dense vectors: equal to sentence-transformers', whatever the batch."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest

from sparse_ir.errors import ConfigError, ModelError
from sparse_ir.models.loading import load_dense

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from sentence_transformers import SentenceTransformer

    from sparse_ir.models.dense import pool

TEXTS = ["the cat sat", "", "a", "run running on the mat . " * 20, "Cat!", "the the the"]


def save_dense(tiny, folder, *, pooling=None, normalize=False, prompts=None, reader=None):
    """A sentence-transformers folder around the tiny BERT, as version 2 wrote it."""
    shutil.copytree(tiny, folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]
    if normalize:
        kind = "sentence_transformers.models.Normalize"
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind})
        (folder / "2_Normalize").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    settings = {"word_embedding_dimension": 32, **(pooling or {"pooling_mode_mean_tokens": True})}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    reader = reader or {"max_seq_length": 16, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(reader))
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts or {}})
    )
    return folder


def theirs(folder, texts, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SentenceTransformer(str(folder), device="cpu").encode(texts, **options)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(
    "mode", ["pooling_mode_mean_tokens", "pooling_mode_cls_token", "pooling_mode_max_tokens"]
)
def test_vectors_equal_those_of_sentence_transformers(tiny, tmp_path, mode, normalize):
    off = {"pooling_mode_mean_tokens": False, mode: True}
    folder = save_dense(tiny, tmp_path / "dense", pooling=off, normalize=normalize)
    ours = load_dense(folder, device="cpu", batch_tokens=40).encode(TEXTS)
    assert ours.dtype == np.float32
    assert ours.shape == (len(TEXTS), 32)
    np.testing.assert_allclose(ours, theirs(folder, TEXTS), atol=1e-5)


def test_a_folder_of_the_present_version_loads_alike(tiny, tmp_path):
    old = save_dense(tiny, tmp_path / "old", normalize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        SentenceTransformer(str(old), device="cpu").save_pretrained(str(tmp_path / "new"))
    before, after = load_dense(old, device="cpu"), load_dense(tmp_path / "new", device="cpu")
    assert after.max_length == before.max_length == 16
    np.testing.assert_allclose(after.encode(TEXTS), before.encode(TEXTS), atol=1e-6)


def test_a_plain_folder_is_pooled_by_the_mean(tiny, tmp_path):
    plain = load_dense(tiny, device="cpu", max_length=16)
    mean = load_dense(save_dense(tiny, tmp_path / "dense"), device="cpu")
    np.testing.assert_allclose(plain.encode(TEXTS), mean.encode(TEXTS), atol=1e-6)


def test_prompts_go_in_front_of_their_kind(tiny, tmp_path):
    prompts = {"query": "run : ", "document": "mat : "}
    folder = save_dense(tiny, tmp_path / "dense", prompts=prompts)
    model = load_dense(folder, device="cpu")
    query = theirs(folder, ["cat"], prompt="run : ")
    np.testing.assert_allclose(model.encode(["cat"], query=True), query, atol=1e-5)
    document = theirs(folder, ["cat"], prompt="mat : ")
    np.testing.assert_allclose(model.encode(["cat"]), document, atol=1e-5)


def test_the_order_is_that_of_the_texts_and_progress_is_told(tiny):
    model = load_dense(tiny, device="cpu", batch_tokens=8)
    told = []
    together = model.encode(TEXTS, advance=told.append)
    assert sum(told) == len(TEXTS)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_texts_give_no_rows(tiny):
    assert load_dense(tiny, device="cpu").encode([]).shape == (0, 32)


def test_pooling_worked_by_hand():
    hidden = torch.tensor([[[1.0, -2.0], [3.0, -4.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[2.0, -3.0]]
    assert pool(hidden, mask, "cls").tolist() == [[1.0, -2.0]]
    assert pool(hidden, mask, "max").tolist() == [[3.0, -2.0]]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_other_precisions_come_close(tiny, precision):
    exact = load_dense(tiny, device="cpu").encode(TEXTS)
    close = load_dense(tiny, device="cpu", precision=precision).encode(TEXTS)
    assert close.dtype == np.float32
    cosine = (exact * close).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(close, axis=1)
    assert cosine.min() > 0.99


def test_the_fingerprint_tells_what_decides_vectors(tiny, tmp_path):
    one = load_dense(tiny, device="cpu")
    assert one.fingerprint == load_dense(tiny, device="cpu", batch_tokens=9).fingerprint
    assert one.fingerprint != load_dense(tiny, device="cpu", max_length=9).fingerprint
    other = save_dense(tiny, tmp_path / "dense", normalize=True)
    assert load_dense(other, device="cpu", max_length=32).fingerprint != one.fingerprint
    assert (one.name, one.width, one.max_length) == (str(tiny), 32, 32)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"pooling": {"pooling_mode_lasttoken": True}}, "lasttoken"),
        ({"pooling": {"pooling_mode": ["mean", "max"]}}, "mean\\+max"),
        ({"pooling": {"include_prompt": False}, "prompts": {"query": "q: "}}, "prompt"),
    ],
)
def test_what_is_not_known_is_refused(tiny, tmp_path, change, part):
    folder = save_dense(tiny, tmp_path / "dense", **change)
    with pytest.raises(ModelError, match=part):
        load_dense(folder, device="cpu")


def test_other_modules_are_named(tiny, tmp_path):
    folder = save_dense(tiny, tmp_path / "dense")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="Transformer, Pooling, Dense"):
        load_dense(folder, device="cpu")


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_dense(tmp_path)
    with pytest.raises(ModelError, match="no such model folder"):
        load_dense(tmp_path / "none")


def test_a_wrong_precision_is_named(tiny):
    with pytest.raises(ConfigError, match="fp8"):
        load_dense(tiny, device="cpu", precision="fp8")
