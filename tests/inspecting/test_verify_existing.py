"""An index that other code made tells what its searches are worth."""

from __future__ import annotations

import contextlib
import json
import random

import pytest

from sparse_ir.engines.fields import escape_term
from sparse_ir.engines.opening import open_foreign
from sparse_ir.errors import ConfigError, IndexNotFoundError
from sparse_ir.inspecting.findings import DOTS, PRUNING
from sparse_ir.inspecting.foreign_sample import name_style, read_vector
from sparse_ir.inspecting.verify_existing import (
    ExistingSettings,
    compare_rankings,
    verify_existing,
)
from sparse_ir.models.bm25 import Bm25Encoder

INDEX = "verify-existing-test"
KINDS = {"opensearch": "rank_features", "elasticsearch": "sparse_vector"}


class Place:
    """A server with one index, made as other code makes one."""

    def __init__(self, url, kind):
        self.url = url
        self.kind = kind

    def send(self, method, rest, body=None):
        found = open_foreign(self.url, INDEX)
        try:
            return found._connection.call(method, f"/{INDEX}{rest}", body)
        finally:
            found.close()

    def make(self, documents, *, options=None, properties=None, source=None):
        vector = {"type": self.kind, **(options or {})}
        mappings = {"properties": properties or {"emb": vector, "text": {"type": "text"}}}
        if source:
            mappings["_source"] = source
        self.send("PUT", "", {"settings": {"number_of_replicas": 0}, "mappings": mappings})
        lines = []
        for i, document in enumerate(documents):
            lines += [{"index": {"_id": str(i)}}, document]
        if lines:
            assert not self.send("POST", "/_bulk?refresh=true", lines)["errors"]

    def audit(self, **settings):
        return verify_existing(ExistingSettings(index=INDEX, engine=self.url, **settings))


@pytest.fixture(params=KINDS)
def place(request, server_url):
    at = Place(server_url(request.param), KINDS[request.param])
    yield at
    with contextlib.suppress(IndexNotFoundError):
        at.send("DELETE", "")


def documents(count=120, *, seed=3):
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(400)]
    return [
        {
            "text": " ".join(rng.sample(words, 5)),
            "emb": {
                w: round(rng.lognormvariate(0, 1), 3) for w in ["common", *rng.sample(words, 10)]
            },
        }
        for _ in range(count)
    ]


def causes(audit):
    return [finding.cause for finding in audit.findings]


def test_saturation_ranks_otherwise_and_pruning_is_the_default(place):
    place.make(documents())
    found = place.audit()
    assert (found.documents, found.sampled, found.vectors_in_source) == (120, 100, 100)
    assert (found.field, found.kind, found.naming) == ("emb", place.kind, "tokens")
    assert found.queries == 20
    assert found.overlap < 1
    assert found.first_difference >= 1
    if place.kind == "sparse_vector":
        assert causes(found) == [PRUNING]
        assert found.findings[0].got < found.findings[0].expected
    else:
        assert causes(found) == []


def test_an_index_that_prunes_nothing_is_in_order(place):
    options = {"index_options": {"prune": False}} if place.kind == "sparse_vector" else {}
    place.make(documents(), options=options)
    assert causes(place.audit()) == []


def test_names_with_dots_are_counted_and_probed(place):
    found = documents(30)
    found[3]["emb"]["3.5"] = 9.0
    place.make(found)
    audit = place.audit()
    assert audit.dotted == 1
    if place.kind == "rank_features":
        assert causes(audit) == [DOTS]
        assert (audit.findings[0].doc_id, audit.findings[0].query) == ("3", "3.5")
    else:
        assert DOTS not in causes(audit)


def test_vectors_that_are_not_in_source_are_asked_for_by_words(place):
    if place.kind == "sparse_vector":
        pytest.skip("Elasticsearch 9 gives vectors out of the index")
    place.make(documents(), source={"excludes": ["emb"]})
    found = place.audit()
    assert found.vectors_in_source == 0
    assert found.queries == 20
    assert found.overlap < 1
    assert any("words" in line for line in found.notes)


@pytest.mark.parametrize("naming", ["ids", "tokens, percent-encoded", "tokens"])
def test_a_text_is_encoded_with_the_names_of_the_index(place, naming, tmp_path):
    texts = ["the apple is sweet", "a pear is green", "the apple and the pear"] * 3
    encoder = Bm25Encoder.fit(texts)
    encoder.save(tmp_path / "model")
    batch = encoder.encode_documents(texts)
    rows = []
    for i, text in enumerate(texts):
        columns, weights = batch.row(i)
        pairs = list(zip(columns.tolist(), weights.tolist(), strict=True))
        if naming == "ids":
            vector = {str(c): w for c, w in pairs}
        else:
            escape = escape_term if "percent" in naming else str
            vector = {escape(encoder.vocabulary[c]): w for c, w in pairs}
            vector |= {"100%25": 1.0} if "percent" in naming else {}
        rows.append({"text": text, "emb": vector})
    place.make(rows)
    found = place.audit(query="apple", model=str(tmp_path / "model"))
    assert found.naming == naming
    assert found.queries == 1
    assert found.overlap is not None


def test_a_field_is_chosen_by_name_where_there_are_several(place):
    field = {"type": place.kind}
    place.make([], properties={"a": field, "deep": {"properties": {"b": field}}})
    with pytest.raises(ConfigError, match=r"a, deep\.b"):
        place.audit()
    with pytest.raises(ConfigError, match="no such field 'c'"):
        place.audit(field="c")
    assert place.audit(field="deep.b").field == "deep.b"


def test_an_index_without_weighted_terms_is_refused(place):
    place.make([], properties={"text": {"type": "text"}})
    with pytest.raises(ConfigError, match="nothing to audit"):
        place.audit()


def test_an_index_that_is_not_there_is_said_so(place):
    with pytest.raises(IndexNotFoundError):
        place.audit()


def test_the_command_prints_the_audit(place, sparse_ir):
    found = documents(30)
    found[3]["emb"]["3.5"] = 9.0
    place.make(found)
    done = sparse_ir("verify", "--existing", INDEX, "--url", place.url)
    assert done.exit_code == 8
    assert "overlap@10" in done.out
    machine = sparse_ir("verify", "--existing", INDEX, "--url", place.url, "--json")
    assert json.loads(machine.out)["kind"] == place.kind


# By hand


def test_rankings_are_compared_by_their_first_ten():
    a = [("x", 3.0), ("y", 2.0), ("z", 1.0)]
    assert compare_rankings([a], [a]) == (1.0, None)
    assert compare_rankings([a], [[("x", 3.0), ("z", 2.0), ("y", 1.0)]]) == (1.0, 2)
    assert compare_rankings([a, a], [a, a[:2]]) == (pytest.approx((1 + 2 / 3) / 2), 3)
    assert compare_rankings([], []) == (None, None)
    assert compare_rankings([[]], [[]]) == (1.0, None)


@pytest.mark.parametrize(
    ("names", "style"),
    [
        ([], ""),
        (["12", "7"], "ids"),
        (["12", "seven"], "tokens"),
        (["play", "##ing"], "tokens (WordPiece)"),
        (["a%2Eb", "##ing"], "tokens, percent-encoded"),
    ],
)
def test_names_tell_their_style(names, style):
    assert name_style(names) == style


@pytest.mark.parametrize(
    "source",
    [
        {"deep": {"v": {"a": 1}}},
        {"deep.v": {"a": "1"}},
        {"deep": {"v": [{"a": 1.0}]}},
    ],
)
def test_a_vector_is_read_however_source_nests_it(source):
    assert read_vector(source, "deep.v") == {"a": 1.0}


@pytest.mark.parametrize("source", [{}, {"deep": 1}, {"deep": {"v": {"a": [1]}}}])
def test_what_is_no_vector_reads_as_none(source):
    assert read_vector(source, "deep.v") == {}
