"""Losses against values worked by hand, against sentence-transformers, and their gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sparse_ir.errors import ConfigError
from sparse_ir.training.losses import (
    LOSSES,
    NEED_OWN_TEACHER,
    Scores,
    check_weights,
    combine,
)
from sparse_ir.training.settings import LOSS_NAMES, LossSettings

NAN, NONE = math.nan, -math.inf
DEFAULT = LossSettings()
TEACHING = NEED_OWN_TEACHER | {"in_batch_kl"}


def scores(*, own=((0.0, 0.0),), batch=None, positive=None, allowed=None, columns=None, **teachers):
    """Scores from nested tuples; unless given, the batch is the positives alone."""
    own = torch.tensor(own, dtype=torch.float64)
    q = len(own)
    batch = own[:, :1].expand(q, q) if batch is None else torch.tensor(batch, dtype=torch.float64)
    m = batch.shape[1]
    return Scores(
        own=own,
        batch=batch,
        positive=torch.arange(q) if positive is None else torch.tensor(positive),
        allowed=torch.ones(q, m, dtype=torch.bool) if allowed is None else torch.tensor(allowed),
        is_positive_column=torch.arange(m) < q if columns is None else torch.tensor(columns),
        **{name: torch.tensor(rows, dtype=torch.float64) for name, rows in teachers.items()},
    )


def value(name, given, settings=DEFAULT):
    return LOSSES[name](given, settings).item()


def softmax(*numbers):
    total = sum(math.exp(x) for x in numbers)
    return [math.exp(x) / total for x in numbers]


# --- in-batch cross entropy


def test_in_batch_is_cross_entropy_over_the_positives():
    given = scores(own=((2.0, 9.0), (1.0, 9.0)), batch=((2.0, 0.0, 9.0), (1.0, 1.0, 9.0)))
    # Query 1: -log(e²/(e²+1)); query 2: two even candidates, log 2. The 9s are hard negatives.
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert value("in_batch", given) == pytest.approx(expected)


def test_in_batch_hard_counts_everybodys_negatives():
    given = scores(own=((2.0,), (1.0,)), batch=((2.0, 0.0, 1.0), (1.0, 1.0, 1.0)))
    expected = (-math.log(softmax(2, 0, 1)[0]) + math.log(3)) / 2
    assert value("in_batch_hard", given) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["in_batch", "in_batch_hard"])
def test_another_known_positive_is_no_negative(name):
    given = scores(
        own=((1.0,), (1.0,)),
        batch=((1.0, 50.0), (0.0, 1.0)),
        allowed=((True, False), (True, True)),
    )
    # Query 1 has no candidate but its positive: loss 0.
    assert value(name, given) == pytest.approx(math.log(1 + math.exp(-1)) / 2)


@pytest.mark.parametrize("name", ["in_batch", "in_batch_hard"])
def test_the_positive_is_a_candidate_whatever_the_masks_say(name):
    given = scores(own=((3.0,),), batch=((3.0, 1.0),), columns=(False, True), positive=(0,))
    forbidden = given._replace(allowed=torch.tensor([[False, True]]))
    assert value(name, forbidden) == pytest.approx(math.log(1 + math.exp(-2)))


def test_two_queries_may_share_their_positive_column():
    given = scores(
        own=((1.0,), (2.0,)),
        batch=((1.0, 0.0), (2.0, 0.0)),
        positive=(0, 0),
        columns=(True, False),
    )
    assert value("in_batch", given) == 0.0
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-2))) / 2
    assert value("in_batch_hard", given) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["in_batch", "in_batch_hard", "pairwise"])
def test_the_temperature_divides_the_scores(name):
    given = scores(own=((2.0, 0.0), (2.0, 0.0)), batch=((2.0, 0.0), (0.0, 2.0)))
    warm = value(name, given, LossSettings(temperature=2.0))
    assert warm == pytest.approx(math.log(1 + math.exp(-1)))


# --- pairs


def test_pairwise_takes_each_negative_apart():
    given = scores(own=((2.0, 1.0, 2.0), (0.0, 1.0, NONE)))
    # Margins 1, 0 and -1: log(1 + e^-margin), mean over the three pairs.
    pairs = [math.log(1 + math.exp(-1)), math.log(2), math.log(1 + math.e)]
    assert value("pairwise", given) == pytest.approx(sum(pairs) / 3)


def test_margin_mse_compares_margins_and_not_scores():
    given = scores(
        own=((5.0, 3.0, 4.0), (1.0, 0.0, NONE)),
        teacher_own=((10.0, 9.0, 7.0), (0.0, -3.0, NAN)),
    )
    # Margins 2, 1 and 1; the teacher's 1, 3 and 3.
    assert value("margin_mse", given) == pytest.approx((1 + 4 + 4) / 3)


def test_margin_scale_stretches_the_teachers_margins():
    given = scores(own=((9.0, 3.0),), teacher_own=((0.8, 0.6),))
    assert value("margin_mse", given, LossSettings(margin_scale=30.0)) == pytest.approx(0.0)


@pytest.mark.parametrize("name", ["pairwise", "margin_mse"])
def test_a_query_without_negatives_contributes_nothing(name):
    teacher = {"teacher_own": ((1.0, 0.0), (1.0, NAN))}
    both = scores(own=((3.0, 1.0), (7.0, NONE)), **teacher)
    alone = scores(own=((3.0, 1.0),), teacher_own=((1.0, 0.0),))
    assert value(name, both) == pytest.approx(value(name, alone))


# --- KL divergence


def test_kl_is_the_divergence_of_the_teachers_distribution_from_the_models():
    given = scores(own=((math.log(1.0), math.log(3.0)),), teacher_own=((0.0, 0.0),))
    # p = (1/2, 1/2), q = (1/4, 3/4).
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert value("kl", given) == pytest.approx(expected)


def test_kl_is_0_where_the_model_agrees_with_the_teacher_up_to_a_shift():
    given = scores(own=((5.0, 3.0, 1.0),), teacher_own=((1.0, -1.0, -3.0),))
    assert value("kl", given) == pytest.approx(0.0, abs=1e-12)


def test_kl_temperatures_soften_and_the_students_square_multiplies():
    given = scores(own=((0.0, 2 * math.log(3.0)),), teacher_own=((0.0, 0.0),))
    settings = LossSettings(student_temperature=2.0, teacher_temperature=0.5)
    expected = 4 * (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75))
    assert value("kl", given, settings) == pytest.approx(expected)
    sharp = given._replace(teacher_own=torch.tensor([[0.0, math.log(3.0)]], dtype=torch.float64))
    p = softmax(0, math.log(3) / 0.5)  # 1/10, 9/10
    q = (0.25, 0.75)
    expected = 4 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert value("kl", sharp, settings) == pytest.approx(expected)


def test_in_batch_kl_looks_at_allowed_columns_and_the_positive():
    given = scores(
        own=((math.log(3.0),),),
        batch=((math.log(3.0), 0.0, 77.0),),
        allowed=((False, True, False),),
        teacher_batch=((0.0, 0.0, NAN),),
    )
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert value("in_batch_kl", given) == pytest.approx(expected)


def test_padded_candidates_leave_the_divergence_alone():
    short = scores(own=((1.0, 0.0),), teacher_own=((2.0, 0.0),))
    padded = scores(own=((1.0, 0.0, NONE),), teacher_own=((2.0, 0.0, NAN),))
    assert value("kl", padded) == pytest.approx(value("kl", short))


# --- teachers that do not know


@pytest.mark.parametrize("name", sorted(NEED_OWN_TEACHER))
def test_rows_that_the_teacher_did_not_score_whole_are_left_out(name):
    known = scores(own=((3.0, 1.0),), teacher_own=((1.0, 0.0),))
    mixed = scores(
        own=((3.0, 1.0), (9.0, 1.0), (9.0, 1.0)),
        teacher_own=((1.0, 0.0), (NAN, NAN), (5.0, NAN)),
    )
    assert value(name, mixed) == pytest.approx(value(name, known))


def test_rows_of_a_batch_teacher_likewise():
    mixed = scores(
        own=((1.0,), (1.0,)),
        batch=((1.0, 0.0), (4.0, 1.0)),
        teacher_batch=((0.0, 0.0), (NAN, 0.0)),
    )
    p, q = (0.5, 0.5), softmax(1, 0)
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert value("in_batch_kl", mixed) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(TEACHING))
def test_a_loss_without_its_teacher_names_itself_and_the_way_out(name):
    with pytest.raises(ConfigError, match=rf"{name} needs a teacher.*Give|Name"):
        value(name, scores())


# --- gradients


def padded(q=4, n=4, m=9):
    """A random batch with ragged rows, forbidden columns and unknown teacher scores."""
    torch.manual_seed(3)
    own = torch.randn(q, n, dtype=torch.float64)
    own[0, 2:] = NONE
    own[1, 1:] = NONE  # no negatives
    teacher_own = torch.randn(q, n, dtype=torch.float64)
    teacher_own[own == NONE] = NAN
    teacher_own[2, 0] = NAN
    teacher_batch = torch.randn(q, m, dtype=torch.float64)
    teacher_batch[3] = NAN
    return Scores(
        own,
        torch.randn(q, m, dtype=torch.float64),
        torch.arange(q),
        torch.rand(q, m) > 0.3,
        torch.arange(m) < q,
        teacher_own,
        teacher_batch,
    )


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_right(name):
    given = padded()
    settings = LossSettings(temperature=1.3, student_temperature=0.8, teacher_temperature=2.0)
    real = given.own > NONE

    def loss(entries, batch):
        own = torch.full_like(given.own, NONE).masked_scatter(real, entries)
        return LOSSES[name](given._replace(own=own, batch=batch), settings)

    entries = given.own[real].requires_grad_()
    assert torch.autograd.gradcheck(loss, (entries, given.batch.clone().requires_grad_()))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_padding_never_gives_nan(name, dtype):
    given = padded()
    teachers = {"teacher_own": given.teacher_own, "teacher_batch": given.teacher_batch}
    given = given._replace(**{key: teacher.to(dtype) for key, teacher in teachers.items()})
    own = given.own.to(dtype).requires_grad_()
    batch = given.batch.to(dtype).requires_grad_()
    total, values = combine(given._replace(own=own, batch=batch), {name: 1.0}, DEFAULT)
    assert total.dtype == dtype
    total.backward()
    assert math.isfinite(values[name])
    for gradient in (own.grad, batch.grad):
        assert gradient is None or gradient.isfinite().all()
    if own.grad is not None:
        assert (own.grad[own == NONE] == 0).all()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"in_batch", "in_batch_hard"}))
def test_a_batch_that_gives_nothing_to_learn_from_is_0_with_gradient_0(name):
    given = scores(own=((1.0, NONE),), teacher_own=((NAN, NAN),), teacher_batch=((NAN,),))
    own, batch = given.own.requires_grad_(), given.batch.detach().clone().requires_grad_()
    loss = LOSSES[name](given._replace(own=own, batch=batch), DEFAULT)
    assert loss.item() == 0.0
    loss.backward()
    gradient = batch.grad if name == "in_batch_kl" else own.grad
    assert (gradient == 0).all()


@pytest.mark.parametrize("name", sorted(TEACHING))
def test_no_gradient_flows_to_the_teacher(name):
    given = padded()
    teacher = torch.zeros_like(given.teacher_batch).requires_grad_()
    own_teacher = torch.zeros_like(given.teacher_own).requires_grad_()
    given = given._replace(
        own=given.own.requires_grad_(),
        batch=given.batch.requires_grad_(),
        teacher_own=own_teacher,
        teacher_batch=teacher,
    )
    LOSSES[name](given, DEFAULT).backward()
    assert teacher.grad is None
    assert own_teacher.grad is None


# --- combinations


def test_combine_adds_by_weight_and_reports_each_loss_before_its_weight():
    given = padded()
    own = given.own.requires_grad_()
    total, values = combine(given._replace(own=own), {"kl": 0.5, "margin_mse": 2.0}, DEFAULT)
    assert list(values) == ["kl", "margin_mse"]
    assert values["kl"] == pytest.approx(value("kl", given))
    assert total.item() == pytest.approx(0.5 * values["kl"] + 2.0 * values["margin_mse"])
    assert total.requires_grad


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "No loss"),
        ({"margin_mes": 1.0}, "Did you mean margin_mse"),
        ({"kl": 0.0}, "kl is 0.0"),
        ({"kl": -1.0}, "kl is -1.0"),
        ({"kl": NAN}, "kl is nan"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused(weights, message):
    with pytest.raises(ConfigError, match=message):
        check_weights(weights)


@pytest.mark.parametrize("name", ["temperature", "student_temperature", "margin_scale"])
@pytest.mark.parametrize("wrong", [0.0, -1.0, NAN, math.inf])
def test_settings_are_numbers_above_0(name, wrong):
    with pytest.raises(ConfigError, match=name):
        replace(DEFAULT, **{name: wrong})


def test_the_settings_know_every_loss():
    assert tuple(LOSSES) == LOSS_NAMES


# --- the same losses of sentence-transformers, on the same vectors


@pytest.fixture(scope="module")
def peers():
    from sentence_transformers.sparse_encoder import losses

    return losses


def vectors(n, queries=5, width=7):
    torch.manual_seed(n)
    return [torch.rand(queries, width) for _ in range(1 + n)]


def of_vectors(parts, teacher=None):
    """Scores of queries with positives and negatives: columns as sentence-transformers has them."""
    query, documents = parts[0], torch.cat(parts[1:])
    q = len(query)
    return Scores(
        own=torch.stack([(query * d).sum(1) for d in parts[1:]], dim=1),
        batch=query @ documents.T,
        positive=torch.arange(q),
        allowed=torch.ones(q, len(documents), dtype=torch.bool),
        is_positive_column=torch.arange(len(documents)) < q,
        teacher_own=teacher,
    )


@pytest.mark.parametrize(
    ("n", "name"), [(1, "in_batch"), (1, "in_batch_hard"), (3, "in_batch_hard")]
)
def test_in_batch_equals_sparse_multiple_negatives_ranking_loss(peers, n, name):
    parts = vectors(n)
    peer = peers.SparseMultipleNegativesRankingLoss(None, scale=1 / 0.7)
    expected = peer.compute_loss_from_embeddings(parts, None).item()
    ours = value(name, of_vectors(parts), LossSettings(temperature=0.7))
    assert ours == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("n", [2, 4])
def test_margin_mse_equals_sparse_margin_mse_loss(peers, n):
    parts, teacher = vectors(n), torch.randn(5, n)
    peer = peers.SparseMarginMSELoss(None)
    expected = peer.compute_loss_from_embeddings(parts, teacher).item()
    assert value("margin_mse", of_vectors(parts, teacher)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_kl_equals_sparse_distill_kl_div_loss_at_the_same_temperature(peers, temperature):
    parts, teacher = vectors(4), 3 * torch.randn(5, 4)
    peer = peers.SparseDistillKLDivLoss(None, temperature=temperature)
    expected = peer.compute_loss_from_embeddings(parts, teacher).item()
    settings = LossSettings(student_temperature=temperature, teacher_temperature=temperature)
    assert value("kl", of_vectors(parts, teacher), settings) == pytest.approx(expected, rel=1e-5)
