"""The entries of methods: what they do is what stands here literally, and what theory says of them."""

import pytest
import torch

from metalib.inner import inner_loop
from metalib.meta_gradients import combination
from metalib.methods import METHODS, REPTILE, Look, find, weighted
from metalib.optimizers import SGD, Adam
from metalib.params import add, norm, repeat, scale, select, subtract
from metalib.tasks.sine import Sine
from metalib.theory.taylor import expand_combination, expand_maml, predicted_maml_coefficients
from metalib.training import TrainingConfig, train
from tests.oracles import relative_error, sine_losses, unrolled_maml
from tests.tolerances import EXACT, ROUNDOFF

ALPHA = 0.01
ALL = slice(None)


@pytest.mark.parametrize("name", METHODS)
def test_the_gradient_of_a_method_is_what_it_is_literally(name):
    losses, phi = sine_losses(4)
    t = inner_loop(losses, phi, SGD(ALPHA))
    literal = {
        "maml": unrolled_maml(losses, phi, ALPHA),
        "fomaml": t.g[3],
        "reptile": add(add(t.g[0], t.g[1]), add(t.g[2], t.g[3])),
        "joint": t.g[0],
    }
    assert relative_error(METHODS[name].gradient(t), literal[name]) < ROUNDOFF


@pytest.mark.parametrize("name", METHODS)
def test_under_sgd_the_displacement_is_alpha_times_the_gradient_of_the_chosen_runs(name):
    losses, phi = sine_losses(3, runs=3)
    trajectory = inner_loop(losses, phi, SGD(torch.tensor([0.01, 0.02, 0.03], dtype=torch.float64)))
    rows = slice(1, 3)
    moved = METHODS[name].displacement(trajectory, rows)
    expected = scale(METHODS[name].gradient(trajectory.select(rows)), trajectory.alpha[rows])
    assert relative_error(moved, expected) < ROUNDOFF


@pytest.mark.parametrize("name", METHODS)
def test_halving_alpha_quarters_what_the_expansion_of_a_method_leaves_out(name):
    losses, phi = sine_losses(4)
    expansion = METHODS[name].expand(losses, phi)
    left = []
    for alpha in (2**-12, 2**-13):
        g = METHODS[name].gradient(inner_loop(losses, phi, SGD(alpha)))
        left.append(float(norm(subtract(g, expansion.at(alpha)))))
    if name == "joint":
        assert left == [0.0, 0.0], "g_1 is where it is expanded"
    else:
        assert left[0] / left[1] == pytest.approx(4.0, rel=0.02)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_coefficients_weigh_avg_grad_and_avg_grad_inner_as_the_paper_says(k):
    pairs = {name: METHODS[name].coefficients(k, ALPHA) for name in METHODS}
    found = {name: (pair.avg_grad, -pair.avg_grad_inner / ALPHA) for name, pair in pairs.items()}
    assert found["joint"] == (1.0, 0.0)
    assert found["fomaml"] == pytest.approx((1.0, k - 1))
    assert found["reptile"] == pytest.approx((k, k * (k - 1) / 2))
    assert found["maml"] == pytest.approx((1.0, 2 * (k - 1)))
    assert pairs["maml"] == predicted_maml_coefficients(k, ALPHA)


def test_maml_alone_is_no_weighted_sum_and_wants_plain_sgd():
    assert [name for name, method in METHODS.items() if not method.any_optimizer] == ["maml"]
    losses, phi = sine_losses(3)
    assert relative_error(METHODS["maml"].expand(losses, phi).first, expand_maml(losses, phi).first) < EXACT


def test_a_method_made_from_weights_is_their_combination_in_everything():
    weights = (0.5, -1.0, 2.0)
    own = weighted("own", Look("own", "#000000", "-", "o"), lambda k: weights)
    named = find("combination", weights)
    losses, phi = sine_losses(3)
    for optimizer in (SGD(ALPHA), Adam(ALPHA)):
        trajectory = inner_loop(losses, phi, optimizer)
        assert relative_error(own.gradient(trajectory), combination(trajectory, weights)) < EXACT
        both = [method.displacement(trajectory, ALL) for method in (own, named)]
        assert relative_error(*both) < EXACT
    assert (
        relative_error(own.expand(losses, phi).first, expand_combination(losses, phi, weights).first) < EXACT
    )
    assert own.coefficients(3, ALPHA) == named.coefficients(3, ALPHA)


@pytest.mark.parametrize("inner", ["sgd", "adam-fresh"])
def test_a_method_of_a_new_name_trains_as_the_combination_of_its_weights(inner, monkeypatch):
    weights = (0.5, -1.0, 2.0)
    monkeypatch.setitem(METHODS, "own", weighted("own", Look("own", "#000000", "-", "o"), lambda k: weights))
    monkeypatch.setattr("metalib.training.config.ALGORITHMS", (*METHODS, "combination"))
    settings = {"k": 3, "iterations": 20, "tasks": 2, "inner": inner}
    family = Sine(dtype="float64")
    own, named = (
        subtract(train(family, [TrainingConfig(name, weights=given, **settings)]).phi, family.initialize(0))
        for name, given in (("own", ()), ("combination", weights))
    )
    assert relative_error(own, named) < EXACT


def test_a_combination_with_reptiles_weights_trains_as_reptile_does():
    settings = {"k": 3, "iterations": 20, "tasks": 2}
    runs = [
        TrainingConfig("reptile", **settings),
        TrainingConfig("combination", weights=(1.0, 1.0, 1.0), **settings),
    ]
    phi = train(Sine(dtype="float64"), runs).phi
    start = repeat(Sine(dtype="float64").initialize(0), 2)
    moved = subtract(phi, start)
    assert relative_error(select(moved, slice(0, 1)), select(moved, slice(1, 2))) < EXACT


def test_every_method_looks_different_in_color_line_and_marker():
    for part in ("label", "color", "line", "marker"):
        assert len({getattr(method.look, part) for method in METHODS.values()}) == len(METHODS)
    assert REPTILE.look.label == "Reptile"
