from __future__ import annotations

import gzip
import json
import math
import pickle
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.data.examples import (
    ExampleSettings,
    ExampleTable,
    ScoredExample,
    open_examples,
    read_scored,
    write_examples,
)
from sparse_ir.errors import ConfigError, InputError

CORPUS = [
    {"_id": "d1", "title": "Apple", "text": "a red fruit"},
    {"_id": "d2", "title": "", "text": "a green fruit"},
    {"_id": "d 3", "text": "a blue fruit"},
    {"_id": "dé4", "text": "a car"},
]
QUERIES = [{"_id": "q1", "text": "red?"}, {"_id": "q 2", "text": "blue?"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus and queries; examples that lie here find them."""
    write(tmp_path / "corpus.jsonl", CORPUS)
    write(tmp_path / "queries.jsonl", QUERIES)
    return tmp_path


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def said(table: ExampleTable) -> list[tuple[str, list[str], Any]]:
    """Every example with its texts."""
    examples = [table[i] for i in range(len(table))]
    return [
        (table.queries.texts([e.query])[0], table.documents.texts(e.documents), e.scores)
        for e in examples
    ]


def ids(table: ExampleTable) -> list[tuple[str, list[str]]]:
    return [
        (table.queries.ids[e.query], [table.documents.ids[d] for d in e.documents])
        for e in (table[i] for i in range(len(table)))
    ]


def relevant(table: ExampleTable, query_id: str) -> set[str]:
    row = list(table.queries.ids).index(query_id)
    return {table.documents.ids[d] for d in table.relevant(row)}


# triplets


def test_ids_are_looked_up_in_the_corpus_beside_the_examples(folder):
    path = write(folder / "t.jsonl", [{"qid": "q1", "pos": "d1", "neg": "d2"}])
    table = open_examples(ExampleSettings(str(path)))
    assert said(table) == [("red?", ["Apple a red fruit", "a green fruit"], None)]
    assert ids(table) == [("q1", ["d1", "d2"])]
    assert table.layout == "triplets"


def test_only_texts_that_examples_need_are_stored(folder):
    path = write(folder / "t.jsonl", [{"qid": "q1", "pos": "d1", "neg": "d2"}])
    table = open_examples(ExampleSettings(str(path)))
    assert (sorted(table.documents.ids), list(table.queries.ids)) == (["d1", "d2"], ["q1"])


def test_ids_with_spaces_and_letters_beyond_ascii_are_found(folder):
    path = write(folder / "t.jsonl", [{"query_id": "q 2", "pos": "d 3", "neg": ["dé4", "d1"]}])
    table = open_examples(ExampleSettings(str(path)))
    assert ids(table) == [("q 2", ["d 3", "dé4", "d1"])]


def test_scores_of_triplets_are_a_teachers_and_may_be_unknown(folder):
    rows = [
        {"qid": "q1", "pos": "d1", "neg": "d2", "pos_score": 2.5, "neg_score": 1},
        {"qid": "q1", "pos": "d1", "neg": "d 3", "pos_score": None, "neg_score": 0.5},
        {"qid": "q1", "pos": "d1", "neg": "d 3", "pos_score": None, "neg_score": None},
    ]
    table = open_examples(ExampleSettings(str(write(folder / "t.jsonl", rows))))
    assert table[0].scores == (2.5, 1.0)
    unknown = table[1].scores
    assert unknown is not None
    assert math.isnan(unknown[0])
    assert unknown[1] == 0.5
    assert table[2].scores is None


def test_ms_marco_triplets_are_ids_where_a_corpus_is_given(tmp_path):
    (tmp_path / "t.tsv").write_text("1\t10\t11\n1\t10\t12\t11\n")
    (tmp_path / "collection.tsv").write_text("10\tten\n11\televen\n12\ttwelve\n")
    (tmp_path / "q.tsv").write_text("1\tone?\n")
    table = open_examples(
        ExampleSettings(
            str(tmp_path / "t.tsv"),
            corpus=str(tmp_path / "collection.tsv"),
            queries=str(tmp_path / "q.tsv"),
        )
    )
    assert said(table) == [
        ("one?", ["ten", "eleven"], None),
        ("one?", ["ten", "twelve", "eleven"], None),
    ]


def test_tab_separated_texts_need_no_corpus_and_are_stored_once(tmp_path):
    (tmp_path / "t.tsv").write_text("which?\tthis\tthat\nwhich?\tthis\tother\tthat\n")
    table = open_examples(ExampleSettings(str(tmp_path / "t.tsv")))
    assert said(table) == [
        ("which?", ["this", "that"], None),
        ("which?", ["this", "other", "that"], None),
    ]
    assert (len(table.queries), len(table.documents)) == (1, 3)
    assert "texts" in table.taken


def test_a_header_names_the_columns_of_tab_separated_triplets(tmp_path):
    (tmp_path / "t.tsv").write_text("negative\tanchor\tpositive\nno\twhich?\tyes\n")
    table = open_examples(ExampleSettings(str(tmp_path / "t.tsv")))
    assert said(table) == [("which?", ["yes", "no"], None)]


@pytest.mark.parametrize("key", ["pos", "positive"])
def test_jsonl_triplets_may_hold_texts(tmp_path, key):
    path = write(tmp_path / "t.jsonl", [{"query": "a?", key: "b", "neg": "c"}])
    assert said(open_examples(ExampleSettings(str(path)))) == [("a?", ["b", "c"], None)]


def test_a_query_text_beside_its_id_is_taken_as_it_is(folder):
    path = write(folder / "t.jsonl", [{"qid": "new", "query": "new?", "pos": "d1", "neg": "d2"}])
    table = open_examples(ExampleSettings(str(path)))
    assert said(table)[0][0] == "new?"
    assert table.queries.ids[0] == "new"


@pytest.mark.parametrize(
    ("name", "pack"),
    [("t.jsonl.gz", gzip.compress), ("t.jsonl.zst", zstandard.compress), ("odd", gzip.compress)],
)
def test_compressed_examples_are_read(folder, name, pack):
    row = json.dumps({"qid": "q1", "pos": "d1", "neg": "d2"}) + "\n"
    (folder / name).write_bytes(pack(row.encode()))
    assert len(open_examples(ExampleSettings(str(folder / name)))) == 1


# light-splade


LIGHT_DOCUMENTS = [{"doc_id": i, "text": f"文書{i}"} for i in range(1, 6)]
LIGHT_POSITIVES = [
    {"qid": 1, "positive_doc_ids": [1, 2]},
    {"qid": 2, "positive_doc_ids": [3]},
]


@pytest.fixture
def light(tmp_path: Path) -> Path:
    folder = tmp_path / "light" / "train"
    folder.mkdir(parents=True)
    write(folder / "doc_master.ndjson", LIGHT_DOCUMENTS)
    write(folder / "query_master.ndjson", [{"qid": i, "text": f"問{i}"} for i in (1, 2)])
    write(folder / "positive_lists.ndjson", LIGHT_POSITIVES)
    return folder


def test_light_splade_triplets_know_all_listed_positives(light):
    rows = [
        {"qid": 1, "pos_doc_id": 1, "neg_doc_id": 4},
        {"qid": 2, "pos_doc_id": 3, "neg_doc_id": 2},
    ]
    write(light / "triplets.ndjson", rows)
    table = open_examples(ExampleSettings(str(light.parent)))
    assert said(table) == [("問1", ["文書1", "文書4"], None), ("問2", ["文書3", "文書2"], None)]
    assert table.layout == "lightsplade"
    assert relevant(table, "1") == {"1", "2"}


def test_light_splade_scores_give_an_example_for_each_positive_hardest_negative_first(light):
    rows = [
        {"qid": 7, "scores": {"1": 0.1}},  # of another split
        {"qid": 1, "scores": {"1": 0.9, "2": 0.8, "3": 0.1, "4": 0.5, "99": 0.7}},
        {"qid": 2, "scores": {"3": 0.9, "5": 0.25}},
    ]
    write(light.parent / "hard_negative_scores.ndjson", rows)
    table = open_examples(ExampleSettings(str(light.parent)))
    assert ids(table) == [
        ("1", ["1", "4", "3"]),
        ("1", ["2", "4", "3"]),
        ("2", ["3", "5"]),
    ]
    assert table[1].scores == pytest.approx((0.8, 0.5, 0.1))


def test_light_splade_positives_alone_are_examples_without_negatives(light):
    table = open_examples(ExampleSettings(str(light)))
    assert ids(table) == [("1", ["1"]), ("1", ["2"]), ("2", ["3"])]


@pytest.mark.parametrize(
    ("file", "rows", "said"),
    [
        ("triplets", [{"qid": 1, "pos_doc_id": 3, "neg_doc_id": 4}], "positive '3'"),
        ("triplets", [{"qid": 1, "pos_doc_id": 1, "neg_doc_id": 2}], "negative '2'"),
        ("triplets", [{"qid": 9, "pos_doc_id": 1, "neg_doc_id": 2}], "'9'"),
        ("triplets", [{"qid": 1, "pos_doc_id": 1, "neg_doc_id": 77}], "'77'"),
        ("triplets", [{"qid": 1, "pos_doc_id": 1}], "no negative id"),
        ("scores", [{"qid": 1, "scores": {"1": 1.0, "4": 0.5}}], "positive '2'"),
        ("scores", [{"qid": 1, "scores": [1.0]}], "query '1'"),
        ("scores", [{"qid": 1, "scores": {"1": "x", "2": 1}}], "finite number"),
        ("scores", [{"qid": 1, "scores": {"1": 1.0, "2": 1.0}}], "'2', which has no scores"),
        ("positive_lists", [{"qid": 1, "positive_doc_ids": []}], "query '1'"),
        ("positive_lists", [LIGHT_POSITIVES[1]] * 2, "'2' a second time"),
        ("positive_lists", [{"qid": 1, "positive_doc_ids": 3}], "no list"),
        ("positive_lists", [{"qid": 1, "positive_doc_ids": [88]}], "'88'"),
    ],
)
def test_a_bad_row_of_light_splade_is_named(light, file, rows, said):
    write(light / f"{file}.ndjson", rows)
    with pytest.raises(InputError, match=rf"ndjson, line \d+: .*{said}"):
        open_examples(ExampleSettings(str(light.parent)))


def test_light_splade_without_its_positives_says_which_file_is_missing(light):
    (light / "positive_lists.ndjson").unlink()
    with pytest.raises(InputError, match=r"holds no positive_lists\.ndjson"):
        open_examples(ExampleSettings(str(light.parent)))


# FlagEmbedding


def test_flagembedding_gives_an_example_for_each_positive(tmp_path):
    row = {
        "query": "a?",
        "pos": ["p1", "p2"],
        "neg": ["n1", "n2"],
        "pos_scores": [4, 3],
        "neg_scores": [2, 1],
        "prompt": "ignored",
    }
    table = open_examples(ExampleSettings(str(write(tmp_path / "f.jsonl", [row]))))
    assert table.layout == "flagembedding"
    assert said(table) == [
        ("a?", ["p1", "n1", "n2"], (4.0, 2.0, 1.0)),
        ("a?", ["p2", "n1", "n2"], (3.0, 2.0, 1.0)),
    ]
    assert table.relevant(0) == {table[0].documents[0], table[1].documents[0]}


def test_a_text_that_stands_twice_in_an_example_counts_once(tmp_path):
    row = {"query": "a?", "pos": ["p"], "neg": ["n", "p", "n", "m"]}
    table = open_examples(ExampleSettings(str(write(tmp_path / "f.jsonl", [row]))))
    assert said(table) == [("a?", ["p", "n", "m"], None)]


# sentence-transformers columns


def columns(path: Path, rows: list[dict[str, Any]]) -> ExampleSettings:
    """The same rows in the form that the file's name tells."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        path.write_text("".join(",".join(f'"{v}"' for v in line) + "\n" for line in lines))
    elif path.suffix == "":
        import datasets

        datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(str(path))
    else:
        write(path, rows)
    return ExampleSettings(str(path))


@pytest.mark.parametrize("name", ["c.jsonl", "c.parquet", "c.csv", "saved"])
def test_columns_of_sentence_transformers_are_read_from_every_file(tmp_path, name):
    row = {"anchor": "a?", "positive": "p", "negative_1": "n, 1", "negative_2": "n 2"}
    table = open_examples(columns(tmp_path / name, [row]))
    assert table.layout == "columns"
    assert said(table) == [("a?", ["p", "n, 1", "n 2"], None)]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ({"scores": [3.0, 1.0, 2.0]}, (3.0, 1.0, 2.0)),
        ({"label": [2.0, 1.0]}, (0.0, -2.0, -1.0)),  # margins of the positive
        ({"score": None}, None),
    ],
)
def test_a_column_of_scores_is_a_teachers(tmp_path, label, expected):
    row = {"query": "a?", "answer": "p", "negative": "n", "negative_2": "m", **label}
    table = open_examples(columns(tmp_path / "c.jsonl", [row]))
    assert table[0].scores == expected


def test_a_single_margin_is_read_from_text(tmp_path):
    row = {"anchor": "a?", "positive": "p", "negative": "n", "label": 1.5}
    table = open_examples(columns(tmp_path / "c.csv", [row]))
    assert table[0].scores == (0.0, -1.5)


def test_pairs_need_no_negative(tmp_path):
    table = open_examples(columns(tmp_path / "c.jsonl", [{"question": "a?", "answer": "p"}]))
    assert said(table) == [("a?", ["p"], None)]


def test_files_of_a_folder_are_one_source_and_the_split_chooses(tmp_path):
    for name in ("train-1", "train-0", "test-0"):
        columns(tmp_path / f"{name}.parquet", [{"query": name, "positive": "p"}])
    table = open_examples(ExampleSettings(str(tmp_path)))
    assert [query for query, _, _ in said(table)] == ["train-0", "train-1"]


def test_a_folder_that_load_dataset_reads_is_read_like_the_hub(tmp_path):
    write(tmp_path / "train.jsonl", [{"query": "a?", "positive": "p"}])
    table = open_examples(ExampleSettings(f"hf:{tmp_path}"))
    assert said(table) == [("a?", ["p"], None)]


# BEIR


@pytest.fixture
def beir(folder: Path) -> Path:
    (folder / "qrels").mkdir()
    (folder / "qrels" / "train.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t2\nq1\tdé4\t0\nq 2\td 3\t1\n", "utf-8"
    )
    return folder


def test_a_beir_folder_gives_an_example_for_each_positive(beir):
    table = open_examples(ExampleSettings(str(beir)))
    assert table.layout == "beir"
    assert ids(table) == [("q1", ["d1"]), ("q1", ["d2"]), ("q 2", ["d 3"])]
    assert relevant(table, "q1") == {"d1", "d2"}


def test_judgements_alone_take_corpus_and_queries_from_the_settings(beir):
    table = open_examples(
        ExampleSettings(
            str(beir / "qrels" / "train.tsv"), corpus=str(beir), queries=str(beir / "queries.jsonl")
        )
    )
    assert len(table) == 3


def test_a_judged_document_that_is_in_no_corpus_is_named_with_its_line(beir):
    qrels = beir / "qrels" / "train.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\tlost one\t1\n")
    with pytest.raises(InputError, match=r"train\.tsv, line 3: .*'lost one'"):
        open_examples(ExampleSettings(str(beir)))


def test_an_unknown_split_is_refused(beir):
    with pytest.raises(InputError, match=r"dev\.tsv"):
        open_examples(ExampleSettings(str(beir), split="dev"))


# the project's own layout


def test_scored_examples_may_mix_ids_and_texts(folder):
    row = {
        "query_id": "q1",
        "documents": ["d1", "own", "d2"],
        "texts": [None, "own text", None],
        "scores": [3, None, 1],
    }
    table = open_examples(ExampleSettings(str(write(folder / "s.jsonl", [row]))))
    assert table.layout == "scored"
    ((query, documents, scores),) = said(table)
    assert (query, documents) == ("red?", ["Apple a red fruit", "own text", "a green fruit"])
    assert math.isnan(scores[1])


def test_several_positives_give_an_example_each_and_are_all_relevant(folder):
    row = {
        "query_id": "q1",
        "documents": ["d1", "d2", "dé4"],
        "positives": 2,
        "relevant": ["d 3", "nowhere"],
        "scores": [3, 2, 1],
    }
    other = {"query_id": "q 2", "documents": ["d 3", "d1"]}
    table = open_examples(ExampleSettings(str(write(folder / "s.jsonl", [row, other]))))
    assert ids(table)[:2] == [("q1", ["d1", "dé4"]), ("q1", ["d2", "dé4"])]
    assert (table[0].scores, table[1].scores) == ((3.0, 1.0), (2.0, 1.0))
    assert relevant(table, "q1") == {"d1", "d2", "d 3"}
    assert relevant(table, "q 2") == {"d 3"}


def test_texts_need_no_ids(tmp_path):
    row = {"query": "a?", "texts": ["p", "n"]}
    assert said(open_examples(ExampleSettings(str(write(tmp_path / "s.jsonl", [row]))))) == [
        ("a?", ["p", "n"], None)
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)
some_ids = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=8,
).filter(lambda text: bool(text.strip()))
scores = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))


@st.composite
def scored(draw: st.DrawFn, query_id: str) -> ScoredExample:
    names = draw(st.lists(some_ids, min_size=1, max_size=5, unique=True))
    return ScoredExample(
        query_id,
        tuple(names),
        query=f"query {query_id}",
        texts=tuple(f"text {name}" for name in names),
        scores=draw(st.one_of(st.none(), st.tuples(*(scores for _ in names)))),
        positives=draw(st.integers(1, len(names))),
        relevant=tuple(draw(st.lists(some_ids, max_size=2))),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(some_ids, min_size=1, max_size=4, unique=True), st.data(), texts)
def test_what_is_written_reads_back_the_same(query_ids, data, text):
    rows = [data.draw(scored(query_id)) for query_id in query_ids]
    rows.append(ScoredExample("last one", ("own document",), text, (text,)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.jsonl"
        assert write_examples(path, rows) == len(rows)
        expected = [
            row._replace(scores=None)
            if row.scores is None or all(score is None for score in row.scores)
            else row
            for row in rows
        ]
        assert list(read_scored(path)) == expected
        table = open_examples(ExampleSettings(str(path)), cache=Path(folder) / "cache")
        assert len(table) == sum(row.positives for row in rows)
        at = 0
        for row in rows:
            for positive in range(row.positives):
                wanted = [positive, *range(row.positives, len(row.documents))]
                example = table[at]
                assert table.queries.ids[example.query] == row.query_id
                assert [table.documents.ids[d] for d in example.documents] == [
                    row.documents[i] for i in wanted
                ]
                assert row.texts is not None
                assert table.documents.texts(example.documents) == [row.texts[i] for i in wanted]
                at += 1


@pytest.mark.parametrize(
    "row",
    [
        ScoredExample("q", ("d", "d")),
        ScoredExample("q", ()),
        ScoredExample("q\n", ("d",)),
        ScoredExample("q", ("d",), scores=(1.0, 2.0)),
        ScoredExample("q", ("d",), scores=(math.inf,)),
        ScoredExample("q", ("d",), texts=("",)),
        ScoredExample("q", ("d",), query="\ud800"),
        ScoredExample("q", ("d",), positives=2),
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path, row):
    path = tmp_path / "s.jsonl"
    with pytest.raises(InputError, match=r"s\.jsonl, line 2: "):
        write_examples(path, [ScoredExample("q", ("d",)), row])
    assert not path.exists()


# bad rows


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"qid": "q1", "pos": "d1", "neg": "absent"}', "document 'absent'"),
        ('{"qid": "absent", "pos": "d1", "neg": "d2"}', "query 'absent'"),
        ('{"qid": "q1", "pos": "d1", "neg": "d1"}', "document 'd1' twice"),
        ('{"qid": "q1", "neg": "d1"}', "no positive id"),
        ('{"qid": "q1", "pos": "d1", "neg": ["d2", 3.5]}', "3.5"),
        ('{"qid": "", "pos": "d1", "neg": "d2"}', "empty id"),
        ('{"qid": "q1", "pos": "d1", "neg": "d2", "pos_score": "high"}', "'high'"),
        ('{"qid": "q1", "pos": "d1", "neg": "d2", "pos_score": true}', "True"),
        ('{"qid": "q1", "pos": "d1", "neg": "d2", "pos_score": 1, "neg_score": [1, 2]}', "'q1'"),
        ('{"query": "x", "pos": "", "neg": "d2"}', "empty positive"),
        ('{"query": 4, "pos": "p", "neg": "d2"}', "query that is not text"),
        ('{"qid": "q1", "pos": "d1", "neg": "d2"', "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"qid": "q\\ud8001", "pos": "d1", "neg": "d2"}', "surrogate"),
    ],
)
def test_a_bad_triplet_is_named_with_file_and_line(folder, row, said):
    path = folder / "t.jsonl"
    path.write_text('{"qid": "q1", "pos": "d1", "neg": "d2"}\n' + row + "\n")
    with pytest.raises(InputError, match=rf"t\.jsonl, line 2: .*{said}"):
        open_examples(ExampleSettings(str(path)))


@pytest.mark.parametrize(
    ("layout", "row", "said"),
    [
        ("flagembedding", {"query": "a", "pos": [], "neg": ["n"]}, "no positive"),
        ("flagembedding", {"query": "a", "pos": "p", "neg": ["n"]}, "no list"),
        ("flagembedding", {"query": "a", "pos": ["p"], "neg": [None]}, "negative that is not text"),
        (
            "flagembedding",
            {"query": "a", "pos": ["p"], "neg": ["n"], "pos_scores": [1]},
            "only one",
        ),
        (
            "flagembedding",
            {"query": "a", "pos": ["p"], "neg": [], "pos_scores": [1, 2], "neg_scores": []},
            "2 pos_scores for 1",
        ),
        ("columns", {"anchor": "a", "negative": "n"}, "no positive column"),
        ("columns", {"positive": "a"}, "no query column"),
        (
            "columns",
            {"anchor": "a", "positive": "p", "negative": "n", "score": [1, 2, 3]},
            "3 scores",
        ),
        ("columns", {"anchor": "a", "positive": "p", "label": 0}, "label 0"),
        ("columns", {"anchor": "a", "positive": None}, "no positive"),
        ("scored", {"query_id": "q1"}, "neither documents nor texts"),
        ("scored", {"documents": ["d1"]}, "neither query_id nor query"),
        ("scored", {"query_id": "q1", "documents": "d1"}, "no list"),
        ("scored", {"query_id": "q1", "documents": ["d1"], "texts": []}, "0 texts for 1"),
        ("scored", {"query_id": "q1", "documents": ["d1"], "positives": 0}, "'q1'"),
        ("scored", {"query_id": "q1", "documents": ["d1"], "positives": True}, "'q1'"),
        ("scored", {"query_id": "q1", "documents": ["d1", "d2"], "scores": [1]}, "'q1'"),
        ("scored", {"query_id": "q1", "documents": ["d1", "d1"]}, "'d1' twice"),
        ("scored", {"query_id": "q1", "documents": ["d1"], "scores": [1e39]}, "finite"),
        ("scored", {"query_id": "q1", "documents": ["gone"]}, "'gone'"),
    ],
)
def test_a_bad_row_of_a_layout_is_named_with_file_and_line(folder, layout, row, said):
    path = write(folder / "x.jsonl", [row])
    with pytest.raises(InputError, match=rf"x\.jsonl, line 1: .*{said}"):
        open_examples(ExampleSettings(str(path), layout=layout))


@pytest.mark.parametrize(
    ("line", "said"),
    [("a\tb", "2 columns"), ("a\t\tc", "empty positive"), ("only", "1 columns")],
)
def test_a_bad_line_of_texts_is_named(tmp_path, line, said):
    (tmp_path / "t.tsv").write_text(f"q\tp\tn\n{line}\n")
    with pytest.raises(InputError, match=rf"t\.tsv, line 2: .*{said}"):
        open_examples(ExampleSettings(str(tmp_path / "t.tsv")))


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "t.tsv").write_bytes(b"q\tp\tn\nq\tp\t\xff\n")
    with pytest.raises(InputError, match=r"t\.tsv, line 2: is not UTF-8"):
        open_examples(ExampleSettings(str(tmp_path / "t.tsv")))


def test_ids_without_a_corpus_say_what_to_set(tmp_path):
    (tmp_path / "t.tsv").write_text("1\t2\t3\n")
    with pytest.raises(InputError, match=r"line 1: names the query '1'.*Set queries"):
        open_examples(ExampleSettings(str(tmp_path / "t.tsv")))


def test_an_id_with_two_texts_is_refused(tmp_path):
    rows = [
        {"query_id": "q", "query": "a", "documents": ["d"], "texts": ["one"]},
        {"query_id": "q", "query": "a", "documents": ["d"], "texts": ["two"]},
    ]
    path = write(tmp_path / "s.jsonl", rows)
    with pytest.raises(InputError, match=r"s\.jsonl, line 2: the id 'd' stands for another text"):
        open_examples(ExampleSettings(str(path)))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", "", "holds no examples"),
        ("odd.jsonl", '{"a": 1}\n', "no columns that are known"),
        ("odd.csv", "a,b\n1,2\n", "no columns that are known"),
        ("pairs.tsv", "a\tb\n", "2 tab-separated columns"),
    ],
)
def test_what_is_no_file_of_examples_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        open_examples(ExampleSettings(str(tmp_path / name)))


def test_a_missing_file_proposes_the_nearest_name(folder):
    write(folder / "triplets.jsonl", [])
    with pytest.raises(InputError, match=r"Did you mean .*triplets\.jsonl"):
        open_examples(ExampleSettings(str(folder / "triplet.jsonl")))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"layout": "triplet"}, "Did you mean triplets"),
        ({"negatives": -1}, "negatives is -1"),
        ({"limit": 0}, "limit is 0"),
        ({"weight": 0.0}, "weight is 0"),
        ({"weight": math.nan}, "weight is nan"),
    ],
)
def test_a_setting_out_of_range_is_refused(setting, said):
    with pytest.raises(ConfigError, match=said):
        open_examples(ExampleSettings("x.jsonl", **setting))


# what is kept, joined, cached


ROWS = [
    {"qid": "q1", "pos": "d1", "neg": ["d2", "d 3", "dé4"]},
    {"qid": "q 2", "pos": "d 3", "neg": "d1"},
]


def test_negatives_and_limit_keep_the_first(folder):
    path = write(folder / "t.jsonl", ROWS)
    table = open_examples(ExampleSettings(str(path), negatives=1, limit=1))
    assert ids(table) == [("q1", ["d1", "d2"])]
    none = open_examples(ExampleSettings(str(path), negatives=0))
    assert ids(none) == [("q1", ["d1"]), ("q 2", ["d 3"])]


def test_group_joins_the_negatives_of_neighbouring_lines(folder):
    rows = [
        {"qid": "q1", "pos": "d1", "neg": "d2", "pos_score": None, "neg_score": 1},
        {"qid": "q1", "pos": "d1", "neg": "d 3", "pos_score": 2, "neg_score": 0.5},
        {"qid": "q1", "pos": "d1", "neg": "d2"},
        {"qid": "q 2", "pos": "d 3", "neg": "d1"},
        {"qid": "q1", "pos": "d1", "neg": "dé4"},
    ]
    path = write(folder / "t.jsonl", rows)
    table = open_examples(ExampleSettings(str(path), group=True))
    assert ids(table) == [
        ("q1", ["d1", "d2", "d 3"]),
        ("q 2", ["d 3", "d1"]),
        ("q1", ["d1", "dé4"]),
    ]
    assert table[0].scores == (2.0, 1.0, 0.5)


def test_further_judgements_say_what_is_relevant(folder):
    (folder / "more.tsv").write_text("q1 0 d2 1\nq1 0 d1 0\nq9 0 d1 1\nq1 0 far 1\n")
    path = write(folder / "t.jsonl", ROWS)
    table = open_examples(ExampleSettings(str(path), qrels=str(folder / "more.tsv")))
    assert relevant(table, "q1") == {"d1", "d2"}


def test_examples_are_compiled_once_and_anew_when_a_file_changes(folder):
    path = write(folder / "t.jsonl", ROWS)
    read: list[int] = []
    first = open_examples(ExampleSettings(str(path)), advance=read.append)
    assert sum(read) == 2
    again = open_examples(ExampleSettings(str(path), weight=3.0), advance=read.append)
    assert (again.folder, sum(read)) == (first.folder, 2)
    write(folder / "corpus.jsonl", [*CORPUS, {"_id": "d5", "text": "more"}])
    assert open_examples(ExampleSettings(str(path))).folder != first.folder


def test_a_failed_compilation_leaves_nothing_behind(folder, tmp_path):
    path = write(folder / "t.jsonl", [{"qid": "q1", "pos": "d1", "neg": "absent"}])
    with pytest.raises(InputError):
        open_examples(ExampleSettings(str(path)), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_table_can_be_sent_to_another_process(folder):
    table = open_examples(ExampleSettings(str(write(folder / "t.jsonl", ROWS))))
    assert said(pickle.loads(pickle.dumps(table))) == said(table)


def test_rows_that_do_not_exist_are_refused(folder):
    table = open_examples(ExampleSettings(str(write(folder / "t.jsonl", ROWS))))
    assert table[-1] == table[1]
    with pytest.raises(IndexError):
        table[2]
    with pytest.raises(IndexError):
        table.documents.texts([99])


def test_damaged_compiled_files_say_what_to_delete(folder):
    path = write(folder / "t.jsonl", ROWS)
    (open_examples(ExampleSettings(str(path))).folder / "documents.arrow").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"documents\.arrow: is damaged. Delete its folder"):
        open_examples(ExampleSettings(str(path)))


def test_memory_does_not_grow_with_the_texts(tmp_path):
    """20,000 documents of 2,000 characters are 40 MB; numbers and ids are a tenth of that."""
    import pyarrow as pa

    n = 20_000
    with (tmp_path / "corpus.jsonl").open("w") as stream:
        for i in range(n):
            stream.write(json.dumps({"_id": f"d{i}", "text": f"{i} " + "x" * 2000}) + "\n")
    with (tmp_path / "queries.jsonl").open("w") as stream:
        for i in range(n // 2):
            stream.write(json.dumps({"_id": f"q{i}", "text": f"query {i}"}) + "\n")
    with (tmp_path / "t.tsv").open("w") as stream:
        for i in range(n // 2):
            stream.write(f"q{i}\td{i}\td{n - 1 - i}\n")
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        table = open_examples(
            ExampleSettings(
                str(tmp_path / "t.tsv"),
                corpus=str(tmp_path / "corpus.jsonl"),
                queries=str(tmp_path / "queries.jsonl"),
            )
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(table), len(table.documents)) == (n // 2, n)
    assert table.documents.texts([table[7].documents[0]])[0].startswith("7 ")
    assert most < 20_000_000
    assert held < 2_000_000
    assert pa.total_allocated_bytes() - before < 2_000_000
