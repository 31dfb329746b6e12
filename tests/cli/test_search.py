"""``search``: what is printed of hits."""

from __future__ import annotations

import json


def test_ranks_go_on_after_an_offset(sparse_ir, fruit):
    sparse_ir("index", "--corpus", fruit, "--model", "bm25")
    asked = ("search", "fruit", "-k", "2", "--offset", "1")  # three documents have the word
    assert [hit["rank"] for hit in json.loads(sparse_ir(*asked, "--json").out)["hits"]] == [2, 3]
    shown = sparse_ir(*asked).out
    assert " 2. " in shown
    assert " 3. " in shown
    assert " 1. " not in shown
