"""Multilayer perceptrons as plain functions of (weights, inputs), written for stacked weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.derivatives import Differentiated, MinibatchLoss
from metalib.errors import require
from metalib.memory import bytes_of
from metalib.params import Params

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Activation:
    """An activation σ: z ↦ h, (c, h) ↦ c σ'(z), and h ↦ σ''(z) / σ'(z)."""

    of: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    bend: Callable[[Tensor], Tensor]


ACTIVATIONS = {
    "tanh": Activation(torch.tanh, torch.ops.aten.tanh_backward, lambda h: -2.0 * h),
    "relu": Activation(torch.relu, lambda c, h: torch.ops.aten.threshold_backward(c, h, 0), torch.zeros_like),
}
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
        activation in ACTIVATIONS, f"activation is {activation!r}; choose one of {', '.join(ACTIVATIONS)}"
    )
    return _layers(params, inputs, ACTIVATIONS[activation])[-1]


def _layers(params: Params, inputs: Tensor, sigma: Activation) -> list[Tensor]:
    """Return h_0 = x, h_1, …, h_L: what enters every layer, and the output."""
    hidden, layers = [inputs], len(params) // 2
    for layer in range(layers):
        z = torch.baddbmm(params[f"bias_{layer}"], hidden[-1], params[f"weight_{layer}"])
        hidden.append(sigma.of(z) if layer < layers - 1 else z)
    return hidden


@dataclass(frozen=True)
class MLPLoss(MinibatchLoss, Differentiated):
    """The mean squared error of an `mlp`, with gradient and Hessian-vector product written out.

    Below, δ_l is the derivative of the loss by what layer l returns before σ, the `activation` of the model,
    and R is the derivative along v (Pearlmutter 1994).
    """

    activation: str = "tanh"

    def value_and_gradient(self, params: Params) -> tuple[Tensor, Params]:
        """Return L(φ) and L'(φ): W_l' = h_lᵀ δ_l, b_l' = Σ δ_l, δ_{l−1} = δ_l W_lᵀ σ'."""
        sigma, g = ACTIVATIONS[self.activation], {}
        hidden = _layers(params, self.inputs, sigma)
        error = hidden.pop() - self.targets
        delta = error * (2.0 / error[0].numel())
        for layer in reversed(range(len(hidden))):
            h = hidden[layer]
            g[f"weight_{layer}"] = torch.bmm(h.mT, delta)
            g[f"bias_{layer}"] = delta.sum(1, keepdim=True)
            if layer:
                delta = sigma.backward(torch.bmm(delta, params[f"weight_{layer}"].mT), h)
        return error.square().mean((1, 2)), {name: g[name] for name in params}

    def hvp(self, params: Params, vector: Params) -> Params:
        """Return L''(φ) v = R L'(φ), by the product rule along `value_and_gradient`."""
        sigma, product = ACTIVATIONS[self.activation], {}
        hidden = _layers(params, self.inputs, sigma)
        error = hidden.pop() - self.targets
        along = [torch.zeros_like(self.inputs)]  # R h_l
        bent = []  # (σ'' / σ') R z_l
        for layer, h in enumerate(hidden):
            r_z = torch.baddbmm(vector[f"bias_{layer}"], h, vector[f"weight_{layer}"])
            if layer:
                r_z = torch.baddbmm(r_z, along[-1], params[f"weight_{layer}"])
            if layer < len(hidden) - 1:
                bent.append(sigma.bend(hidden[layer + 1]) * r_z)
                r_z = sigma.backward(r_z, hidden[layer + 1])
            along.append(r_z)
        factor = 2.0 / error[0].numel()
        delta, r_delta = error * factor, along.pop() * factor
        for layer in reversed(range(len(hidden))):
            h, w, v = hidden[layer], params[f"weight_{layer}"].mT, vector[f"weight_{layer}"].mT
            product[f"bias_{layer}"] = r_delta.sum(1, keepdim=True)
            product[f"weight_{layer}"] = torch.bmm(h.mT, r_delta)
            if layer:
                product[f"weight_{layer}"] += torch.bmm(along[layer].mT, delta)
                r_h = torch.baddbmm(torch.bmm(r_delta, w), delta, v)
                before = torch.bmm(delta, w)
                delta = sigma.backward(before, h)
                r_delta = sigma.backward(torch.addcmul(r_h, bent[layer - 1], before), h)
        return {name: product[name] for name in params}


def mlp_footprint(params: Params, points: int) -> int:
    """Return the bytes that one step of one run touches: the weights, and every layer before and after σ.

    Args:
        params: weights of a stack of one.
        points: inputs of a minibatch.
    """
    biases = [value for name, value in params.items() if name.startswith("bias")]
    activations = sum(2 * points * value.shape[-1] * value.element_size() for value in biases)
    return bytes_of(params) + activations
