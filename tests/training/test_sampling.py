"""What a step is made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from sparse_ir.data.examples import ExampleSettings, ScoredExample, open_examples, write_examples
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.training.sampling import Batches, Sampler, Source
from sparse_ir.training.settings import BatchSettings, ModelSettings


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Open rows of (query, documents, scores or None) as examples."""
    monkeypatch.setenv("SPARSE_IR_HOME", str(tmp_path / "home"))

    def make(rows, name="examples"):
        path = tmp_path / f"{name}.jsonl"
        written = []
        for query, texts, scores in rows:
            # A text that comes twice in a row is two documents.
            ids = [f"{text}{texts[:i].count(text) or ''}" for i, text in enumerate(texts)]
            written.append(
                ScoredExample(query, tuple(ids), query, texts=tuple(texts), scores=scores)
            )
        write_examples(path, written)
        return open_examples(ExampleSettings(source=str(path)))

    return make


def texts_of(step, table):
    """The own documents of each query of a step, by query."""
    queries = table.queries.texts(step.queries)
    documents = table.documents.texts(step.documents)
    return {
        query: [documents[column] for column in own if column >= 0]
        for query, own in zip(queries, step.own.tolist(), strict=True)
    }


def test_a_document_known_to_be_relevant_is_nobodys_negative(table):
    rows = [
        ("q", ["good", "also good", "bad"], None),
        ("q", ["also good", "bad"], None),
        ("r", ["other", "OTHER", "other", "worse"], None),
    ]
    found = table(rows)
    sampler = Sampler([Source(found)], BatchSettings(queries=3, negatives=9), seed=1)
    step = sampler.step(0)
    own = [found.documents.texts([step.documents[c] for c in row if c >= 0]) for row in step.own]
    by_positive = {documents[0]: documents[1:] for documents in own}
    assert by_positive == {
        "good": ["bad"], "also good": ["bad"], "other": ["OTHER", "worse"],
    }  # fmt: skip
    texts = found.documents.texts(step.documents)
    for row, query in enumerate(found.queries.texts(step.queries)):
        barred = {text for text, ok in zip(texts, step.allowed[row], strict=True) if not ok}
        assert barred == ({"good", "also good"} if query == "q" else {"other"})


def test_scored_documents_stay_as_the_teacher_knows_how_good_they_are(table):
    found = table([("q", ["good", "also good"], (2.0, 1.5)), ("q", ["also good"], (1.5,))])
    step = Sampler([Source(found)], BatchSettings(queries=2, negatives=4), seed=1).step(0)
    assert sorted(map(len, (row[row >= 0] for row in step.own))) == [1, 2]


def test_a_batch_without_scores_has_them_unknown(table):
    found = table([("a", ["x", "y"], None), ("b", ["z", "w"], None)])
    step = Sampler([Source(found)], BatchSettings(queries=2), seed=1).step(0)
    assert step.teacher_own.shape == (2, 2)
    assert np.isnan(step.teacher_own).all()


def test_an_epoch_sees_every_example_once_and_the_next_in_another_order(table):
    found = table([(f"q{i}", [f"d{i}"], None) for i in range(12)])
    sampler = Sampler([Source(found)], BatchSettings(queries=4, negatives=0), seed=1)
    epochs = [[q for n in range(e, e + 3) for q in sampler.step(n).queries] for e in (0, 3)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_a_step_is_the_same_whatever_was_drawn_before(table):
    found = table([(f"q{i}", [f"d{i}", f"e{i}", f"f{i}"], None) for i in range(12)])
    settings = BatchSettings(queries=4, negatives=1)
    first, second = (Sampler([Source(found)], settings, seed=3) for _ in range(2))
    for number in range(7):
        first.step(number)
    assert first.step(7).queries == second.step(7).queries
    assert first.step(7).documents == second.step(7).documents


def test_sources_are_drawn_by_size_and_weight(table):
    one = table([(f"q{i}", [f"d{i}"], None) for i in range(10)], "one")
    two = table([(f"r{i}", [f"e{i}"], None) for i in range(10)], "two")
    sampler = Sampler(
        [Source(one, 3.0), Source(two, 1.0)], BatchSettings(queries=2, negatives=0), seed=1
    )
    drawn = np.bincount([sampler.step(n).source for n in range(400)]) / 400
    assert drawn == pytest.approx([0.75, 0.25], abs=0.07)


def test_batches_by_topic_hold_one_topic_where_it_fills_them(table):
    found = table([(f"q{i}", [f"d{i}"], None) for i in range(12)])
    topics = np.array([0, 1, 2] * 4)
    sampler = Sampler([Source(found, topics=topics)], BatchSettings(queries=4, negatives=0), seed=1)
    for number in range(3):
        assert len(set(topics[sampler.step(number).queries])) == 1


def test_some_queries_are_put_in_other_words_the_same_in_every_run():
    phrases = ("articles on {query}", "{query}, please")
    batch = BatchSettings(queries=2, phrases=phrases, phrased=0.5)
    queries = [f"q{i}" for i in range(400)]

    def put():
        return Sampler([], batch, seed=1).phrased(3, queries)

    found = put()
    assert found == put()
    forms = Counter(
        text.replace(query, "{query}") for query, text in zip(queries, found, strict=True)
    )
    assert set(forms) == {"{query}", *phrases}
    assert 150 < forms["{query}"] < 250
    assert min(forms.values()) > 60
    assert Sampler([], batch, seed=1).phrased(4, queries) != found
    assert Sampler([], BatchSettings(), seed=1).phrased(3, queries) == queries


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"phrased": 1.5}, r"batch\.phrased is 1\.5"),
        ({"phrased": 0.5}, r"needs batch\.phrases"),
        ({"phrases": ("articles",)}, r"'articles' needs \{query\} once"),
    ],
)
def test_phrases_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        BatchSettings(**settings)


def test_fewer_documents_than_processes_are_refused_on_each_of_them(table):
    found = [Source(table([("a", ["x"], None), ("b", ["x"], None)]))]
    settings = BatchSettings(queries=2)
    sampler = Sampler(found, settings, seed=1)
    for rank in (0, 1):
        batches = Batches(
            sampler, found, None, ModelSettings("bert"), settings, count=1, rank=rank, world_size=2
        )
        with pytest.raises(InputError, match="1 distinct documents for 2 processes"):
            batches[0]
