"""Gradients and Hessian-vector products against literal ones."""

import pytest
import torch

from metalib.derivatives import gradient, hvp, value_and_gradient
from metalib.models.mlp import initialize_mlp
from metalib.params import Params, dot, select
from tests.oracles import dense_hessian, flatten, relative_error, sine_losses, unflatten
from tests.tolerances import EXACT, ROUNDOFF


def small_network_loss(activation: str = "tanh"):
    """The sine network with 8 hidden units, so that its dense Hessian has 97 rows."""
    (loss,), _ = sine_losses(1, activation=activation)
    return loss, initialize_mlp(3, (1, 8, 8, 1), torch.float64)


def random_direction(phi: Params, seed: int) -> Params:
    g = torch.Generator().manual_seed(seed)
    return unflatten(torch.randn(flatten(phi).numel(), generator=g, dtype=torch.float64), phi)


def test_the_gradient_of_a_quadratic_is_its_closed_form():
    a = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    phi = {"phi": torch.tensor([1.0, -2.0], dtype=torch.float64)}
    g = gradient(lambda p: 0.5 * p["phi"] @ a @ p["phi"], phi)
    torch.testing.assert_close(g["phi"], a @ phi["phi"], rtol=EXACT, atol=0)


def test_the_gradient_carries_no_graph_and_leaves_the_weights_alone():
    loss, phi = small_network_loss()
    before = flatten(phi).clone()
    value, g = value_and_gradient(loss, phi)
    assert not value.requires_grad
    assert not any(t.requires_grad for t in g.values())
    assert not any(t.requires_grad for t in phi.values())
    assert torch.equal(flatten(phi), before)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_hvp_matches_the_dense_hessian(activation):
    loss, phi = small_network_loss(activation)
    v = random_direction(phi, 0)
    dense = dense_hessian(loss, phi) @ flatten(v)
    assert float((flatten(hvp(loss, phi, v)) - dense).norm() / dense.norm()) < ROUNDOFF


def test_hvp_is_symmetric():
    loss, phi = small_network_loss()
    u, v = random_direction(phi, 0), random_direction(phi, 1)
    left, right = dot(u, hvp(loss, phi, v)), dot(v, hvp(loss, phi, u))
    torch.testing.assert_close(left, right, rtol=ROUNDOFF, atol=0)


def test_hvp_matches_forward_mode_over_reverse_mode():
    loss, phi = small_network_loss()
    v = random_direction(phi, 0)
    _, forward = torch.func.jvp(torch.func.grad(lambda p: loss(p).sum()), (phi,), (v,))
    assert relative_error(hvp(loss, phi, v), forward) < ROUNDOFF


def test_hvp_of_a_linear_loss_is_zero():
    phi = {"phi": torch.ones(3, dtype=torch.float64)}
    assert not hvp(lambda p: p["phi"].sum(), phi, phi)["phi"].any()


def test_hvp_of_a_loss_linear_in_some_weights_is_zero_there():
    phi = {"a": torch.tensor([2.0]), "b": torch.tensor([3.0])}
    product = hvp(lambda p: p["a"] ** 3 + p["b"], phi, {"a": torch.ones(1), "b": torch.ones(1)})
    assert product["a"].item() == 12.0
    assert product["b"].item() == 0.0


def test_a_stack_gives_every_run_its_own_gradient_and_hvp():
    (loss,), phi = sine_losses(1, runs=3)
    v = random_direction(phi, 0)
    stacked = gradient(loss, phi), hvp(loss, phi, v)
    for r in range(3):
        row = slice(r, r + 1)
        alone = loss.select(row)
        assert relative_error(select(stacked[0], row), gradient(alone, select(phi, row))) < EXACT
        assert relative_error(select(stacked[1], row), hvp(alone, select(phi, row), select(v, row))) < EXACT
