"""Section 5.1, Eqs. 9–27, 36, 38, 40: the expansions of the inner gradients and the meta-gradients."""

import pytest
import torch

from benchmarks.derivatives import most_bytes_kept
from companion.expansion.problems import conv_problem, cubic_problem, quadratic_problem, sine_problem
from companion.expansion.remainders import (
    COMPARED,
    exactness_on_quadratics,
    hvp_forward_over_reverse,
    lines_of_the_derivation,
    maml_by_autograd,
    maml_by_swapped_product,
    order_of,
    remainders,
    slopes,
)
from metalib.derivatives import gradient, hvp
from metalib.inner import inner_loop
from metalib.meta_gradients import combination, maml
from metalib.optimizers import SGD
from metalib.params import add_scaled, dot, norm, scale, subtract, total
from metalib.theory.taylor import expand_combination, expand_fomaml, initial_gradients
from tests.oracles import flatten, unflatten
from tests.tolerances import EXACT, ROUNDOFF, SLOPE

PROBLEMS = {"cubic": cubic_problem, "tanh": sine_problem, "conv": conv_problem}
KS = tuple(range(2, 9))

# PyTorch's forward mode warns, on first use, of a deprecation of its own.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


def relative(a, b):
    return (norm(subtract(a, b)) / norm(b)).item()


@pytest.fixture(params=PROBLEMS)
def problem(request):
    return PROBLEMS[request.param]()


def test_eq_9_to_12_inner_loop_is_sgd_on_the_sequence_of_losses(problem):
    losses, alpha = problem.losses(4), problem.alpha
    run = inner_loop(losses, problem.phi, SGD(alpha))
    for i, loss in enumerate(losses):
        assert relative(run.g[i], gradient(loss, run.phi[i])) < EXACT
        assert relative(run.phi[i + 1], add_scaled(run.phi[i], run.g[i], -alpha)) < EXACT


def test_slope_is_2_with_the_hessian_term_and_1_without(problem):
    """Eqs. 25–27 at k = 2; Eqs. 36, 38 and 40 beyond."""
    fitted = slopes(remainders(problem, KS, halvings=6))
    assert len(fitted) == len(COMPARED) * len(KS) * 2
    for row in fitted.itertuples():
        assert row.slope == pytest.approx(row.order + 1, abs=SLOPE), row


def test_remainders_are_far_above_roundoff(problem):
    table = remainders(problem, KS)
    assert table["relative"].min() > 1e-11
    assert table["alpha"].max() / table["alpha"].min() == 2.0**6


@pytest.mark.parametrize("i", [1, 2, 5])
def test_eq_13_to_16_every_inner_gradient(problem, i):
    losses = problem.losses(5)
    expansion = expand_fomaml(losses[:i], problem.phi)
    alphas = [problem.alpha * 0.5**n for n in range(7)]
    exact = [inner_loop(losses, problem.phi, SGD(alpha)).g[i - 1] for alpha in alphas]
    if i == 1:
        assert max(relative(expansion.at(1.0), g) for g in exact) < EXACT
        return
    for order in (0, 1):
        left = [norm(subtract(g, expansion.at(a, order))).item() for g, a in zip(exact, alphas, strict=True)]
        assert order_of(alphas, left) == pytest.approx(order + 1, abs=SLOPE)


@pytest.mark.parametrize("weights", [(1, 1, 0, 0), (0.5, 0.5, 0.5, 0.5), (2, -1, 0.5, 3)])
def test_slope_of_any_combination(problem, weights):
    losses = problem.losses(4)
    expansion = expand_combination(losses, problem.phi, weights)
    alphas = [problem.alpha * 0.5**n for n in range(7)]
    for order in (0, 1):
        left = [
            norm(
                subtract(
                    combination(inner_loop(losses, problem.phi, SGD(a)), weights), expansion.at(a, order)
                )
            )
            for a in alphas
        ]
        assert order_of(alphas, [x.item() for x in left]) == pytest.approx(order + 1, abs=SLOPE)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_eq_14_15_16_and_22_23_24_each_line_leaves_out_order_alpha_squared(problem, k):
    table = lines_of_the_derivation(problem, k)
    assert table["equation"].tolist() == ["14", "15", "16", "22", "23", "24"]
    for row in table.itertuples():
        assert row.order == pytest.approx(2.0, abs=SLOPE), row


def test_eq_15_displacement_is_minus_alpha_times_the_sum_of_gradients(problem):
    run = inner_loop(problem.losses(4), problem.phi, SGD(problem.alpha))
    moved = subtract(run.phi[3], problem.phi)
    assert relative(moved, scale(total(run.g[:3]), -problem.alpha)) < ROUNDOFF


@pytest.mark.parametrize("k", KS)
def test_eq_17_to_21_product_formula_equals_autograd_through_the_loop(problem, k):
    losses, alpha = problem.losses(k), problem.alpha
    run = inner_loop(losses, problem.phi, SGD(alpha))
    assert relative(maml(run), maml_by_autograd(losses, problem.phi, alpha)) < ROUNDOFF


@pytest.mark.parametrize("k", KS[1:])
def test_eq_21_in_the_swapped_order_is_not_the_gradient(problem, k):
    losses, alpha = problem.losses(k), problem.alpha
    run = inner_loop(losses, problem.phi, SGD(alpha))
    assert relative(maml_by_swapped_product(run), maml_by_autograd(losses, problem.phi, alpha)) > 1e-7


def test_eq_21_with_two_steps_has_one_factor_and_no_order(problem):
    run = inner_loop(problem.losses(2), problem.phi, SGD(problem.alpha))
    assert relative(maml_by_swapped_product(run), maml(run)) < EXACT


def test_swapped_order_differs_first_at_order_alpha_squared(problem):
    """The commutator of two Hessians comes with α²: to the order of Eq. 36 the slip is invisible."""
    losses = problem.losses(4)
    alphas = [problem.alpha * 0.5**n for n in range(7)]
    runs = [inner_loop(losses, problem.phi, SGD(alpha)) for alpha in alphas]
    gaps = [norm(subtract(maml(run), maml_by_swapped_product(run))).item() for run in runs]
    assert order_of(alphas, gaps) == pytest.approx(2.0, abs=SLOPE)


@pytest.mark.parametrize("alpha", [0.001, 0.1, 1.0])
def test_on_quadratics_two_step_expansions_are_exact(alpha):
    """Reptile's and FOMAML's have no remainder; MAML's is α² H̄1 H̄2 ḡ1 and nothing else."""
    found = exactness_on_quadratics(quadratic_problem(), alpha)
    assert found["FOMAML"] < EXACT
    assert found["Reptile"] < EXACT
    assert found["MAML minus its predicted remainder"] < EXACT
    assert found["MAML"] > 1e3 * EXACT


def test_on_quadratics_three_steps_are_no_longer_exact():
    losses, phi = quadratic_problem().losses(3), quadratic_problem().phi
    g = inner_loop(losses, phi, SGD(0.1)).g[2]
    one, two, _ = initial_gradients(losses, phi)
    left = subtract(g, expand_fomaml(losses[:3], phi).at(0.1))
    predicted = scale(hvp(losses[2], phi, hvp(losses[1], phi, one)), 0.1**2)
    assert relative(left, predicted) < ROUNDOFF
    assert norm(two) > 0


def test_hessian_vector_products_match_the_dense_hessian_and_are_symmetric():
    problem = conv_problem()
    loss, phi = problem.losses(1)[0], problem.phi
    vector = flatten(phi)
    dense = torch.autograd.functional.hessian(lambda v: loss(unflatten(v, phi)).sum(), vector)
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.randn(vector.shape, generator=generator).double() for _ in range(2))
    for product in (hvp, hvp_forward_over_reverse):
        found = product(loss, phi, unflatten(v, phi))
        assert relative(found, unflatten(dense @ v, phi)) < ROUNDOFF
        swapped = dot(unflatten(v, phi), product(loss, phi, unflatten(u, phi)))
        torch.testing.assert_close(dot(unflatten(u, phi), found), swapped, rtol=ROUNDOFF, atol=0)


def test_maml_keeps_no_more_for_backward_passes_when_k_grows(problem):
    """One graph at a time, whatever k; the unrolled loop keeps one more with every step."""
    kept, unrolled = [], []
    for k in (2, 5, 8):
        losses = problem.losses(k)
        run = inner_loop(losses, problem.phi, SGD(problem.alpha))
        kept.append(most_bytes_kept(lambda run=run: maml(run)))
        unrolled.append(
            most_bytes_kept(lambda losses=losses: maml_by_autograd(losses, problem.phi, problem.alpha))
        )
    assert kept[2] == kept[1] == kept[0] < unrolled[0]
    assert unrolled[2] - unrolled[1] == unrolled[1] - unrolled[0] > 0


def test_reverse_and_forward_over_reverse_agree(problem):
    loss = problem.losses(1)[0]
    direction = gradient(loss, problem.phi)
    here = hvp(loss, problem.phi, direction)
    assert relative(hvp_forward_over_reverse(loss, problem.phi, direction), here) < ROUNDOFF
