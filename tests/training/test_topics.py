from __future__ import annotations

import numpy as np

from sparse_ir.training import topics
from sparse_ir.training.topics import batches_of_like, cluster, topic_count


def test_like_vectors_share_a_cluster():
    directions = np.eye(3, dtype=np.float32)[np.arange(300) % 3]
    noise = np.random.default_rng(0).normal(scale=0.05, size=(300, 3))
    found = cluster(directions + noise, 3, seed=5)
    groups = [set(found[np.arange(300) % 3 == i].tolist()) for i in range(3)]
    assert [len(group) for group in groups] == [1, 1, 1]
    assert len(set.union(*groups)) == 3


def test_more_clusters_than_the_sample_can_tell_apart_are_not_made(monkeypatch):
    monkeypatch.setattr(topics, "_SAMPLE", 320)
    vectors = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float16)
    found = cluster(vectors, 900, seed=1)
    assert found.shape == (1000,)
    assert 10 < len(set(found.tolist())) <= 20


def test_topics_are_counted_by_distinct_queries():
    assert topic_count(1600, 10) == 10
    assert topic_count(3, 32) == 1


def test_a_batch_is_of_one_topic_and_no_example_comes_twice():
    of_examples = np.random.default_rng(0).integers(0, 7, 500)
    batches = batches_of_like(of_examples, 8, rng=np.random.default_rng(1))
    assert batches.shape == (62, 8)
    assert len(set(batches.ravel().tolist())) == 62 * 8
    mixed = sum(len(set(of_examples[batch])) > 1 for batch in batches)
    assert mixed <= 7  # what is left of seven topics, fewer than 8 each
