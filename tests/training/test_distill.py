"""Teachers' scores: right numbers, each asked for once, the same file after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_bert import make_bert

from sparse_ir.data.examples import ExampleSettings, read_scored
from sparse_ir.errors import ConfigError, InputError, ModelError, TrainingError
from sparse_ir.models.backbone import Options
from sparse_ir.models.loading import load_dense, load_encoder
from sparse_ir.training.colbert import ColbertTeacher
from sparse_ir.training.cross_encoder import CrossEncoder
from sparse_ir.training.distill import DistillSettings, distill
from sparse_ir.training.normalizing import Spread, combine, normalize
from sparse_ir.training.scorers import TeacherSettings, load_teacher, parse_teacher

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from sentence_transformers import CrossEncoder as TheirCrossEncoder

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("the", "cat", "sat", "on", "mat", "run", "##ning", ".", ",", "'", "!")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", *LETTERS)


def save_model(folder, kind, seed=0, **options):
    """A random BERT, 2 layers, 32 wide, with a WordPiece tokenizer."""
    tokens = [*VOCABULARY, *(f"##{letter}" for letter in LETTERS), *WORDS]
    make_bert(folder, tokens, kind, seed=seed, length=32, **options)
    return folder


@pytest.fixture(scope="module")
def cross(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "cross"
    return save_model(folder, "BertForSequenceClassification", num_labels=1)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "dense", "BertModel")


TEXTS = {"d1": "the cat sat", "d2": "run on", "d3": "a mat . a cat", "d4": "mat , run"}
QUERIES = {"q1": "cat", "q2": "run !"}
ROWS = [
    {"query_id": "q1", "documents": ["d1", "d2", "d3"]},
    {"query_id": "q2", "documents": ["d2", "d4", "d1"], "positives": 2, "relevant": ["d9"]},
]


def with_texts(row):
    texts = [TEXTS[doc_id] for doc_id in row["documents"]]
    return {**row, "query": QUERIES[row["query_id"]], "texts": texts}


@pytest.fixture
def examples(write_jsonl):
    return write_jsonl("examples.jsonl", map(with_texts, ROWS))


def settings(examples, out, *teachers, **options):
    return DistillSettings(
        ExampleSettings(str(examples)), str(out), tuple(map(parse_teacher, teachers)), **options
    )


def scores_of(out):
    return {row.query_id: row.scores for row in read_scored(out)}


def test_a_dense_teacher_gives_dot_products(examples, dense, tmp_path):
    report = distill(settings(examples, tmp_path / "out.jsonl", f"dense:{dense}"))
    model = load_dense(dense, device="cpu")
    found = list(read_scored(tmp_path / "out.jsonl"))
    for row in found:
        query = model.encode([QUERIES[row.query_id]], query=True)[0]
        expected = model.encode([TEXTS[doc_id] for doc_id in row.documents]) @ query
        np.testing.assert_allclose(row.scores, expected, rtol=1e-4)
    assert (report.examples, report.pairs, report.asked) == (2, 6, 6)
    assert report.encoded == 2 + 4  # each query and each document once


def test_what_the_examples_say_is_kept(examples, dense, tmp_path):
    distill(settings(examples, tmp_path / "out.jsonl", f"dense:{dense}"))
    for row, before in zip(read_scored(tmp_path / "out.jsonl"), ROWS, strict=True):
        assert list(row.documents) == before["documents"]
        assert row.positives == before.get("positives", 1)
        assert row.relevant == tuple(before.get("relevant", ()))
        assert row.texts == tuple(TEXTS[doc_id] for doc_id in row.documents)


def test_ids_alone_on_request(examples, dense, tmp_path):
    distill(settings(examples, tmp_path / "out.jsonl", f"dense:{dense}", texts=False))
    for row in read_scored(tmp_path / "out.jsonl"):
        assert row.query is None
        assert row.texts is None


def test_a_cross_encoder_gives_the_logits_of_sentence_transformers(examples, cross, tmp_path):
    distill(settings(examples, tmp_path / "out.jsonl", f"cross-encoder:{cross}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = TheirCrossEncoder(str(cross), device="cpu")
        for row in read_scored(tmp_path / "out.jsonl"):
            pairs = [(QUERIES[row.query_id], TEXTS[doc_id]) for doc_id in row.documents]
            expected = theirs.predict(pairs, activation_fn=torch.nn.Identity())
            np.testing.assert_allclose(row.scores, expected, atol=1e-4)


def test_a_classifier_with_two_logits_is_refused(examples, tmp_path):
    folder = save_model(tmp_path / "two", "BertForSequenceClassification", num_labels=2)
    with pytest.raises(ModelError, match="2 logits"):
        distill(settings(examples, tmp_path / "out.jsonl", f"cross-encoder:{folder}"))


def test_the_bundled_sparse_model_teaches(examples, tmp_path):
    distill(settings(examples, tmp_path / "out.jsonl", "sparse:default"))
    model = load_encoder(device="cpu")
    for row in read_scored(tmp_path / "out.jsonl"):
        query = model.encode_queries([QUERIES[row.query_id]]).weights
        documents = model.encode_documents([TEXTS[d] for d in row.documents]).weights
        np.testing.assert_allclose(row.scores, (documents @ query.T).toarray()[:, 0], rtol=1e-4)


def test_bm25_teaches_with_the_statistics_of_the_examples(examples, tmp_path):
    from sparse_ir.models.bm25 import Bm25Encoder

    distill(settings(examples, tmp_path / "out.jsonl", "sparse:bm25"))
    model = Bm25Encoder.fit(TEXTS.values())
    query = model.encode_queries(["cat"]).weights
    documents = model.encode_documents([TEXTS[d] for d in ("d1", "d2", "d3")]).weights
    expected = (documents @ query.T).toarray()[:, 0]
    np.testing.assert_allclose(scores_of(tmp_path / "out.jsonl")["q1"], expected, rtol=1e-5)
    assert expected[1] == 0 < expected[2]


def token_vectors(folder, ids, attention, projection=None):
    model = transformers.BertModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = model(torch.tensor([ids]), torch.tensor([attention])).last_hidden_state[0]
    if projection is not None:
        hidden = hidden @ torch.from_numpy(projection).T
    return torch.nn.functional.normalize(hidden, dim=-1)


def ids_of(*words):
    tokens = [*VOCABULARY, *(f"##{letter}" for letter in LETTERS), *WORDS]
    return [tokens.index(word) for word in words]


def score_alone(settings, query, document):
    teacher = load_teacher(settings)
    vectors = [
        teacher.encode([text], query=side, advance=lambda n: None)[0]
        for text, side in ((query, True), (document, False))
    ]
    return float(teacher.compare(vectors[0], [vectors[1]])[0])


def test_colbert_of_a_plain_folder_is_maxsim_of_its_tokens(dense):
    q = token_vectors(dense, ids_of("[CLS]", "cat", "[SEP]"), [1, 1, 1])
    d = token_vectors(dense, ids_of("[CLS]", "a", "cat", "sat", "[SEP]"), [1] * 5)
    found = score_alone(TeacherSettings("colbert", str(dense), device="cpu"), "cat", "a cat sat")
    assert found == pytest.approx(float((q @ d.T).amax(1).sum()), abs=5e-3)  # kept in 16 bits


def pylate(dense, folder, **own):
    shutil.copytree(dense, folder)
    (folder / "1_Dense").mkdir()
    projection = np.random.default_rng(0).normal(size=(8, 32)).astype(np.float32)
    save_file({"linear.weight": projection}, folder / "1_Dense" / "model.safetensors")
    config = {"in_features": 32, "out_features": 8, "bias": False}
    config["activation_function"] = "torch.nn.modules.linear.Identity"
    (folder / "1_Dense" / "config.json").write_text(json.dumps(config))
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config_sentence_transformers.json").write_text(json.dumps(own))
    return projection


def test_colbert_of_a_pylate_folder_marks_expands_projects_and_skips(dense, tmp_path):
    projection = pylate(
        dense,
        tmp_path / "late",
        query_prefix="[unused0]",
        document_prefix="[unused1]",
        query_length=6,
        document_length=20,
        attend_to_expansion_tokens=False,
        skiplist_words=["."],
    )
    asked = ids_of("[CLS]", "[unused0]", "cat", "[SEP]", "[MASK]", "[MASK]")
    q = token_vectors(tmp_path / "late", asked, [1, 1, 1, 1, 0, 0], projection)
    read = ids_of("[CLS]", "[unused1]", "a", ".", "cat", "[SEP]")
    d = token_vectors(tmp_path / "late", read, [1] * 6, projection)[[0, 1, 2, 4, 5]]
    teacher = TeacherSettings("colbert", str(tmp_path / "late"), device="cpu")
    expected = float((q @ d.T).amax(1).sum())
    assert score_alone(teacher, "cat", "a . cat") == pytest.approx(expected, abs=5e-3)


def test_a_checkpoint_of_colbert_itself(dense, tmp_path):
    folder = tmp_path / "colbert"
    shutil.copytree(dense, folder)
    from safetensors.numpy import load_file

    projection = np.random.default_rng(1).normal(size=(8, 32)).astype(np.float32)
    weights = {
        f"bert.{name}": value for name, value in load_file(folder / "model.safetensors").items()
    }
    save_file(
        {**weights, "linear.weight": projection}, folder / "model.safetensors", {"format": "pt"}
    )
    own = {"query_maxlen": 5, "doc_maxlen": 12, "mask_punctuation": True}
    (folder / "artifact.metadata").write_text(json.dumps(own))
    asked = ids_of("[CLS]", "[unused0]", "cat", "[SEP]", "[MASK]")
    q = token_vectors(dense, asked, [1, 1, 1, 1, 0], projection)
    read = ids_of("[CLS]", "[unused1]", "a", "!", "cat", "[SEP]")
    d = token_vectors(dense, read, [1] * 6, projection)[[0, 1, 2, 4, 5]]
    expected = float((q @ d.T).amax(1).sum())
    found = score_alone(TeacherSettings("colbert", str(folder), device="cpu"), "cat", "a ! cat")
    assert found == pytest.approx(expected, abs=5e-3)


def test_the_same_pairs_cost_nothing_another_time(examples, dense, cross, tmp_path):
    teachers = (f"dense:{dense}", f"cross-encoder:{cross}")
    first = distill(settings(examples, tmp_path / "one.jsonl", *teachers))
    second = distill(settings(examples, tmp_path / "two.jsonl", *teachers))
    assert (first.asked, second.asked, second.encoded) == (12, 0, 0)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


def test_another_precision_is_another_teacher(dense):
    one = load_teacher(TeacherSettings("dense", str(dense), device="cpu"))
    other = load_teacher(TeacherSettings("dense", str(dense), device="cpu", precision="bf16"))
    assert one.fingerprint != other.fingerprint


def test_several_teachers_are_averaged_by_weight(examples, dense, cross, tmp_path):
    alone = []
    for number, teacher in enumerate((f"dense:{dense}", f"cross-encoder:{cross}")):
        distill(settings(examples, tmp_path / f"{number}.jsonl", teacher))
        alone.append(scores_of(tmp_path / f"{number}.jsonl"))
    both = (f"dense:{dense}=3", f"cross-encoder:{cross}=1")
    distill(settings(examples, tmp_path / "both.jsonl", *both, normalize="minmax"))
    for query_id, scores in scores_of(tmp_path / "both.jsonl").items():
        a, b = (np.array(found[query_id]) for found in alone)
        a, b = (a - a.min()) / np.ptp(a), (b - b.min()) / np.ptp(b)
        np.testing.assert_allclose(scores, 0.75 * a + 0.25 * b, atol=1e-5)


def test_normalisations_worked_by_hand():
    scores = np.array([[1.0, 10.0], [3.0, 10.0], [5.0, 10.0]])
    assert normalize(scores, "none").tolist() == scores.tolist()
    assert normalize(scores, "minmax").tolist() == [[0, 0], [0.5, 0], [1, 0]]
    deviation = (8 / 3) ** 0.5
    expected = [[-2 / deviation, 0], [0, 0], [2 / deviation, 0]]
    np.testing.assert_allclose(normalize(scores, "zscore"), expected)
    spread = Spread(np.array([1.0, 0.0]), np.array([2.0, 5.0]))
    assert normalize(scores, "global", spread).tolist() == [[0, 2], [1, 2], [2, 2]]
    assert combine(np.array([[1.0, 5.0]]), [1, 3]).tolist() == [4.0]


def test_the_spread_of_blocks_is_that_of_the_whole():
    whole = np.random.default_rng(0).normal(3, 7, size=(100, 2))
    spread = Spread.of([whole[:1], whole[1:40], whole[40:]])
    np.testing.assert_allclose(spread.mean, whole.mean(axis=0))
    np.testing.assert_allclose(spread.deviation, whole.std(axis=0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dense:a/b", ("dense", "a/b", 1.0)),
        ("cross-encoder:a=0.5", ("cross-encoder", "a", 0.5)),
        ("sparse:/x=y/z", ("sparse", "/x=y/z", 1.0)),
        ("sparse:/x=y/z=2", ("sparse", "/x=y/z", 2.0)),
    ],
)
def test_teachers_on_the_command_line(text, expected):
    teacher = parse_teacher(text)
    assert (teacher.kind, teacher.model, teacher.weight) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("densee:a", "Did you mean dense"),
        ("dense", "no model"),
        ("dense:=2", "no model"),
        ("dense:a=0", "0.0"),
    ],
)
def test_teachers_that_are_none(text, part):
    with pytest.raises(ConfigError, match=part):
        parse_teacher(text)


class StopError(Exception):
    """Stands for whatever ends a run."""


def stop(n):
    raise StopError


def test_a_stopped_run_is_not_started_over_by_accident(examples, dense, tmp_path):
    one = settings(examples, tmp_path / "out.jsonl", f"dense:{dense}", part_examples=1)
    with pytest.raises(StopError):
        distill(one, stop)
    assert not (tmp_path / "out.jsonl").exists()
    with pytest.raises(ConfigError, match="--resume"):
        distill(one)


def test_resume_with_another_teacher_is_refused(examples, dense, cross, tmp_path):
    with pytest.raises(StopError):
        distill(settings(examples, tmp_path / "out.jsonl", f"dense:{dense}"), stop)
    other = settings(examples, tmp_path / "out.jsonl", f"cross-encoder:{cross}", resume=True)
    with pytest.raises(ConfigError, match="teachers was"):
        distill(other)


def test_resume_of_a_finished_file_with_other_settings_is_refused(examples, dense, tmp_path):
    out = tmp_path / "out.jsonl"
    one = settings(examples, out, f"dense:{dense}", texts=False)
    distill(one)
    assert distill(replace(one, resume=True)).examples == 0  # nothing left to do
    for changes in ({"texts": True}, {"normalize": "minmax"}):
        with pytest.raises(ConfigError, match=f"{next(iter(changes))} was"):
            distill(replace(one, **changes, resume=True))
    assert distill(replace(one, texts=True, resume=True, replace=True)).examples == 2
    assert next(read_scored(out)).texts is not None


def test_a_run_out_of_memory_names_what_to_lower_and_goes_on_with_less(
    examples, dense, tmp_path, monkeypatch
):
    from sparse_ir.models.dense import DenseEncoder

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    one = settings(examples, tmp_path / "out.jsonl", f"dense:{dense}")
    with monkeypatch.context() as patch:
        patch.setattr(DenseEncoder, "encode", full)
        with pytest.raises(TrainingError, match=r"Lower batch_tokens .*go on with --resume"):
            distill(one)
    less = tuple(replace(teacher, batch_tokens=64, device="cpu") for teacher in one.teachers)
    assert distill(replace(one, teachers=less, resume=True)).examples == 2


def test_bm25_is_fitted_once(examples, tmp_path, monkeypatch):
    from sparse_ir.models.bm25 import Bm25Encoder

    first, second = (settings(examples, tmp_path / name, "sparse:bm25") for name in ("1", "2"))
    distill(first)
    monkeypatch.setattr(Bm25Encoder, "fit", None)
    distill(second)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_a_file_that_is_there_is_not_overwritten(examples, dense, tmp_path):
    one = settings(examples, tmp_path / "out.jsonl", f"dense:{dense}")
    distill(one)
    with pytest.raises(ConfigError, match="exists"):
        distill(one)


def test_kill_9_and_resume_make_the_same_file(
    write_jsonl, dense, cross, tmp_path, own_home, monkeypatch
):
    rows = [
        {
            "query_id": f"q{i}",
            "query": f"cat {LETTERS[i % 26]}",
            "documents": [f"d{i}", f"d{(i * 7 + 1) % 160}", f"d{(i * 11 + 5) % 160}"],
        }
        for i in range(160)
    ]
    rows = [row for row in rows if len(set(row["documents"])) == 3]
    words = ("the cat", "run", "mat on", "sat")
    corpus = [
        {"_id": f"d{i}", "text": f"{words[i % 4]} " * (i % 5 + 1) + str(i)} for i in range(160)
    ]
    examples = write_jsonl("many.jsonl", rows)
    examples = str(examples)
    corpus = str(write_jsonl("corpus.jsonl", corpus))
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable, "-m", "sparse_ir", "distill", "--examples", examples, "--corpus", corpus,
        "--part-examples", "10", "--teacher", f"dense:{dense}", "--teacher",
        f"cross-encoder:{cross}", "--device", "cpu", "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, "SPARSE_IR_HOME": str(own_home)})
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob(".out.jsonl.parts/*.npy"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    left = len(rows) - 10 * len(list(tmp_path.glob(".out.jsonl.parts/*.npy")))
    assert left > 0
    teachers = [
        TeacherSettings(kind, str(model), device="cpu")
        for kind, model in (("dense", dense), ("cross-encoder", cross))
    ]
    base = DistillSettings(
        ExampleSettings(examples, corpus=corpus), str(out), tuple(teachers), part_examples=10
    )
    report = distill(replace(base, resume=True))
    assert report.asked <= 2 * 3 * left
    monkeypatch.setenv("SPARSE_IR_HOME", str(tmp_path / "fresh"))  # nothing is known there
    whole = tmp_path / "whole.jsonl"
    distill(replace(base, out=str(whole)))
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*parts"))


def test_the_command_tells_what_it_did(sparse_ir, examples, dense, tmp_path):
    arguments = ("distill", "--examples", examples, "--teacher", f"dense:{dense}")
    done = sparse_ir(*arguments, "--out", tmp_path / "out.jsonl", "--device", "cpu", "--json")
    assert done.exit_code == 0, done.err
    assert json.loads(done.out)["pairs"] == 6


@pytest.mark.parametrize(
    ("teacher", "exit_code", "part"),
    [
        ("dens:x", 2, "Did you mean dense"),
        ("dense:./none", 4, "no such model folder"),
        ("cross-encoder:./none", 4, "no such model folder"),
    ],
)
def test_bad_teachers_are_one_line(sparse_ir, examples, tmp_path, teacher, exit_code, part):
    done = sparse_ir(
        "distill", "--examples", examples, "--teacher", teacher, "--out", tmp_path / "out.jsonl"
    )
    assert done.exit_code == exit_code
    assert part in done.err
    assert "\n" not in done.err.strip()


def test_an_example_that_names_an_absent_document(sparse_ir, write_jsonl, dense, tmp_path):
    rows = [{"query_id": "q1", "query": "cat", "documents": ["nowhere"]}]
    bad = write_jsonl("bad.jsonl", rows)
    with pytest.raises(InputError, match="nowhere"):
        distill(settings(bad, tmp_path / "out.jsonl", f"dense:{dense}"))
    assert not Path(tmp_path / "out.jsonl").exists()


def test_a_cross_encoder_reads_on_where_a_text_has_few_tokens_in_many_characters(cross):
    scorer = CrossEncoder(cross, Options(device="cpu"))
    late = " " * 5000 + "cat"
    queries, documents = [late, "cat", "cat", "cat"], ["mat", "mat", late, "cat"]
    scores = scorer.score_pairs(queries, documents, lambda n: None)
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert scores[2] == pytest.approx(scores[3], abs=1e-5)


def test_colbert_teachers_whose_projections_have_the_same_sum_and_norm_are_two(dense, tmp_path):
    found = set()
    for name, rows in (("a", [[1.0, 2.0]]), ("b", [[2.0, 1.0]])):
        folder = shutil.copytree(dense, tmp_path / name)
        (folder / "1_Dense").mkdir()
        weight = np.zeros((2, 32), np.float32)
        weight[0, :2] = rows[0]
        save_file({"linear.weight": weight}, folder / "1_Dense" / "model.safetensors")
        modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Dense", "path": "1_Dense"}]
        (folder / "modules.json").write_text(json.dumps(modules))
        found.add(ColbertTeacher(folder, Options(device="cpu")).fingerprint)
    assert len(found) == 2
