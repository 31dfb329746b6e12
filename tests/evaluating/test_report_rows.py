"""Rows, words and geometry of the report, each by numbers that can be checked by hand."""

from __future__ import annotations

import doctest
import importlib

import pytest

from sparse_ir.evaluating.report_axes import Axis, linear_axis, log_axis, pareto_front
from sparse_ir.evaluating.report_histograms import bin_width, counts, histograms
from sparse_ir.evaluating.report_labels import Box, place_labels
from sparse_ir.evaluating.report_plots import FRAME, MARKERS, quality_plots
from sparse_ir.evaluating.report_quality import compare_all, quality_tables
from sparse_ir.evaluating.report_queries import duels, hardest, parts
from sparse_ir.evaluating.report_terms import term_lists
from sparse_ir.evaluating.report_text import escape
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

MODULES = ("axes", "histograms", "text", "words")


def outcome(system, quality, *, dataset="sea", milliseconds=None, **more):
    took = Quantiles(1.0, milliseconds or 1.0, 1.0, 1.0)
    latency = [Latency(1, 5, took, took, took, 1.0)] if milliseconds else []
    per_query = more.pop("per_query", {"q1": quality})
    return Outcome(
        system,
        dataset,
        "model",
        "engine",
        "",
        {"ndcg@10": quality},
        {"ndcg@10": per_query},
        latency=latency,
        **more,
    )


def results(*outcomes, queries=None, **more):
    texts = queries or {"q1": "one"}
    names = dict.fromkeys(o.dataset for o in outcomes)
    facts = [Facts(name, 10, texts, 1, dict.fromkeys(texts, 2)) for name in names]
    return Results("r", ["ndcg@10"], "a", facts, list(outcomes), **more)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_hold(name):
    module = importlib.import_module(f"sparse_ir.evaluating.report_{name}")
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


def test_the_front_is_what_nothing_beats_cheapest_first():
    #          dear+best   beaten      cheapest    equal cost, worse
    points = [(9.0, 0.9), (5.0, 0.4), (1.0, 0.5), (1.0, 0.3), (4.0, 0.7)]
    assert pareto_front(points) == [2, 4, 0]


def test_equal_points_are_both_on_the_front():
    assert pareto_front([(1.0, 0.5), (2.0, 0.5), (1.0, 0.5)]) == [0, 2]
    assert pareto_front([]) == []


def test_a_logarithmic_axis_puts_the_mean_of_logarithms_in_the_middle():
    axis = Axis(1, 100, 0, 200, log=True)
    assert [axis.at(value) for value in (1, 10, 100)] == [0, 100, 200]
    assert [tick.label for tick in axis.ticks(3)] == ["1", "10", "100"]


def test_axes_of_a_single_value_have_room_and_ticks():
    for axis in (linear_axis([0.5], 100, 0, least=0.02), log_axis([3.0], 0, 100)):
        assert axis.low < axis.high
        assert len(axis.ticks()) >= 2
    assert linear_axis([0.5], 100, 0, least=0.02).at(0.5) == 50


def test_values_of_a_linear_axis_have_equally_many_digits():
    assert [tick.label for tick in Axis(0.57, 0.61, 0, 1).ticks(4)] == ["0.58", "0.60"]


def test_labels_of_near_points_do_not_meet_and_stay_inside():
    points = [(100.0, 100.0), (106.0, 102.0), (98.0, 108.0), (360.0, 30.0), (50.0, 225.0)]
    names = ["sparse-ir-mini", "splade-v3", "bm25", "at the right", "in a corner"]
    boxes = [label.box for label in place_labels(points, names, frame=FRAME)]
    assert all(box.shared(FRAME) == pytest.approx(box.area) for box in boxes)
    for i, box in enumerate(boxes):
        assert not [other for other in boxes[i + 1 :] if box.shared(other)]
        assert not any(box.left < x < box.right and box.top < y < box.bottom for x, y in points)


def test_boxes_share_their_overlap():
    assert Box(0, 0, 4, 4).shared(Box(2, 3, 9, 9)) == 2
    assert Box(0, 0, 1, 1).shared(Box(2, 2, 3, 3)) == 0


def test_a_plot_leaves_out_who_was_not_measured():
    measured = results(
        outcome("a", 0.5, milliseconds=1.0, index_bytes=10**6),
        outcome("b", 0.6, milliseconds=10.0),
        outcome("c", 0.7, index_bytes=0),
    )
    latency, size = quality_plots(measured)
    assert [point.system for point in latency.scatters[0].points] == ["a", "b"]
    assert [point.system for point in size.scatters[0].points] == ["a"]
    a, b = latency.scatters[0].points
    assert a.x < b.x
    assert a.y > b.y  # upwards is better
    assert b.says == "b: 0.600, 10.0"
    assert latency.scatters[0].front == f"M{a.x:g} {a.y:g}H{b.x:g}V{b.y:g}H{FRAME.right}"


def test_a_system_keeps_its_shape_on_every_dataset():
    measured = results(
        outcome("a", 0.5, milliseconds=1.0),
        outcome("b", 0.5, milliseconds=2.0),
        outcome("b", 0.5, milliseconds=2.0, dataset="air"),
    )
    second = quality_plots(measured)[0].scatters[1]
    assert [point.number for point in second.points] == [1]
    assert len(set(MARKERS)) == len(MARKERS) == 8


def test_bins_count_every_value_once():
    assert counts([1, 1, 2, 5, 6, 12], 2, 4) == [2, 1, 1, 2]
    assert bin_width([0, 59]) == (2, 30)
    assert bin_width([0, 60]) == (5, 13)
    assert bin_width([0]) == (1, 1)


def test_histograms_count_the_texts_of_each_system_and_mark_the_mean():
    measured = results(
        outcome("a", 0.5, query_terms=[1, 1, 3], document_terms=[10]),
        outcome("b", 0.5, query_terms=[5]),
    )
    queries, documents = histograms(measured)
    assert [[bar.texts for bar in row.bars] for row in queries.rows] == [[2, 1], [1]]
    assert [row.mean for row in queries.rows] == ["1.67", "5.00"]
    assert [row.system for row in documents.rows] == ["a"]


def test_systems_of_the_same_terms_share_a_histogram():
    measured = results(
        outcome("a", 0.5, query_terms=[1, 2]),
        outcome("b", 0.5, query_terms=[3, 3]),
        outcome("a on a server", 0.6, query_terms=[1, 2]),
    )
    rows = histograms(measured)[0].rows
    assert [row.label for row in rows] == ["a and 1 more", "b"]
    assert rows[0].system == "a, a on a server"


def test_a_few_very_long_texts_are_heaped_on_the_last_bar():
    measured = results(outcome("a", 0.5, query_terms=[*[5] * 999, 5000]))
    drawn = histograms(measured)[0]
    assert [bar.texts for bar in drawn.rows[0].bars] == [1000]
    assert drawn.ticks[-1].label == "≥ 5"


def test_parts_are_ordered_by_the_difference_of_their_shares():
    # shares: sea 3/4 against 1/2, salt 1/4 against 0, fish 0 against 1/2
    found = parts(
        [TermShare("sea", 3, 1), TermShare("salt", 1, 1)],
        [TermShare("sea", 2, 5), TermShare("fish", 1, 10)],
    )
    assert [part.term for part in found] == ["fish", "sea", "salt"]
    assert (found[1].system, found[1].baseline) == (3, 10)
    assert (found[1].system_width, found[1].baseline_width) == (100.0, 100.0)
    assert (found[2].system_width, found[2].baseline_width) == (33.3, 0.0)


def test_differences_are_grouped_in_the_order_of_the_benchmark_the_largest_first():
    def difference(system, query_id, mine, theirs):
        values = (mine, theirs)
        return Difference("sea", query_id, system, "a", values, "d", "", (1, 2), [], [])

    measured = results(
        *(outcome(name, 0.5) for name in "abc"),
        differences=[
            difference("c", "q1", 1.0, 0.0),
            difference("b", "q1", 0.5, 0.25),
            difference("b", "q2", 0.0, 1.0),
            difference("b", "q3", 1.0, 0.0),
        ],
    )
    first, second = duels(measured)
    assert (first.system, second.system) == ("b", "c")
    assert [duel.difference.query_id for duel in first.wins] == ["q3", "q1"]
    assert [duel.difference.query_id for duel in first.losses] == ["q2"]
    assert first.wins[1].query == "one"


def test_the_hardest_queries_have_the_lowest_mean_over_the_systems_that_have_it():
    queries = {"q1": "one", "q2": "two", "q3": "three"}
    measured = results(
        outcome("a", 0.5, per_query={"q1": 1.0, "q2": 0.2, "q3": 0.1}),
        outcome("b", 0.5, per_query={"q1": 0.0, "q2": 0.0}),
        queries=queries,
    )
    found = hardest(measured, most=2)[0].queries
    assert [(query.query_id, query.mean) for query in found] == [("q2", 0.1), ("q3", 0.1)]
    assert found[1].values == [0.1, None]


def test_useless_terms_are_expansions_without_gain_and_harmful_ones_have_the_lowest():
    terms = [
        TermUse("rare", 0.1, 0.1, 1.0, -0.5, 0.9),
        TermUse("common", 0.2, 0.9, 1.0, 0.0, 0.9),
        TermUse("helps", 0.3, 0.8, 1.0, 0.1, 0.6),
        TermUse("written", 0.9, 0.7, 0.2, -0.1, 0.5),
        TermUse("unasked", 1.0, 0.0, 0.0, 0.0),
    ]
    shown = term_lists(results(outcome("a", 0.5, terms=terms)))[0].lists
    used, stored, wacky, useless, harmful = shown
    assert [use.term for use in wacky.terms] == ["written", "helps"]  # .45 and .18
    assert [use.term for use in used.terms] == ["common", "helps", "written", "rare"]
    assert [use.term for use in stored.terms][:2] == ["unasked", "written"]
    assert [use.term for use in useless.terms] == ["common", "rare"]
    assert [use.term for use in harmful.terms] == ["rare", "written"]


def test_only_systems_with_the_baselines_queries_are_compared():
    asked = []

    def significance(baseline, others):
        asked.append((dict(baseline), sorted(others)))
        return {}

    measured = results(
        outcome("a", 0.5),
        outcome("b", 0.5),
        outcome("c", 0.5, per_query={"q9": 1.0}),
        outcome("b", 0.5, dataset="air"),
    )
    compare_all(measured, significance)
    assert asked == [({"q1": 0.5}, ["b"])]


def test_values_that_look_equal_are_equally_best():
    measured = results(outcome("a", 0.70001), outcome("b", 0.70004), outcome("c", 0.6))
    rows = quality_tables(measured, {})[0].rows
    assert [row.scores[0].best for row in rows] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b\nc", "a\\|b c"),
        ("# no heading", "\\# no heading"),
        ("1. no list", "1\\. no list"),
        ("0.351", "0.351"),
        ("splade-v3 rank_features _it_", "splade-v3 rank_features \\_it\\_"),
        ("[x](javascript:y)", "\\[x\\](javascript:y)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("\\| `", "\\\\\\| \\`"),
        ("\u202eback", "back"),
    ],
)
def test_texts_in_markdown_are_nothing_but_texts(text, written):
    assert escape(text) == written
