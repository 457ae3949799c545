"""Implicit MAML as a method of training, and its expansion beside those of the paper's three methods."""

from dataclasses import replace

import pytest
import torch

from companion.expansion.problems import cubic_problem, omniglot_problem, sine_problem
from companion.expansion.remainders import order_of
from companion.implicit.expansion import expand_steps, predicted_implicit_coefficients
from companion.implicit.linear_systems import CurvatureError, conjugate_gradients
from companion.implicit.training import (
    ImplicitConfig,
    MeanLoss,
    Proximal,
    SolverMonitor,
    implicit_of,
    mean_of,
)
from metalib.data.glyphs import glyphs
from metalib.derivatives import MinibatchLoss, gradient
from metalib.errors import InputError
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.optimizers import SGD
from metalib.params import add_scaled, norm, repeat, subtract
from metalib.tasks.fewshot import FewShot
from metalib.tasks.sine import Sine
from metalib.theory.expectations import average_run, avg_grad, avg_grad_inner
from metalib.theory.taylor import fit_coefficients, predicted_coefficients, predicted_maml_coefficients
from metalib.training import TrainingConfig, train
from tests.tolerances import EXACT, ROUNDOFF, SLOPE

ALPHAS = [2.0**-n for n in range(13, 19)]


def relative(a, b):
    return (norm(subtract(a, b)) / norm(b)).item()


def gradient_at(losses, phi, alpha, reach, limit=100):
    strength = 1.0 / (alpha * reach)
    return implicit_of(inner_loop(losses, phi, Proximal(alpha, strength)), strength, limit, 1e-14).x


def orders(problem, k, reach, limit=100):
    losses, phi = problem.losses(k), problem.phi
    expansion = expand_steps(losses, phi, reach)
    exact = [gradient_at(losses, phi, alpha, reach, limit) for alpha in ALPHAS]
    return [
        order_of(
            ALPHAS,
            [norm(subtract(g, expansion.at(a, order))).item() for g, a in zip(exact, ALPHAS, strict=True)],
        )
        for order in (0, 1)
    ]


@pytest.mark.parametrize("reach", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("problem", [cubic_problem, sine_problem])
def test_what_the_expansion_leaves_out_is_of_order_2_with_the_hessian_terms_and_1_without(problem, k, reach):
    assert orders(problem(), k, reach) == pytest.approx([1.0, 2.0], abs=SLOPE)


def test_two_steps_of_the_solver_reach_the_hessian_term_and_one_does_not():
    one, two = (orders(cubic_problem(), 4, 3.0, limit)[1] for limit in (1, 2))
    assert one == pytest.approx(1.0, abs=SLOPE)
    assert two > 2.0 - SLOPE


def test_one_proximal_step_of_reach_one_is_maml_to_leading_order():
    losses, phi = cubic_problem().losses(2), cubic_problem().phi
    gaps = [
        norm(subtract(gradient_at(losses, phi, a, 1.0), maml(inner_loop(losses, phi, SGD(a))))).item()
        for a in ALPHAS
    ]
    assert order_of(ALPHAS, gaps) == pytest.approx(2.0, abs=SLOPE)
    mine, theirs = predicted_implicit_coefficients(2, 0.01, 100.0), predicted_maml_coefficients(2, 0.01)
    assert mine.avg_grad_inner == pytest.approx(theirs.avg_grad_inner)


@pytest.mark.parametrize(("k", "share"), [(2, 1.0), (3, 0.5), (3, 2.0), (4, 1.0)])
def test_coefficients_are_recovered_within_one_percent(k, share):
    problem, alpha = sine_problem(tasks=3, minibatches=4), 2.0**-17
    reach = share * (k - 1)
    pool, strength = problem.pool, 1.0 / (alpha * reach)
    draws = pool.ordered_draws(k)
    trajectory = inner_loop(
        pool.losses_for(draws), repeat(problem.phi, len(draws)), Proximal(alpha, strength)
    )
    mean = average_run(implicit_of(trajectory, strength, 20, 1e-13).x)
    found = fit_coefficients(mean, avg_grad(pool, problem.phi), avg_grad_inner(pool, problem.phi))
    predicted = predicted_implicit_coefficients(k, alpha, strength)
    assert found.avg_grad[0].item() == pytest.approx(1.0, rel=0.01)
    assert found.avg_grad_inner[0].item() == pytest.approx(predicted.avg_grad_inner, rel=0.01)


def test_with_mamls_reach_its_share_lies_between_those_of_fomaml_and_maml():
    k, alpha = 6, 0.01
    mine = predicted_implicit_coefficients(k, alpha, 1 / ((k - 1) * alpha)).avg_grad_inner
    first = predicted_coefficients((0,) * (k - 1) + (1,), alpha).avg_grad_inner
    assert -mine / ((k - 1) * alpha) == pytest.approx(2 - 0.8**5)
    assert predicted_maml_coefficients(k, alpha).avg_grad_inner < mine < first


def test_the_optimizer_descends_the_proximal_loss():
    problem = cubic_problem()
    losses, start = problem.losses(4), problem.phi
    reached = inner_loop(losses, start, Proximal(0.01, 7.0)).phi
    phi = start
    for loss, expected in zip(losses, reached[1:], strict=True):
        g = add_scaled(gradient(loss, phi), subtract(phi, start), 7.0)
        phi = add_scaled(phi, g, -0.01)
        assert relative(expected, phi) < EXACT


def test_an_outer_step_of_training_moves_against_the_implicit_gradients_of_its_tasks():
    family = Sine(dtype="float64")
    config = ImplicitConfig(iterations=1, tasks=3, epsilon=0.5, solver_steps=50, strength=30.0)
    phi = family.initialize(0)
    sampled = family.sample(0, 0, 3, config.k)
    moves = []
    for task in range(3):
        losses = [
            family.loss({n: torch.from_numpy(a[:1, task, i]) for n, a in sampled.items()}) for i in range(5)
        ]
        moves.append(config.solve(inner_loop(losses, phi, config.optimizer())).x)
    expected = {n: value - 0.5 * config.alpha * sum(m[n] for m in moves) / 3 for n, value in phi.items()}
    assert relative(train(family, [config]).phi, expected) < ROUNDOFF


def test_runs_of_one_stack_are_the_runs_alone_and_other_pulls_do_not_share_a_stack():
    configs = [
        ImplicitConfig(seed=seed, iterations=3, solver_steps=s) for seed, s in ((0, 2), (1, 2), (1, 4))
    ]
    family = Sine(dtype="float64")
    stack = train(family, configs)
    for r, config in enumerate(configs):
        alone = train(family, [config]).phi
        assert relative({n: v[r : r + 1] for n, v in stack.phi.items()}, alone) < ROUNDOFF
    for other in (replace(configs[0], strength=3.0), TrainingConfig(iterations=3)):
        with pytest.raises(InputError, match="the runs of a stack must share inner"):
            train(family, [configs[0], other])


def test_minibatches_of_squared_errors_are_pooled_and_images_are_not():
    for problem, kind in ((sine_problem(), MinibatchLoss), (omniglot_problem(), MeanLoss)):
        losses = problem.losses(3)
        pooled = mean_of(losses)
        assert isinstance(pooled, kind)
        mean = gradient(MeanLoss(tuple(losses)), problem.phi)
        assert relative(gradient(pooled, problem.phi), mean) < EXACT


def test_downward_curvature_is_an_error_with_its_remedy_or_ends_the_solver():
    bend = torch.tensor([[1.0, 2.0, 3.0, -4.0], [1.0, 1.0, 2.0, 2.0], [-1.0, 1.0, 1.0, 1.0]])

    def product(v):
        return {"w": bend * v["w"]}

    b = {"w": torch.tensor([[1.0, 1.0, 1.0, 0.1], [1.0, 1.0, 1.0, 1.0], [2.0, 0.1, 0.1, 0.1]])}
    with pytest.raises(CurvatureError, match="give damping above"):
        conjugate_gradients(product, b)
    found = conjugate_gradients(product, b, truncate=True)
    assert found.bent.tolist() == [True, False, True]
    assert found.steps.tolist() == [2, 2, 0]
    torch.testing.assert_close(found.x["w"][1], torch.tensor([1.0, 1.0, 0.5, 0.5]))
    torch.testing.assert_close(found.x["w"][2], b["w"][2])
    config = ImplicitConfig(seed=1, iterations=300, truncate=False, outer="adam", epsilon=0.001)
    with pytest.raises(CurvatureError, match="raise the proximal strength"):
        train(Sine(), [config])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": 0.0}, "λ is 0.0; give λ > 0"),
        ({"strength": 200.0}, r"choose alpha below 2 / λ"),
        ({"solver_steps": 0}, "solver_steps is 0; give at least 1"),
        ({"damping": -1.0}, "damping is -1.0; it must be at least 0"),
        ({"algorithm": "maml"}, "algorithm is 'maml'; choose one of imaml"),
    ],
)
def test_a_configuration_out_of_range_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        ImplicitConfig(**change)


def test_characters_are_learned_and_the_solver_reports_steps_and_residual():
    family = FewShot(glyphs(), 5, shots=5, batch=5, reduction="mean")
    config = ImplicitConfig(iterations=2, k=3, alpha=0.001, strength=500.0, epsilon=0.001, outer="adam")
    history = train(family, [config, replace(config, solver_steps=2)], monitor=SolverMonitor(tasks=4)).history
    assert history.solver_steps.tolist() == [5.0, 2.0]
    more, fewer = history.solver_residual
    assert 0 < more < fewer < 1
    other = TrainingConfig(iterations=2)
    assert train(Sine(), [other], monitor=SolverMonitor(4)).history.solver_steps.isna().all()
