"""Sections 2 and 3: Eqs. 1–7."""

import numpy as np
import pytest
import torch

from metalib.derivatives import gradient
from metalib.inner import adapt, inner_loop
from metalib.meta_gradients import (
    combination_of_displacements,
    fomaml,
    maml,
    reptile,
    reptile_weights,
)
from metalib.methods import JOINT
from metalib.models.mlp import initialize_mlp
from metalib.optimizers import SGD
from metalib.params import Params, add_scaled, mean, scale, select, subtract
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import Sine
from metalib.training.config import TrainingConfig
from metalib.training.loop import train
from tests.oracles import dense_hessian, flatten, relative_error, sine_losses, unflatten, unrolled_maml
from tests.tolerances import EXACT, ROUNDOFF

ALPHA = 0.05
DOUBLE = Sine(dtype="float64")


def small_start() -> Params:
    """Weights of a network with 8 hidden units, so that dense Jacobians stay small."""
    return initialize_mlp(1, (1, 8, 8, 1), torch.float64)


def test_eq_1_and_2_maml_descends_the_loss_after_adaptation():
    """g_MAML is the derivative of φ ↦ L_B(U_A(φ)): a finite difference along it agrees."""
    (*a, b), phi = sine_losses(4)
    g = maml(inner_loop([*a, b], phi, SGD(ALPHA)))
    h = 1e-5 / float(flatten(g).norm())
    ahead, behind = (b(adapt(a, add_scaled(phi, g, sign * h), SGD(ALPHA))) for sign in (1, -1))
    slope = float((ahead - behind).sum()) / (2 * h)
    assert slope == pytest.approx(float(flatten(g) @ flatten(g)), rel=1e-6)


def test_eq_3_maml_is_the_derivative_through_the_update():
    losses, phi = sine_losses(4)
    g = maml(inner_loop(losses, phi, SGD(ALPHA)))
    assert relative_error(g, unrolled_maml(losses, phi, ALPHA)) < ROUNDOFF


def test_eq_4_maml_is_the_jacobian_of_the_update_times_the_gradient_at_the_adapted_weights():
    losses, _ = sine_losses(3)
    phi = small_start()
    *a, b = losses

    def update(vector: torch.Tensor) -> torch.Tensor:
        """U_A with a differentiable inner gradient: φ ↦ φ − α Σ g."""
        current = vector
        for loss in a:
            value = loss(unflatten(current, phi)).sum()
            current = current - ALPHA * torch.autograd.grad(value, current, create_graph=True)[0]
        return current

    vector = flatten(phi).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(update, vector)
    adapted = unflatten(update(vector).detach(), phi)
    expected = jacobian.T @ flatten(gradient(b, adapted))
    ours = flatten(maml(inner_loop(losses, phi, SGD(ALPHA))))
    assert float((ours - expected).norm() / expected.norm()) < ROUNDOFF


def test_eq_4_fomaml_replaces_the_jacobian_by_the_identity():
    losses, phi = sine_losses(3)
    t = inner_loop(losses, phi, SGD(ALPHA))
    at_the_end = gradient(losses[-1], adapt(losses[:-1], phi, SGD(ALPHA)))
    assert relative_error(fomaml(t), at_the_end) < EXACT
    assert relative_error(fomaml(t), maml(t)) > 1e-3, "the Jacobian is not the identity"


def test_the_jacobian_of_one_step_is_the_identity_minus_alpha_times_the_hessian():
    losses, _ = sine_losses(2)
    phi = small_start()
    t = inner_loop(losses, phi, SGD(ALPHA))
    g = flatten(t.g[-1])
    expected = g - ALPHA * dense_hessian(losses[0], phi) @ g
    assert float((flatten(maml(t)) - expected).norm() / expected.norm()) < ROUNDOFF


def test_eq_5_batched_reptile_moves_by_the_mean_of_the_differences_of_its_tasks():
    n, config = 4, TrainingConfig(iterations=1, tasks=4, epsilon=0.3)
    phi = DOUBLE.initialize(0)
    sampled = DOUBLE.sample(0, 0, n, config.k)
    differences = []
    for task in range(n):
        losses = [
            DOUBLE.loss({name: torch.from_numpy(a[0, task, i])[None] for name, a in sampled.items()})
            for i in range(config.k)
        ]
        differences.append(subtract(adapt(losses, phi, SGD(config.alpha)), phi))
    moved = subtract(train(DOUBLE, [config]).phi, phi)
    assert relative_error(moved, scale(mean(differences), config.epsilon)) < ROUNDOFF


def test_eq_5_batched_reptile_is_the_mean_of_serial_updates_on_the_same_tasks():
    """SimuParallelSGD: workers step on their own, then average their weights."""
    losses, phi = sine_losses(5, runs=3)
    phi = {name: value[:1].repeat(3, *[1] * (value.ndim - 1)) for name, value in phi.items()}
    together = combination_of_displacements(inner_loop(losses, phi, SGD(ALPHA)), reptile_weights(5))
    rows = [slice(r, r + 1) for r in range(3)]
    serial = [
        subtract(select(phi, row), adapt([loss.select(row) for loss in losses], select(phi, row), SGD(ALPHA)))
        for row in rows
    ]
    averaged = {name: value.mean(0, keepdim=True) for name, value in together.items()}
    assert relative_error(averaged, mean(serial)) < ROUNDOFF


def test_eq_6_and_7_one_step_reptile_is_the_gradient_of_the_loss():
    losses, phi = sine_losses(1)
    difference = scale(subtract(phi, adapt(losses, phi, SGD(ALPHA))), 1 / ALPHA)
    assert relative_error(difference, gradient(losses[0], phi)) < ROUNDOFF


def test_k_equal_1_makes_all_methods_equal():
    losses, phi = sine_losses(1)
    t = inner_loop(losses, phi, SGD(ALPHA))
    for method in (maml, fomaml, reptile):
        assert relative_error(method(t), JOINT.gradient(t)) < EXACT


def test_k_equal_1_makes_all_methods_train_to_the_same_weights():
    configs = [
        TrainingConfig(algorithm=a, k=1, iterations=BLOCK) for a in ("joint", "fomaml", "reptile", "maml")
    ]
    phi = train(DOUBLE, configs).phi
    for r in range(1, 4):
        assert relative_error(select(phi, slice(r, r + 1)), select(phi, slice(0, 1))) < EXACT


@pytest.mark.parametrize("k", [2, 3, 5])
def test_for_k_of_2_or_more_reptile_is_no_longer_k_steps_on_the_expected_loss(k):
    """E[U^k] over tasks against U^k on the mean loss: equal for k = 1, different from k = 2 on."""

    def gap(steps: int) -> float:
        n = 8
        losses, phi = sine_losses(steps, runs=n)
        phi = {name: value[:1].repeat(n, *[1] * (value.ndim - 1)) for name, value in phi.items()}
        mean_of_ends = {name: v.mean(0, keepdim=True) for name, v in adapt(losses, phi, SGD(ALPHA)).items()}

        def expected(i: int):
            def loss(params: Params) -> torch.Tensor:
                copies = {name: v.expand(n, *v.shape[1:]) for name, v in params.items()}
                return losses[i](copies).mean(0, keepdim=True)

            return loss

        start = select(phi, slice(0, 1))
        joint_end = adapt([expected(i) for i in range(steps)], start, SGD(ALPHA))
        return relative_error(subtract(mean_of_ends, start), subtract(joint_end, start))

    assert gap(1) < ROUNDOFF
    assert gap(k) > 1e-3


def test_the_outer_step_of_one_step_reptile_is_sgd_with_step_alpha_epsilon():
    config = TrainingConfig(k=1, iterations=1, epsilon=0.25)
    phi = DOUBLE.initialize(0)
    sampled = DOUBLE.sample(0, 0, 1, 1)
    loss = DOUBLE.loss({name: torch.from_numpy(a[0, 0, 0])[None] for name, a in sampled.items()})
    expected = add_scaled(phi, gradient(loss, phi), -config.alpha * config.epsilon)
    assert relative_error(train(DOUBLE, [config]).phi, expected) < EXACT
    assert np.isfinite(flatten(expected).numpy()).all()
