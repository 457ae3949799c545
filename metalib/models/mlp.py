"""Networks as plain functions of (weights, inputs), written for stacked weights."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.errors import require
from metalib.memory import bytes_of
from metalib.params import Params

if TYPE_CHECKING:
    from jaxtyping import Float

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}
SINE_WIDTHS = (1, 64, 64, 1)


def initialize_mlp(
    seed: int, widths: tuple[int, ...] = SINE_WIDTHS, dtype: torch.dtype = torch.float32
) -> Params:
    """Draw the weights of a multilayer perceptron for one run, as a stack of one.

    Weights and biases of a layer with n inputs are uniform on [−1/√n, 1/√n], the default of
    PyTorch's `nn.Linear` (the paper does not say). They are sampled in float64 on the host from `seed`,
    so that every device and precision starts from the same point.

    Args:
        seed: seed of the run, at least 0.
        widths: number of units of the input, every hidden layer, and the output.
        dtype: floating-point type of the weights.

    Returns:
        `{"weight_i": [1, inputs, outputs], "bias_i": [1, 1, outputs]}` for every layer i.
    """
    generator = torch.Generator().manual_seed(seed)
    params: Params = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        bound = 1.0 / math.sqrt(inputs)
        for name, rows in (("weight", inputs), ("bias", 1)):
            uniform = torch.rand(1, rows, outputs, generator=generator, dtype=torch.float64)
            params[f"{name}_{layer}"] = ((2.0 * uniform - 1.0) * bound).to(dtype)
    return params


def mlp(
    params: Params, inputs: Float[Tensor, "runs points d_in"], activation: str = "tanh"
) -> Float[Tensor, "runs points d_out"]:
    """Apply a multilayer perceptron, every run with its own weights.

    Each layer computes h ↦ σ(h W + b), the last one without σ.

    Raises:
        InputError: if `activation` is not one of `ACTIVATIONS`.
    """
    require(
        activation in ACTIVATIONS,
        f"activation is {activation!r}; choose one of {', '.join(ACTIVATIONS)}",
    )
    nonlinearity = ACTIVATIONS[activation]
    layers = len(params) // 2
    hidden = inputs
    for layer in range(layers):
        hidden = torch.baddbmm(params[f"bias_{layer}"], hidden, params[f"weight_{layer}"])
        if layer < layers - 1:
            hidden = nonlinearity(hidden)
    return hidden


def mlp_footprint(params: Params, points: int) -> int:
    """Return the bytes that one step of one run touches: the weights, and every layer before and after σ.

    Args:
        params: weights of a stack of one.
        points: inputs of a minibatch.
    """
    biases = [value for name, value in params.items() if name.startswith("bias")]
    activations = sum(2 * points * value.shape[-1] * value.element_size() for value in biases)
    return bytes_of(params) + activations
