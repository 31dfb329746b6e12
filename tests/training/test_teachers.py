"""Teachers of whole batches: right scores, vectors made once and by what decides them."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.data.examples import ExampleSettings, open_examples
from sparse_ir.errors import TrainingError
from sparse_ir.models import analysis
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.models.dense import DenseEncoder
from sparse_ir.models.loading import load_dense, load_encoder
from sparse_ir.training import progress, texts
from sparse_ir.training.settings import BatchTeacher
from sparse_ir.training.teachers import dense_vectors, open_teacher


@pytest.fixture
def table(collection):
    """Twelve queries, twelve documents; compiled for this test alone."""
    return open_examples(ExampleSettings(str(collection), layout="beir"))


def every(table):
    return list(range(len(table.queries))), list(range(len(table.documents)))


def texts_of(table):
    queries, documents = every(table)
    return table.queries.texts(queries), table.documents.texts(documents)


def scores(teacher, table):
    return open_teacher(teacher, table, device="cpu").scores(*every(table))


def two_sided(backbone, folder, weights):
    """The document side of the backbone, queries weighed by a table."""
    import transformers

    from sparse_ir.models.saving import SaveLayout, save_model

    return save_model(
        folder,
        model=transformers.AutoModelForMaskedLM.from_pretrained(backbone),
        tokenizer=transformers.AutoTokenizer.from_pretrained(backbone),
        layout=SaveLayout(max_length=16),
        query_side=weights,
    )


def forbid(*_, **__):
    raise AssertionError("this was made before")


def test_a_dense_teacher_gives_scaled_products(table, backbone):
    found = scores(BatchTeacher("dense", str(backbone), scale=2.0), table)
    encoder = load_dense(backbone, device="cpu")
    queries, documents = texts_of(table)
    expected = 2 * encoder.encode(queries, query=True) @ encoder.encode(documents).T
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=0.5)  # kept in 16 bits


def test_a_sparse_teacher_gives_scaled_products(table, backbone, tmp_path):
    folder = two_sided(backbone, tmp_path / "model", {"cat": 2.0, "dog": 3.0})
    found = scores(BatchTeacher("sparse", str(folder), scale=0.5), table)
    encoder = load_encoder(folder, device="cpu")
    queries, documents = texts_of(table)
    weights = encoder.encode_documents(documents).weights
    expected = 0.5 * (encoder.encode_queries(queries).weights @ weights.T).toarray()
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bm25_lies_between_0_and_its_scale(table):
    found = scores(BatchTeacher("bm25", scale=15.0), table)
    queries, documents = texts_of(table)
    encoder = Bm25Encoder.fit(documents)
    left = encoder.encode_queries(queries).weights.toarray()
    right = encoder.encode_documents(documents).weights.toarray()
    reachable = left @ right.max(axis=0)
    expected = 15 * (left @ right.T)[reachable > 0] / reachable[reachable > 0][:, None]
    np.testing.assert_allclose(found[reachable > 0], expected, rtol=1e-5)
    assert not found[reachable == 0].any()  # stop words
    assert found.max() <= 15.0001


def test_vectors_are_made_once_and_mapped(table, backbone, monkeypatch):
    teacher = BatchTeacher("dense", str(backbone))
    before = scores(teacher, table)
    monkeypatch.setattr(DenseEncoder, "encode", forbid)
    np.testing.assert_array_equal(scores(teacher, table), before)
    for vectors in dense_vectors(teacher, table, device="cpu"):
        assert isinstance(vectors, np.memmap)
    for name in ("fit", "encode_queries", "encode_documents"):
        scores(BatchTeacher("bm25"), table)
        monkeypatch.setattr(Bm25Encoder, name, forbid)


def test_parts_give_the_vectors_of_the_whole(table, collection, tmp_path, backbone, monkeypatch):
    kinds = (BatchTeacher("dense", str(backbone)), BatchTeacher("bm25"))
    whole = [scores(teacher, table) for teacher in kinds]
    monkeypatch.setattr(texts, "PORTION", 5)
    again = open_examples(ExampleSettings(str(collection), layout="beir"), cache=tmp_path)
    for teacher, expected in zip(kinds, whole, strict=True):
        np.testing.assert_allclose(scores(teacher, again), expected, rtol=1e-3)
    left = [path.name for path in (again.folder / "teachers").rglob("*-0*")]
    assert left == []


def test_a_killed_run_encodes_what_is_missing_alone(table, backbone, monkeypatch):
    monkeypatch.setattr(texts, "PORTION", 5)
    teacher, encode, seen = BatchTeacher("dense", str(backbone)), DenseEncoder.encode, []

    def watched(self, chosen, **options):
        if len(seen) == 2:
            seen.clear()
            raise KeyboardInterrupt
        seen.append(len(chosen))
        return encode(self, chosen, **options)

    monkeypatch.setattr(DenseEncoder, "encode", watched)
    with pytest.raises(KeyboardInterrupt):
        open_teacher(teacher, table, device="cpu")
    monkeypatch.setattr(DenseEncoder, "encode", lambda self, chosen, **o: (
        seen.append(len(chosen)), encode(self, chosen, **o))[1])  # fmt: skip
    open_teacher(teacher, table, device="cpu")
    assert seen == [2, 5, 5, 2]  # of queries the last part; of documents all


def test_two_query_sides_of_one_document_side_share_no_query_vectors(table, backbone, tmp_path):
    found = [
        scores(BatchTeacher("sparse", str(two_sided(backbone, tmp_path / name, weights))), table)
        for name, weights in (("one", {"cat": 1.0}), ("two", {"cat": 3.0}))
    ]
    assert found[0].any()
    np.testing.assert_allclose(found[1], 3 * found[0], rtol=1e-5)


def test_another_precision_has_vectors_of_its_own(table, backbone, tmp_path):
    folder = str(two_sided(backbone, tmp_path / "model", {"cat": 1.0}))
    exact, short = (
        scores(BatchTeacher("sparse", folder, precision=precision), table)
        for precision in ("fp32", "bf16")
    )
    assert not np.array_equal(exact, short)


@pytest.mark.parametrize("changed", ["k1", "analysis"])
def test_bm25_of_other_settings_is_made_anew(table, monkeypatch, changed):
    before = scores(BatchTeacher("bm25"), table)
    if changed == "k1":
        for method in (Bm25Encoder.__init__, Bm25Encoder.fit.__func__):
            monkeypatch.setitem(method.__kwdefaults__, "k1", 5.0)
    else:
        monkeypatch.setattr(analysis, "VERSION", analysis.VERSION + 1)
        monkeypatch.setattr(analysis.Analyzer, "__call__", lambda self, text: text.split()[-1:])
    found = scores(BatchTeacher("bm25"), table)
    assert not np.array_equal(found, before)
    np.testing.assert_array_equal(scores(BatchTeacher("bm25"), table), found)


def test_encoding_tells_how_far_it_is(table, backbone, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    for teacher in (BatchTeacher("dense", str(backbone)), BatchTeacher("bm25")):
        said = []
        open_teacher(teacher, table, device="cpu", say=said.append)
        name = teacher.model or "bm25"
        assert said[-1] == f"{table.name}: vectors of the teacher {name}: 24 of 24 texts"


def test_memory_that_runs_out_names_what_to_lower(table, backbone, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(DenseEncoder, "encode", full)
    with pytest.raises(TrainingError, match="lower its max_length"):
        open_teacher(BatchTeacher("dense", str(backbone)), table, device="cpu")
    assert not list((table.folder / "teachers").rglob("*.npy"))
