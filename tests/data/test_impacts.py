from __future__ import annotations

import gzip
import json

import pytest

from sparse_ir.data.corpora import read_queries
from sparse_ir.data.impacts import count_terms, export_queries, quantized, read_impacts
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.types import Document, Entry, Query


def test_weights_become_whole_numbers_and_none_is_zero():
    vector = {"a": 1.234, "b": 0.004, "c": 0.006, "d": 2.0}
    assert quantized(vector, 100, owner="it") == {"a": 123, "c": 1, "d": 200}
    assert quantized(vector, 1, owner="it") == {"a": 1, "d": 2}


def test_a_query_repeats_its_terms_and_reads_back_as_counts(tmp_path):
    path = tmp_path / "topics.tsv.gz"
    weighed = [
        (Query("19335", "what is"), {"society": 0.03, "##s": 0.011}),
        (Query("q 2", "nothing left"), {"the": 0.004}),
    ]
    assert export_queries(weighed, path) == (1, 1)
    assert gzip.decompress(path.read_bytes()).decode() == "19335\tsociety society society ##s\n"
    (query,) = read_queries(str(path))
    assert count_terms(query.text) == {"society": 3.0, "##s": 1.0}


def test_documents_are_read_from_one_file_or_many_plain_or_packed(tmp_path):
    rows = [{"id": str(i), "contents": f"text {i}", "vector": {"t": i + 1}} for i in range(4)]
    lines = [json.dumps(row) + "\n" for row in rows]
    folder = tmp_path / "vectors"
    (folder / "more").mkdir(parents=True)
    (folder / "a.jsonl").write_text(lines[0] + "\n" + lines[1])
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines[2].encode()))
    (folder / "more" / "c.json").write_text(lines[3])
    (folder / "README.md").write_text("not a vector")
    read = list(read_impacts(folder))
    assert read == [Entry(Document(str(i), f"text {i}"), {"t": i + 1.0}) for i in range(4)]
    assert list(read_impacts(folder / "b.jsonl.gz")) == read[2:3]


def test_whole_number_ids_decimals_and_missing_contents_are_welcome_and_zeros_dropped(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": 7, "vector": {"a": 1.5, "b": 0}}\n')
    assert list(read_impacts(path)) == [Entry(Document("7", ""), {"a": 1.5})]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[]", "is no line such as"),
        ('{"id": "1"}', "is no line such as"),
        ('{"id": "1", "vector": [1, 2]}', "is no line such as"),
        ('{"id": "", "vector": {}}', "has an empty id"),
        ('{"id": "1", "vector": {"t": -1}}', "gives the term 't' the weight -1"),
        ('{"id": "1", "vector": {"t": NaN}}', "gives the term 't' the weight nan"),
        ('{"id": "1", "vector": {"t": "x"}}', "gives the term 't' the weight 'x'"),
    ],
)
def test_a_line_that_is_no_vector_is_named(tmp_path, line, said):
    path = tmp_path / "v.jsonl"
    path.write_text('{"id": "1", "vector": {}}\n' + line + "\n")
    with pytest.raises(InputError, match=r"v\.jsonl, line 2: ") as caught:
        list(read_impacts(path))
    assert said in str(caught.value)


def test_a_folder_without_vectors_says_what_was_looked_for(tmp_path):
    with pytest.raises(InputError, match=r"neither a manifest\.json beside shards, nor files"):
        list(read_impacts(tmp_path))


def test_what_an_impact_index_would_misread_is_refused(tmp_path):
    with pytest.raises(InputError, match="'new york' of query 'q1' holds a blank"):
        export_queries([(Query("q1", ""), {"new york": 1.0})], tmp_path / "t.tsv")
    with pytest.raises(ConfigError, match="the scale is 0"):
        export_queries([], tmp_path / "t.tsv", scale=0)


def test_a_query_row_may_bring_its_vector(write_jsonl):
    rows = [
        {"id": "1", "vector": {"a": 2, "b": 0}},
        {"qid": 2, "text": "words", "vector": {"a": 0.5}},
        {"_id": "3", "text": "words"},
    ]
    path = str(write_jsonl("q.jsonl", rows))
    assert list(read_queries(path, vectors=True)) == [
        Query("1", "", {"a": 2.0}),
        Query("2", "words", {"a": 0.5}),
        Query("3", "words"),
    ]
    with pytest.raises(InputError, match="line 1: has no text"):
        list(read_queries(path))


def test_a_bad_weight_of_a_query_is_named(write_jsonl):
    path = str(write_jsonl("q.jsonl", [{"id": "1", "vector": {"a": True}}]))
    with pytest.raises(InputError, match=r"line 1: gives the term 'a' the weight True"):
        list(read_queries(path, vectors=True))
