"""Recipes: checked before anything runs, and done once."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError, VerificationError
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.recipe import find_recipe, read_recipe, run_recipe
from sparse_ir.resources import resource

RECIPE = """
name: fruit
stages:
  - index: {{name: first, corpus: {corpus}, index: fruit, model: bm25}}
  - evaluate: {{name: score, index: fruit, queries: {queries}, qrels: {qrels}, metrics: [mrr@10]}}
  - encode: {{name: vectors, corpus: {corpus}, out: {out}, model: bm25}}
"""


@contextmanager
def silent(what, *, total=None):
    yield lambda n: None


@pytest.fixture
def recipe(fruit, tmp_path, write_jsonl):
    queries = write_jsonl("q.jsonl", [{"_id": "q1", "text": "green pear"}])
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\n")
    path = tmp_path / "fruit.yaml"
    path.write_text(
        RECIPE.format(corpus=fruit, queries=queries, qrels=qrels, out=tmp_path / "vectors")
    )
    return path


def run(path, *assignments, again=False):
    return list(run_recipe(read_recipe(path, assignments), again=again, progress=silent))


def test_stages_run_in_order_and_are_skipped_the_second_time(recipe):
    first = run(recipe)
    assert [(o.stage, o.skipped) for o in first] == [
        ("first", False),
        ("score", False),
        ("vectors", False),
    ]
    second = run(recipe)
    assert [o.skipped for o in second] == [True, True, True]
    assert second[1].result["mean"] == {"mrr@10": 1.0} == first[1].result["mean"]


def test_an_evaluation_below_its_bound_ends_the_recipe_each_time(recipe):
    judged = recipe.with_name("qrels.tsv")
    judged.write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nother\td1\t1\n")
    for _ in range(2):
        with pytest.raises(VerificationError, match=r"mrr@10 is 0\.5000, below 0\.9"):
            run(recipe, "score.fail_under=[mrr@10=0.9]")
    assert not recipe.with_name("vectors").exists()
    assert run(recipe, "score.fail_under=[mrr@10=0.5]")[1].result["mean"] == {"mrr@10": 0.5}


def test_again_runs_what_is_done(recipe):
    run(recipe)
    assert [o.skipped for o in run(recipe, again=True)] == [False, False, False]


def test_a_changed_setting_runs_its_stage_and_what_reads_it(recipe):
    run(recipe)
    changed = run(recipe, "index.document_pruning=top_k=1")
    assert [o.skipped for o in changed] == [False, False, True]


def test_a_part_that_two_stages_share_is_set_for_one_alone(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "stages:\n"
        "  - benchmark: {name: a, out: x, datasets: &d [{source: one}], systems: [{name: s}]}\n"
        "  - benchmark: {name: b, out: y, datasets: *d, systems: [{name: s}]}\n"
    )
    first, second = read_recipe(path, ["a.datasets.0.source=other"]).steps
    assert first.settings.datasets[0].source == "other"
    assert second.settings.datasets[0].source == "one"
    assert (first.name, first.settings.name) == ("a", "a")  # a benchmark's title


def test_what_changed_while_a_stage_ran_is_noticed(recipe, fruit):
    """The key is of what was there when the stage began to read."""
    steps = read_recipe(recipe)
    changed = []

    @contextmanager
    def changing(what, *, total=None):
        yield lambda n: None
        if not changed:
            fruit.write_text(fruit.read_text() + '{"_id": "d5", "text": "A late quince."}\n')
            changed.append(what)

    list(run_recipe(steps, progress=changing))
    again = run(recipe)
    assert again[0].skipped is False
    assert again[0].result["documents"] == 5


def test_a_run_that_was_removed_is_written_again(recipe, tmp_path):
    saved = tmp_path / "run.trec"
    run(recipe, f"score.save_run={saved}")
    saved.unlink()
    assert [o.skipped for o in run(recipe, f"score.save_run={saved}")] == [True, False, True]
    assert saved.is_file()


def test_changed_judgements_are_noticed(recipe):
    judged = recipe.with_name("qrels.tsv")
    run(recipe)
    judged.write_text("query-id\tcorpus-id\tscore\nq1\td2\t1\nother\td1\t1\n")
    assert [o.skipped for o in run(recipe)] == [True, False, True]


def test_a_changed_corpus_is_noticed(recipe, fruit):
    run(recipe)
    fruit.write_text(fruit.read_text() + json.dumps({"_id": "d5", "text": "a fig"}) + "\n")
    outcomes = run(recipe)
    assert outcomes[0].result["documents"] == 5
    assert [o.skipped for o in outcomes] == [False, False, False]


def test_vectors_that_were_made_anew_are_indexed_anew(fruit, tmp_path):
    path = tmp_path / "v.yaml"
    out = tmp_path / "vectors"
    path.write_text(
        "stages:\n"
        f"  - encode: {{corpus: {fruit}, out: {out}, model: bm25}}\n"
        f"  - index: {{corpus: {fruit}, vectors: {out}, index: fruit, model: bm25}}\n"
    )
    assert [o.skipped for o in run(path)] == [False, False]
    assert [o.skipped for o in run(path)] == [True, True]
    assert [o.skipped for o in run(path, "encode.document_pruning=top_k=1")] == [False, False]


def test_a_recipe_keeps_to_its_folder_whatever_its_name(fruit, tmp_path, own_home):
    stage = f"encode: {{corpus: {fruit}, out: {tmp_path / 'v'}, model: bm25, name: a/b}}"
    path = tmp_path / "r.yaml"
    for name in ("../../x", "..", "x", '""'):
        path.write_text(f"name: {name}\nstages:\n  - {stage}\n")
        assert not run(path)[0].skipped
        assert run(path)[0].skipped
    assert not (own_home.parent / "x").exists()
    assert len(list((own_home / "recipes").glob("*/*.json"))) == 4


def test_stages_whose_names_differ_in_a_sign_are_done_each_for_itself(fruit, tmp_path):
    path = tmp_path / "r.yaml"
    rows = [
        f"  - encode: {{name: {name}, corpus: {fruit}, out: {tmp_path / out}, model: bm25}}"
        for name, out in (("a/b", "1"), ("a-b", "2"), ("a b", "3"))
    ]
    path.write_text("\n".join(["stages:", *rows]))
    assert [o.skipped for o in run(path)] == [False, False, False]
    assert [o.skipped for o in run(path)] == [True, True, True]


def test_what_was_made_and_is_gone_is_made_again(recipe, tmp_path):
    run(recipe)
    (tmp_path / "vectors" / "manifest.json").unlink()
    assert [o.skipped for o in run(recipe)] == [True, True, False]


def test_changed_judgements_and_queries_are_evaluated_anew(recipe):
    run(recipe)
    judged = recipe.with_name("qrels.tsv")
    judged.write_text(judged.read_text() + "q2\td1\t1\n")
    second = run(recipe)
    assert [o.skipped for o in second] == [True, False, True]
    assert second[1].result["mean"] == {"mrr@10": 0.5}  # q2 is not asked
    asked = recipe.with_name("q.jsonl")
    asked.write_text(asked.read_text() + '{"_id": "q2", "text": "red apple"}\n')
    assert run(recipe)[1].result["mean"] == {"mrr@10": 1.0}


def test_an_evaluation_is_done_anew_when_its_index_has_another_number_of_documents(recipe):
    run(recipe)
    with open_engine("embedded") as engine:
        assert engine.delete("fruit", ["d1"]) == 1
        engine.refresh("fruit")
    assert [o.skipped for o in run(recipe)] == [True, False, True]


def test_an_index_that_another_command_made_anew_is_made_anew(recipe, write_jsonl):
    run(recipe)
    other = write_jsonl("other.jsonl", [{"_id": "x", "text": "a green pear"}])
    index_corpus(IndexSettings(corpus=str(other), index="fruit", model="bm25", replace=True))
    assert run(recipe)[0].result["documents"] == 4
    assert [o.skipped for o in run(recipe)] == [True, True, True]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("stages: []", "stages is missing"),
        ("stage: []", "Did you mean stages?"),
        ("stages: [{indx: {corpus: c}}]", "stage 1: indx is not a stage. Did you mean index?"),
        ("~: x\nstages: [{index: {corpus: c}}]", "None is not known"),
        ("stages: [{~: {corpus: c}}]", "stage 1: None is not a stage"),
        ("stages: [{index: {corpus: c, 1: 2}}]", "1 is not"),
        ("stages: [{index: {corpus: c, indx: d}}]", "indx is not a setting. Did you mean index?"),
        ("stages: [{index: {index: d}}]", "corpus is missing"),
        ("stages: [{index: {corpus: c, limit: x}}]", "limit is 'x'"),
        ("stages: [{index: {corpus: c, limit: 0}}]", "limit is 0. It must be at least 1."),
        ("stages: [{index: {corpus: c, chunk_documents: 0}}]", "chunk_documents is 0"),
        ("stages: [{encode: {corpus: c, out: v, limit: -1}}]", "limit is -1"),
        ("stages: [{encode: {corpus: c, out: v, shard_documents: 0}}]", "shard_documents is 0"),
        ("stages: [{index: {corpus: a, name: x}}, {index: {corpus: b, name: x}}]", "same name"),
        ("stages: [index]", "stage 1"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(tmp_path, text, part):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert part in str(caught.value)


def test_set_that_names_no_stage_is_refused(recipe):
    with pytest.raises(ConfigError, match="names no stage's setting"):
        read_recipe(recipe, ["firts.limit=3"])


def test_bundled_recipes_are_found_by_name_and_valid():
    paths = sorted(resource("pipelines").glob("*.yaml"))
    assert "demo" in [path.stem for path in paths]
    for path in paths:
        assert find_recipe(Path(path.stem)) == path
        assert read_recipe(path).steps
