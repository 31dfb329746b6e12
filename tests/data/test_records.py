from __future__ import annotations

import pytest

from sparse_ir.data.records import RowError, to_document, to_id, to_query
from sparse_ir.types import Document, Query


@pytest.mark.parametrize("id_field", ["_id", "id", "doc_id", "docid"])
@pytest.mark.parametrize("text_field", ["text", "contents", "body"])
def test_every_usual_name_of_id_and_text_is_known(id_field, text_field):
    assert to_document({id_field: "a", text_field: "words"}) == Document("a", "words")


@pytest.mark.parametrize("id_field", ["_id", "id", "query_id", "qid"])
@pytest.mark.parametrize("text_field", ["text", "query"])
def test_every_usual_name_of_a_query_is_known(id_field, text_field):
    assert to_query({id_field: 7, text_field: "words"}) == Query("7", "words")


def test_the_metadata_object_is_the_metadata():
    row = {"_id": "a", "text": "b", "metadata": {"year": 2020}, "other": 1}
    assert to_document(row).metadata == {"year": 2020}


@pytest.mark.parametrize("empty", [{}, {"metadata": {}}, {"metadata": None}])
def test_without_a_metadata_object_the_other_fields_are_the_metadata(empty):
    row = {"_id": "a", "text": "b", "title": "t", "year": 2020, "lang": "en", **empty}
    assert to_document(row).metadata == {"year": 2020, "lang": "en"}


def test_the_first_known_id_counts_and_the_other_is_metadata():
    assert to_document({"id": 3, "_id": "a", "text": "b"}) == Document("a", "b", "", {"id": 3})


@pytest.mark.parametrize(
    "fit", ["a b", "docs/a#0", "文書", "é", "\u3000x", "a\u00a0b", "🙂\u200d", "-", "0", "x" * 5000]
)
def test_ids_with_spaces_punctuation_and_any_script_are_kept(fit):
    assert to_id(fit) == fit


@pytest.mark.parametrize("number", [0, -1, 2**70])
def test_whole_numbers_become_text(number):
    assert to_id(number) == str(number)


@pytest.mark.parametrize(
    "unfit", ["", " ", "a\tb", "a\n", "\x00", "\x7f", "a\x85", "\u2028", "\ufeffa"]
)
def test_ids_that_would_break_a_line_are_refused(unfit):
    with pytest.raises(RowError, match=r"has an (empty id|id with a tab)"):
        to_id(unfit)
    with pytest.raises(RowError, match=r"has an (empty id|id with a tab)"):
        to_document({"_id": unfit, "text": "a"})


@pytest.mark.parametrize("unfit", [None, 1.0, True, ["a"], {"a": 1}])
def test_ids_that_are_no_text_are_refused(unfit):
    with pytest.raises(RowError, match="neither text nor a whole number"):
        to_document({"_id": unfit, "text": "a"})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "a"}, r"has no id field \(_id, id, doc_id or docid\)"),
        ({"_id": "a"}, r"has no text field \(text, contents or body\)"),
        ({"_id": "a", "text": ""}, "has no text"),
        ({"_id": "a", "text": None, "title": " \n"}, "has no text"),
        ({"_id": "a", "text": 5}, r"has a text that is not text \(5\)"),
        ({"_id": "a", "text": "b", "title": ["t"]}, "has a title that is not text"),
        ({"_id": "a", "text": ["x" * 500]}, r"\.\.\.\)$"),
    ],
)
def test_an_unfit_row_says_why(row, reason):
    with pytest.raises(RowError, match=reason):
        to_document(row)


def test_a_title_alone_is_a_document():
    assert to_document({"_id": "a", "text": None, "title": "t"}) == Document("a", "", "t")


def test_a_query_without_words_is_refused():
    with pytest.raises(RowError, match="has no text"):
        to_query({"_id": "a", "text": " ", "title": "t"})
