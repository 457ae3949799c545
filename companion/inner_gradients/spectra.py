"""The curvature of task losses along training, for the filters of `filters`.

Runs of section 6.2 (k = 2 and 4, α = 0.003, batch 25) are stopped every 100 outer iterations. On minibatches
of unseen tasks, Lanczos finds the largest eigenvalues h_1 ≥ h_2 of the Hessian of the loss at φ, with their
eigenvectors v_j. From there two inner steps on one and the same minibatch tell what the network makes of a
direction: the slope of ⟨g_2, v_j⟩ over ⟨g_1, v_j⟩, which is 1 − αh_j on a quadratic.

Said before this was run (the accuracies of `figure3-weights` after 2,000 iterations were known, no curvature
was; all of it for means over three seeds, with 95 % intervals):

1. At random weights αh_1 lies between ½ and 2: λ = 2 climbs in the steepest direction, and no inner loop
   diverges.
2. There, the measured slope along v_1 lies within `MARGIN` of 1 − αh_1.
3. Whoever climbs makes curvature grow: after 100 iterations, αh_1 of λ = 2, g_2 − g_1 and 2 g_4 − g_1 is
   greater than that of MAML at the same time.
4. The runs that end more than 10 points below random weights (λ = 2, g_2 − g_1, 2 g_4 − g_1) have a negative
   filter at αh_1 at every look; those that end more than 10 points above them (λ = ½, λ = 1, g_4, MAML) have
   a filter that is not negative at αh_1 at their last look.

(After these were written, and before the run, Lanczos was timed on a few minibatches of glyphs with random
weights. αh_1 was 6.5 to 8.5 there, which speaks against the first two. They stay as they were.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.budgets import BUDGETS, Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import RecordCurve, config, disjoint_family, scoring
from companion.inner_gradients.weights import CURVES, MAML, MAML_FACTS, MAML_K
from companion.results import Result
from companion.running.experiment import Facts, Unit
from metalib.data.classes import ClassPool
from metalib.derivatives import MinibatchLoss, gradient, hvp
from metalib.optimizers import State
from metalib.params import Params, add_scaled, select
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained, TrainingConfig

MARGIN = 0.25
DIRECTIONS = 2
"""Eigenvectors that are followed."""
TASKS = 2
"""Minibatches of unseen tasks at every look."""
UNSEEN = 1_000_000
"""Number of the first block of tasks that no run is trained on."""
TOLERANCE = 1e-2
"""Relative, of eigenvalues."""
FOLLOWED = ("dial0", "dial0.5", "dial1", "dial2", "difference", "4-last", "4-like-maml")
MEASURES = (
    *(f"{name}_{j}" for j in range(1, DIRECTIONS + 1) for name in ("alpha_h", "share", "slope")),
    "lost",
)


def flat(params: Params) -> Tensor:
    """Return the weights of a stack of one as a single vector."""
    return torch.cat([value.flatten() for value in params.values()])


def unflat(vector: Tensor, like: Params) -> Params:
    """Return a vector as weights of the same names and shapes as `like`."""
    parts = vector.split([value.numel() for value in like.values()])
    return {name: part.view_as(like[name]) for name, part in zip(like, parts, strict=True)}


def largest_curvatures(
    loss: Callable[[Params], Tensor], phi: Params, count: int = DIRECTIONS, tolerance: float = TOLERANCE
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of L''(φ), falling, and their eigenvectors as rows, by Lanczos.

    Args:
        loss: maps a stack of one to its loss.
        phi: a stack of one.
        count: how many.
        tolerance: relative, of the eigenvalues.
    """
    from scipy.sparse.linalg import LinearOperator, eigsh  # machines that only train need no SciPy

    example = flat(phi)

    def product(vector: np.ndarray) -> np.ndarray:
        v = torch.as_tensor(vector.ravel(), dtype=example.dtype, device=example.device)
        image: np.ndarray = flat(hvp(loss, phi, unflat(v, phi))).cpu().numpy()
        return image

    size = len(example)
    operator = LinearOperator((size, size), matvec=product, dtype=example.cpu().numpy().dtype)
    start = np.random.default_rng(0).normal(size=size).astype(operator.dtype)
    # A small basis: every vector of it is a Hessian-vector product.
    basis = min(size, 6 * count)
    values, vectors = eigsh(operator, k=count, which="LA", v0=start, ncv=basis, tol=tolerance, maxiter=20)
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order].T


def looked_at(losses: Sequence[MinibatchLoss], phi: Params, alpha: float) -> list[float]:
    """Return `MEASURES` at φ: means over minibatches, and slopes over them.

    `alpha_h_j` is αh_j; `share_j` the part of ‖g_1‖² along v_j; `slope_j` that of ⟨g_2, v_j⟩ over ⟨g_1, v_j⟩,
    both steps on the same minibatch; `lost` counts minibatches at whose loss is nothing to be found any more.
    """
    from scipy.sparse.linalg import ArpackError

    rows = []
    for loss in losses:
        g_1 = gradient(loss, phi)
        g_2 = gradient(loss, add_scaled(phi, g_1, -alpha))
        first, second = flat(g_1).double().cpu().numpy(), flat(g_2).double().cpu().numpy()
        if not (np.isfinite(first).all() and np.isfinite(second).all() and first.any()):
            continue
        try:
            values, vectors = largest_curvatures(loss, phi)
        except ArpackError:  # it has not converged, as where a network is broken
            continue
        along = np.asarray(vectors, float)
        rows.append((alpha * values, (along @ first) ** 2 / (first @ first), along @ first, along @ second))
    if not rows:
        return [float("nan")] * (len(MEASURES) - 1) + [float(len(losses))]
    curvature, share, one, two = map(np.array, zip(*rows, strict=True))
    slope = (one * two).sum(0) / (one * one).sum(0)
    numbers = np.stack([curvature.mean(0), share.mean(0), slope], axis=1).ravel()
    return [*map(float, numbers), float(len(losses) - len(rows))]


def unseen(family: FewShot, config: TrainingConfig, block: int, device: torch.device) -> list[MinibatchLoss]:
    """Return the losses on first minibatches of tasks that no run is trained on, the same for all runs."""
    sampled = family.sample(config.seed, UNSEEN + block, 1, 1)
    return [
        family.loss({name: torch.from_numpy(array[task, :, 0]).to(device) for name, array in sampled.items()})
        for task in range(TASKS)
    ]


@dataclass(frozen=True)
class WatchCurvature:
    """The steepest directions of task losses while runs are in training: a `Monitor`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of `looked_at`."""
        return MEASURES

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is measured, as JSON can hold it."""
        return {"kind": "WatchCurvature", "measures": list(MEASURES), "tasks": TASKS, "tolerance": TOLERANCE}

    def __call__(
        self, family: FewShot, configs: Sequence[TrainingConfig], phi: Params, inner: State, block: int
    ) -> np.ndarray:
        """Return the measures of every run, [runs, measures]."""
        device = next(iter(phi.values())).device
        return np.array(
            [
                looked_at(
                    unseen(family, config, block + 1, device), select(phi, slice(r, r + 1)), config.alpha
                )
                for r, config in enumerate(configs)
            ]
        )


@dataclass(frozen=True)
class RecordSpectra:
    """What is kept: accuracy and history, and in `start` the same measures at random weights.

    Attributes:
        curve: how accuracy and history are recorded.
        start: whether random weights are looked at, which all curves of a seed share.
    """

    curve: RecordCurve
    start: bool

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordSpectra", "curve": self.curve.as_dict(), "start": self.start}

    def __call__(self, family: FewShot, trained: Trained) -> Result:
        """Return the tables `accuracy`, `history` and `start`."""
        device = next(iter(trained.phi.values())).device
        rows = []
        for run in trained.configs if self.start else ():
            phi = {name: value.to(device) for name, value in family.initialize(run.seed).items()}
            found = looked_at(unseen(family, run, 0, device), phi, run.alpha)
            rows.append({"seed": run.seed, "iteration": 0, **dict(zip(MEASURES, found, strict=True))})
        both = self.curve(family, trained).tables
        return Result({**both, "start": pd.DataFrame(rows, columns=["seed", "iteration", *MEASURES])})


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes = pool()
    families = {k: disjoint_family(classes, k) for k in (2, 4)}
    curve = RecordCurve(scoring(budget.evaluation_tasks))

    def one(facts: Facts, run: TrainingConfig) -> Unit[FewShot]:
        name = f"{facts['curve']}-seed-{run.seed}"
        record = RecordSpectra(curve, start=facts["curve"] == FOLLOWED[0])
        return Unit(name, families[run.k], (run,), record, WatchCurvature(), facts)

    units = []
    for seed in seeds:
        runs = {c.name: (c.facts, config(c.weights, budget.iterations, seed)) for c in CURVES}
        maml = replace(runs["dial0"][1], algorithm=MAML, weights=(), k=MAML_K)
        units += [one(*runs[name]) for name in FOLLOWED] + [one(MAML_FACTS, maml)]
    return tuple(units)


SPECTRA, SPECTRA_GLYPHS = on_both_pools(
    "figure3-spectra",
    "curvature of task losses along training, for the filters of inner gradients",
    BUDGETS["figure3-spectra"],
    _units,
    on_divergence="record",
)
