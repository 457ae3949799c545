"""Losses as functions of the weights alone, their gradients, and Hessian-vector products.

A loss maps `Params` to one number, or in a stack to R numbers, one per run. Runs share no weights,
so the gradient of the *sum* of their losses holds every run's own gradient, and likewise for
Hessian-vector products. That is why nothing below needs to know whether it sees a stack.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from metalib.params import Params

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Loss = Callable[[Params], Tensor]
Model = Callable[[Params, Tensor], Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class MinibatchLoss:
    """L_i: the loss on minibatch i, as a function of the weights alone (Nichol et al. 2018, section 5.1).

    Attributes:
        model: maps (stacked weights, inputs) to predictions.
        criterion: maps (predictions, targets) to one number per run.
        inputs: the minibatch of every run, with a leading axis of R runs.
        targets: what the predictions are compared with, with a leading axis of R runs.
    """

    model: Model
    criterion: Criterion
    inputs: Tensor
    targets: Tensor

    def __call__(self, params: Params) -> Float[Tensor, " runs"]:
        """Return L_i(φ), one number per run."""
        return self.criterion(self.model(params, self.inputs), self.targets)

    def select(self, runs: slice | Int[Tensor, " selected"]) -> MinibatchLoss:
        """Return the loss of the chosen runs only."""
        return replace(self, inputs=self.inputs[runs], targets=self.targets[runs])


class Differentiated(ABC):
    """A loss with its derivatives written out: `value_and_gradient` and `hvp` ask it, not autograd."""

    @abstractmethod
    def value_and_gradient(self, params: Params) -> tuple[Tensor, Params]:
        """Return L(φ) and L'(φ)."""

    @abstractmethod
    def hvp(self, params: Params, vector: Params) -> Params:
        """Return L''(φ) v."""


def mean_squared_error(
    predictions: Float[Tensor, "runs points 1"], targets: Float[Tensor, "runs points 1"]
) -> Float[Tensor, " runs"]:
    """Return the mean over points of (prediction − target)², per run."""
    return (predictions - targets).square().mean((1, 2))


def cross_entropy(
    logits: Float[Tensor, "runs batch classes"], labels: Int[Tensor, "runs batch"], reduction: str
) -> Float[Tensor, " runs"]:
    """Return −log softmax(logits)[label], per run, as the "sum" or the "mean" over the minibatch."""
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape)
    return losses.sum(1) if reduction == "sum" else losses.mean(1)


def value_and_gradient(loss: Loss, params: Params) -> tuple[Tensor, Params]:
    """Return L(φ) and L'(φ), both cut from the graph: by reverse mode, or as a `Differentiated` loss says."""
    if isinstance(loss, Differentiated):
        with torch.no_grad():
            return loss.value_and_gradient(params)
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    value = loss(leaves)
    gradients = torch.autograd.grad(value.sum(), list(leaves.values()))
    return value.detach(), dict(zip(leaves, gradients, strict=True))


def gradient(loss: Loss, params: Params) -> Params:
    """Return L'(φ).

    >>> gradient(lambda p: (p["w"] ** 3).sum(), {"w": torch.tensor([1.0, 2.0])})
    {'w': tensor([ 3., 12.])}
    """
    return value_and_gradient(loss, params)[1]


def hvp(loss: Loss, params: Params, vector: Params) -> Params:
    """Return the Hessian-vector product L''(φ) v, without forming the Hessian.

    Reverse mode is applied to the gradient: L''(φ) v is the vector-Jacobian product of φ ↦ L'(φ)
    with v, because the Hessian is symmetric. It holds the graph of one gradient, whatever the
    number of inner steps. A `Differentiated` loss is asked instead. Forward mode over the gradient costs
    two to three times as much on small networks, about the same on large ones (`benchmarks/derivatives.py`).

    >>> hvp(lambda p: (p["w"] ** 3).sum(), {"w": torch.tensor([1.0, 2.0])}, {"w": torch.ones(2)})
    {'w': tensor([ 6., 12.])}
    """
    if isinstance(loss, Differentiated):
        with torch.no_grad():
            return loss.hvp(params, vector)
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    gradients = torch.autograd.grad(loss(leaves).sum(), list(leaves.values()), create_graph=True)
    # A gradient that does not depend on the weights (a linear part) has no graph: its rows of L'' are zero.
    curved = [(g, vector[name]) for name, g in zip(leaves, gradients, strict=True) if g.requires_grad]
    if not curved:
        return {name: torch.zeros_like(value) for name, value in leaves.items()}
    outputs, along = zip(*curved, strict=True)
    products = torch.autograd.grad(outputs, list(leaves.values()), along, materialize_grads=True)
    return dict(zip(leaves, products, strict=True))
