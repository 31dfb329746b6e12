from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sparse_ir.data.examples import ExampleSettings, open_examples, read_scored
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.recipe import read_recipe, run_recipe
from sparse_ir.training.pseudo_queries import (
    KINDS,
    PseudoQuerySettings,
    examples_of,
    pseudo_queries,
)
from sparse_ir.types import Document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BODY = (
    "Boundary layers grow along the plate. Their thickness follows a square root law.\n\n"
    "Heat transfer\n\n"
    "The wall is hotter than the stream far away from it. Cooling lowers the drag of the wing."
)
PLATE = Document("plate 1", BODY, "Flow over a flat plate")


def settings(**values: Any) -> PseudoQuerySettings:
    return PseudoQuerySettings(corpus="", out="", **values)


def test_each_kind_of_query_leaves_its_document_without_it():
    made = examples_of(PLATE, settings(document_words_min=1))
    assert [name.partition("-")[0] for name in made] == [
        "title",
        "heading",
        "lead",
        "sentence",
        "crop",
    ]
    for example in made.values():
        assert example.query is not None
        assert example.texts is not None
        left = example.texts[0]
        assert left is not None
        assert example.query not in " ".join(left.split())
    texts = {name.partition("-")[0]: example.query for name, example in made.items()}
    assert texts["title"] == "Flow over a flat plate"
    assert texts["heading"] == "Heat transfer"
    assert texts["lead"] == "Boundary layers grow along the plate."


def test_the_positive_of_a_title_is_the_text_and_of_a_sentence_title_and_the_rest():
    made = examples_of(PLATE, settings(kinds=("title", "lead")))
    assert made["title-0"].texts == (BODY,)
    assert made["lead-0"].texts == (
        "Flow over a flat plate " + BODY.removeprefix("Boundary layers grow along the plate. "),
    )


def test_a_title_that_the_text_repeats_is_taken_out_there_too():
    document = Document(
        "1", "flow over\na flat plate. The wing drags in the wake of it.", PLATE.title
    )
    made = examples_of(document, settings(kinds=("title",)))
    assert made["title-0"].texts == (". The wing drags in the wake of it.",)


def test_the_document_and_its_other_remains_are_named_as_relevant():
    made = list(examples_of(PLATE, settings()).values())
    names = [example.documents[0] for example in made]
    assert len(set(names)) == len(names)
    for example in made:
        assert {"plate 1", *names} == {*example.relevant, *example.documents}


def test_a_kept_span_leaves_the_document_as_it_is():
    for example in examples_of(PLATE, settings(keep_span=1.0)).values():
        assert example.documents == ("plate 1",)
        assert example.texts == (PLATE.content,)
        assert example.positives == 1


def test_a_document_without_text_is_read_by_its_title():
    made = examples_of(
        Document("1", "", "one two three four five six seven eight nine"),
        settings(crop_words_max=3),
    )
    assert list(made) == ["crop-0"]  # all other kinds would leave nothing


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_too_short_gives_no_query(kind):
    assert examples_of(Document("1", "short text.", "A title"), settings(kinds=(kind,))) == {}


def test_long_sentences_are_cut_and_numbers_of_each_kind_kept():
    body = " ".join(f"Sentence number {n} has some seven words." for n in range(9))
    made = examples_of(
        Document("1", body),
        settings(kinds=("lead", "sentence", "crop"), sentences=3, crops=4, query_words_max=4),
    )
    kinds = [name.partition("-")[0] for name in made]
    assert (kinds.count("lead"), kinds.count("sentence")) == (1, 3)
    assert kinds.count("crop") <= 4
    assert made["lead-0"].query == "Sentence number 0 has"


def test_japanese_gives_queries_too():
    body = "境界層は平板に沿って発達する。その厚さは平方根の法則に従う。壁は流れより熱い。"
    made = examples_of(Document("1", body), settings())
    assert made["lead-0"].query == "境界層は平板に沿って発達する。"
    assert "crop-0" in made


@pytest.fixture
def corpus(write_jsonl: Callable[..., Path]) -> Path:
    rows = [
        {
            "_id": f"d {i}",
            "title": f"Report {i} on wings",
            "text": BODY.replace("wall", f"wall {i}"),
        }
        for i in range(6)
    ]
    return write_jsonl("corpus.jsonl", rows)


def lines(path: Path) -> list[str]:
    return sorted(path.read_text("utf-8").splitlines())


def test_what_several_documents_give_is_left_out(corpus, tmp_path):
    out = tmp_path / "out" / "examples.jsonl"
    counted: list[int] = []
    report = pseudo_queries(
        PseudoQuerySettings(str(corpus), str(out), kinds=("title", "heading", "lead")),
        counted.append,
    )
    assert (report.documents, sum(counted)) == (6, 6)
    assert report.kinds == {"title": 6, "heading": 0, "lead": 0}
    assert (report.examples, report.ambiguous, report.barren) == (6, 12, 0)
    assert [row.query for row in read_scored(out)] == [f"Report {i} on wings" for i in range(6)]


def test_the_order_of_the_corpus_does_not_matter(corpus, tmp_path):
    reversed_corpus = tmp_path / "reversed.jsonl"
    reversed_corpus.write_text("".join(reversed(corpus.read_text().splitlines(keepends=True))))
    outs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for source, out in zip([corpus, reversed_corpus], outs, strict=True):
        pseudo_queries(PseudoQuerySettings(str(source), str(out)))
    assert lines(outs[0]) == lines(outs[1])


def test_another_seed_takes_other_parts(corpus, tmp_path):
    outs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl", tmp_path / "c.jsonl"]
    for seed, out in zip((0, 1, 0), outs, strict=True):
        pseudo_queries(PseudoQuerySettings(str(corpus), str(out), kinds=("crop",), seed=seed))
    assert lines(outs[0]) != lines(outs[1])
    assert lines(outs[0]) == lines(outs[2])


def test_the_examples_can_be_opened_and_know_what_is_relevant(corpus, tmp_path):
    out = tmp_path / "examples.jsonl.gz"
    report = pseudo_queries(PseudoQuerySettings(str(corpus), str(out)))
    table = open_examples(ExampleSettings(str(out)))
    assert (len(table), table.layout) == (report.examples, "scored")
    for at in range(len(table)):
        example = table[at]
        source = table.queries.ids[example.query].rsplit("-", 2)[0]
        for row in table.relevant(example.query):
            assert table.documents.ids[row].rpartition("~q")[0] == source


def test_bad_rows_are_refused_or_passed_over(write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", [{"_id": "1", "text": BODY}, {"_id": "1", "text": "again"}])
    out = tmp_path / "o.jsonl"
    with pytest.raises(InputError, match=r"c\.jsonl, line 2: has the duplicate id '1'"):
        pseudo_queries(PseudoQuerySettings(str(corpus), str(out)))
    assert not out.exists()
    report = pseudo_queries(PseudoQuerySettings(str(corpus), str(out), skip_bad=True))
    assert [bad.line for bad in report.skipped] == [2]


def test_documents_that_are_all_too_short_are_an_error(write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", [{"_id": "1", "text": "too short"}])
    with pytest.raises(InputError, match=r"c\.jsonl: its documents are too short"):
        pseudo_queries(PseudoQuerySettings(str(corpus), str(tmp_path / "o.jsonl")))


def test_a_corpus_of_cut_documents_is_refused(write_jsonl, tmp_path):
    corpus = write_jsonl("c.jsonl", [{"_id": "d~q3", "text": BODY}])
    with pytest.raises(InputError, match=r"'d~q3'"):
        pseudo_queries(PseudoQuerySettings(str(corpus), str(tmp_path / "o.jsonl")))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"kinds": ("titel",)}, "Did you mean title"),
        ({"kinds": ()}, "at least one"),
        ({"kinds": ("lead", "lead")}, "none twice"),
        ({"keep_span": 1.5}, "keep_span is 1.5"),
        ({"crop_words_min": 9, "crop_words_max": 3}, "crop_words_min is 9"),
        ({"crops": -1}, "crops is -1"),
    ],
)
def test_a_setting_out_of_range_is_refused(corpus, tmp_path, setting, said):
    with pytest.raises(ConfigError, match=said):
        pseudo_queries(PseudoQuerySettings(str(corpus), str(tmp_path / "o.jsonl"), **setting))


def test_the_command_writes_the_file_and_says_what_it_holds(sparse_ir, corpus, tmp_path):
    out = tmp_path / "o.jsonl"
    done = sparse_ir("pseudo-queries", "--corpus", corpus, "--out", out, "--kinds", "title, crop")
    assert done.exit_code == 0
    assert "of 6 documents (6 title," in done.out
    done = sparse_ir("pseudo-queries", "--corpus", corpus, "--out", out, "--json")
    assert json.loads(done.out)["documents"] == 6
    done = sparse_ir("pseudo-queries", "--corpus", corpus, "--out", out, "--kinds", "crops")
    assert (done.exit_code, done.err) == (
        2,
        "Error: 'crops' is no kind of query. Use title, heading, lead, sentence, crop. "
        "Did you mean crop?\n",
    )


def test_a_recipe_runs_it_once(corpus, tmp_path):
    recipe = tmp_path / "adapt.yaml"
    out = tmp_path / "o.jsonl"
    recipe.write_text(
        f"stages:\n  - pseudo_queries: {{corpus: {corpus}, out: {out}, kinds: [title, crop]}}\n"
    )
    from contextlib import nullcontext

    def run() -> list[bool]:
        outcomes = run_recipe(
            read_recipe(recipe), progress=lambda name, total: nullcontext(lambda n: None)
        )
        return [outcome.skipped for outcome in outcomes]

    assert run() == [False]
    assert run() == [True]
    out.unlink()
    assert run() == [False]


def test_a_draw_comes_from_all_over_the_corpus_and_is_the_same_again(write_jsonl, tmp_path):
    rows = [{"_id": f"d{i}", "text": " ".join(f"{c}{i}" for c in "abcdef")} for i in range(200)]
    corpus = write_jsonl("c.jsonl", rows)

    def draw(name: str, **values: Any) -> list[str]:
        out = tmp_path / name
        chosen = PseudoQuerySettings(
            str(corpus), str(out), kinds=("crop",), crop_words_max=4, document_words_min=1, **values
        )
        report = pseudo_queries(chosen)
        found = [str(example.query_id) for example in read_scored(out)]
        assert report.examples == len(found)
        assert report.ambiguous == 0
        return found

    every, some = draw("all"), draw("some", max_queries=40)
    assert len(some) == 40
    assert set(some) < set(every)
    assert some == draw("again", max_queries=40)
    places = [every.index(query_id) for query_id in some]
    assert min(places) < 50
    assert max(places) > 150
    assert set(some) < set(draw("more", max_queries=41))
    assert draw("enough", max_queries=1000) == every
    with pytest.raises(ConfigError, match="max_queries is 0"):
        draw("none", max_queries=0)
