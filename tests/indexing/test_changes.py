"""Updates in place, builds aside, swaps and rollbacks, on several engines."""

from __future__ import annotations

import json

import pytest

from sparse_ir.engines.opening import open_engine
from sparse_ir.models.loading import load_encoder

PLACES = ["embedded", "memory", "opensearch", "elasticsearch"]


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    """The words of a command line that name an engine; its indexes of these tests are removed."""
    if request.param in ("embedded", "memory"):
        yield ("--engine", f"{request.param}:{tmp_path / 'engine'}")
        return
    url = request.getfixturevalue("server_url")(request.param)
    with open_engine(url) as engine:
        for build in engine.builds("changes"):
            engine.drop(build)
        yield ("--url", url)
        for build in engine.builds("changes"):
            engine.drop(build)


def hits(sparse_ir, place, query):
    outcome = sparse_ir("search", *place, "--index", "changes", "--json", query)
    assert outcome.exit_code == 0, outcome.err
    return [hit["doc_id"] for hit in json.loads(outcome.out)["hits"]]


def index(sparse_ir, place, corpus, *options):
    outcome = sparse_ir("index", *place, "--index", "changes", "--corpus", corpus, *options)
    assert outcome.exit_code == 0, outcome.err
    return outcome


ROWS = [
    {"_id": "a", "text": "apple tree"},
    {"_id": "b", "text": "pear tree"},
    {"_id": "c", "text": "plum tree"},
]


def test_an_update_writes_what_changed_and_nothing_else(sparse_ir, place, write_jsonl):
    index(sparse_ir, place, write_jsonl("1.jsonl", ROWS), "--model", "bm25")
    changed = [ROWS[0], {"_id": "b", "text": "apple pear"}, {"_id": "c", "text": "plum tree"}]
    new = write_jsonl("2.jsonl", [*changed, {"_id": "d", "text": "apple apple"}])
    report = json.loads(index(sparse_ir, place, new, "--update", "--json").out)
    assert (report["written"], report["unchanged"], report["deleted"]) == (2, 2, 0)
    assert report["documents"] == 4
    assert sorted(hits(sparse_ir, place, "apple")) == ["a", "b", "d"]
    assert sorted(hits(sparse_ir, place, "tree")) == ["a", "c"]  # b lost the term with its text
    again = json.loads(index(sparse_ir, place, new, "--update", "--json").out)
    assert (again["written"], again["unchanged"]) == (0, 4)


def test_an_update_deletes_what_is_gone_when_asked(sparse_ir, place, write_jsonl):
    index(sparse_ir, place, write_jsonl("1.jsonl", ROWS), "--model", "bm25")
    fewer = write_jsonl("2.jsonl", ROWS[:1])
    assert json.loads(index(sparse_ir, place, fewer, "--update", "--json").out)["documents"] == 3
    report = json.loads(
        index(sparse_ir, place, fewer, "--update", "--delete-missing", "--json").out
    )
    assert (report["deleted"], report["documents"]) == (2, 1)
    assert hits(sparse_ir, place, "tree") == ["a"]


def test_ids_that_are_not_there_are_counted_when_others_are_deleted(sparse_ir, place, write_jsonl):
    index(sparse_ir, place, write_jsonl("1.jsonl", ROWS), "--model", "bm25")
    outcome = sparse_ir("delete", *place, "--index", "changes", "a", "nosuch", "a")
    assert (outcome.exit_code, outcome.out) == (0, "1 documents deleted from index 'changes'.\n")
    assert "1 of the ids given are not in index 'changes'." in outcome.err


@pytest.mark.parametrize(("asked", "used"), [((), "bf16"), (("--precision", "fp32"), "fp32")])
def test_an_update_encodes_in_the_precision_of_the_index(
    sparse_ir, write_jsonl, tmp_path, asked, used
):
    place = ("--engine", f"embedded:{tmp_path / 'engine'}")
    index(sparse_ir, place, write_jsonl("1.jsonl", ROWS[:1]), "--precision", "bf16")
    index(sparse_ir, place, write_jsonl("2.jsonl", ROWS[:2]), "--update", *asked)
    with open_engine(place[1]) as engine:
        entry = engine.get("changes", ["b"])[0]
    assert entry is not None
    for precision in ("bf16", "fp32"):
        batch = load_encoder(precision=precision).encode_documents([ROWS[1]["text"]])
        weights = sorted(batch.weights.data.tolist())
        same = sorted(entry.vector.values()) == pytest.approx(weights, rel=1e-6)
        assert same is (precision == used)


def test_an_update_needs_the_model_of_the_index(sparse_ir, place, write_jsonl):
    corpus = write_jsonl("1.jsonl", ROWS)
    index(sparse_ir, place, corpus, "--model", "bm25")
    arguments = ("--index", "changes", "--corpus", corpus, "--update", "--model", "default")
    outcome = sparse_ir("index", *place, *arguments)
    assert outcome.exit_code == 5
    assert "was made by model" in outcome.err


def test_a_build_aside_is_compared_swapped_in_and_rolled_back(sparse_ir, place, write_jsonl):
    index(sparse_ir, place, write_jsonl("1.jsonl", ROWS), "--model", "bm25")
    new = write_jsonl("2.jsonl", [*ROWS, {"_id": "d", "text": "apple apple pie"}])
    report = json.loads(index(sparse_ir, place, new, "--model", "bm25", "--aside", "--json").out)
    build = report["name"]
    assert build.startswith("changes@")
    assert hits(sparse_ir, place, "apple") == ["a"]

    queries = write_jsonl("q.jsonl", [{"_id": "1", "text": "apple"}, {"_id": "2", "text": "pear"}])
    chosen = ("--index", "changes", "--candidate", build)
    found = sparse_ir("compare", *place, *chosen, "--queries", queries, "--json")
    found = json.loads(found.out)
    assert (found["queries"], found["same"]) == (2, 1)
    assert found["overlap"] == pytest.approx((0.5 + 1) / 2)
    assert found["worst"][0]["text"] == "apple"
    assert found["worst"][0]["entered"] == ["d"]

    assert sparse_ir("swap", *place, *chosen).exit_code == 0
    assert sorted(hits(sparse_ir, place, "apple")) == ["a", "d"]
    assert sparse_ir("swap", *place, *chosen).exit_code == 2  # it is that already
    assert sparse_ir("rollback", *place, "--index", "changes").exit_code == 0
    assert hits(sparse_ir, place, "apple") == ["a"]
    deleted = sparse_ir("delete", *place, "--build", build, "--yes")
    assert deleted.exit_code == 0
    outcome = sparse_ir("rollback", *place, "--index", "changes")
    assert outcome.exit_code == 2
    assert "no earlier build" in outcome.err


def test_a_build_is_not_rolled_back_but_an_index(sparse_ir, place, write_jsonl):
    index(sparse_ir, place, write_jsonl("1.jsonl", ROWS), "--model", "bm25")
    with open_engine(place[1]) as engine:
        build = engine.resolve("changes")
    outcome = sparse_ir("rollback", *place, "--index", build)
    assert outcome.exit_code == 2
    assert f"'{build}' is a build. Name the index that is rolled back: changes." in outcome.err


def test_what_an_index_stands_for_is_not_deleted_as_a_build(sparse_ir, place, write_jsonl):
    report = json.loads(
        index(
            sparse_ir, place, write_jsonl("1.jsonl", ROWS), "--model", "bm25", "--aside", "--json"
        ).out
    )
    chosen = ("--index", "changes", "--candidate", report["name"])
    assert sparse_ir("swap", *place, *chosen).exit_code == 0
    outcome = sparse_ir("delete", *place, "--build", report["name"], "--yes")
    assert outcome.exit_code == 2
    assert "stands for" in outcome.err
    assert len(hits(sparse_ir, place, "tree")) == 3


def test_documents_are_deleted_by_id_and_by_filter(sparse_ir, place, write_jsonl):
    rows = [{**row, "year": 2000 + i} for i, row in enumerate(ROWS)]
    index(sparse_ir, place, write_jsonl("1.jsonl", rows), "--model", "bm25")
    assert "1 documents deleted" in sparse_ir("delete", *place, "--index", "changes", "a").out
    outcome = sparse_ir("delete", *place, "--index", "changes", "--filter", "year>=2002")
    assert "1 documents deleted" in outcome.out
    assert hits(sparse_ir, place, "tree") == ["b"]
    assert sparse_ir("delete", *place, "--index", "changes").exit_code == 2


def killed(sparse_ir, monkeypatch, place, corpus, *options):
    """An indexing run that dies after its first chunk."""
    from sparse_ir.indexing import build

    class Killed(BaseException):
        pass

    acknowledge = build.Build._acknowledge

    def once(self, chunk, failures):
        acknowledge(self, chunk, failures)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(build.Build, "_acknowledge", once)
        with pytest.raises(Killed):
            sparse_ir(
                "index", *place, "--index", "changes", "--corpus", corpus, "--model", "bm25",
                "--chunk-documents", "1", *options,
            )  # fmt: skip


def test_a_build_that_was_never_finished_is_not_swapped_in(
    sparse_ir, place, write_jsonl, monkeypatch
):
    corpus = write_jsonl("1.jsonl", ROWS)
    index(sparse_ir, place, corpus, "--model", "bm25")
    killed(sparse_ir, monkeypatch, place, corpus, "--aside")
    with open_engine(place[1]) as engine:
        builds = engine.builds("changes")
        (half,) = set(builds) - {engine.resolve("changes")}
    chosen = ("--index", "changes", "--candidate", half)
    outcome = sparse_ir("swap", *place, *chosen)
    assert outcome.exit_code == 2
    assert "never finished" in outcome.err
    # another run does not take its place without being told to, nor does it come into sight
    for options in (("--aside",), ("--resume",)):
        arguments = ("--index", "changes", "--corpus", corpus, "--model", "bm25", *options)
        outcome = sparse_ir("index", *place, *arguments)
        assert outcome.exit_code == 2, options
    index(sparse_ir, place, corpus, "--model", "bm25", "--aside", "--resume")
    assert sparse_ir("swap", *place, *chosen).exit_code == 0


def test_a_new_run_does_not_take_over_the_statistics_of_a_stopped_one(
    sparse_ir, place, write_jsonl, monkeypatch
):
    killed(sparse_ir, monkeypatch, place, write_jsonl("1.jsonl", ROWS))
    new = write_jsonl("2.jsonl", [{"_id": "z", "text": "zebra"}])
    index(sparse_ir, place, new, "--model", "bm25", "--replace")
    assert hits(sparse_ir, place, "zebra") == ["z"]


def test_an_update_of_a_bm25_index_uses_its_own_statistics(sparse_ir, place, write_jsonl):
    corpus = write_jsonl("1.jsonl", ROWS)
    index(sparse_ir, place, corpus, "--model", "bm25")
    report = json.loads(
        index(sparse_ir, place, corpus, "--model", "bm25", "--update", "--json").out
    )
    assert report["unchanged"] == 3


def test_an_update_heals_what_a_partial_update_has_broken(sparse_ir, server_url, write_jsonl):
    url = server_url("opensearch")
    place = ("--url", url)
    corpus = write_jsonl("1.jsonl", ROWS)
    with open_engine(url) as engine:
        for build in engine.builds("changes"):
            engine.drop(build)
        index(sparse_ir, place, corpus, "--model", "bm25")
        physical = engine.resolve("changes")
        engine.connection.call("POST", f"/{physical}/_update/a", {"doc": {"title": "partial"}})
        engine.refresh(physical)
        assert hits(sparse_ir, place, "apple") == []
        report = json.loads(index(sparse_ir, place, corpus, "--update", "--json").out)
        assert (report["written"], report["unchanged"]) == (1, 2)
        assert hits(sparse_ir, place, "apple") == ["a"]
        deleted = sparse_ir("delete", *place, "--index", "changes", "--everything", "--yes")
        assert deleted.exit_code == 0
        assert engine.builds("changes") == []
