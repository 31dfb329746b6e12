"""A tokenizer and a masked LM of nothing but texts."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from sparse_ir.config import load_settings
from sparse_ir.errors import ConfigError, InputError, MissingExtraError
from sparse_ir.models.batches import tokenize
from sparse_ir.models.loading import load_encoder
from sparse_ir.models.saving import SaveLayout, save_model
from sparse_ir.recipe import find_recipe, read_recipe, run_recipe
from sparse_ir.training.pretrain import PretrainSettings, pretrain
from sparse_ir.training.vocabulary import learn_tokenizer, unigrams
from sparse_ir.training.word_vectors import log_frequencies, word_vectors

JAPANESE = [
    "東京都は日本の首都である。",
    "京都は日本の古い都である。",
    "大阪の大学で医学を学んだ。",
    "東京の大学は日本で一番古い大学である。",
    "ガソリンは水より軽い。",
    "水は百度で沸く。",
]
ENGLISH = [
    "The capital of Japan is Tokyo.",
    "Kyoto was the capital of old Japan.",
    "He studied medicine at a university in Osaka.",
    "The oldest university of Japan is in Tokyo.",
    "Petrol is lighter than water.",
    "Water boils at one hundred degrees.",
]
TEXTS = {"ja": JAPANESE, "other": ENGLISH}
SIZE = {"ja": 120, "other": 90}


@pytest.fixture
def corpus(write_jsonl):
    def write(language="ja"):
        rows = [{"_id": str(i), "text": text} for i, text in enumerate(TEXTS[language] * 4)]
        return write_jsonl(f"{language}.jsonl", rows)

    return write


@pytest.fixture
def settings(corpus, tmp_path):
    """A run of seconds; ``settings(steps=5)``."""

    def make(**changes):
        language = changes.get("language", "ja")
        values = {
            "corpus": str(corpus(language)),
            "out": str(tmp_path / "lm"),
            "language": language,
            "vocabulary": SIZE[language],
            "width": 32,
            "layers": 1,
            "heads": 2,
            "max_tokens": 16,
            "batch_tokens": 64,
            "steps": 20,
            "learning_rate": 5e-3,
            "save_every": 5,
            "log_every": 5,
            "device": "cpu",
        }
        return load_settings(PretrainSettings, {**values, **changes}, where="test")

    return make


def learnt(language, texts=None, size=None):
    return learn_tokenizer(
        TEXTS[language] if texts is None else texts,
        language=language,
        size=size or SIZE[language],
    )


def pieces(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).tokens


def test_frequent_words_are_pieces_and_rarer_ones_fall_into_pieces_that_recur():
    words = {"大学": 9, "abc": 2, "abd": 2, "abe": 2, "abf": 2, "abg": 2, "abh": 2}
    found = unigrams(words, 5 + 8)
    assert [name for name, _ in found[:5]] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # Half are characters, the most frequent; then words; "ab" is what the other four words share.
    assert {name for name, _ in found[5:]} == {*"ab大学", "大学", "abc", "abd", "ab"}


def test_probabilities_of_pieces_are_their_shares():
    words = {"大学": 9, "abc": 2, "abd": 2, "abe": 2, "abf": 2, "abg": 2, "abh": 2}
    share = {name: math.exp(value) for name, value in unigrams(words, 5 + 8)[5:]}
    assert sum(share.values()) == pytest.approx(1.0)
    assert share["ab"] == pytest.approx(8 / 23)  # 9 + 2 + 2 + 8, and a half for each character


def test_a_small_corpus_makes_a_small_vocabulary():
    assert {name for name, _ in unigrams({"大学": 1}, 100)[5:]} == {"大", "学", "大学"}


def test_japanese_is_cut_as_mecab_cuts_it():
    tokenizer = learnt("ja")
    assert pieces(tokenizer, "東京の大学は日本で一番古い大学である。") == [
        "東京", "の", "大学", "は", "日本", "で", "一番", "古い", "大学", "で", "ある", "。",
    ]  # fmt: skip
    assert pieces(tokenizer, "医学の大学") == ["医学", "の", "大学"]


def test_a_saved_japanese_tokenizer_needs_the_tokenizers_library_alone(tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    path.write_text(learnt("ja").to_str(), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "fugashi", None)
    read = tokenizers.Tokenizer.from_file(str(path))
    assert pieces(read, "日本の水") == ["日本", "の", "水"]


@pytest.mark.parametrize(
    ("text", "same"),
    [("ｶﾞｿﾘﾝ", "ガソリン"), ("（東京）", "(東京)"), ("㍿", "株式会社"), ("ＡＢ１", "ab1")],
)
def test_texts_are_normalised_by_nfkc_and_lower_cased(text, same):
    tokenizer = learnt("ja", [*JAPANESE, "株式会社(AB1)"])
    assert pieces(tokenizer, text) == pieces(tokenizer, same)
    assert tokenizer.token_to_id("[UNK]") not in tokenizer.encode(text).ids


def test_words_with_spaces_become_word_pieces():
    tokenizer = learnt("other")
    assert pieces(tokenizer, "The Capital") == ["the", "capital"]
    assert "".join(pieces(tokenizer, "capitals")).replace("##", "") == "capitals"


def test_what_was_never_seen_is_unknown_and_half_a_character_is_no_error():
    tokenizer = learnt("ja", [*JAPANESE, "水\ud83d"])
    assert tokenizer.encode("龘", add_special_tokens=False).ids == [tokenizer.token_to_id("[UNK]")]
    assert pieces(tokenizer, "") == []


def test_word_vectors_are_alike_where_tokens_stand_among_the_same_others():
    # 3 and 4 both stand beside 5, 6 beside 7; 8 never occurs. 2 and the last are [CLS] and [SEP].
    blocks = np.array([[2, 3, 5, 1], [2, 4, 5, 1], [2, 6, 7, 1]] * 4, np.uint16)
    vectors = word_vectors(blocks, 9, 4, seed=1)
    near = vectors @ vectors.T
    assert near[3, 4] > 0.9 * near[3, 3]
    assert abs(near[3, 6]) < 1e-5
    assert not vectors[[0, 1, 2, 8]].any()
    assert np.linalg.norm(vectors[3:8], axis=1).mean() == pytest.approx(1.0, abs=1e-5)


def test_log_frequencies_differ_as_counts_do():
    logs = log_frequencies(np.array([[3, 3, 3, 4, 5, 5, 5]]), 6)
    assert logs[3] - logs[4] == pytest.approx(math.log(3.5 / 1.5))
    assert logs.mean() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("missing", ["fugashi", "unidic_lite"])
def test_without_the_extra_japanese_is_refused_before_anything_is_made(
    settings, tmp_path, monkeypatch, missing
):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sparse-ir\[ja\]'"):
        pretrain(settings())
    assert not (tmp_path / "lm-training").exists()


def test_too_little_text_for_one_block(settings):
    with pytest.raises(InputError, match="fewer than max_tokens"):
        pretrain(settings(max_tokens=2048, batch_tokens=2048))


@pytest.mark.parametrize("language", ["ja", "other"])
def test_the_loss_falls_and_the_folder_is_plain_transformers(settings, tmp_path, language):
    steps = []
    report = pretrain(settings(language=language, steps=150), advance=steps.append)
    assert sum(steps) == 150
    assert report.loss < 0.85 * math.log(report.vocabulary)  # of what guessing costs
    folder = tmp_path / "lm"
    model, info = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(model).__name__ == "ModernBertForMaskedLM"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.is_fast
    assert tokenizer.model_max_length == 16
    assert len(tokenizer) == model.config.vocab_size == report.vocabulary
    name = json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"]
    assert name == "PreTrainedTokenizerFast"  # transformers 4 and 5 both know it
    text = TEXTS[language][0].lower()
    ids = tokenize(tokenizer, [text], 16).ids[0]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" .", ".") == text
    left = sorted(p.name for p in (tmp_path / "lm-training").iterdir())
    assert left == ["run.json", "training-log.csv"]


def test_probabilities_are_lifts_with_the_frequencies_put_back(settings, tmp_path, weights_of):
    pretrain(settings(steps=5, out=str(tmp_path / "lift")))
    pretrain(settings(steps=5, out=str(tmp_path / "probability"), logits="probability"))
    lift, other = weights_of(tmp_path / "lift"), weights_of(tmp_path / "probability")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "lift")
    frequent, rare = tokenizer.convert_tokens_to_ids(["。", "ガソリン"])
    added = other["decoder.bias"] - lift["decoder.bias"]
    assert added[frequent] > added[rare]
    assert all(torch.equal(lift[n], other[n]) for n in lift if n != "decoder.bias")


@pytest.mark.parametrize("dropped", [(), ("special",)])
def test_three_libraries_read_the_model_alike(settings, tmp_path, dropped):
    import sentence_transformers

    pretrain(settings(steps=5))
    folder = tmp_path / "lm"
    if dropped:  # as train saves what it makes of it
        model = transformers.AutoModelForMaskedLM.from_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        layout = SaveLayout(max_length=16, drop_columns=dropped)
        folder = save_model(
            tmp_path / "splade", model=model, tokenizer=tokenizer, layout=layout, table={"水": 1.5}
        )
    texts = [*JAPANESE, "ｶﾞｿﾘﾝ と 未知", ""]
    ours = load_encoder(folder, device="cpu")
    documents = ours.encode_documents(texts, on_cut=lambda n: None).weights.toarray()
    theirs = sentence_transformers.SparseEncoder(str(folder), device="cpu")
    found = np.stack([v.to_dense().numpy() for v in theirs.encode_document(texts)])
    np.testing.assert_allclose(documents, found, atol=1e-5)
    np.testing.assert_allclose(documents, plain_vectors(folder, texts), atol=1e-5)
    if dropped:
        table = load_encoder(folder, device="cpu", queries="inference-free")
        (row,) = table.encode_queries(["日本の水"]).weights.toarray()
        assert {table.vocabulary[i]: row[i] for i in row.nonzero()[0]} == {"水": 1.5}


def plain_vectors(folder, texts):
    """The weights as transformers alone gives them."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**inputs).logits[0].amax(dim=0).relu().log1p())
    return torch.stack(rows).numpy()


def test_a_killed_run_goes_on_to_the_same_weights(settings, tmp_path, weights_of):
    pretrain(settings(out=str(tmp_path / "straight"), dropout=0.1))
    chosen = settings(dropout=0.1)
    kill_at(chosen, tmp_path / "lm-training" / "checkpoint-10" / "sparse_ir.json")
    assert not (tmp_path / "lm").exists()
    steps = []
    resumed = settings(dropout=0.1, resume=True)
    pretrain(resumed, advance=steps.append)
    assert steps[0] >= 10
    assert sum(steps) == 20
    straight, other = weights_of(tmp_path / "straight"), weights_of(tmp_path / "lm")
    assert all(torch.equal(tensor, other[name]) for name, tensor in straight.items())


def kill_at(chosen, mark):
    """Run elsewhere and end it with SIGKILL as soon as a checkpoint is whole."""
    config = mark.parents[2] / "pretrain.json"  # JSON is YAML
    config.write_text(json.dumps(chosen.__dict__), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "sparse_ir", "pretrain", str(config)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 240
    while not mark.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()[0]
    process.send_signal(signal.SIGKILL)
    process.communicate()


class StoppedError(Exception):
    """What ends a run in the middle."""


@pytest.fixture
def stopped(settings):
    """A run that was stopped after step 7."""

    def stop(n):
        stop.done += n
        if stop.done == 7:
            raise StoppedError

    stop.done = 0
    with pytest.raises(StoppedError):
        pretrain(settings(), advance=stop)


def test_a_stopped_run_is_in_the_way_until_it_goes_on_or_is_replaced(stopped, settings):
    with pytest.raises(ConfigError, match=r"unfinished run\. Go on with --resume"):
        pretrain(settings())
    with pytest.raises(ConfigError, match="another width"):
        pretrain(settings(resume=True, width=16))
    told = []
    pretrain(settings(resume=True), advance=told.append)
    assert told[0] == 5
    with pytest.raises(ConfigError, match="holds a finished model"):
        pretrain(settings(resume=True))


def test_resume_with_replace_starts_again_where_settings_differ(stopped, settings):
    told = []
    pretrain(settings(resume=True, replace=True, width=16), advance=told.append)
    assert [n for n in told if n] == [1] * 20


def test_a_corpus_is_not_read_twice_by_a_resumed_run(stopped, settings, monkeypatch):
    from sparse_ir.training import pretrain as module

    monkeypatch.setattr(module, "read_documents", lambda *_, **__: pytest.fail("it is read"))
    assert pretrain(settings(resume=True)).steps == 20


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--set", "widht=16"], "Did you mean width?"),
        (["--set", "heads=5"], "multiple of twice the heads"),
        (["--set", "masking_share=1.5"], "masking_share is 1.5"),
        (["--corpus", "-"], "read twice"),
        (["--set", "a.b=1"], "no settings within"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(sparse_ir, corpus, tmp_path, options, part):
    done = sparse_ir("pretrain", "--corpus", corpus(), "--out", tmp_path / "lm", *options)
    assert done.exit_code == 2
    assert part in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_the_command(sparse_ir, corpus, tmp_path):
    done = sparse_ir(
        "pretrain", "--corpus", corpus(), "--out", tmp_path / "lm", "--language", "ja",
        "--vocabulary", "64", "--steps", "2", "--set", "width=16", "--set", "max_tokens=16",
        "--set", "device=cpu", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    report = json.loads(done.out)
    assert report["steps"] == 2
    assert 32 < report["vocabulary"] <= 64
    assert (tmp_path / "lm" / "config.json").is_file()


def test_the_recipe_goes_from_texts_to_a_model(tmp_path, write_jsonl, monkeypatch):
    words = ["東京", "京都", "医学", "一番", "ガソリン", "百度"]
    (tmp_path / "validation" / "qrels").mkdir(parents=True)
    for folder in ("", "validation/"):
        texts = [{"_id": str(i), "text": text} for i, text in enumerate(JAPANESE)]
        write_jsonl(f"{folder}corpus.jsonl", texts)
        asked = [{"_id": f"q{i}", "text": word} for i, word in enumerate(words)]
        write_jsonl(f"{folder}queries.jsonl", asked)
    triplets = [{"qid": f"q{i}", "pos": str(i), "neg": str((i + 3) % 6)} for i in range(6)]
    write_jsonl("triplets.jsonl", triplets)
    (tmp_path / "validation" / "qrels" / "dev.tsv").write_text(
        "query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\t{i}\t1\n" for i in range(6))
    )
    monkeypatch.chdir(tmp_path)
    tiny = (
        "pretrain.width=32", "pretrain.layers=1", "pretrain.heads=2", "pretrain.max_tokens=16",
        "pretrain.batch_tokens=64", "pretrain.steps=20", "pretrain.device=cpu",
        "pretrain.vocabulary=120", "train.model.query_tokens=16", "train.model.document_tokens=16",
        "train.optimizer.steps=20", "train.optimizer.warm_up_steps=2", "train.batch.queries=6",
        "train.sparsity.target_terms={query: 5, document: 15}", "train.device=cpu",
    )  # fmt: skip

    @contextmanager
    def silent(what, *, total=None):
        yield lambda n: None

    recipe = read_recipe(find_recipe(Path("japanese")), tiny)
    lm, splade = run_recipe(recipe, progress=silent)
    assert lm.result["steps"] == 20
    assert splade.result["metrics"]["ndcg@10"] > 0
    encoder = load_encoder(tmp_path / "japanese-splade")
    assert encoder.encode_queries(["ガソリン"]).weights.nnz > 0
    assert all(outcome.skipped for outcome in run_recipe(recipe, progress=silent))
