"""Step sizes per weight, the two roads to the second-order term, gradient matching, and implicit MAML."""

import pytest
import torch

from companion.descendants import gradients, proximal, regularizer
from companion.descendants.found import ALPHA
from companion.descendants.step_sizes import PerWeight, by_autograd, meta_gradient, only
from companion.expansion.problems import conv_problem, cubic_problem, quadratic_problem, sine_problem
from companion.expansion.remainders import order_of, relative_distance
from metalib.errors import InputError
from metalib.inner import inner_loop
from metalib.optimizers import SGD
from metalib.params import add_scaled, subtract
from metalib.theory.expectations import avg_grad
from tests.companion.descendants.test_averages import assert_same
from tests.tolerances import ROUNDOFF, SLOPE


def test_the_walk_back_with_a_step_size_per_weight_is_automatic_differentiation_through_the_loop():
    assert_same(gradients.step_sizes())


def test_the_walk_back_with_step_sizes_of_another_part_is_not_the_gradient():
    problem = conv_problem()
    sizes = only(problem.phi, "head", ALPHA)
    losses = problem.losses(2)
    trajectory = inner_loop(losses, problem.phi, PerWeight(sizes))
    moved_everywhere = meta_gradient(
        inner_loop(losses, problem.phi, PerWeight(only(problem.phi, "all", ALPHA)))
    )
    right = by_autograd(losses, problem.phi, sizes)
    assert relative_distance(meta_gradient(trajectory).phi, right.phi) < ROUNDOFF
    assert relative_distance(moved_everywhere.phi, right.phi) > 1e-3


def test_the_walk_back_needs_steps_of_its_own():
    problem = conv_problem()
    with pytest.raises(InputError, match="trajectory of SGD"):
        meta_gradient(inner_loop(problem.losses(2), problem.phi, SGD(ALPHA)))


def test_reptile_never_moves_a_part_that_is_frozen_inside_and_maml_does():
    lengths = gradients.frozen()
    assert lengths["Reptile"] == {"body": 0.0, "head": 0.0}
    for method in ("FOMAML", "MAML"):
        assert min(lengths[method].values()) > 0.1


def test_avg_grad_inner_and_the_implicit_regularizer_are_one_term():
    assert_same(gradients.implicit_regularizer())


@pytest.mark.parametrize("problem", [cubic_problem(minibatches=3), sine_problem(minibatches=5)])
def test_both_roads_agree_on_losses_of_any_kind(problem):
    pool, phi = problem.pool, problem.phi
    one, other = regularizer.by_avg_grad_inner(pool, phi), regularizer.by_regularizer(pool, phi)
    assert relative_distance(one, other) < ROUNDOFF


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_enumerating_all_orders_gives_a_quarter_of_k_squared_and_minus_a_quarter(k):
    of_mean, of_each = regularizer.recovered(
        quadratic_problem(minibatches=k), [0.1 * (i + 1) for i in range(k)]
    )
    assert of_mean == pytest.approx(k**2 / 4, rel=ROUNDOFF)
    assert of_each == pytest.approx(-0.25, rel=ROUNDOFF)


def test_epochs_in_one_order_only_do_not_give_the_term():
    problem = quadratic_problem(minibatches=3)
    pool, phi = problem.pool, problem.phi
    epoch = pool.run(phi, 1e-3, torch.tensor([[0, 1, 2]])).phi[-1]
    beyond = add_scaled(subtract(epoch, phi), avg_grad(pool, phi), 3e-3)
    scaled = {name: value / 1e-6 for name, value in beyond.items()}
    assert relative_distance(scaled, regularizer.by_regularizer(pool, phi)) > 0.05


def test_the_mean_epoch_leaves_flow_on_the_loss_at_order_2_and_on_the_regularized_loss_at_order_3():
    plain, regularized = regularizer.flow_orders(
        quadratic_problem(minibatches=3), [0.01 * 2.0**-i for i in range(5)]
    )
    assert abs(plain - 2) < SLOPE
    assert abs(regularized - 3) < SLOPE


def test_flow_has_a_closed_form_on_quadratics_only():
    with pytest.raises(InputError, match="closed form"):
        regularizer.flow_orders(sine_problem(minibatches=2), [0.01])


def test_fish_is_reptile_with_a_domain_per_inner_step():
    assert_same(gradients.fish())


def test_what_fish_does_beyond_joint_training_raises_inner_products_as_predicted_to_first_order():
    alphas = [0.01 * 2.0**-i for i in range(4)]
    errors = [abs(regularizer.fish_beyond_joint(cubic_problem(minibatches=3), alpha) - 1) for alpha in alphas]
    assert errors[0] < 0.1
    assert abs(order_of(alphas, errors) - 1) < SLOPE


def test_matching_is_the_mean_inner_product_of_different_domains():
    problem = cubic_problem(minibatches=3)
    leaves = {name: value.clone().requires_grad_() for name, value in problem.phi.items()}
    g = [
        torch.autograd.grad(
            problem.pool.losses.select(slice(i, i + 1))(leaves).sum(), leaves["w"], create_graph=True
        )[0]
        for i in range(3)
    ]
    pairs = [(g[i] * g[j]).sum() for i in range(3) for j in range(3) if i != j]
    (expected,) = torch.autograd.grad(torch.stack(pairs).mean(), leaves["w"])
    found = regularizer.gradient_of_matching(problem.pool, problem.phi)
    assert relative_distance(found, {"w": expected}) < ROUNDOFF


@pytest.mark.parametrize("strength", [4.0, 20.0])
def test_reptile_on_the_proximal_problem_descends_the_moreau_envelope(strength):
    found = gradients.implicit_maml(strength=strength)
    assert_same(found)
    assert min(found.apart.values()) > 0.01


def test_the_weaker_the_pull_the_farther_implicit_maml_lies_from_reptile():
    apart = [
        next(iter(gradients.implicit_maml(strength=strength).apart.values())) for strength in (4.0, 8.0, 16.0)
    ]
    assert apart[0] > apart[1] > apart[2]


def test_the_proximal_minimum_is_closed_form_on_quadratics_only():
    with pytest.raises(InputError, match="closed form"):
        proximal.compare(sine_problem(minibatches=1), 5.0)


def test_only_gives_a_step_size_to_one_part():
    phi = conv_problem().phi
    assert [name for name, size in only(phi, "head", 0.1).items() if bool(size.any())] == ["dense"]
    assert "dense" not in [name for name, size in only(phi, "body", 0.1).items() if bool(size.any())]
