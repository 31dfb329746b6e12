"""The control of sparsity, on simulated models whose answer to lambda is known."""

from __future__ import annotations

import json
import math
import random
from typing import NamedTuple

import pytest
import torch

from sparse_ir.errors import ConfigError, TrainingError
from sparse_ir.training.controller import FixedLambdas, SparsityController
from sparse_ir.training.regularizers import flops, mean_terms

TARGET = 100.0
VOCABULARY = 30_000


class Model(NamedTuple):
    """A first-order lag: log terms follow log(free / (1 + lambda / knee) ** slope).

    ``needed`` is the lambda at which they settle on TARGET, from which the knee follows.
    """

    needed: float
    slope: float = 1.0
    lag: int = 50
    delay: int = 0
    start: float = 2000.0
    free: float = 2000.0
    noise: float = 0.1  # of each measurement, as a share
    fastest: float = math.inf  # the most that log terms can change a step
    drift: float = 0.0  # log of the factor by which the needed lambda changes over the run
    cooling: bool = False  # it answers ever more slowly, as with a falling learning rate


def simulate(model, steps, *, seed=0, controller=None, terms=None):
    """The true terms at every step of a run."""
    noise = random.Random(seed)
    controller = controller or SparsityController(None, TARGET, vocabulary=VOCABULARY, steps=steps)
    log_terms = math.log(terms or model.start)
    knee = model.needed / ((model.free / TARGET) ** (1 / model.slope) - 1)
    waiting = [0.0] * (model.delay + 1)
    history = []
    for step in range(steps):
        waiting.append(controller.lambdas(step)[1])
        controller.observe(step, 0.0, math.exp(log_terms + noise.gauss(0, model.noise)))
        at = knee * math.exp(model.drift * step / steps)
        settled = math.log(model.free) - model.slope * math.log1p(waiting.pop(0) / at)
        change = (settled - log_terms) / model.lag
        if model.cooling:
            change *= 1 - step / steps
        log_terms += max(-model.fastest, min(model.fastest, change))
        history.append(math.exp(log_terms))
    return history


def off_target(history, share):
    """The farthest that the mean of a twentieth of the run is off, over its last share."""
    window = len(history) // 20
    tail = history[-int(len(history) * share) :]
    means = [sum(tail[i : i + window]) / window for i in range(0, len(tail) - window + 1, window)]
    return max(abs(mean / TARGET - 1) for mean in means)


@pytest.mark.parametrize(("steps", "lag"), [(300, 20), (1000, 50), (3000, 200), (20_000, 200)])
@pytest.mark.parametrize("needed", [1e-4, 1e-3, 1e-2, 1e-1, 1.0])  # it starts at 1e-2
@pytest.mark.parametrize("slope", [0.3, 1.0, 2.0])
def test_it_reaches_the_target_and_holds_it_whatever_lambda_that_takes(steps, lag, needed, slope):
    model = Model(needed, slope=slope, lag=lag)
    assert off_target(simulate(model, steps), 1 / 4) < 0.1


@pytest.mark.parametrize(("steps", "lag"), [(300, 20), (1000, 50), (3000, 200), (20_000, 200)])
@pytest.mark.parametrize("needed", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(
    "trait",
    [
        {"delay": 20},
        {"start": 10.0},  # a head that starts sparse and grows
        {"fastest": 0.02},  # an optimiser that limits the steps
        {"drift": -2.0, "cooling": True},  # a model that learns while its learning rate falls
        {"noise": 0.2},
    ],
    ids=str,
)
def test_it_copes_with_what_models_do(steps, lag, needed, trait):
    if steps == 300:  # not enough to wait so long, or to move so slowly
        trait = {name: {"delay": 6, "fastest": 0.05}.get(name, trait[name]) for name in trait}
    model = Model(needed, lag=lag)._replace(**trait)
    assert off_target(simulate(model, steps), 1 / 5) < 0.1


@pytest.mark.parametrize("delay", [20, 100, 200])
def test_it_copes_with_dead_time(delay):
    assert off_target(simulate(Model(1e-1, lag=delay, delay=delay), 10_000), 1 / 4) < 0.1


@pytest.mark.parametrize("steps", [300, 3000])
def test_it_never_empties_the_vectors_on_its_way(steps):
    history = simulate(Model(1.0, lag=20), steps)
    assert min(history) > TARGET / 2


def test_a_steady_target_is_a_steady_lambda():
    controller = SparsityController(None, TARGET, vocabulary=VOCABULARY, steps=1000)
    for step in range(60, 500):
        controller.observe(step, 0.0, TARGET)
    assert controller.lambdas(500)[1] == pytest.approx(0.01)


def test_far_below_the_target_lambda_falls_to_0_and_comes_back():
    controller = SparsityController(None, TARGET, vocabulary=VOCABULARY, steps=1000)
    for step in range(500):
        controller.observe(step, 0.0, 3.0)
    assert controller.lambdas(500) == (0.0, 0.0)
    for step in range(500, 900):
        controller.observe(step, 0.0, 1000.0)
    assert controller.lambdas(900)[1] > 0.01


def test_sides_are_steered_apart():
    controller = SparsityController(10, 100, vocabulary=VOCABULARY, steps=1000)
    for step in range(300):
        controller.observe(step, 20.0, 50.0)
    query, document = controller.lambdas(300)
    assert query > 0.01 > document


def test_a_side_without_a_target_is_left_alone():
    controller = SparsityController(None, 100, vocabulary=VOCABULARY, steps=100)
    for step in range(100):
        controller.observe(step, 0.0, 200.0)
    assert controller.lambdas(100)[0] == 0.0
    assert controller.lambdas(100)[1] > 0.0


@pytest.mark.parametrize(("kind", "at_half"), [("linear", 0.5), ("quadratic", 0.25)])
def test_warming_up_comes_first_and_lambda_does_not_rise_meanwhile(kind, at_half):
    controller = SparsityController(
        None,
        100,
        vocabulary=VOCABULARY,
        steps=1000,
        start=(1.0, 0.2),
        warm_up_steps=100,
        warm_up_kind=kind,
    )
    for step in range(100):
        if step == 50:
            assert controller.lambdas(50)[1] == pytest.approx(0.2 * at_half)
        controller.observe(step, 0.0, 5000.0)
    assert controller.lambdas(100)[1] == pytest.approx(0.2)
    controller.observe(100, 0.0, 5000.0)
    assert controller.lambdas(101)[1] > 0.2


@pytest.mark.parametrize("stop", [1, 7, 150, 999])
def test_a_run_that_goes_on_from_json_does_exactly_the_same(stop):
    def make():
        return SparsityController(12, TARGET, vocabulary=VOCABULARY, steps=1000)

    def measure(step):
        return 12 * (1 + math.sin(step)), 400.0 * math.exp(-step / 100) + 30 * math.cos(step / 40)

    whole, begun, resumed = make(), make(), make()
    for step in range(1000):
        whole.observe(step, *measure(step))
        if step < stop:
            begun.observe(step, *measure(step))
    resumed.load_state_dict(json.loads(json.dumps(begun.state_dict())))
    for step in range(stop, 1000):
        resumed.observe(step, *measure(step))
    assert resumed.state_dict() == whole.state_dict()
    assert resumed.lambdas(1000) == whole.lambdas(1000)


def test_fixed_lambdas_rise_to_their_values():
    lambdas = FixedLambdas(0.2, 0.1, vocabulary=100, steps=300, warm_up_steps=100)
    assert lambdas.lambdas(0) == (0.0, 0.0)
    assert lambdas.lambdas(50) == pytest.approx((0.05, 0.025))
    assert lambdas.lambdas(100) == lambdas.lambdas(250) == (0.2, 0.1)


def test_the_state_of_one_kind_is_refused_by_the_other():
    fixed = FixedLambdas(0.1, 0.1, vocabulary=100, steps=10)
    controller = SparsityController(5, 5, vocabulary=100, steps=10)
    with pytest.raises(ConfigError, match="made with fixed lambdas, this run has target_terms"):
        controller.load_state_dict(fixed.state_dict())
    with pytest.raises(ConfigError, match="made with target_terms, this run has fixed lambdas"):
        fixed.load_state_dict(controller.state_dict())


def both(steps=1000):
    return [
        FixedLambdas(0.1, 0.1, vocabulary=1000, steps=steps, warm_up_steps=50),
        SparsityController(10, 10, vocabulary=1000, steps=steps, warm_up_steps=50),
    ]


@pytest.mark.parametrize("lambdas", both(), ids=lambda made: type(made).__name__)
def test_vectors_that_stay_empty_raise_the_alarm(lambdas):
    lambdas.observe(0, 10.0, 10.0)
    for step in range(1, 20):
        lambdas.observe(step, 10.0, 0.0)
    with pytest.raises(TrainingError, match=r"Step 20: document vectors .* no term at all for 20"):
        lambdas.observe(20, 10.0, 0.0)


@pytest.mark.parametrize("lambdas", both(), ids=lambda made: type(made).__name__)
def test_vectors_that_stay_dense_raise_the_alarm_after_the_warm_up(lambdas):
    for step in range(382):
        lambdas.observe(step, 900.0, 10.0)
    with pytest.raises(TrainingError, match=r"Step 382: query vectors .* 900 terms, .*lower learn"):
        lambdas.observe(382, 900.0, 10.0)


@pytest.mark.parametrize("lambdas", both(), ids=lambda made: type(made).__name__)
def test_a_batch_that_is_empty_now_and_then_does_not(lambdas):
    for step in range(1000):
        lambdas.observe(step, 0.0 if step % 3 else 10.0, 900.0 if step % 3 else 10.0)


@pytest.mark.parametrize("lambdas", both(), ids=lambda made: type(made).__name__)
def test_the_alarm_counts_on_after_a_resume(lambdas):
    for step in range(15):
        lambdas.observe(step, 0.0, 10.0)
    resumed = next(made for made in both() if type(made) is type(lambdas))
    resumed.load_state_dict(json.loads(json.dumps(lambdas.state_dict())))
    for step in range(15, 19):
        resumed.observe(step, 0.0, 10.0)
    with pytest.raises(TrainingError, match="Step 19: query"):
        resumed.observe(19, 0.0, 10.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda **k: SparsityController(0, 10, **k), "target_terms.query is 0"),
        (lambda **k: SparsityController(10, 1001, **k), "target_terms.document is 1001.*1000"),
        (lambda **k: SparsityController(10, math.nan, **k), "target_terms.document is nan"),
        (lambda **k: SparsityController(9, 9, start=(0.0, 1.0), **k), "lambda_query starts at 0"),
        (lambda **k: SparsityController(9, 9, warm_up_kind="cubic", **k), "linear or quadratic"),
        (lambda **k: FixedLambdas(-0.1, 0.1, **k), "lambda_query is -0.1"),
        (lambda **k: FixedLambdas(0.1, math.inf, **k), "lambda_document is inf"),
        (lambda **k: FixedLambdas(0.1, 0.1, warm_up_kind="cubic", **k), "linear or quadratic"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make(vocabulary=1000, steps=100)


def test_a_model_trained_by_gradients_comes_to_the_target():
    """Adam on vectors that want to match their targets but pay for it with FLOPS."""
    torch.manual_seed(0)
    wanted = torch.rand(64, 200) * 2
    logits = torch.nn.Parameter(torch.zeros(64, 200) + 0.5)
    optimizer = torch.optim.Adam([logits], lr=0.02)
    controller = SparsityController(None, 40.0, vocabulary=200, steps=600)
    terms = []
    for step in range(600):
        weights = torch.log1p(torch.relu(logits + 0.05 * torch.randn_like(logits)))
        loss = (weights - wanted).square().sum(1).mean() - weights.detach().sum() * 0
        total = loss + controller.lambdas(step)[1] * flops(weights)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        terms.append(mean_terms(weights))
        controller.observe(step, 0.0, terms[-1])
    assert terms[0] > 190
    assert sum(terms[-60:]) / 60 == pytest.approx(40.0, rel=0.1)
