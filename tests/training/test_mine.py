"""Hard negatives: what a search finds and nobody calls relevant."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from sparse_ir.data.examples import ExampleSettings, read_scored
from sparse_ir.data.locks import writing_alone
from sparse_ir.engines.opening import open_engine
from sparse_ir.errors import ConfigError, IndexNotFoundError, TrainingError
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.models.loading import load_encoder
from sparse_ir.recipe import read_recipe, run_recipe
from sparse_ir.training.mine import MineIndex, MineSettings, mine
from sparse_ir.training.mining import Rules, threshold
from sparse_ir.training.scorers import TeacherSettings
from sparse_ir.types import Document

# "apple" has the more weight in a text, the more often it occurs: a1 before a2, and so on.
CORPUS = [
    {"_id": f"a{i}", "text": "apple " * (9 - i) + " ".join(f"w{i}x{j}" for j in range(i))}
    for i in range(1, 9)
]
PEARS = [{"_id": f"p{i}", "text": f"pear number{i}"} for i in range(3)]
QUERY = {"query_id": "q1", "query": "apple"}


@pytest.fixture
def corpus(write_jsonl):
    return write_jsonl("corpus.jsonl", [*CORPUS, *PEARS])


def index(corpus, name="default", engine="embedded", model="bm25"):
    index_corpus(IndexSettings(corpus=str(corpus), index=name, engine=engine, model=model))
    return MineIndex(name, engine)


def settings(examples, corpus, out, **options):
    base = {"choose": "top", "negatives": 3}
    return MineSettings(
        ExampleSettings(str(examples), corpus=str(corpus)), str(out), **(base | options)
    )


def test_a_second_run_that_writes_the_same_file_is_refused(corpus, examples, tmp_path):
    index(corpus)
    out = tmp_path / "mined.jsonl"
    with writing_alone(out), pytest.raises(ConfigError, match="another run is writing"):
        mine(settings(examples, corpus, out))
    assert mine(settings(examples, corpus, out)).queries == 1


@pytest.fixture
def examples(write_jsonl):
    return write_jsonl("examples.jsonl", [{**QUERY, "documents": ["a3"], "relevant": ["a1"]}])


def negatives(out):
    return {row.query_id: row.documents[row.positives :] for row in read_scored(out)}


@pytest.mark.parametrize("engine", ["embedded", "memory"])
def test_the_best_hits_that_are_not_relevant(corpus, examples, tmp_path, engine):
    one = index(corpus, engine=engine)
    report = mine(settings(examples, corpus, tmp_path / "out.jsonl", indexes=(one,)))
    (row,) = read_scored(tmp_path / "out.jsonl")
    assert row.documents == ("a3", "a2", "a4", "a5")
    assert row.positives == 1
    assert row.relevant == ("a1",)
    assert row.query == "apple"
    assert row.texts[1] == CORPUS[1]["text"]
    assert row.scores[1] > row.scores[0] > row.scores[2] > row.scores[3] > 0
    assert report[1:-1] == (1, 3, 0, 0, 2, 0)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["elasticsearch", "opensearch"])
def test_a_cluster_is_mined_alike(corpus, examples, tmp_path, server_url, kind):
    engine = server_url(kind)
    name = f"mine-{os.getpid()}"
    one = index(corpus, name, engine)
    try:
        mine(settings(examples, corpus, tmp_path / "out.jsonl", indexes=(one,)))
    finally:
        opened = open_engine(engine)
        opened.drop(name)
        opened.close()
    (row,) = read_scored(tmp_path / "out.jsonl")
    assert row.documents == ("a3", "a2", "a4", "a5")
    assert row.scores[1] > row.scores[0] > row.scores[2] > 0


def test_the_top_is_passed_over_and_the_depth_ends_the_list(corpus, examples, tmp_path):
    index(corpus)
    mine(settings(examples, corpus, tmp_path / "out.jsonl", skip_top=4, depth=6, negatives=5))
    assert negatives(tmp_path / "out.jsonl") == {"q1": ("a5", "a6")}


def test_a_text_that_equals_a_positive_is_no_negative(write_jsonl, tmp_path):
    double = {"_id": "double", "text": CORPUS[2]["text"].upper()}
    corpus = write_jsonl("corpus.jsonl", [*CORPUS, double])
    index(corpus)
    examples = write_jsonl("examples.jsonl", [{**QUERY, "texts": [CORPUS[2]["text"]]}])
    mine(settings(examples, corpus, tmp_path / "out.jsonl", negatives=20))
    assert set(negatives(tmp_path / "out.jsonl")["q1"]) == {f"a{i}" for i in (1, 2, 4, 5, 6, 7, 8)}


def test_equal_texts_are_taken_once(write_jsonl, tmp_path):
    corpus = write_jsonl("corpus.jsonl", [*CORPUS, {"_id": "again", "text": CORPUS[4]["text"]}])
    index(corpus)
    examples = write_jsonl("examples.jsonl", [{**QUERY, "documents": ["a3"]}])
    mine(settings(examples, corpus, tmp_path / "out.jsonl", negatives=20))
    found = negatives(tmp_path / "out.jsonl")["q1"]
    assert len({"again", "a5"} & set(found)) == 1


def test_judgements_that_no_example_names_count(corpus, examples, tmp_path):
    index(corpus)
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\ta2\t1\nq1\ta4\t0\n")
    one = settings(examples, corpus, tmp_path / "out.jsonl")
    mine(replace(one, examples=replace(one.examples, qrels=str(qrels))))
    assert negatives(tmp_path / "out.jsonl") == {"q1": ("a4", "a5", "a6")}


def test_all_positives_of_a_query_stay_together(corpus, write_jsonl, tmp_path):
    index(corpus)
    rows = [{**QUERY, "documents": ["a3"]}, {**QUERY, "documents": ["a1", "a4", "a2"]}]
    examples = write_jsonl("examples.jsonl", [{**row, "positives": 1} for row in rows])
    mine(settings(examples, corpus, tmp_path / "out.jsonl", negatives=2))
    (row,) = read_scored(tmp_path / "out.jsonl")
    assert (row.documents, row.positives) == (("a3", "a1", "a2", "a4"), 2)


def test_several_indexes_take_turns_by_rank(corpus, examples, write_jsonl, tmp_path):
    other = write_jsonl(
        "other.jsonl", [{"_id": "x1", "text": "apple"}, {"_id": "a4", "text": "apple b"}]
    )
    both = (index(corpus), index(other, "other"))
    mine(settings(examples, corpus, tmp_path / "out.jsonl", indexes=both))
    (row,) = read_scored(tmp_path / "out.jsonl")
    assert row.documents == ("a3", "x1", "a2", "a4")
    assert row.scores is None  # scores of two indexes do not compare


def test_a_query_without_hits_is_kept_without_negatives(corpus, write_jsonl, tmp_path):
    index(corpus)
    rows = [{"query_id": "q2", "query": "nothing", "documents": ["a1"]}]
    report = mine(settings(write_jsonl("e.jsonl", rows), corpus, tmp_path / "out.jsonl"))
    assert (report.queries, report.negatives, report.few, report.none) == (1, 0, 1, 1)
    assert negatives(tmp_path / "out.jsonl") == {"q2": ()}


def test_chance_depends_on_seed_and_query_alone(corpus, write_jsonl, tmp_path):
    index(corpus)
    rows = [{"query_id": f"q{i}", "query": "apple", "documents": ["a1"]} for i in range(20)]
    drawn = []
    for number, (own, seed, size) in enumerate(((rows, 0, 3), (rows[::-1], 0, 256), (rows, 1, 3))):
        out = tmp_path / f"{number}.jsonl"
        examples = write_jsonl(f"e{number}.jsonl", own)
        random = {"choose": "random", "seed": seed, "part_queries": size}
        mine(settings(examples, corpus, out, **random))
        drawn.append(negatives(out))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
    assert len(set(drawn[0].values())) > 5
    assert {len(set(found)) for found in drawn[0].values()} == {3}
    assert all(list(found) == sorted(found) for found in drawn[0].values())  # hardest first


@pytest.mark.parametrize(
    ("positive", "rules", "expected"),
    [
        (10.0, {"max_share": 0.95}, 9.5),
        (10.0, {"max_margin": 2.0}, 8.0),
        (10.0, {"max_share": 0.95, "max_margin": 2.0}, 8.0),
        (1.0, {"max_share": 0.95, "max_margin": 0.01}, 0.95),
        (-2.0, {"max_share": 0.5}, -3.0),
        (10.0, {}, float("inf")),
    ],
)
def test_thresholds_worked_by_hand(positive, rules, expected):
    assert threshold(positive, Rules(**rules)) == pytest.approx(expected)


class LengthTeacher:
    """Scores a document by its number of words; a pair teacher without a model."""

    fingerprint = "0" * 64

    def __init__(self):
        self.pairs = 0

    def score_pairs(self, queries, documents, advance):  # noqa: ARG002
        import numpy as np

        self.pairs += len(documents)
        return np.array([float(len(text.split())) for text in documents])


WORDS = [{"_id": f"n{i}", "text": "apple" + " apple" * (i - 1)} for i in (2, 4, 6, 8, 9, 10)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"max_share": 0.8}, {"n2", "n4", "n6", "n8"}),  # the positive has 10: up to 8
        ({"max_share": 0.79}, {"n2", "n4", "n6"}),
        ({"max_margin": 4.0}, {"n2", "n4", "n6"}),
        ({"max_margin": 0.5}, {"n2", "n4", "n6", "n8", "n9"}),
        ({"max_share": 0.95, "max_margin": 7.0}, {"n2"}),
    ],
)
def test_what_the_teacher_finds_nearly_as_good_is_dropped(
    write_jsonl, tmp_path, monkeypatch, rules, expected
):
    monkeypatch.setattr("sparse_ir.training.mine.load_teacher", lambda settings: LengthTeacher())
    corpus = write_jsonl("corpus.jsonl", WORDS)
    index(corpus)
    examples = write_jsonl("examples.jsonl", [{**QUERY, "documents": ["n10"]}])
    teacher = TeacherSettings("dense", "stands for nothing")
    report = mine(
        settings(examples, corpus, tmp_path / "o.jsonl", negatives=9, teacher=teacher, **rules)
    )
    (row,) = read_scored(tmp_path / "o.jsonl")
    assert set(row.documents[1:]) == expected
    assert report.false == 5 - len(expected)
    assert row.scores == tuple(float(doc_id[1:]) for doc_id in row.documents)


def test_without_a_teacher_the_index_itself_tells(corpus, write_jsonl, tmp_path):
    index(corpus)
    examples = write_jsonl("examples.jsonl", [{**QUERY, "documents": ["a3"]}])
    mine(settings(examples, corpus, tmp_path / "out.jsonl", max_share=1.0, negatives=9))
    assert negatives(tmp_path / "out.jsonl") == {"q1": ("a4", "a5", "a6", "a7", "a8")}


def test_a_real_teacher_by_the_command(corpus, examples, tmp_path, sparse_ir):
    index(corpus)
    model = json.loads(sparse_ir("inspect", "default", "--json").out)["model"]
    done = sparse_ir(
        "mine", "--examples", examples, "--corpus", corpus, "--out", tmp_path / "out.jsonl",
        "--negatives", "2", "--teacher", f"sparse:{model}", "--max-share", "1.0", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.err
    (row,) = read_scored(tmp_path / "out.jsonl")
    assert json.loads(done.out)["negatives"] == len(row.documents) - 1
    assert all(score <= row.scores[0] for score in row.scores[1:])


def test_a_recipe_mines_once(corpus, examples, tmp_path):
    index(corpus)
    recipe = tmp_path / "recipe.yaml"
    out = tmp_path / "mined.jsonl"
    recipe.write_text(
        f"stages:\n- mine:\n    examples: {{source: {examples}, corpus: {corpus}}}\n"
        f"    out: {out}\n    negatives: 2\n    indexes: [{{index: default}}]\n"
    )
    from contextlib import nullcontext

    def progress(name, total):
        return nullcontext(lambda n: None)

    (first,) = run_recipe(read_recipe(recipe), progress=progress)
    (second,) = run_recipe(read_recipe(recipe), progress=progress)
    assert not first.skipped
    assert second.skipped
    assert first.result["negatives"] == 2


class StopError(Exception):
    """Stands for whatever ends a run."""


def test_resume_of_another_run_is_refused(corpus, write_jsonl, tmp_path):
    index(corpus)
    rows = [{"query_id": f"q{i}", "query": "apple", "documents": ["a1"]} for i in range(4)]
    one = settings(write_jsonl("e.jsonl", rows), corpus, tmp_path / "o.jsonl", part_queries=1)

    def stop(n):
        raise StopError

    with pytest.raises(StopError):
        mine(one, stop)
    with pytest.raises(ConfigError, match="--resume"):
        mine(one)
    with pytest.raises(ConfigError, match="negatives was 3"):
        mine(replace(one, negatives=2, resume=True))
    assert mine(replace(one, resume=True)).queries == 4
    with pytest.raises(ConfigError, match="exists"):
        mine(one)


def test_resume_of_a_finished_file_with_other_settings_is_refused(corpus, examples, tmp_path):
    index(corpus)
    out = tmp_path / "out.jsonl"
    one = settings(examples, corpus, out)
    mine(one)
    assert mine(replace(one, resume=True)).queries == 0  # nothing left to do
    with pytest.raises(ConfigError, match="negatives was 3"):
        mine(replace(one, negatives=2, resume=True))
    mine(replace(one, negatives=2, resume=True, replace=True))
    assert len(negatives(out)["q1"]) == 2
    assert mine(replace(one, negatives=2, resume=True)).queries == 0


def test_resume_of_a_file_of_unknown_making_is_refused(corpus, examples, tmp_path):
    index(corpus)
    (tmp_path / "out.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="nothing tells what it was made with"):
        mine(settings(examples, corpus, tmp_path / "out.jsonl", resume=True))


def index_without_texts(corpus):
    """As an index is that was built of vectors alone."""
    index(corpus, "whole")
    engine = open_engine("embedded")
    stamp = engine.describe("whole")
    physical = engine.create("default", stamp, load_encoder(stamp.model).vocabulary)
    entries = [
        entry._replace(document=Document(entry.document.doc_id, ""))
        for entry in engine.scan("whole")
    ]
    assert not list(engine.add(physical, entries))
    engine.settle(physical)
    engine.publish("default", physical)
    engine.close()


def test_texts_that_the_index_lacks_come_from_the_corpus(
    corpus, examples, write_jsonl, tmp_path, monkeypatch
):
    teacher = LengthTeacher()
    monkeypatch.setattr("sparse_ir.training.mine.load_teacher", lambda settings: teacher)
    index_without_texts(corpus)
    double = write_jsonl("double.jsonl", [{**QUERY, "texts": [CORPUS[3]["text"].upper()]}])
    by_id = settings(examples, corpus, tmp_path / "id.jsonl", teacher=TeacherSettings("dense", "x"))
    mine(by_id)
    (row,) = read_scored(tmp_path / "id.jsonl")
    texts = {one["_id"]: one["text"] for one in CORPUS}
    assert row.documents == ("a3", "a2", "a4", "a5")
    assert row.texts == tuple(texts[doc_id] for doc_id in row.documents)
    assert row.scores == tuple(len(text.split()) for text in row.texts)
    mine(settings(double, corpus, tmp_path / "text.jsonl", negatives=20))
    assert "a4" not in negatives(tmp_path / "text.jsonl")[QUERY["query_id"]]


def test_texts_that_are_nowhere_are_one_line(corpus, write_jsonl, sparse_ir, tmp_path):
    index_without_texts(corpus)
    (tmp_path / "apart").mkdir()
    examples = write_jsonl("apart/e.jsonl", [{**QUERY, "texts": ["an apple"]}])
    some = write_jsonl("some.jsonl", CORPUS[:2])
    arguments = ("mine", "--examples", examples, "--out", tmp_path / "out.jsonl")
    for more, exit_code, part in (
        ((), 2, "index 'default' stores no text of 'a1'. Give the documents"),
        (("--corpus", some, "--replace"), 3, "holds no document 'a3'"),
    ):
        done = sparse_ir(*arguments, *more)
        assert done.exit_code == exit_code, done.err
        assert part in done.err
        assert "\n" not in done.err.strip()
        assert not (tmp_path / "out.jsonl").exists()


def test_memory_that_runs_out_names_what_to_lower(corpus, examples, tmp_path, monkeypatch):
    def full(self, queries, documents, advance):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(LengthTeacher, "score_pairs", full)
    monkeypatch.setattr("sparse_ir.training.mine.load_teacher", lambda settings: LengthTeacher())
    index(corpus)
    teacher = TeacherSettings("dense", "x", batch_tokens=512)
    with pytest.raises(TrainingError, match=r"Memory ran out\. Lower batch_tokens .*now 512"):
        mine(settings(examples, corpus, tmp_path / "out.jsonl", teacher=teacher))


def test_kill_9_and_resume_make_the_same_file(corpus, write_jsonl, tmp_path, own_home):
    index(corpus, engine="memory")
    rows = [
        {"query_id": f"q{i}", "query": "apple", "documents": [f"a{i % 8 + 1}"]} for i in range(900)
    ]
    examples = write_jsonl("examples.jsonl", rows)
    out = tmp_path / "out.jsonl"
    command = [
        sys.executable, "-m", "sparse_ir", "mine", "--examples", str(examples), "--corpus",
        str(corpus), "--engine", "memory", "--part-queries", "3", "--negatives", "3", "--out",
        str(out),
    ]  # fmt: skip
    process = subprocess.Popen(command, env={**os.environ, "SPARSE_IR_HOME": str(own_home)})
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob(".out.jsonl.parts/0*.json"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob(".out.jsonl.parts/0*.json")}
    assert len(kept) < 300
    one = settings(
        examples,
        corpus,
        out,
        indexes=(MineIndex(engine="memory"),),
        part_queries=3,
        choose="random",
    )
    seen = []

    def look(n):
        if not seen:
            seen.append({p: p.stat().st_mtime_ns for p in kept} == kept)

    mine(replace(one, resume=True), look)
    assert seen == [True]  # what was finished was not done again
    whole = tmp_path / "whole.jsonl"
    mine(replace(one, out=str(whole)))
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "part"),
    [
        (("--negatives", "0"), 2, "negatives is 0"),
        (("--skip-top", "100"), 2, "no rank is left"),
        (("--max-share", "-1"), 2, "max_share"),
        (("--index", "default", "--index", "none", "--max-share", "0.9"), 2, "need a teacher"),
        (("--index", "none"), 5, "none"),
        (("--teacher", "colbrt:x"), 2, "Did you mean colbert"),
        (("--layout", "tripletts"), 2, "Did you mean triplets"),
    ],
)
def test_bad_input_is_one_line(sparse_ir, corpus, examples, tmp_path, arguments, exit_code, part):
    index(corpus)
    done = sparse_ir(
        "mine",
        "--examples",
        examples,
        "--corpus",
        corpus,
        "--out",
        tmp_path / "o.jsonl",
        *arguments,
    )
    assert done.exit_code == exit_code, done.err
    assert part in done.err
    assert "\n" not in done.err.strip()
    assert not (tmp_path / "o.jsonl").exists()


def test_an_index_that_is_none(corpus, examples, tmp_path):
    with pytest.raises(IndexNotFoundError):
        mine(settings(examples, corpus, tmp_path / "out.jsonl"))


def test_the_top_of_one_index_is_not_taken_from_another(write_jsonl, corpus, examples, tmp_path):
    """a5, a6, a7 are the best of a part of the documents, and no better than fourth of them all."""
    part = write_jsonl("part.jsonl", [*CORPUS[4:], *PEARS])
    both = (index(corpus), index(part, "part"))
    out = tmp_path / "out.jsonl"
    mine(settings(examples, corpus, out, indexes=both, skip_top=3, negatives=9))
    assert negatives(out) == {"q1": ("a4", "a8")}
