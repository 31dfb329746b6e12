from __future__ import annotations

import gzip
import json
import math

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.data.exports import export_jsonl
from sparse_ir.data.impacts import read_impacts
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.types import Document, Entry

ENTRIES = [
    Entry(Document("1", "a text", "A title", {"lang": "en"}), {"text": 1.5, "##s": 0.25}),
    Entry(Document("né 2", ""), {}),
]


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_is_what_anserini_and_pyserini_read(tmp_path):
    path = tmp_path / "vectors.jsonl"
    assert export_jsonl(ENTRIES, path) == 2
    assert lines(path) == [
        {"id": "1", "contents": "A title a text", "vector": {"text": 1.5, "##s": 0.25}},
        {"id": "né 2", "contents": "", "vector": {}},
    ]


def test_quantised_weights_are_whole_numbers_and_none_is_zero(tmp_path):
    path = tmp_path / "vectors.jsonl"
    vector = {"a": 1.234, "b": 0.004, "c": 0.006, "d": 2.0}
    export_jsonl([Entry(Document("1", ""), vector)], path, quantize=100)
    assert lines(path)[0]["vector"] == {"a": 123, "c": 1, "d": 200}
    assert '"a": 123,' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "unpack"),
    [("v.jsonl.gz", gzip.decompress), ("v.jsonl.zst", zstandard.ZstdDecompressor().decompressobj)],
)
def test_the_name_says_how_it_is_compressed(tmp_path, name, unpack):
    plain, packed = tmp_path / "v.jsonl", tmp_path / name
    export_jsonl(ENTRIES, plain)
    export_jsonl(ENTRIES, packed)
    if unpack is not gzip.decompress:
        unpack = unpack().decompress
    assert unpack(packed.read_bytes()) == plain.read_bytes()
    assert list(read_impacts(packed)) == list(read_impacts(plain))


weights = st.floats(2.0**-126, 2.0**127, width=32)


@given(vectors=st.lists(st.tuples(st.text(), st.text(), st.dictionaries(st.text(), weights))))
@settings(max_examples=60, deadline=None)
def test_single_precision_weights_come_back_exactly(tmp_path_factory, vectors):
    path = tmp_path_factory.mktemp("export") / "vectors.jsonl"
    entries = [Entry(Document(i, text), vector) for i, text, vector in vectors]
    export_jsonl(entries, path)
    for read, (document, vector, _) in zip(lines(path), entries, strict=True):
        assert (read["id"], read["contents"]) == (document.doc_id, document.text)
        assert {t: np.float32(w) for t, w in read["vector"].items()} == vector


def test_half_a_surrogate_pair_comes_back(tmp_path):
    path = tmp_path / "vectors.jsonl"
    entries = [Entry(Document("\ud800", "x\udfff"), {"t": 1.0})]
    export_jsonl(entries, path)
    assert lines(path) == [{"id": "\ud800", "contents": "x\udfff", "vector": {"t": 1.0}}]


def test_documents_are_streamed_and_counted_as_they_are_written(tmp_path):
    counted: list[int] = []

    def entries():
        for i in range(3):
            assert len(counted) == i
            yield Entry(Document(str(i), ""), {"t": 1.0})

    export_jsonl(entries(), tmp_path / "v.jsonl", advance=counted.append)
    assert counted == [1, 1, 1]


def test_a_failure_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text("before")

    def entries():
        yield ENTRIES[0]
        raise InputError("the shard is damaged")

    with pytest.raises(InputError):
        export_jsonl(entries(), path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("quantize", [None, 100])
@pytest.mark.parametrize("weight", [math.nan, math.inf])
def test_a_weight_that_is_not_finite_is_refused(tmp_path, weight, quantize):
    entry = Entry(Document("d7", ""), {"t": weight})
    with pytest.raises(InputError, match="'d7' has a weight that is not finite"):
        export_jsonl([entry], tmp_path / "v.jsonl", quantize=quantize)


def test_a_term_that_an_impact_index_would_split_is_refused(tmp_path):
    entry = Entry(Document("d7", ""), {"new york": 1.0})
    assert export_jsonl([entry], tmp_path / "v.jsonl") == 1
    with pytest.raises(InputError, match="'new york' of document 'd7'"):
        export_jsonl([entry], tmp_path / "v.jsonl", quantize=100)


def test_a_factor_below_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the scale is 0"):
        export_jsonl(ENTRIES, tmp_path / "v.jsonl", quantize=0)
