"""Expansions and coefficients: shapes, stacks, and what is refused. The theory itself: tests/paper."""

import pytest
import torch

from companion.expansion.polynomial import sample_point, sample_polynomials
from metalib.errors import InputError
from metalib.methods import REPTILE
from metalib.params import add, norm, repeat, scale, select, subtract
from metalib.theory.taylor import (
    Expansion,
    expand_combination,
    expand_fomaml,
    expand_maml,
    fit_coefficients,
    half_gradient_of_inner_product,
    initial_gradients,
    predicted_coefficients,
    predicted_maml_coefficients,
)
from tests.tolerances import EXACT, ROUNDOFF

K = 4


def cubics(k=K, dimension=3):
    pool = sample_polynomials(0, tasks=1, minibatches=k, dimension=dimension)
    return [pool.select(slice(i, i + 1)) for i in range(k)], sample_point(0, dimension)


def test_of_losses_that_are_linear_the_inner_product_has_no_gradient():
    def linear(params):
        return 3.0 * params["w"].sum()

    phi = {"w": torch.ones(1, 2, dtype=torch.float64)}
    assert torch.equal(half_gradient_of_inner_product(linear, linear, phi)["w"], torch.zeros(1, 2))


def test_expansion_terms_match_dense_matrix_algebra():
    losses, phi = cubics()
    g = [loss.gradient(phi)["w"][0] for loss in losses]
    H = [loss.hessian(phi)[0] for loss in losses]
    dense = {
        expand_fomaml: H[3] @ (g[0] + g[1] + g[2]),
        REPTILE.expand: H[1] @ g[0] + H[2] @ (g[0] + g[1]) + H[3] @ (g[0] + g[1] + g[2]),
        expand_maml: H[3] @ (g[0] + g[1] + g[2]) + (H[0] + H[1] + H[2]) @ g[3],
    }
    for expand, first in dense.items():
        torch.testing.assert_close(expand(losses, phi).first["w"][0], first, rtol=ROUNDOFF, atol=ROUNDOFF)


def test_initial_gradients_are_taken_at_phi_1():
    losses, phi = cubics()
    for g, loss in zip(initial_gradients(losses, phi), losses, strict=True):
        torch.testing.assert_close(g, loss.gradient(phi), rtol=EXACT, atol=EXACT)


def test_combination_is_the_weighted_sum_of_expanded_gradients():
    losses, phi = cubics()
    weights = (0.5, -1.0, 0.0, 2.0)
    whole = expand_combination(losses, phi, weights)
    parts = [expand_fomaml(losses[:i], phi) for i in range(1, K + 1)]
    for term in ("zeroth", "first"):
        expected = sum(c * getattr(part, term)["w"] for c, part in zip(weights, parts, strict=True))
        torch.testing.assert_close(getattr(whole, term)["w"], expected, rtol=EXACT, atol=EXACT)


def test_first_inner_gradient_has_no_correction():
    losses, phi = cubics()
    assert norm(expand_fomaml(losses[:1], phi).first) == 0.0


def test_expansion_at_alpha_subtracts_alpha_times_first():
    expansion = Expansion({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([10.0, 20.0])})
    assert expansion.at(0.125)["w"].tolist() == [-0.25, -0.5]
    assert expansion.at(0.125, order=0)["w"].tolist() == [1.0, 2.0]


def test_stack_expands_every_run_by_itself():
    pool = sample_polynomials(0, tasks=2, minibatches=2, dimension=3)
    losses = [pool.select(torch.tensor([0, 2])), pool.select(torch.tensor([1, 3]))]
    phi = sample_point(0, 3)
    together = expand_maml(losses, repeat(phi, 2))
    for run in range(2):
        alone = expand_maml([loss.select(slice(run, run + 1)) for loss in losses], phi)
        torch.testing.assert_close(select(together.first, slice(run, run + 1)), alone.first)


def test_least_squares_recovers_known_coefficients_of_a_stack():
    generator = torch.Generator().manual_seed(0)
    one, two = ({"w": torch.randn(1, 6, generator=generator).double()} for _ in range(2))
    weights = ((1.0, -0.5), (3.0, 1e-6))
    g = {"w": torch.cat([add(scale(one, a), scale(two, b))["w"] for a, b in weights])}
    found = fit_coefficients(g, one, scale(two, 1e4))
    assert found.avg_grad.tolist() == pytest.approx([1.0, 3.0], rel=ROUNDOFF)
    assert found.avg_grad_inner.tolist() == pytest.approx([-0.5e-4, 1e-10], rel=1e-6)


def test_least_squares_ignores_what_is_orthogonal_to_both():
    one, two, other = ({"w": row[None]} for row in torch.eye(3).double())
    found = fit_coefficients(add(scale(one, 2.0), other), one, two)
    assert (found.avg_grad.item(), found.avg_grad_inner.item()) == pytest.approx((2.0, 0.0))


def test_ratio_is_how_much_minus_the_inner_term_weighs():
    assert predicted_coefficients((1.0, 1.0), 0.1).ratio == pytest.approx(0.05)
    assert predicted_maml_coefficients(3, 0.1).ratio == pytest.approx(0.4)


def test_wrong_number_of_weights_is_refused():
    losses, phi = cubics()
    with pytest.raises(InputError, match="got 2 weights for k = 4"):
        expand_combination(losses, phi, (1.0, 1.0))


def test_unknown_order_is_refused():
    expansion = Expansion({"w": torch.zeros(1)}, {"w": torch.zeros(1)})
    with pytest.raises(InputError, match="orders 0 and 1"):
        expansion.at(0.1, order=2)


def test_subtracting_orders_leaves_the_hessian_term():
    losses, phi = cubics()
    expansion = REPTILE.expand(losses, phi)
    difference = subtract(expansion.at(0.5, order=0), expansion.at(0.5))
    torch.testing.assert_close(difference, scale(expansion.first, 0.5))
