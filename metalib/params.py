"""Algebra on weights.

`Params` is a dictionary from names to tensors: a point, a gradient or a direction in weight space.
In a *stack*, every tensor carries a leading axis of R independent runs; a factor may then be a
tensor of R numbers, one per run. Nothing here modifies its arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Params = dict[str, Tensor]
Factor = float | Tensor


def _broadcast(factor: Tensor, tensor: Tensor) -> Tensor:
    """Give a factor of one number per run trailing axes, so that it multiplies run by run."""
    return factor.reshape(-1, *[1] * (tensor.ndim - 1)) if factor.ndim == 1 else factor


def add(a: Params, b: Params) -> Params:
    """Return a + b."""
    return {name: a[name] + b[name] for name in a}


def subtract(a: Params, b: Params) -> Params:
    """Return a − b."""
    return {name: a[name] - b[name] for name in a}


def scale(a: Params, factor: Factor) -> Params:
    """Return factor · a."""
    if isinstance(factor, Tensor):
        return {name: value * _broadcast(factor, value) for name, value in a.items()}
    return {name: value * factor for name, value in a.items()}


def add_scaled(a: Params, b: Params, factor: Factor) -> Params:
    """Return a + factor · b.

    >>> add_scaled({"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([2.0, 2.0])}, -0.5)
    {'w': tensor([0., 1.])}
    """
    if isinstance(factor, Tensor):
        return {name: torch.addcmul(a[name], b[name], _broadcast(factor, b[name])) for name in a}
    return {name: torch.add(a[name], b[name], alpha=factor) for name in a}


def total(terms: Sequence[Params]) -> Params:
    """Return the sum of at least one term."""
    result = terms[0]
    for term in terms[1:]:
        result = add(result, term)
    return result


def mean(terms: Sequence[Params]) -> Params:
    """Return the mean of at least one term."""
    return scale(total(terms), 1.0 / len(terms))


def zeros_like(a: Params) -> Params:
    """Return the zero vector of a's space."""
    return {name: torch.zeros_like(value) for name, value in a.items()}


def dot(a: Params, b: Params) -> Float[Tensor, ""]:
    """Return the inner product ⟨a, b⟩ over all weights (and over all runs of a stack)."""
    return torch.stack([torch.sum(a[name] * b[name]) for name in a]).sum()


def dot_per_run(a: Params, b: Params) -> Float[Tensor, " runs"]:
    """Return ⟨a_r, b_r⟩ for every run r of two stacks."""
    return torch.stack([(a[name] * b[name]).flatten(1).sum(1) for name in a]).sum(0)


def norm_per_run(a: Params) -> Float[Tensor, " runs"]:
    """Return ‖a_r‖ for every run r of a stack."""
    return dot_per_run(a, a).sqrt()


def norm(a: Params) -> Float[Tensor, ""]:
    """Return the Euclidean norm ‖a‖."""
    return dot(a, a).sqrt()


def cosine(a: Params, b: Params) -> Float[Tensor, ""]:
    """Return ⟨a, b⟩ / (‖a‖ ‖b‖); not a number if either vanishes."""
    return dot(a, b) / (norm(a) * norm(b))


def select(a: Params, runs: slice | Int[Tensor, " selected"]) -> Params:
    """Return the chosen runs of a stack, as a stack."""
    return {name: value[runs] for name, value in a.items()}


def repeat(a: Params, times: int) -> Params:
    """Repeat every run `times` times, copies side by side: R runs become R · times."""
    return {name: value.repeat_interleave(times, dim=0) for name, value in a.items()}


def mean_of_groups(a: Params, size: int) -> Params:
    """Undo `repeat` by averaging: every `size` neighboring runs become their mean."""
    return {name: value.unflatten(0, (-1, size)).mean(1) for name, value in a.items()}
