"""Two indexes compared: figures that can be counted by hand."""

from __future__ import annotations

from sparse_ir.evaluating.compare_indexes import CompareSettings, compare_indexes
from sparse_ir.indexing.index import IndexSettings, index_corpus


def test_queries_without_a_common_hit_have_no_rank_shift(write_jsonl):
    for name, apples in (("one", ("apple apple", "apple")), ("two", ("apple", "apple apple"))):
        rows = [{"_id": f"d{i}", "text": text} for i, text in enumerate(apples)]
        rows += [{"_id": name, "text": "pear"}, {"_id": "other", "text": "plum"}]
        corpus = write_jsonl(f"{name}.jsonl", rows)
        index_corpus(IndexSettings(corpus=str(corpus), model="bm25", index=name))
    texts = ("apple", "pear", "nothing")  # both hits change places; no hit in common; no hit
    rows = [{"_id": f"q{i}", "text": text} for i, text in enumerate(texts)]
    queries = write_jsonl("queries.jsonl", rows)
    found = compare_indexes(CompareSettings("one", "two", str(queries)))
    assert [change.overlap for change in found.worst] == [0.0, 1.0, 1.0]
    assert found.rank_shift == 1.0
    assert found.same == 1
