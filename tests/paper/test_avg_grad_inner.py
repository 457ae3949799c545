"""Section 5.1, Eqs. 28–35, 37, 39, 41: AvgGrad, AvgGradInner, and their coefficients in E[g]."""

import pandas as pd
import pytest
import torch

from companion.avg_grad_inner.coefficients import (
    CURVES_OF_FIGURE_3,
    coverage,
    distances_between_forms,
    four_forms,
    measured_coefficients,
    sampled_coefficients,
)
from companion.avg_grad_inner.draws import gradient_norm_term, plain_sgd, reused_minibatches
from companion.expansion.problems import conv_problem, cubic_problem, sine_problem
from companion.expansion.remainders import order_of
from metalib.derivatives import gradient, hvp
from metalib.params import add_scaled, norm, repeat, scale, subtract
from metalib.theory.expectations import (
    avg_grad,
    avg_grad_inner,
    expected_gradients,
    initial_gradients_of_pool,
)
from metalib.theory.taylor import fit_coefficients, predicted_coefficients, predicted_maml_coefficients
from tests.tolerances import EXACT, ROUNDOFF, SLOPE

PROBLEMS = {"cubic": cubic_problem, "tanh": sine_problem, "conv": conv_problem}
KS = tuple(range(2, 9))


def relative(a, b):
    return (norm(subtract(a, b)) / norm(b)).item()


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param](tasks=3, minibatches=4)


@pytest.fixture(params=[True, False], ids=["independent", "different"])
def replacement(request):
    return request.param


def test_eq_28_avg_grad_is_the_gradient_of_the_expected_loss(problem):
    pool, phi = problem.pool, problem.phi
    count = pool.tasks * pool.minibatches

    def expected_loss(params):
        return pool.losses(repeat(params, count)).mean()

    assert relative(avg_grad(pool, phi), gradient(expected_loss, phi)) < ROUNDOFF


def test_eq_29_to_32_four_forms_agree(problem, replacement):
    found = distances_between_forms(problem, replacement)
    assert max(found[form] for form in ("Eq. 30", "Eq. 31", "Eq. 32")) < ROUNDOFF
    forms = four_forms(problem, replacement)
    assert relative(avg_grad_inner(problem.pool, problem.phi, replacement), forms["29"]) < ROUNDOFF


def test_eq_31_equals_32_for_every_single_pair_but_29_and_30_only_on_average(problem):
    found = distances_between_forms(problem)
    assert found["pairs: Eq. 32 − Eq. 31"] < ROUNDOFF
    assert found["pairs: Eq. 30 − Eq. 29"] > 0.1


def test_for_independent_minibatches_the_term_is_half_the_gradient_of_the_squared_task_gradient(problem):
    """A second route: E[H̄_2 ḡ_1] = E_τ[H̄_τ ḡ_τ], with the gradient of the task's own mean loss."""
    pool, phi = problem.pool, problem.phi
    total = scale(phi, 0.0)
    for task in range(pool.tasks):
        runs = slice(task * pool.minibatches, (task + 1) * pool.minibatches)
        losses = pool.losses.select(runs)

        def task_loss(params, losses=losses):
            return losses(repeat(params, pool.minibatches)).mean()

        g = gradient(task_loss, phi)
        total = add_scaled(total, hvp(task_loss, phi, g), 1 / pool.tasks)
    assert relative(avg_grad_inner(pool, phi), total) < ROUNDOFF


def test_eq_33_to_41_coefficients_are_recovered_within_one_percent():
    for make, alpha, minibatches in ((cubic_problem, 1e-4, 3), (conv_problem, 1e-3, 2)):
        table = measured_coefficients(make(tasks=2, minibatches=minibatches), KS, [alpha])
        methods = table[table["method"].isin(["MAML", "FOMAML", "Reptile"])]
        assert len(methods) == 3 * len(KS)
        assert ((methods["avg_grad"] / methods["avg_grad predicted"] - 1).abs() < 0.01).all()
        assert ((methods["inner"] / methods["inner predicted"] - 1).abs() < 0.01).all()


def test_eq_33_to_35_sine_network_with_two_steps():
    table = measured_coefficients(sine_problem(tasks=2, minibatches=2), [2], [2e-5]).set_index("method")
    expected = {"MAML": (1, 2), "FOMAML": (1, 1), "Reptile": (2, 1)}
    for method, (first, second) in expected.items():
        assert table.loc[method, "avg_grad"] == pytest.approx(first, rel=0.01)
        assert table.loc[method, "inner"] == pytest.approx(second, rel=0.01)


def test_eq_37_39_41_sine_network_at_every_k():
    table = measured_coefficients(sine_problem(tasks=1, minibatches=2), KS, [2e-5])
    methods = table[table["method"].isin(["MAML", "FOMAML", "Reptile"])]
    assert ((methods["avg_grad"] / methods["avg_grad predicted"] - 1).abs() < 0.01).all()
    assert ((methods["inner"] / methods["inner predicted"] - 1).abs() < 0.01).all()


def test_every_curve_of_figure_3_has_its_predicted_coefficients(replacement):
    table = measured_coefficients(conv_problem(tasks=2, minibatches=4), [2, 4], [1e-3], replacement)
    curves = table[table["method"].isin(CURVES_OF_FIGURE_3)]
    assert len(curves) == len(CURVES_OF_FIGURE_3) == 10
    for row in curves.to_dict("records"):
        assert row["avg_grad"] == pytest.approx(row["avg_grad predicted"], rel=0.01)
        assert row["inner"] == pytest.approx(row["inner predicted"], rel=0.01, abs=1e-9)


def test_recovered_coefficients_approach_the_prediction_linearly_in_alpha():
    alphas = [1e-3 * 0.5**n for n in range(6)]
    table = measured_coefficients(sine_problem(tasks=1, minibatches=2), [3], alphas)
    for method in ("MAML", "FOMAML", "Reptile"):
        rows = table[table["method"] == method]
        error = (rows["inner"] / rows["inner predicted"] - 1).abs()
        assert order_of(rows["alpha"], error) == pytest.approx(1.0, abs=SLOPE)


@pytest.mark.parametrize("k", KS)
def test_predicted_ratio_is_4_to_2_to_1_and_linear_in_alpha_and_in_k_minus_1(k):
    alpha = 0.01
    reptile = predicted_coefficients((1.0,) * k, alpha).ratio
    fomaml = predicted_coefficients((0.0,) * (k - 1) + (1.0,), alpha).ratio
    maml = predicted_maml_coefficients(k, alpha).ratio
    assert (maml / reptile, fomaml / reptile) == pytest.approx((4.0, 2.0))
    assert reptile == pytest.approx((k - 1) * alpha / 2)
    assert predicted_maml_coefficients(k, 2 * alpha).ratio == pytest.approx(2 * maml)


def test_measured_ratio_is_4_to_2_to_1():
    table = measured_coefficients(conv_problem(tasks=2, minibatches=2), KS, [1e-4])
    for k in KS:
        rows = table[table["k"] == k].drop_duplicates("method").set_index("method")
        ratio = rows["inner"] / rows["avg_grad"]
        assert ratio["MAML"] / ratio["Reptile"] == pytest.approx(4.0, rel=0.01)
        assert ratio["FOMAML"] / ratio["Reptile"] == pytest.approx(2.0, rel=0.01)
        assert ratio["Reptile"] == pytest.approx((k - 1) / 2, rel=0.01)


@pytest.mark.parametrize("method", ["MAML", "FOMAML", "Reptile"])
@pytest.mark.parametrize("k", [2, 4, 8])
def test_sampled_coefficients_have_the_prediction_in_their_99_percent_interval(method, k):
    problem = conv_problem(tasks=3, minibatches=3)
    draws = problem.pool.sampled_draws(k, 1000, seed=0)
    table = sampled_coefficients(problem, method, k, 1e-4, draws)
    assert table["inside"].all(), table


def test_99_percent_intervals_hold_the_prediction_99_times_in_100():
    found = coverage(cubic_problem(tasks=3, minibatches=3), "MAML", 4, 1e-4, samples=200, repetitions=200)
    assert 0.96 < found <= 1.0


def test_the_standard_error_of_a_sampled_coefficient_is_the_spread_of_many_of_them():
    """So its interval is neither too narrow nor too wide; 200 samples tell a spread to a twentieth."""
    problem = cubic_problem(tasks=3, minibatches=3)
    tables = [
        sampled_coefficients(problem, "MAML", 4, 1e-4, problem.pool.sampled_draws(4, 200, seed))
        for seed in range(200)
    ]
    found = pd.concat(table.tail(1) for table in tables)
    assert found.estimate.std() / found.error.mean() == pytest.approx(1.0, abs=0.2)


def test_pairing_makes_sampled_coefficients_hundreds_of_times_sharper():
    problem = conv_problem(tasks=3, minibatches=3)
    draws = problem.pool.sampled_draws(4, 500, seed=0)
    paired, raw = (
        sampled_coefficients(problem, "Reptile", 4, 1e-3, draws, paired) for paired in (True, False)
    )
    assert raw["error"].iloc[1] > 100 * paired["error"].iloc[1]


def test_reusing_one_minibatch_turns_the_term_into_the_gradient_of_the_squared_gradient_norm():
    for make in (sine_problem, conv_problem):
        problem = make(tasks=3, minibatches=4)
        table = reused_minibatches(problem, 3, problem.alpha / 16).set_index("minibatches")
        assert table.loc["fresh", "AvgGradInner: unexplained"] < 0.01
        assert table.loc["fresh", "gradient norm: unexplained"] > 0.1
        assert table.loc["reused", "gradient norm: unexplained"] < 0.01
        assert table.loc["reused", "AvgGradInner: unexplained"] > 0.1


def test_gradient_norm_term_is_half_the_gradient_of_the_squared_norm(problem):
    pool, phi = problem.pool, problem.phi
    leaves = {name: value.clone().requires_grad_() for name, value in phi.items()}
    copies = repeat(leaves, pool.tasks * pool.minibatches)
    g = torch.autograd.grad(pool.losses(copies).sum(), list(copies.values()), create_graph=True)
    half = sum(value.square().sum() for value in g) / (2 * pool.tasks * pool.minibatches)
    oracle = dict(zip(leaves, torch.autograd.grad(half, list(leaves.values())), strict=True))
    assert relative(gradient_norm_term(pool, phi), oracle) < ROUNDOFF


def test_plain_sgd_on_one_task_has_the_same_term():
    """Section 7: nothing in the derivation needs a second task."""
    for make in (cubic_problem, conv_problem):
        problem = make(tasks=1, minibatches=4)
        table = plain_sgd(problem, problem.alpha / 16).set_index("steps")
        assert table["mean gradient"].to_numpy() == pytest.approx([4.0] * 3, rel=0.01)
        assert table["Hessian term"].to_numpy() == pytest.approx([6.0] * 3, rel=0.01)
        assert table.loc["full batch", "cosine"] < 1.0 - 1e-6


def test_without_replacement_the_term_is_over_different_minibatches(problem):
    """Draws without replacement are dependent; the prediction holds with AvgGradInner of different pairs."""
    pool, phi = problem.pool, problem.phi
    alpha = problem.alpha / 64
    g = expected_gradients(pool, phi, alpha, pool.ordered_draws(4, replacement=False))[3]
    different, independent = (
        fit_coefficients(g, avg_grad(pool, phi), avg_grad_inner(pool, phi, again)) for again in (False, True)
    )
    assert -float(different.avg_grad_inner) / alpha == pytest.approx(3.0, rel=0.01)
    assert -float(independent.avg_grad_inner) / alpha != pytest.approx(3.0, rel=0.001)


def test_first_inner_gradient_is_avg_grad_whatever_alpha(problem):
    pool, phi = problem.pool, problem.phi
    g = expected_gradients(pool, phi, 1.0, pool.ordered_draws(2))[0]
    assert relative(g, avg_grad(pool, phi)) < EXACT
    assert norm(initial_gradients_of_pool(pool, phi)) > 0
