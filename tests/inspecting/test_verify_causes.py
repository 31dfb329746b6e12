"""Each cause is told from the numbers alone, small enough to check by hand."""

from __future__ import annotations

import pytest

from sparse_ir.inspecting.findings import (
    DOTS,
    LOST_LIGHT_TERMS,
    LOST_TERMS,
    LOST_VECTORS,
    MERGED,
    OTHER_WEIGHTS,
    SATURATION,
    WRONG_MODEL,
    Finding,
)
from sparse_ir.inspecting.verify_causes import name_causes
from sparse_ir.inspecting.verify_weights import NOISE, STEP, compare, forgive_few

EXPECTED = {"a": 4.0, "b": 2.0, "c": 1.0}


def causes(*pairs, tolerance=0.0, noise=0.0):
    expected = {f"d{i}": dict(pair[0]) for i, pair in enumerate(pairs)}
    observed = {f"d{i}": dict(pair[1]) for i, pair in enumerate(pairs)}
    compared = compare(expected, observed, tolerance=tolerance, noise=noise)
    return [f.cause for f in name_causes(compared, noise=noise)]


SOUND = (EXPECTED, EXPECTED)


@pytest.mark.parametrize(
    ("observed", "cause"),
    [
        (EXPECTED, []),
        ({"a": 4.0, "b": 2.0}, [LOST_LIGHT_TERMS]),
        ({"a": 4.0}, [LOST_LIGHT_TERMS]),
        ({"a": 4.0, "c": 1.0}, [LOST_TERMS]),
        ({}, [LOST_VECTORS]),
        ({**EXPECTED, "old": 3.0}, [MERGED]),
        ({**EXPECTED, "b": 2.5}, [OTHER_WEIGHTS]),
        ({**EXPECTED, "b": 0.5}, [OTHER_WEIGHTS]),
        ({"x": 1.0, "y": 2.0}, [OTHER_WEIGHTS]),
    ],
)
def test_one_document_of_three(observed, cause):
    assert causes((EXPECTED, observed), SOUND, SOUND) == cause


def test_most_documents_otherwise_mean_another_model():
    assert causes((EXPECTED, {"x": 1.0, "a": 2.0}), (EXPECTED, {"y": 1.0}), SOUND) == [WRONG_MODEL]


def test_saturation_is_one_pivot_for_each_term():
    def squeeze(vector):
        pivots = {"a": 3.0, "b": 2.0, "c": 0.5}
        return {t: w / (w + pivots[t]) for t, w in vector.items()}

    other = {"a": 1.0, "b": 6.0, "c": 2.0}
    assert causes((EXPECTED, squeeze(EXPECTED)), (other, squeeze(other))) == [SATURATION]


def test_saturation_is_named_where_shards_have_pivots_of_their_own():
    # d0, d3, ... lie in one shard, d1, d4, ... in the next; "rare" is once in each
    vectors = [{"a": 1.0 + i, "b": 9.0 - i / 2} for i in range(9)]
    for i in range(3):
        vectors[i]["rare"] = 1.0 + i
    shards = [{"a": 3.0, "b": 2.0, "rare": 0.5}, {"a": 4.0, "b": 1.0, "rare": 2.0},
              {"a": 5.0, "b": 1.5, "rare": 9.0}]  # fmt: skip
    pairs = [
        (vector, {t: w / (w + shards[i % 3][t]) for t, w in vector.items()})
        for i, vector in enumerate(vectors)
    ]
    assert causes(*pairs) == [SATURATION]


def test_saturation_is_named_below_fp32_where_the_weights_themselves_are_off():
    off = (
        1.002,
        0.997,
        1.001,
        0.999,
        1.003,
        0.998,
    )  # by at most .003
    pairs, scaled = [], []
    for i, by in enumerate(off):
        made = {"a": 1.0 + i, "b": 6.0 - i / 2, "c": 9.0}
        again = {t: w * by for t, w in made.items()}
        pairs.append((again, {t: w / (w + 2.0) for t, w in made.items()}))
        scaled.append((again, {t: w / 9 * (1 - i / 9) for t, w in made.items()}))
    assert causes(*pairs, tolerance=STEP, noise=NOISE["bf16"]) == [SATURATION]
    assert causes(*scaled, tolerance=STEP, noise=NOISE["bf16"]) == [WRONG_MODEL]


def test_weights_that_are_only_smaller_are_no_saturation():
    def shrink(vector, by):
        return {t: w / by for t, w in vector.items()}

    other = {"a": 1.0, "b": 6.0, "c": 2.0}
    assert causes((EXPECTED, shrink(EXPECTED, 9)), (other, shrink(other, 7))) == [WRONG_MODEL]


def test_equal_weights_that_come_back_equal_are_no_sign_of_saturation():
    half = {t: w / 8 for t, w in EXPECTED.items()}
    assert causes((EXPECTED, half), (EXPECTED, half)) == [WRONG_MODEL]


def test_dots_are_lost_or_fall_together_with_another_term():
    dotted = {"a.b": 4.0, "c": 1.0}
    assert causes((dotted, {"c": 1.0})) == [DOTS]
    assert causes((dotted, {"c": 1.0, "a_b": 4.0})) == [DOTS]
    assert causes(({**dotted, "ab": 1.0}, {"c": 1.0, "ab": 4.0})) == [DOTS]


def test_noise_of_the_encoder_is_no_difference_only_where_there_was_one():
    off = {"a": 4.0 * (1 - STEP), "b": 2.0, "c": 1.0}
    assert causes((EXPECTED, off), tolerance=STEP) == []
    assert causes((EXPECTED, off), SOUND, SOUND) == [OTHER_WEIGHTS]
    twice = {"a": 4.0 * (1 - 2 * STEP), "b": 2.0, "c": 1.0}
    assert causes((EXPECTED, twice), SOUND, SOUND, tolerance=STEP) == [OTHER_WEIGHTS]


def test_a_term_lighter_than_the_noise_may_come_and_go():
    faint = {**EXPECTED, "z": 1e-5}
    assert causes((faint, EXPECTED), (EXPECTED, faint), tolerance=STEP) == []
    assert causes((faint, EXPECTED), SOUND, SOUND) == [LOST_LIGHT_TERMS]


def test_noise_may_decide_which_of_two_equal_terms_a_pruning_keeps():
    other = {"a": 4.0, "b": 2.0, "z": 1.0}
    assert causes((EXPECTED, other), tolerance=STEP) == []
    assert causes((EXPECTED, other), SOUND, SOUND) == [OTHER_WEIGHTS]


def test_a_finding_is_one_line_with_its_evidence():
    finding = Finding(DOTS, "what.", "Do this.", "d1", "a.b", 1.5, 0.0)
    assert str(finding) == (
        "dot collision: what. (document 'd1', query 'a.b': expected 1.5, got 0) Do this."
    )
    assert Finding(DOTS, "what.", "Do this.").to_json() == {
        "cause": DOTS,
        "what": "what.",
        "advice": "Do this.",
    }


def test_below_fp32_a_share_of_the_heaviest_weight_is_noise():
    expected = {"d": {"a": 4.0, "b": 0.5}}
    (without,) = compare(expected, {"d": {"a": 3.5}}, tolerance=STEP)
    assert (without.changed, without.missing) == (("a",), ("b",))
    (found,) = compare(expected, {"d": {"a": 3.5}}, tolerance=STEP, noise=NOISE["bf16"])
    assert found.right  # 0.15 of 4.0 is 0.6
    assert found.rounded == 2
    (lost,) = compare(expected, {"d": {"b": 0.5}}, tolerance=STEP, noise=NOISE["bf16"])
    assert lost.missing == ("a",)


def few(*observed):
    expected = {f"d{i}": dict(EXPECTED) for i in range(len(observed))}
    seen = {f"d{i}": dict(vector) for i, vector in enumerate(observed)}
    return [d.right for d in forgive_few(compare(expected, seen, tolerance=STEP))]


def test_one_weight_of_one_document_is_forgiven_and_no_more():
    lost, other = {"a": 4.0, "b": 2.0}, {"a": 1.0, "b": 1.0, "c": 1.0}
    assert few(lost, EXPECTED, EXPECTED) == [True, True, True]
    assert few(other, EXPECTED, EXPECTED) == [False, True, True]
    assert few(lost, lost, EXPECTED) == [False, False, True]
    assert few(*[lost] * 2, *[EXPECTED] * 38) == [True] * 40  # a twentieth of the documents
    assert few(*[lost] * 3, *[EXPECTED] * 37) == [False] * 3 + [True] * 37
