"""What a search on a cluster checks before it asks the server."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from sparse_ir.engines.base import SearchRequest
from sparse_ir.engines.cluster_search import ClusterSearch
from sparse_ir.engines.stamp import DenseSpace, Stamp, require_same_reading
from sparse_ir.errors import ConfigError, ModelMismatchError

SPACE = DenseSpace("minilm", 64 * "a", 8)
STAMP = Stamp("tiny", "f", ("q",), "h", 3, "", "c", "2026", "0", passages="", dense=SPACE)

OTHERS = [
    ({"query_fingerprints": ("x",)}, "model 'tiny' while it was searched with 'tiny'"),
    (
        {"passages": "each,words=9,overlap=0"},
        "--passages each,words=9,overlap=0 .before: left away",
    ),
    (
        {"dense": None},
        "with no dense vectors .before: dense vectors of 'minilm' .aaaaaaaaaaaa, cos",
    ),
    ({"dense": replace(SPACE, fingerprint="bbb")}, "with dense vectors of 'minilm' .bbb, cosine"),
    ({"dense": replace(SPACE, similarity="dot")}, "with dense vectors of 'minilm' .a{12}, dot"),
    ({"dense": replace(SPACE, dimension=16)}, "with dense vectors of 'minilm'"),
]


class Builds:
    """Two builds of an index; the name stands for the last."""

    def __init__(self, *stamps, field="rank_features"):
        self._facts = {
            f"docs@{n}": SimpleNamespace(physical=f"docs@{n}", stamp=stamp, field=field)
            for n, stamp in enumerate(stamps)
        }

    def resolve(self, index):
        assert index == "docs"
        return list(self._facts)[-1]

    def facts(self, physical):
        return self._facts[physical]


@pytest.mark.parametrize(("changes", "words"), OTHERS)
def test_a_build_that_is_read_otherwise_is_refused_again_and_again(changes, words):
    builds = Builds(STAMP, replace(STAMP, **changes))
    search = ClusterSearch(None, builds, "opensearch")
    search._meant["docs"] = "docs@0"
    for _ in range(2):
        with pytest.raises(ModelMismatchError, match=words):
            search._move("docs", builds.facts("docs@0"))
        assert search._physical("docs") == "docs@0"


def test_a_build_that_is_read_alike_is_taken_over():
    moved = replace(STAMP, created="2027", dense=replace(SPACE, model="/else/where"))
    require_same_reading(moved, STAMP, index="docs")
    builds = Builds(STAMP, moved)
    search = ClusterSearch(None, builds, "opensearch")
    search._meant["docs"] = "docs@0"
    search._move("docs", builds.facts("docs@0"))
    assert search._physical("docs") == "docs@1"


@pytest.mark.parametrize("how", [{}, {"text": "apple"}, {"dense": (1.0,) * 8}])
def test_seismic_refuses_required_terms_whatever_is_searched(how):
    search = ClusterSearch(None, Builds(STAMP, field="seismic"), "opensearch")
    request = SearchRequest({"apple": 1.0}, require=("pear",), **how)
    with pytest.raises(ConfigError, match="seismic cannot be asked whether a document holds"):
        search.search("docs", [request])


def test_scores_are_asked_for_again_one_by_one_while_the_server_is_busy():
    class Busy:
        address = "here"

        def call(self, _method, path, *_values, **_options):
            hits = {"hits": {"hits": [{"_id": "a", "_score": 1.5}]}}
            if path.endswith("/_search"):
                return hits
            refused = {"type": "es_rejected_execution_exception", "reason": "queue capacity"}
            return {"responses": [hits, {"error": refused, "status": 429}]}

    search = ClusterSearch(Busy(), Builds(STAMP), "opensearch")
    found = search.scores_of("docs@0", ["a"], [{"apple": 1.0}, {"pear": 1.0}])
    assert found == [{"a": 1.5}, {"a": 1.5}]
