"""The report of a benchmark, read back from the files that it writes."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from html.parser import HTMLParser
from typing import NamedTuple

import pytest

from sparse_ir.config import load_settings
from sparse_ir.evaluating.report import write_report
from sparse_ir.evaluating.results import (
    Difference,
    Facts,
    Latency,
    Outcome,
    Quantiles,
    Results,
    TermShare,
    TermUse,
)

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = "<script>alert(\"x\")</script> & 'q' | a\nb \u202eedoc " + "w" * 400
HOSTILE_TERM = '"><img src=x onerror=alert(1)>|`'


class Compared(NamedTuple):
    difference: float
    p_value: float
    corrected: float
    wins: int
    ties: int
    losses: int


class Published(NamedTuple):
    dataset: str
    system: str
    metric: str
    value: float
    source: str


class Page(HTMLParser):
    """Tags and words of a page; a tag that is not closed in its turn fails."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.rows = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def attributes(self, *names):
        return [attrs[name] for _, attrs in self.tags for name in names if attrs.get(name)]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def quantiles(p50):
    return Quantiles(mean=p50 + 1, p50=p50, p95=p50 * 2, p99=p50 * 3)


def outcome(system, dataset="sea", values=(0.5, 1.0), **more):
    per_query = dict(zip(("q1", "q2"), values, strict=True))
    return Outcome(
        system=system,
        dataset=dataset,
        model=f"{system}-model",
        engine="embedded 0.9",
        field="",
        mean={"ndcg@10": sum(values) / 2},
        per_query={"ndcg@10": per_query},
        **more,
    )


def results(*outcomes, **more):
    datasets = list(dict.fromkeys(o.dataset for o in outcomes))
    texts = {"q1": "cold water", "q2": "warm air"}
    facts = [Facts(name, 1234, texts, 1, {"q1": 3, "q2": 17}) for name in datasets]
    settings = {"name": "Seas", "metrics": ["ndcg@10"], "baseline": "bm25", "datasets": facts}
    return Results(outcomes=list(outcomes), **{**settings, **more})


def full():
    """Two systems with every figure there is."""
    latency = [Latency(n, 50, quantiles(1.5), quantiles(2.5), quantiles(4), 250.0) for n in (1, 4)]
    return results(
        outcome(
            "bm25",
            values=(0.25, 0.75),
            latency=latency,
            query_terms=[2, 4],
            document_terms=[10, 20, 30],
            flops=1.5,
            index_bytes=2_000_000,
            index_seconds=12.5,
            encode_seconds=7.5,
            peak_bytes=512_000_000,
        ),
        outcome(
            "splade",
            values=(0.125, 1.0),
            query_terms=[30, 50],
            document_terms=[100, 200],
            flops=4.0,
            terms=[
                TermUse("ocean", 0.5, 1.0, 0.95, -0.25, 0.75),
                TermUse("water", 0.25, 0.5, 0.0, 0.125),
            ],
        ),
        differences=[
            Difference(
                "sea",
                "q2",
                "splade",
                "bm25",
                (1.0, 0.75),
                "d7",
                "On warm winds",
                (1, None),
                [TermShare("wind", 2.0, 3.0), TermShare("air", 1.0, 1.5)],
                [TermShare("air", 4.0, 1.0)],
            )
        ],
        made={
            "command": ["sparse-ir", "benchmark", "my file.yaml"],
            "finished": "2025-01-02T03:04:05+00:00",
            "hardware": {"cpu": "Abacus", "cores": 8, "memory_bytes": 2**34, "gpus": ["Lamp"]},
            "platform": "Linux",
            "python": "3.11",
            "revision": "abc123",
            "sparse_ir": "0.1",
            "versions": {"numpy": "2.0"},
            "seconds": 3725.0,
        },
    )


def page_of(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def csv_of(folder):
    with (folder / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def markdown_of(folder):
    return (folder / "report.md").read_text(encoding="utf-8")


def markdown_tables(text):
    """The rows of each table, as the cells between bars that are not escaped."""
    found = []
    for block in text.split("\n\n"):
        lines = block.strip().split("\n")
        if lines[0].startswith("|"):
            found.append([re.split(r"(?<!\\)\|", line)[1:-1] for line in lines])
    return found


def better(baseline, others):
    return {name: Compared(0.0625, 0.01, 0.02, 1, 0, 1) for name in others}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The full report; tests only read it."""
    folder = tmp_path_factory.mktemp("report")
    write_report(full(), folder, significance=better)
    return folder


def test_four_files_are_written_and_named(tmp_path):
    paths = write_report(full(), tmp_path / "new")
    names = ["report.html", "report.md", "results.csv", "results.json"]
    assert paths == [tmp_path / "new" / name for name in names]
    assert all(path.stat().st_size for path in paths)


def test_the_json_reads_back_equal(out):
    values = json.loads((out / "results.json").read_text())
    assert (values.pop("format"), values.pop("kind")) == (1, "benchmark")
    assert load_settings(Results, values, where="results.json") == full()


def test_the_page_is_balanced_and_every_table_is_captioned_and_scoped(out):
    page = page_of(out)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 5
    assert all(attrs.get("scope") for tag, attrs in page.tags if tag == "th")
    assert "script" not in tags


def test_the_page_loads_nothing_and_links_only_to_itself(out):
    text = (out / "report.html").read_text(encoding="utf-8")
    page = page_of(out)
    assert all(link.startswith("#") for link in page.attributes("href", "src", "srcset", "data"))
    assert "url(" not in text
    assert "@import" not in text
    ids = page.attributes("id")
    assert {link[1:] for link in page.attributes("href")} <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_header_says_what_made_it(out):
    text = page_of(out).text
    for said in (
        "2025-01-02T03:04:05+00:00",
        "1 h 2 min",
        "Abacus, 8 cores, 16 GiB, Lamp",
        "sparse-ir 0.1, Python 3.11, numpy 2.0",
        "abc123",
        "sparse-ir benchmark 'my file.yaml'",
    ):
        assert said in text


def test_quality_is_shown_with_the_best_in_bold_and_the_mark_of_significance(out):
    rows = page_of(out).rows
    assert ["bm25 baseline", "0.500"] in rows
    assert ["splade", "0.562▲"] in rows
    assert "<strong>0.562</strong>" in (out / "report.html").read_text(encoding="utf-8")
    assert "| splade | **0.562** ▲ |" in markdown_of(out)
    assert "No mark does not mean equal" in page_of(out).text


def test_differences_are_shown_with_p_and_the_queries_won_and_lost(out):
    assert ["splade", "+0.0625", "0.010", "0.020", "1", "0", "1"] in page_of(out).rows
    assert "| sea | splade | +0.0625 | 0.010 | 0.020 | 1 | 0 | 1 |" in markdown_of(out)


def test_without_a_test_there_are_neither_marks_nor_their_legend(tmp_path):
    write_report(full(), tmp_path)
    assert "▲" not in page_of(tmp_path).text
    assert "▲" not in markdown_of(tmp_path)
    assert csv_of(tmp_path)[1]["p_value"] == ""


def test_costs_are_shown_in_their_units(out):
    rows = page_of(out).rows
    figures = ["3.00", "20.0", "1.50", "2.00", "12.5", "7.50", "512", "0"]
    assert ["bm25", *figures, "embedded 0.9", "–"] in rows
    dashes = ["40.0", "150", "4.00", "–", "–", "–", "–", "0"]
    assert ["splade", *dashes, "embedded 0.9", "–"] in rows


def test_latency_is_shown_by_clients_and_stage(out):
    page = page_of(out)
    total, encode = ["5.00", "4.00", "8.00", "12.0"], ["2.50", "1.50", "3.00", "4.50"]
    search = ["3.50", "2.50", "5.00", "7.50"]
    for clients in ("1", "4"):
        assert ["bm25", clients, *total, *encode, *search, "250", "50"] in page.rows
    heads = next(row for row in page.rows if "In all" in row)
    assert heads == ["System", "Clients", "In all", "Encode", "Search", *heads[-2:]]
    assert ["splade", *["–"] * 15] in page.rows


def test_wins_show_query_values_document_ranks_and_terms(out):
    page = page_of(out)
    assert "warm air query q2" in page.text
    assert "1.000 with splade, 0.750 with bm25" in page.text
    assert "On warm winds document d7, rank 1 with splade, not found with bm25" in page.text
    bars = [attrs["style"] for tag, attrs in page.tags if tag == "i"]
    assert bars == ["width:100.0%", "width:25.0%", "width:100.0%"]
    line = next(line for line in markdown_of(out).splitlines() if "On warm winds" in line)
    assert "wind 6.00/–, air 1.50/4.00 | 1.000 | 0.750 | 1 | – |" in line


def test_the_hardest_queries_come_with_their_relevant_documents(out):
    rows = page_of(out).rows
    first = rows.index(["cold water q1", "3", "0.188", "0.250", "0.125"])
    assert rows[first + 1] == ["warm air q2", "17", "0.875", "0.750", "1.000"]
    assert "| cold water | 3 | 0.188 | 0.250 | 0.125 |" in markdown_of(out)


def test_terms_are_shown_with_shares_and_gain(out):
    rows = page_of(out).rows
    ocean = ["ocean", "100 %", "50 %", "95 %", "75 %", "−0.2500"]
    # in most queries, in most documents, heavy though common, useless and harmful
    assert rows.count(ocean) == 5
    assert rows.count(["water", "50 %", "25 %", "0 %", "0 %", "+0.1250"]) == 2
    assert "| ocean | 100 % | 50 % | 95 % | 75 % | −0.2500 |" in markdown_of(out)


def test_the_csv_has_a_row_a_dataset_system_and_metric_with_all_figures(out):
    first, second = csv_of(out)
    assert (first["dataset"], first["system"], first["metric"]) == ("sea", "bm25", "ndcg@10")
    assert float(first["value"]) == 0.5
    assert (first["query_terms"], first["document_terms"]) == ("3.0", "20.0")
    assert (first["index_bytes"], first["index_seconds"]) == ("2000000", "12.5")
    assert (first["clients4_total_p50_ms"], first["clients4_per_second"]) == ("4", "250.0")
    assert (first["wins"], second["wins"], second["p_corrected"]) == ("", "1", "0.02")
    assert second["index_bytes"] == second["clients1_total_p50_ms"] == ""


def test_published_numbers_stand_greyed_below_with_their_source(tmp_path):
    published = [
        Published("sea", "SPLADE++", "ndcg@10", 0.7, "Paper, 2022, https://example.org/a"),
        Published("moon", "SPLADE++", "ndcg@10", 0.8, "Paper"),
        Published("sea", "SPLADE++", "map", 0.9, "Paper"),
    ]
    write_report(full(), tmp_path, published=published)
    page = page_of(tmp_path)
    assert ["SPLADE++ [1]", "0.700"] in page.rows
    assert "published" in page.attributes("class")
    assert "Paper, 2022, https://example.org/a" in page.text
    assert "0.800" not in page.text
    assert "0.900" not in page.text
    # measured values stay the best, however large a published one is
    assert "<strong>0.562</strong>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "| SPLADE++ (published, 1) | 0.700 |" in markdown_of(tmp_path)


def hostile():
    base = full()
    difference = dataclasses.replace(
        base.differences[0],
        doc_id=HOSTILE,
        title=HOSTILE,
        terms=[TermShare(HOSTILE_TERM, 1.0, 1.0)],
    )
    facts = dataclasses.replace(base.datasets[0], queries={"q1": HOSTILE, "q2": HOSTILE})
    splade = dataclasses.replace(base.outcomes[1], terms=[TermUse(HOSTILE_TERM, 1, 1, 1, -1)])
    return dataclasses.replace(
        base,
        name=HOSTILE,
        datasets=[facts],
        differences=[difference],
        outcomes=[base.outcomes[0], dataclasses.replace(splade, system='=a,"b"\nc|<i>')],
        made={"command": ["x", HOSTILE]},
    )


def test_hostile_texts_are_shown_as_texts_on_the_page(tmp_path):
    write_report(hostile(), tmp_path)
    page = page_of(tmp_path)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not page.attributes("onerror")
    assert "<script>alert(\"x\")</script> & 'q' | a b" in page.text
    assert HOSTILE_TERM in page.text
    assert "w" * 301 not in (tmp_path / "report.html").read_text(encoding="utf-8").split("</dl>")[1]


def test_hostile_texts_break_no_table_of_the_markdown(tmp_path):
    write_report(hostile(), tmp_path)
    text = markdown_of(tmp_path)
    tables = markdown_tables(text)
    assert len(tables) == 9  # quality, costs, latency, wins, hardest and four of terms
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
    assert "<" not in text
    assert "\u202e" not in text


def test_hostile_names_break_no_csv(tmp_path):
    write_report(hostile(), tmp_path)
    assert [row["system"] for row in csv_of(tmp_path)] == ["bm25", '=a,"b"\nc|<i>']


def test_control_characters_reach_no_page(tmp_path):
    write_report(dataclasses.replace(full(), name="a\x00b\x1bc"), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert "a\ufffdb\ufffdc" in text
        assert not re.search("[\x00-\x08\x0b-\x1f]", text)


def test_a_single_system_with_nothing_but_its_quality_makes_a_report(tmp_path):
    write_report(results(outcome("bm25")), tmp_path, significance=better)
    page = page_of(tmp_path)
    assert ["bm25", "0.750"] in page.rows
    assert ["bm25", *["–"] * 7, "0", "embedded 0.9", "–"] in page.rows
    assert "<strong>0.750" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    for said in ("Not measured.", "Terms were not counted.", "There is nothing to compare"):
        assert said in page.text


def test_a_system_without_a_dataset_gets_a_dash_and_no_mean(tmp_path):
    measured = results(outcome("bm25"), outcome("splade"), outcome("bm25", "air"))
    write_report(measured, tmp_path)
    rows = page_of(tmp_path).rows
    assert ["System", "sea", "air", "Mean"] in rows
    assert ["splade", "0.750", "–", "–"] in rows
    assert ["bm25 baseline", "0.750", "0.750", "0.750"] in rows


def test_no_results_at_all_make_a_page_too(tmp_path):
    write_report(results(), tmp_path)
    assert "No query was judged." in page_of(tmp_path).text
    assert csv_of(tmp_path) == []
