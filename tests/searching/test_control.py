"""Term control: what a person does to a query's terms, on its own and in a search."""

from __future__ import annotations

import difflib
import json

import pytest

from sparse_ir.errors import ConfigError, InputError
from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.models.bm25 import Bm25Encoder
from sparse_ir.searching.control import (
    TermControl,
    controlled,
    near_terms,
    parse_control,
    read_mask,
    require_known,
)
from sparse_ir.searching.explain import explain_hit, explain_pair
from sparse_ir.searching.search import Searcher, SearchSettings
from sparse_ir.types import Query

TERMS = {"apple": 2.0, "pear": 1.0, "plum": 0.5, "fruit": 0.25}


def heaviest(terms):
    term = max(terms, key=terms.__getitem__)
    return {term: terms[term]}


@pytest.mark.parametrize(
    ("control", "left"),
    [
        (TermControl(), TERMS),
        (TermControl(ban=("apple", "car")), {"pear": 1.0, "plum": 0.5, "fruit": 0.25}),
        (TermControl(boost=(("plum", 4.0), ("car", 9.0))), {**TERMS, "plum": 2.0}),
        (TermControl(pin=(("car", 1.5), ("apple", 0.1))), {**TERMS, "apple": 0.1, "car": 1.5}),
        (TermControl(lexical_only=True), {"pear": 1.0, "plum": 0.5}),
        (
            TermControl(lexical_only=True, pin=(("car", 1.0),), ban=("plum",)),
            {"pear": 1.0, "car": 1.0},
        ),
        (TermControl(require=("car",)), TERMS),
    ],
)
def test_a_control_does_what_its_names_say(control, left):
    assert control.applied(TERMS, own=["pear", "plum", "red"]) == left


def test_what_is_boosted_or_pinned_is_never_pruned_and_what_is_banned_takes_no_place():
    control = TermControl(ban=("apple",), boost=(("fruit", 2.0),), pin=(("car", 0.1),))
    assert controlled(TERMS, control, own=list, prune=heaviest) == {
        "pear": 1.0,
        "fruit": 0.5,
        "car": 0.1,
    }


def test_a_masked_term_takes_no_place_either():
    mask = frozenset(["apple", "plum"])
    assert controlled(TERMS, TermControl(), own=list, mask=mask, prune=heaviest) == {"pear": 1.0}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("car", ("car", 1.0)),
        ("car=2.5", ("car", 2.5)),
        (" a=b=3 ", ("a=b", 3.0)),
        ("=", ("=", 1.0)),
        ("==2", ("=", 2.0)),
        ("a=b", ("a=b", 1.0)),
    ],
)
def test_a_pin_is_read_at_its_last_equals_sign(text, read):
    assert parse_control(pin=[text]).pin == (read,)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"boost": ["car"]}, "needs a number"),
        ({"boost": ["car=0"]}, "between"),
        ({"pin": ["car=-1"]}, "between"),
        ({"pin": ["car=inf"]}, "between"),
        ({"ban": [" "]}, "needs a term"),
        ({"ban": ["car"], "pin": ["car"]}, "both banned and pinned"),
        ({"boost": ["car=2"], "pin": ["car"]}, "both boosted and pinned"),
    ],
)
def test_a_control_that_cannot_be_meant_is_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        parse_control(**options)


def test_a_term_that_the_model_lacks_is_refused_with_the_nearest_ones():
    with pytest.raises(ConfigError, match=r"'Aple' is no term .* Near it: 'apple'"):
        require_known(["pear", "Aple"], [*TERMS])
    assert near_terms("Apple", [*TERMS]) == ["apple"]
    assert near_terms("ning", ["running", "##ning"])[0] == "##ning"
    with pytest.raises(ConfigError, match="sparse-ir explain"):
        require_known(["zzzz"], [*TERMS])


def test_near_terms_begin_alike_and_few_of_many_are_compared(monkeypatch):
    compared = []
    found = difflib.get_close_matches

    def counting(word, among, **how):
        compared.append(len(among))
        return found(word, among, **how)

    monkeypatch.setattr(difflib, "get_close_matches", counting)
    many = [f"b{n:06}" for n in range(300_000)]
    assert near_terms("aple", ["apple", "##ape", "Ġale", "maple", "apologetically", "", *many]) == [
        "apple",
        "Ġale",
    ]
    assert compared == [3]
    assert near_terms("b000001x", many)[0] == "b000001"
    assert compared[1] == 5_000


def test_a_mask_holds_a_term_a_line(tmp_path):
    path = tmp_path / "mask.txt"
    path.write_text("the\n\n#\n##s \n")
    assert read_mask(str(path)) == {"the", "#", "##s"}
    with pytest.raises(InputError, match="gone"):
        read_mask(str(tmp_path / "gone.txt"))


# In a search


@pytest.fixture
def index(write_jsonl):
    rows = {
        "both": "red apple and a pear",
        "apple": "red apples",
        "pear": "green pear",
        "plum": "blue plum",
    }
    corpus = write_jsonl("c.jsonl", ({"_id": i, "text": text} for i, text in rows.items()))
    index_corpus(IndexSettings(corpus=str(corpus), model="bm25"))


def ids(text="red apple", **settings):
    with Searcher(SearchSettings(**settings)) as searcher:
        (result,) = searcher.search([Query("1", text)])
    return [hit.doc_id for hit in result.hits]


@pytest.mark.usefixtures("index")
def test_a_search_follows_its_settings(tmp_path):
    assert ids() == ["apple", "both"]
    assert ids(require=("pear",)) == ["both"]
    assert ids(require=("pear", "plum")) == []
    assert ids(pin=("plum=9",))[0] == "plum"
    assert ids("apple pear", ban=("appl",)) == ["pear", "both"]
    assert "apple" not in ids("red pear", query_pruning="top_k=1")
    assert "apple" in ids("red pear", query_pruning="top_k=1", boost=("red=1",))
    assert "plum" in ids("red pear", query_pruning="top_k=1", pin=("plum",), two_step="on")
    mask = tmp_path / "mask.txt"
    mask.write_text("red\nappl\nno term of it\n")
    assert ids(mask=str(mask)) == []
    with pytest.raises(ConfigError, match="the mask leaves it out"):
        ids(mask=str(mask), pin=("red",))
    with pytest.raises(ConfigError, match="Near it: 'appl'"):
        ids(ban=("apple",))


@pytest.mark.usefixtures("index")
def test_one_open_searcher_answers_under_changing_controls():
    with Searcher(SearchSettings()) as searcher:
        queries = [Query("1", "red apple")]

        def asked(**control):
            (result,) = searcher.search(queries, control=TermControl(**control))
            return [hit.doc_id for hit in result.hits]

        assert asked() == ["apple", "both"]
        assert asked(require=("pear",)) == ["both"]
        assert asked(pin=(("plum", 9.0),))[0] == "plum"
        with pytest.raises(ConfigError, match="no term"):
            asked(ban=("zzz",))


@pytest.mark.usefixtures("index")
def test_a_hit_by_a_pinned_term_is_explained_by_it():
    with Searcher(SearchSettings(pin=("plum=2",), ban=("red",))) as searcher:
        (result,) = searcher.search([Query("1", "red")], vectors=True)
        query = searcher.encoder.explain("red", query=True)
        (shared,) = explain_hit(result.terms, query, result.hits[0], searcher.encoder)
    assert (shared.term, shared.query_weight, shared.query_word) == ("plum", 2.0, "")
    assert shared.document_word == "plum"
    assert shared.contribution == pytest.approx(result.hits[0].score)


def test_a_pair_is_explained_under_control():
    encoder = Bm25Encoder.fit(["red apples", "green pears", "red pears"])
    control = TermControl(ban=("red",), pin=(("green", 3.0),))
    pair = explain_pair("red pear", "green red pears", encoder, control=control)
    assert {t.term for t in pair.shared} == {"green", "pear"}
    assert pair.shared[0].term == "green"


@pytest.mark.usefixtures("index")
def test_a_query_by_its_vector_has_words_only_with_its_text():
    with Searcher(SearchSettings(lexical_only=True)) as searcher:
        vector = {"appl": 1.0, "plum": 1.0}
        (result,) = searcher.search([Query("1", "apples", vector=vector)])
        assert result.terms == {"appl": 1.0}
        with pytest.raises(ConfigError, match="no text"):
            searcher.search([Query("1", "", vector=vector)])
    with Searcher(SearchSettings(lexical_only=True, query_encoder="ready")) as searcher:
        (result,) = searcher.search([Query("1", "appl appl plum")])
        assert result.terms == {"appl": 2.0, "plum": 1.0}


@pytest.mark.usefixtures("index")
def test_the_command_line_takes_all_of_it(sparse_ir):
    options = ("--ban", "red", "--boost", "appl=2", "--pin", "plum", "--require", "pear")
    done = sparse_ir("search", "red apple", *options, "--json")
    found = json.loads(done.out)
    assert [hit["doc_id"] for hit in found["hits"]] == ["both"]
    assert sorted(found["terms"]) == ["appl", "plum"]
    assert found["terms"]["plum"] == 1.0
    done = sparse_ir("search", "red apple", "--pin", "plumm")
    assert done.exit_code != 0
    assert "Near it: 'plum'" in done.err
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.usefixtures("index")
def test_explain_controls_queries_alone(sparse_ir):
    model = ("--model", "index:default", "--json")
    done = sparse_ir("explain", "red apple", "--query", "--pin", "plum=7", "--ban", "red", *model)
    terms = json.loads(done.out)[0]["terms"]
    assert [(t["term"], t["word"]) for t in terms] == [("plum", ""), ("appl", "apple")]
    done = sparse_ir("explain", "red apple", "--ban", "red", *model)
    assert done.exit_code != 0
    assert "--query" in done.err


def test_passages_hold_what_is_required(write_jsonl):
    rows = [
        {"_id": "apart", "text": "apple " * 12 + "pear " * 12},
        {"_id": "together", "text": "apple pear " * 12},
    ]
    corpus = write_jsonl("c.jsonl", rows)
    index_corpus(
        IndexSettings(corpus=str(corpus), model="bm25", passages="each,words=10,overlap=0")
    )
    for group in ("best", "sum"):
        assert set(ids("apple", group=group, require=("pear",))) <= {"together", "apart"}
        assert ids("apple", group=group, require=("pear",))[0] == "together"
    # the only passage of the other that has both is the one in its middle
    assert len(ids("apple", group="each", require=("pear",))) > 1
