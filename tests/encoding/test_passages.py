"""Long documents in passages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.data.spans import words
from sparse_ir.encoding.chunks import encode_corpus
from sparse_ir.encoding.passages import (
    Passages,
    joined,
    parse_passages,
    split,
    split_documents,
    split_spans,
)
from sparse_ir.errors import ConfigError
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.types import Document
from sparse_ir.vectors import make_batch

TEXT = "One two three. Four five. Six seven eight nine. Ten."


@pytest.mark.parametrize(
    ("size", "overlap", "expected"),
    [
        (10, 0, [TEXT]),
        (5, 0, ["One two three. Four five.", "Six seven eight nine. Ten."]),
        (5, 1, ["One two three. Four five.", "Six seven eight nine. Ten."]),
        (6, 2, ["One two three. Four five.", "Four five. Six seven eight nine.", "Ten."]),
        (6, 5, ["One two three. Four five.", "Four five. Six seven eight nine.",
                "Six seven eight nine. Ten."]),
        (3, 0, ["One two three.", "Four five.", "Six seven eight", "nine. Ten."]),
    ],
)  # fmt: skip
def test_passages_are_whole_sentences_and_repeat_some(size, overlap, expected):
    assert split(TEXT, Passages("each", size, overlap)) == expected


def test_a_text_without_words_is_one_passage():
    assert split("", Passages("each")) == [""]
    assert split(" ... ", Passages("each")) == [" ... "]


@given(
    st.text(alphabet="ab .!\n日本。", max_size=200),
    st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
)
def test_no_word_is_lost_and_no_passage_too_long(text, sizes):
    size, overlap = sizes
    found = split_spans(text, Passages("each", size, overlap))
    counts = [len(words(text[slice(*span)])) for span in found]
    assert max(counts) <= size
    assert all(counts) or found == [(0, len(text))]
    covered = 0
    for span in found:
        repeated = len(words(text[span.start : covered]))
        assert repeated <= overlap
        assert not words(text[covered : span.start])
        assert span.end > covered or not text
        covered = span.end
    assert not words(text[covered:])


def test_passages_are_documents_that_know_their_parent():
    document = Document("d#p1", TEXT, "Title", {"lang": "en"})
    found = list(split_documents([document], Passages("each", 5, 0)))
    assert [d.doc_id for d in found] == ["d#p1#p0", "d#p1#p1"]
    assert found[1].content == "Title Six seven eight nine. Ten."
    assert found[1].metadata == {"lang": "en", "parent_id": "d#p1"}


def test_one_vector_has_each_terms_highest_weight():
    batch = make_batch("abc", [[1.0, 0, 3], [2, 0, 0.5], [0, 4, 0]])
    found = joined(batch, [0, 0, 2], ["x", "empty", "y"])
    assert found.ids == ("x", "empty", "y")
    np.testing.assert_array_equal(found.weights.toarray(), [[2, 0, 3], [0, 0, 0], [0, 4, 0]])


def test_a_corpus_is_encoded_by_passages():
    encoder = Bm25Encoder.fit(["apple pear", "plum quince"], b=0.0)
    long = Document("long", "apple apple pear. plum quince plum. apple.")
    (chunk,) = encode_corpus(
        [long, Document("short", "pear")], encoder, passages=parse_passages("max,words=3,overlap=0")
    )
    parts = encoder.encode_documents(["apple apple pear.", "plum quince plum.", "apple."])
    assert chunk.batch.ids == ("long", "short")
    np.testing.assert_allclose(
        chunk.batch.weights.toarray()[0], parts.weights.toarray().max(axis=0)
    )
    (chunk,) = encode_corpus([long], encoder, passages=parse_passages("each,words=3,overlap=0"))
    assert chunk.batch.ids == ("long#p0", "long#p1", "long#p2")
    np.testing.assert_allclose(chunk.batch.weights.toarray(), parts.weights.toarray())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("most", "passages are 'most'"),
        ("max,size=3", "'size=3' is not known"),
        ("max,words=x", "'words=x' is not known"),
        ("max,words=0", "passages have 0 words"),
        ("each,words=10,overlap=10", "overlap by 10 words"),
    ],
)
def test_passages_that_cannot_be_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_passages(text)


def test_what_is_written_is_read():
    assert str(parse_passages("")) == ""
    assert str(parse_passages("max")) == "max,words=200,overlap=40"
    assert parse_passages(str(Passages("each", 7, 3))) == Passages("each", 7, 3)
