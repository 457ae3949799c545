"""What the page on solution manifolds computes: limits of alternating moves, of exact and partial solves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.manifolds.distance import (
    Manifold,
    Update,
    batched,
    closest_to_all,
    descend_distance,
    distance_gradient,
    half_squared_distance,
    iterate,
    mean_half_squared_distance,
)
from companion.manifolds.examples import (
    dimension_of,
    example_manifolds,
    expected_model_loss,
    model_losses,
    model_manifolds,
    three_lines,
    two_curves,
)
from companion.manifolds.shapes import Affine
from metalib.inner import adapt
from metalib.optimizers import SGD
from metalib.params import Params
from metalib.rng import generator


def gradient_check(points: int = 50, h: float = 1e-5, seed: int = 0) -> pd.DataFrame:
    """Compare φ − P(φ) with central differences of ½ D(φ, W)² at random points.

    Returns:
        A row per manifold with the largest absolute difference of any component.
    """
    rows = []
    for name, manifold in example_manifolds().items():
        d = dimension_of(manifold)
        phi = torch.from_numpy(generator(seed, "points").uniform(-2, 2, size=(points, d)))
        unit = h * torch.eye(d, dtype=torch.float64)
        differences = [
            (half_squared_distance(manifold, phi + e) - half_squared_distance(manifold, phi - e)) / (2 * h)
            for e in unit
        ]
        error = (torch.stack(differences, 1) - distance_gradient(manifold, phi)).abs().max().item()
        rows.append((name, error))
    return pd.DataFrame(rows, columns=["manifold", "largest difference"])


def alternating_limits(start: Tensor, epsilons: Sequence[float], steps: int = 200) -> pd.DataFrame:
    """Move alternately towards two curves with constant and with annealed ε, and see where it ends.

    Annealed means linearly from ε to 0, as in the paper's appendix A.

    Returns:
        A row per ε and schedule: distance of the last iterate, and of the mean of the last two, from the
        point of least mean squared distance; `predicted` is what a constant ε leaves, ε d / (2 (2 − ε)),
        with d the gap between the manifolds.
    """
    curves = two_curves()
    best = closest_to_all(curves, start)
    gap = (curves[0].project(best) - curves[1].project(best)).norm(dim=1).max().item()
    order = [step % 2 for step in range(steps)]
    rows = []
    for epsilon in epsilons:
        schedules = {
            "constant": np.full(steps, epsilon),
            "annealed": epsilon * (1 - np.arange(steps) / steps),
        }
        for name, schedule in schedules.items():
            path = iterate(start, [curve.project for curve in curves], order, list(schedule))
            last, middle = path[-1] - best, path[-2:].mean(0) - best
            predicted = epsilon * gap / (2 * (2 - epsilon)) if name == "constant" else 0.0
            rows.append(
                (name, epsilon, last.norm(dim=1).max().item(), middle.norm(dim=1).max().item(), predicted)
            )
    return pd.DataFrame(rows, columns=["schedule", "epsilon", "last", "mean of last two", "predicted"])


def inner_steps_on_the_distance(
    start: Tensor, alpha: float, ks: Sequence[int], epsilon: float = 1.0, steps: int = 200
) -> pd.DataFrame:
    """Replace the projection by k gradient steps on ½ D² and compare with the shorter exact move.

    Returns:
        A row per k: the share 1 − (1 − α)^k of the way that k steps cover; the largest distance between
        the path and that of exact moves with ε (1 − (1 − α)^k); the distance of the limit from the least
        mean squared distance.
    """
    curves = two_curves()
    best = closest_to_all(curves, start)
    order = [step % 2 for step in range(steps)]
    schedule = epsilon * (1 - np.arange(steps) / steps)
    rows = []
    for k in ks:
        share = 1 - (1 - alpha) ** k
        path = iterate(start, [partial(_descend_towards, c, alpha, k) for c in curves], order, list(schedule))
        shorter = iterate(start, [curve.project for curve in curves], order, list(schedule * share))
        limit = (path[-1] - best).norm(dim=1).max().item()
        rows.append((k, share, (path - shorter).abs().max().item(), limit))
    return pd.DataFrame(rows, columns=["k", "share", "difference from shorter exact moves", "limit"])


def _descend_towards(curve: Manifold, alpha: float, k: int, phi: Tensor) -> Tensor:
    return descend_distance(phi, curve, alpha, k)


def where_training_ends(starts: Tensor, alpha: float = 0.5, k: int = 50) -> pd.DataFrame:
    """Train the two-weight model jointly, by Reptile with k gradient steps, and with exact projections.

    Returns:
        A row per start and method: the final φ, the expected loss there, and E[½ D²].
    """
    losses, manifolds = model_losses(), model_manifolds()

    gradient_steps = batched([partial(descend, loss=loss, alpha=alpha, k=k) for loss in losses])
    projections = batched([manifold.project for manifold in manifolds])
    ends = {
        "joint training": descend(starts, expected_model_loss, alpha, 3000),
        f"Reptile, {k} gradient steps": iterate(starts, [gradient_steps], [0] * 60, [1.0] * 60)[-1],
        "Reptile, exact projection": iterate(starts, [projections], [0] * 60, [1.0] * 60)[-1],
    }
    rows = []
    for name, end in ends.items():
        squared = mean_half_squared_distance(manifolds, end)
        for start, point, value, distance in zip(starts, end, expected_model_loss(end), squared, strict=True):
            rows.append((name, *start.tolist(), *point.tolist(), value.item(), distance.item()))
    columns = [
        "method",
        "start 1",
        "start 2",
        "end 1",
        "end 2",
        "expected loss",
        "mean half squared distance",
    ]
    return pd.DataFrame(rows, columns=columns)


def descent_and_projection(starts: Tensor, alpha: float = 0.2, k: int = 1000) -> pd.DataFrame:
    """Solve the task y = +1 of the two-weight model by k gradient steps, and measure the shortest way.

    Returns:
        A row per start: the loss left after k steps, how far gradient descent went, and how far W was.
    """
    loss, manifold = model_losses()[0], model_manifolds()[0]
    end = descend(starts, loss, alpha, k)
    went, shortest = (end - starts).norm(dim=1), (manifold.project(starts) - starts).norm(dim=1)
    rows = zip(*starts.T.tolist(), loss(end).tolist(), went.tolist(), shortest.tolist(), strict=True)
    return pd.DataFrame(rows, columns=["start 1", "start 2", "loss left", "distance gone", "distance to W"])


def descend(phi: Tensor, loss: Callable[[Tensor], Tensor], alpha: float, k: int) -> Tensor:
    """Return U^k(φ): φ after k gradient steps on a loss of the points, by the library's inner loop."""

    def of_params(params: Params) -> Tensor:
        return loss(params["w"])

    return adapt([of_params] * k, {"w": phi}, SGD(alpha))["w"]


def limit_of_reptile(lines: Sequence[Affine], alpha: float, k: int | None) -> Tensor:
    """Return where the mean of U_τ^k(φ) − φ vanishes, in closed form; `k=None` means exact projections.

    k gradient steps on ½‖Aφ − b‖² move φ by −M_k (φ − P(φ)) with M_k = I − (I − α AᵀA)^k, so the limit
    solves E[M_k (φ − P(0))] = 0: least squares that weighs each task's direction by how far k steps get.
    """
    left = torch.zeros(lines[0].matrix.shape[1], lines[0].matrix.shape[1], dtype=torch.float64)
    right = torch.zeros(len(left), dtype=torch.float64)
    for line in lines:
        gram = line.matrix.T @ line.matrix
        if k is None:
            weight = torch.linalg.pinv(line.matrix) @ line.matrix
        else:
            identity = torch.eye(len(left), dtype=torch.float64)
            weight = identity - torch.linalg.matrix_power(identity - alpha * gram, k)
        left, right = left + weight, right + weight @ line.project(torch.zeros(1, len(left)).double())[0]
    return torch.linalg.solve(left, right)


def partial_solves(alpha: float, ks: Sequence[int], steps: int = 150) -> pd.DataFrame:
    """Run Reptile with k gradient steps on three regression tasks, all tasks in every iteration (Eq. 5).

    Returns:
        A row per k, and one for exact projections (`k` = "exact"): where it ends, how far that is from where
        theory says, and E[½ D²] and the expected loss there.
    """
    lines = three_lines()
    start = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    rows = []
    for k in (*ks, None):
        update = batched([_solver(line, alpha, k) for line in lines])
        end = iterate(start, [update], [0] * steps, [1.0] * steps)[-1]
        distance = (end[0] - limit_of_reptile(lines, alpha, k)).norm().item()
        squared = mean_half_squared_distance(lines, end).item()
        loss = torch.stack([line.loss(end) for line in lines]).mean().item()
        rows.append((str(k or "exact"), *end[0].tolist(), distance, squared, loss))
    columns = ["k", "end 1", "end 2", "distance from theory", "mean half squared distance", "expected loss"]
    return pd.DataFrame(rows, columns=columns)


def _solver(line: Affine, alpha: float, k: int | None) -> Update:
    return line.project if k is None else lambda phi: descend(phi, line.loss, alpha, k)
