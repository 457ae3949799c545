"""The squared error of an MLP: its written-out derivatives against automatic differentiation."""

from dataclasses import replace

import pytest
import torch

from metalib.derivatives import Differentiated, MinibatchLoss, gradient, hvp, mean_squared_error
from metalib.derivatives import value_and_gradient as derivative
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.models.mlp import ACTIVATIONS, MLPLoss, initialize_mlp, mlp
from metalib.optimizers import SGD
from metalib.params import Params
from metalib.tasks.sine import Sine
from tests.oracles import relative_error
from tests.tolerances import EXACT, FLOAT32

WIDTHS = ((1, 1), (2, 7, 3), (1, 8, 8, 1), (3, 5, 6, 4, 2))


def draw(widths, runs=3, points=6, activation="tanh", dtype=torch.float64):
    """A written-out loss of several runs, the same loss left to autograd, weights and a direction."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    one = initialize_mlp(0, widths, dtype)
    phi, v = ({name: normal(runs, *w.shape[1:]) for name, w in one.items()} for _ in range(2))
    x, y = normal(runs, points, widths[0]), normal(runs, points, widths[-1])

    def model(params: Params, inputs: torch.Tensor) -> torch.Tensor:
        return mlp(params, inputs, activation)

    written = MLPLoss(model, mean_squared_error, x, y, activation)
    return written, MinibatchLoss(model, mean_squared_error, x, y), phi, v


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_the_written_gradient_and_value_are_those_of_autograd(widths, activation):
    written, left, phi, _ = draw(widths, activation=activation)
    (value, g), (expected, wanted) = derivative(written, phi), derivative(left, phi)
    torch.testing.assert_close(value, expected, rtol=EXACT, atol=0)
    assert relative_error(g, wanted) < EXACT
    assert list(g) == list(phi)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_the_written_hessian_vector_product_is_that_of_autograd(widths, activation):
    written, left, phi, v = draw(widths, activation=activation)
    assert relative_error(hvp(written, phi, v), hvp(left, phi, v)) < EXACT


def test_in_single_precision_the_written_derivatives_round_as_autograd_does():
    """The network of the paper: the gradient is the same to the last bit or two, the product to roundoff."""
    written, left, phi, v = draw((1, 64, 64, 1), runs=25, points=10, dtype=torch.float32)
    _, exact, phi64, v64 = draw((1, 64, 64, 1), runs=25, points=10)
    assert relative_error(gradient(written, phi), gradient(left, phi)) < 1e-6
    of_written = relative_error(hvp(written, phi, v), hvp(exact, phi64, v64))
    of_autograd = relative_error(hvp(left, phi, v), hvp(exact, phi64, v64))
    assert of_written < FLOAT32
    assert of_written < 2 * of_autograd


def test_training_on_sine_waves_uses_them_and_maml_is_the_same():
    family = Sine(dtype="float64")
    rows = family.sample(0, 0, 1, 3)
    x, y = (torch.from_numpy(rows[name][0, 0]).unsqueeze(1) for name in ("x", "y"))
    written = [family.loss({"x": a, "y": b}) for a, b in zip(x, y, strict=True)]
    assert all(isinstance(loss, Differentiated) for loss in written)
    left = [MinibatchLoss(family.model, mean_squared_error, a, b) for a, b in zip(x, y, strict=True)]
    phi = family.initialize(0)
    one, other = (maml(inner_loop(losses, phi, SGD(0.02))) for losses in (written, left))
    assert relative_error(one, other) < EXACT


def test_chosen_runs_keep_their_derivatives():
    written, _, phi, _ = draw((1, 8, 8, 1), activation="relu")
    chosen = written.select(slice(1, 2))
    assert isinstance(chosen, MLPLoss)
    assert chosen.activation == "relu"
    g = gradient(chosen, {name: value[1:2] for name, value in phi.items()})
    assert relative_error(g, {name: value[1:2] for name, value in gradient(written, phi).items()}) < EXACT
    assert chosen == replace(written, inputs=chosen.inputs, targets=chosen.targets)


def test_written_derivatives_carry_no_graph():
    written, _, phi, v = draw((1, 8, 8, 1))
    followed = {name: value.requires_grad_() for name, value in phi.items()}
    assert not any(value.requires_grad for value in gradient(written, followed).values())
    assert not any(value.requires_grad for value in hvp(written, followed, v).values())
