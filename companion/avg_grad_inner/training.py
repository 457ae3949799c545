"""AvgGrad and AvgGradInner along training: what the update is made of, and the gradient inner product."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metalib.derivatives import MinibatchLoss, gradient, hvp
from metalib.inner import inner_loop
from metalib.methods import METHODS
from metalib.optimizers import SGD
from metalib.params import (
    Params,
    add,
    cosine,
    dot,
    dot_per_run,
    mean,
    norm,
    repeat,
    scale,
    select,
    subtract,
    total,
)
from metalib.rng import generator
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import AMPLITUDE, Sine, grid
from metalib.training.config import TrainingConfig
from metalib.training.outer import outer_step

DEMO = TrainingConfig()
"""The authors' demo on sine waves."""
K, ALPHA, EPSILON = DEMO.k, DEMO.alpha, DEMO.epsilon
TASKS = 10
CHECKPOINTS = (0, 3, 10, 30, 100, 200, 300, 600, 1000)
FAMILY = Sine(dtype="float64")
PROBE_SEED = 0


def followed(algorithms: Sequence[str], iterations: int) -> list[TrainingConfig]:
    """Return the runs that are followed, with the demo's k and α.

    Reptile has the demo's ε. All others hold AvgGrad once and not k times; k times Reptile's ε gives them the
    same step along it.

    Args:
        algorithms: "reptile", "maml", "fomaml" or "joint".
        iterations: outer iterations.
    """
    steps = {name: EPSILON if name == "reptile" else K * EPSILON for name in algorithms}
    return [
        TrainingConfig(
            name, k=K, alpha=ALPHA, tasks=TASKS, iterations=iterations, epsilon=step, epsilon_final=step
        )
        for name, step in steps.items()
    ]


def snapshots(
    start: Params,
    checkpoints: Sequence[int] = CHECKPOINTS,
    algorithms: Sequence[str] = ("reptile", "joint"),
    seed: int = 0,
) -> dict[str, dict[int, Params]]:
    """Train from the same φ and on the same tasks, and keep φ on the way.

    Args:
        start: φ before training, a stack of one in float64.
        checkpoints: outer iterations after which φ is kept, in increasing order.
        algorithms: which methods train.
        seed: of the tasks.

    Returns:
        `{algorithm: {iteration: φ, a stack of one}}`.
    """
    configs = followed(algorithms, max(checkpoints[-1], 1))
    step = outer_step(configs, TASKS, torch.device("cpu"), torch.float64)
    epsilons = torch.tensor([config.epsilon for config in configs], dtype=torch.float64)
    state = step.initial_state(repeat(start, len(configs)))
    kept: dict[str, dict[int, Params]] = {config.algorithm: {} for config in configs}
    sampled: dict[str, Tensor] = {}
    for iteration in range(checkpoints[-1] + 1):
        if iteration in checkpoints:
            for run, config in enumerate(configs):
                kept[config.algorithm][iteration] = select(state.phi, slice(run, run + 1))
        if iteration % BLOCK == 0:
            # [BLOCK, tasks, k, batch, 1]; the tasks of an iteration are stacked, once per run.
            arrays = FAMILY.sample(seed, iteration // BLOCK, TASKS, K)
            sampled = {name: torch.from_numpy(array) for name, array in arrays.items()}
        now = {
            name: array[iteration % BLOCK].repeat(len(configs), 1, 1, 1) for name, array in sampled.items()
        }
        losses = [FAMILY.loss({name: array[:, j] for name, array in now.items()}) for j in range(K)]
        state, _ = step(state, [losses], epsilons)
    return kept


def displaced_start(offset: float, seed: int = 0) -> Params:
    """Return the random initialization with `offset` added to the output bias: off the joint minimum."""
    phi = FAMILY.initialize(seed)
    return {name: value + offset if name == "bias_2" else value for name, value in phi.items()}


@dataclass(frozen=True)
class Probe:
    """Sine tasks and minibatches over which expectations are taken.

    AvgGrad is linear and AvgGradInner quadratic in the targets a sin(x + b), so a quadrature over a and b
    is exact for both: equally spaced phases (three suffice) and Gauss–Legendre amplitudes (two
    suffice). A few more of each serve the update at finite α, which is not polynomial. What is left
    to chance is only how the 50 points fall into minibatches, the same way for all tasks.

    Attributes:
        losses: L_1 … L_k, each a stack of all (permutation, amplitude, phase).
        weights: the probability of each, shape [R].
    """

    losses: list[MinibatchLoss]
    weights: Tensor

    @classmethod
    def sample(cls, permutations: int = 8, phases: int = 8, amplitudes: int = 3) -> Probe:
        """Return the probe with `permutations` random orders of the 50 points."""
        nodes, node_weights = np.polynomial.legendre.leggauss(amplitudes)
        low, high = AMPLITUDE
        amplitude = (low + high) / 2 + nodes * (high - low) / 2
        phase = 2 * np.pi * np.arange(phases) / phases
        order = generator(PROBE_SEED, "probe").permuted(np.tile(grid(), (permutations, 1)), axis=1)
        x, a, b = np.broadcast_arrays(
            order[:, None, None], amplitude[None, :, None, None], phase[None, None, :, None]
        )
        weights = np.broadcast_to(node_weights[None, :, None] / 2, x.shape[:3]) / (permutations * phases)
        # [runs, k, batch, 1]
        inputs, targets = (
            torch.from_numpy(array.reshape(-1, K, FAMILY.batch, 1)) for array in (x, a * np.sin(x + b))
        )
        losses = [FAMILY.loss({"x": inputs[:, j], "y": targets[:, j]}) for j in range(K)]
        return cls(losses, torch.from_numpy(weights.reshape(-1)))

    def start(self, phi: Params) -> Params:
        """Return φ once per run."""
        return repeat(phi, len(self.weights))

    def mean(self, a: Params) -> Params:
        """Return the expectation of a stack."""
        return {name: torch.tensordot(self.weights, value, dims=1)[None] for name, value in a.items()}

    def avg_grad(self, phi: Params) -> Params:
        """Return AvgGrad: all 50 points of every task count alike."""
        start = self.start(phi)
        return self.mean(mean([gradient(loss, start) for loss in self.losses]))

    def avg_grad_inner(self, phi: Params) -> Params:
        """Return AvgGradInner over all ordered pairs of different minibatches of each permutation."""
        start = self.start(phi)
        g_bar = [gradient(loss, start) for loss in self.losses]
        everything = total(g_bar)
        products = [
            hvp(loss, start, subtract(everything, g)) for loss, g in zip(self.losses, g_bar, strict=True)
        ]
        return scale(self.mean(total(products)), 1.0 / (K * (K - 1)))

    def inner_products(self, phi: Params) -> tuple[float, float]:
        """Return E[ḡ_1·ḡ_2] over different minibatches, and E‖ḡ_1‖²."""
        start = self.start(phi)
        g_bar = [gradient(loss, start) for loss in self.losses]
        everything = total(g_bar)
        squares = torch.stack([dot_per_run(g, g) for g in g_bar]).sum(0)
        pairs = dot_per_run(everything, everything) - squares
        return float(self.weights @ pairs) / (K * (K - 1)), float(self.weights @ squares) / K


def composition(phi: Params, probe: Probe, alpha: float = ALPHA, method: str = "reptile") -> dict[str, float]:
    """Compare a method's expected update at φ with AvgGrad and AvgGradInner.

    Returns:
        `loss`: E L(φ). `avg_grad` and `inner`: the lengths of the prediction's two terms, for
        Reptile k ‖AvgGrad‖ and ½k(k−1)α ‖AvgGradInner‖. `cos avg_grad` and `cos inner`: cosine of the update
        with AvgGrad and with −AvgGradInner. `cos prediction`: its cosine with the whole prediction.
        `inner product`: E[ḡ_1·ḡ_2]. `agreement`: E[ḡ_1·ḡ_2] / E‖ḡ_1‖².
    """
    run = inner_loop(probe.losses, probe.start(phi), SGD(alpha))
    update = probe.mean(METHODS[method].gradient(run))
    average, inner = probe.avg_grad(phi), probe.avg_grad_inner(phi)
    expected = METHODS[method].coefficients(K, alpha)
    first, second = scale(average, expected.avg_grad), scale(inner, expected.avg_grad_inner)
    inner_product, squared_norm = probe.inner_products(phi)
    return {
        "loss": float(probe.weights @ run.values[0]),
        "avg_grad": norm(first).item(),
        "inner": norm(second).item(),
        "cos avg_grad": cosine(update, first).item(),
        "cos inner": cosine(update, scale(inner, -1.0)).item(),
        "cos prediction": cosine(update, add(first, second)).item(),
        "inner product": inner_product,
        "agreement": inner_product / squared_norm,
    }


def through_training(kept: dict[int, Params], probe: Probe, alpha: float = ALPHA) -> pd.DataFrame:
    """Return `composition` at every snapshot, one row each."""
    return pd.DataFrame([{"iteration": i, **composition(phi, probe, alpha)} for i, phi in kept.items()])


def steps_and_inner_product(
    phi: Params, probe: Probe, length: float, random_directions: int = 8, seed: int = 0
) -> pd.DataFrame:
    """Step from φ in several directions and measure how E[ḡ_1·ḡ_2] changes.

    Args:
        phi: a stack of one.
        probe: the tasks.
        length: ‖step‖, the same for all directions.
        random_directions: how many Gaussian directions to try.
        seed: of those directions.

    Returns:
        A row per direction: the relative change of E[ḡ_1·ḡ_2], and what its gradient 2 AvgGradInner predicts.
    """
    inner = probe.avg_grad_inner(phi)
    rng = generator(seed, "random")
    directions = {"+AvgGradInner": inner, "−AvgGradInner": scale(inner, -1.0)}
    directions["−AvgGrad"] = scale(probe.avg_grad(phi), -1.0)
    for i in range(1, random_directions + 1):
        sampled = {name: rng.normal(size=tuple(value.shape)) for name, value in phi.items()}
        directions[f"random {i}"] = {name: torch.from_numpy(value) for name, value in sampled.items()}
    before, _ = probe.inner_products(phi)
    rows = []
    for name, direction in directions.items():
        step = scale(direction, length / norm(direction).item())
        after, _ = probe.inner_products(add(phi, step))
        rows.append((name, after / before - 1.0, 2.0 * dot(inner, step).item() / before))
    return pd.DataFrame(rows, columns=["direction", "change", "first order"])
