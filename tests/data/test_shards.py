"""What is written comes back, and what is damaged is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparse_ir.data.shard_tables import read_table
from sparse_ir.data.shards import (
    ShardManifest,
    finish_shards,
    read_shard_manifest,
    read_shards,
    read_vocabulary,
    shard_name,
    start_shards,
    write_shard,
)
from sparse_ir.errors import InputError
from sparse_ir.vectors import SparseBatch, make_batch, vocabulary_hash

TERMS = ("the", "a\nb", "3.5%", '"', "文", "##ing")
MANIFEST = ShardManifest(
    model="some/model",
    fingerprint="f" * 64,
    query_fingerprints=("q" * 64,),
    vocabulary_hash=vocabulary_hash(TERMS),
    vocabulary_size=len(TERMS),
    document_pruning="top_k=128",
    corpus="corpus.jsonl",
    options={"max_length": 256},
)
BATCHES = (
    make_batch(["a", "b"], np.array([[0, 1.5, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0]])),
    make_batch(["c"], np.array([[0.25, 0, 0, 0, 0, 1e-30]])),
)


def same(left: SparseBatch, right: SparseBatch) -> bool:
    return (
        left.ids == right.ids
        and left.weights.shape == right.weights.shape
        and np.array_equal(left.weights.indptr, right.weights.indptr)
        and np.array_equal(left.weights.indices, right.weights.indices)
        and np.array_equal(left.weights.data, right.weights.data)
    )


def refused(holds):
    """The message of a refusal; None where reading works, and then what is read must hold."""
    try:
        unchanged = holds()
    except InputError as error:
        return str(error)
    assert unchanged
    return None


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "vectors")
    return tmp_path / "vectors"


def fill(folder):
    start_shards(folder, MANIFEST, TERMS)
    for number, batch in enumerate(BATCHES):
        write_shard(folder, number, batch)
    return finish_shards(folder, texts_cut=1)


def rewrite(path, **columns):
    """Replace columns of a shard as another tool might, keeping what the file says of itself."""
    table = pq.read_table(path)
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.chunked_array([column]))
    pq.write_table(table, path)


rows = st.lists(
    st.dictionaries(
        st.integers(0, len(TERMS) - 1),
        st.floats(2.0**-126, 2.0**127, width=32),
        max_size=len(TERMS),
    ),
    max_size=8,
)
ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(data=st.data(), rows=rows)
@settings(max_examples=60, deadline=None)
def test_any_batch_comes_back_unchanged(tmp_path_factory, data, rows):
    names = data.draw(st.lists(ids, min_size=len(rows), max_size=len(rows)))
    matrix = sparse.lil_array((len(rows), len(TERMS)), dtype=np.float32)
    for i, row in enumerate(rows):
        for column, weight in row.items():
            matrix[i, column] = weight
    batch = make_batch(names, matrix)
    path = write_shard(tmp_path_factory.mktemp("shard"), 0, batch)
    assert same(read_table(path), batch)
    assert same(read_table(path, width=len(TERMS)), batch)


def test_a_folder_comes_back_in_order_with_its_vocabulary(folder):
    assert all(map(same, read_shards(folder), BATCHES))
    assert read_vocabulary(folder) == TERMS


def test_the_manifest_says_what_the_vectors_are(folder):
    manifest = read_shard_manifest(folder)
    described = replace(manifest, complete=False, documents=0, texts_cut=0, shards={}, made={})
    assert described == MANIFEST
    assert (manifest.complete, manifest.documents, manifest.texts_cut) == (True, 3, 1)
    counts = {name: (shard.documents, shard.terms) for name, shard in manifest.shards.items()}
    assert counts == {"vectors-00000.parquet": (2, 2), "vectors-00001.parquet": (1, 2)}
    assert manifest.made["seconds"] >= 0


def test_equal_vectors_give_equal_files(tmp_path):
    first, second = (write_shard(tmp_path, number, BATCHES[0]) for number in (0, 1))
    assert first.read_bytes() == second.read_bytes()


def test_pandas_reads_a_shard_as_plain_columns(folder):
    frame = pd.read_parquet(folder / "vectors-00000.parquet")
    assert frame["id"].tolist() == ["a", "b"]
    assert [list(row) for row in frame["indices"]] == [[1, 5], []]
    assert [list(row) for row in frame["values"]] == [[1.5, 2.0], []]


def test_datasets_reads_a_folder(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    files = [str(path) for path in sorted(folder.glob("*.parquet"))]
    rows = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert rows["id"][:] == ["a", "b", "c"]
    assert rows[0]["indices"] == [1, 5]


def test_an_unfinished_folder_is_told_by_its_manifest_and_read_as_far_as_it_is(tmp_path):
    start_shards(tmp_path, MANIFEST, TERMS)
    write_shard(tmp_path, 0, BATCHES[0])
    assert not read_shard_manifest(tmp_path).complete
    assert [batch.ids for batch in read_shards(tmp_path)] == [("a", "b")]


def test_a_folder_without_documents_is_possible(tmp_path):
    start_shards(tmp_path, MANIFEST, TERMS)
    assert finish_shards(tmp_path).documents == 0
    assert list(read_shards(tmp_path)) == []


def test_writing_leaves_nothing_but_the_shard(tmp_path):
    write_shard(tmp_path, 3, BATCHES[0])
    assert [path.name for path in tmp_path.iterdir()] == ["vectors-00003.parquet"]


def test_six_digits_follow_five():
    assert [shard_name(7), shard_name(123456)] == [
        "vectors-00007.parquet",
        "vectors-123456.parquet",
    ]


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_or_a_cut_is_refused_or_changes_nothing(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "flipped"
    if not folder.exists():
        fill(folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    whole = path.read_bytes()
    damaged = bytearray(whole)
    if data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del damaged[data.draw(st.integers(0, len(whole) - 1)) :]
    path.write_bytes(damaged)
    refusal = refused(
        lambda: read_vocabulary(folder) == TERMS and all(map(same, read_shards(folder), BATCHES))
    )
    path.write_bytes(whole)
    assert refusal is None or str(folder) in refusal


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_noticed_without_a_manifest_too(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "flipped.parquet"
    if not path.exists():
        shutil.copy(write_shard(path.parent, 0, BATCHES[0]), path)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(damaged)
    refusal = refused(lambda: same(read_table(path, width=len(TERMS)), BATCHES[0]))
    path.write_bytes(whole)
    assert refusal is None or str(path) in refusal


def test_another_shard_under_the_same_name_is_refused(folder):
    write_shard(folder, 1, BATCHES[0])
    with pytest.raises(InputError, match=r"vectors-00001\.parquet.*checksum"):
        list(read_shards(folder))


def test_a_missing_shard_is_named(folder):
    (folder / "vectors-00000.parquet").unlink()
    with pytest.raises(InputError, match=r"vectors-00000\.parquet is missing"):
        list(read_shards(folder))


def test_a_missing_last_shard_is_named(folder):
    (folder / "vectors-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"vectors-00001\.parquet"):
        list(read_shards(folder))


def test_a_shard_that_the_manifest_does_not_know_is_named(folder):
    write_shard(folder, 2, BATCHES[0])
    with pytest.raises(InputError, match=r"vectors-00002\.parquet"):
        list(read_shards(folder))


@pytest.mark.parametrize("missing", ["manifest.json", "vocabulary.json"])
def test_missing_parts_of_a_folder_are_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(InputError, match=missing):
        read_vocabulary(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        read_shard_manifest(tmp_path / "nowhere")
    with pytest.raises(InputError, match="nowhere"):
        read_table(tmp_path / "nowhere")


def test_a_vocabulary_of_another_model_is_refused(folder):
    (folder / "vocabulary.json").write_text(json.dumps([*TERMS[:-1], "##ed"]))
    with pytest.raises(InputError, match=r"vocabulary\.json: is damaged"):
        read_vocabulary(folder)


def test_a_vocabulary_that_is_not_the_manifests_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="vocabulary"):
        start_shards(tmp_path, MANIFEST, ["other"])


def test_a_width_that_is_not_the_files_is_refused(folder):
    with pytest.raises(InputError, match="has 6 terms, not 7"):
        read_table(folder / "vectors-00000.parquet", width=7)


def integers(*rows):
    return pa.array(rows, pa.list_(pa.int64()))


def numbers(*rows):
    return pa.array(rows, pa.list_(pa.float64()))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"indices": integers([5, 1], [])}, "not above the one before"),
        ({"indices": integers([1, 1], [])}, "not above the one before"),
        ({"indices": integers([1, 6], [])}, "outside the vocabulary"),
        ({"indices": integers([-1, 1], [])}, "outside the vocabulary"),
        ({"indices": integers([1, 2**40], [])}, "is no usable shard"),
        ({"indices": integers([1], [])}, "more indices than values, or fewer"),
        ({"indices": integers([1], [5])}, "more indices than values, or fewer"),
        ({"indices": integers([1, None], [])}, "null"),
        ({"values": numbers([1.5, 0.0], [])}, "finite and above 0"),
        ({"values": numbers([1.5, -1.0], [])}, "finite and above 0"),
        ({"values": numbers([1.5, float("nan")], [])}, "finite and above 0"),
        ({"values": numbers([1.5, float("inf")], [])}, "finite and above 0"),
        ({"values": numbers([1.5, 2.0], None)}, "null"),
        ({"values": pa.array(["x", "y"])}, "is no usable shard"),
        ({"id": pa.array(["a", None])}, "null"),
    ],
)
def test_what_is_no_vector_is_refused(tmp_path, columns, message):
    path = write_shard(tmp_path, 0, BATCHES[0])
    rewrite(path, **columns)
    with pytest.raises(InputError, match=message) as raised:
        read_table(path)
    assert str(path) in str(raised.value)


def test_a_shard_rewritten_with_wider_types_is_read(tmp_path):
    path = write_shard(tmp_path, 0, BATCHES[0])
    large = pa.array([[1, 5], []], pa.large_list(pa.int64()))
    rewrite(path, id=pa.array(["a", "b"], pa.large_string()), indices=large)
    rewrite(path, values=numbers([1.5, 2.0], []))
    assert same(read_table(path), BATCHES[0])


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "vectors-00000.parquet"
    pq.write_table(pa.table({"id": ["a"], "values": [[1.0]]}), path)
    with pytest.raises(InputError, match="no column 'indices'"):
        read_table(path, width=3)


def test_a_shard_of_another_tool_needs_a_width(tmp_path):
    path = tmp_path / "vectors-00000.parquet"
    pq.write_table(pa.table({"id": ["a"], "indices": [[2]], "values": [[1.0]]}), path)
    with pytest.raises(InputError, match="how large its vocabulary is"):
        read_table(path)
    assert same(read_table(path, width=3), make_batch(["a"], np.array([[0, 0, 1.0]])))


def test_an_id_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="no valid Unicode"):
        write_shard(tmp_path, 0, make_batch(["\ud800"], np.array([[1.0]])))
