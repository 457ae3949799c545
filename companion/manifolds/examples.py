"""The examples of the page on solution manifolds: curves, a model of two weights, three lines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from companion.manifolds.distance import Manifold
from companion.manifolds.shapes import Affine, Sphere, parabola, sine_curve
from metalib.rng import generator


def two_curves() -> tuple[Manifold, Manifold]:
    """Return the two manifolds of our Fig. 2: a parabola and a circle that do not meet."""
    return parabola(0.35, height=0.8), Sphere(torch.tensor([1.2, -1.6], dtype=torch.float64), 1.1)


def example_manifolds() -> dict[str, Manifold]:
    """Return one manifold of every kind, affine and curved."""
    rng = generator(0, "affine")
    matrix, target = torch.from_numpy(rng.normal(size=(3, 7))), torch.from_numpy(rng.normal(size=3))
    return {
        "affine, 4 of 7 dimensions": Affine(matrix, target),
        "circle": Sphere(torch.tensor([0.3, -0.2], dtype=torch.float64), 1.5),
        "sphere in 5 dimensions": Sphere(torch.ones(5, dtype=torch.float64), 2.0),
        "parabola": parabola(0.7, height=0.2),
        "sine curve": sine_curve(),
    }


def dimension_of(manifold: Manifold) -> int:
    """Return d, the dimension of the space the manifold lies in."""
    if isinstance(manifold, Affine):
        return manifold.matrix.shape[1]
    return len(manifold.center) if isinstance(manifold, Sphere) else 2


def zero_function_model(phi: Tensor) -> Tensor:
    """Return f_φ = φ_2 / (1 + φ_1²): the smallest model in which many weights give the same function."""
    return phi[:, 1] / (1 + phi[:, 0].square())


def model_losses() -> list[Callable[[Tensor], Tensor]]:
    """Return L_τ(φ) = ½ (f_φ − y_τ)² for the two tasks y = +1 and y = −1."""
    return [partial(_model_loss, 1.0), partial(_model_loss, -1.0)]


def _model_loss(target: float, phi: Tensor) -> Tensor:
    return (zero_function_model(phi) - target).square() / 2


def expected_model_loss(phi: Tensor) -> Tensor:
    """Return E_τ[L_τ(φ)] = ½ f_φ² + ½."""
    return torch.stack([loss(phi) for loss in model_losses()]).mean(0)


def model_manifolds() -> tuple[Manifold, Manifold]:
    """Return the solutions of the two tasks: the parabolas φ_2 = ±(1 + φ_1²)."""
    return parabola(1.0, 1.0), parabola(-1.0, -1.0)


def three_lines() -> list[Affine]:
    """Return three tasks of one example each: lines that form a triangle, from inputs of unequal length."""
    rows = (((0.0, 1.0), 0.0, 0.5), ((0.8, 0.6), 1.2, 1.0), ((-0.8, 0.6), 0.8, 2.0))
    return [
        Affine(
            length * torch.tensor([normal], dtype=torch.float64),
            length * torch.tensor([offset], dtype=torch.float64),
        )
        for normal, offset, length in rows
    ]
