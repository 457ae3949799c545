"""The sine waves of section 4: f_τ(x) = a sin(x + b) on [−5, 5]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metalib.derivatives import MinibatchLoss, mean_squared_error
from metalib.errors import require
from metalib.models.mlp import ACTIVATIONS, SINE_WIDTHS, MLPLoss, initialize_mlp, mlp, mlp_footprint
from metalib.params import Params
from metalib.rng import generator
from metalib.tasks.family import BLOCK

if TYPE_CHECKING:
    from jaxtyping import Float

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, 2.0 * math.pi)
INTERVAL = (-5.0, 5.0)
GRID_POINTS = 50


def grid() -> Float[np.ndarray, " 50"]:
    """Return the 50 equally spaced points on which the loss is taken (Nichol et al. 2018, Eq. 8)."""
    return np.linspace(*INTERVAL, GRID_POINTS)


def zero_function_error() -> float:
    """Return the mean squared error of f ≡ 0 over tasks, E[a²] / 2 ≈ 4.2517.

    The phase is uniform on a full turn, so E_b[sin²(x + b)] = 1/2 at every x, and for a ~ U[l, u],
    E[a²] = (l² + l u + u²) / 3. This is the least error that any single function can reach, because
    E_τ[f_τ(x)] = 0 (Nichol et al. 2018, section 4).

    >>> round(zero_function_error(), 4)
    4.2517
    """
    low, high = AMPLITUDE
    return (low**2 + low * high + high**2) / 3.0 / 2.0


@dataclass(frozen=True)
class SineTasks:
    """A set of T sine waves.

    Attributes:
        amplitude: a, uniform on [0.1, 5.0], shape [T].
        phase: b in radians, uniform on [0, 2π], shape [T].
    """

    amplitude: Float[np.ndarray, " tasks"]
    phase: Float[np.ndarray, " tasks"]

    def __call__(self, x: Float[np.ndarray, "tasks points"]) -> Float[np.ndarray, "tasks points"]:
        """Return f_τ(x) = a sin(x + b) for every task."""
        return self.amplitude[:, None] * np.sin(x + self.phase[:, None])


def sample_tasks(rng: np.random.Generator, count: int) -> SineTasks:
    """Draw `count` tasks τ = (a, b) (Nichol et al. 2018, section 4)."""
    return SineTasks(rng.uniform(*AMPLITUDE, size=count), rng.uniform(*PHASE, size=count))


@dataclass(frozen=True)
class Sine:
    """Sine waves learned by a multilayer perceptron, in minibatches of grid points.

    Each task's 50 grid points are permuted and cut into minibatches; when they are used up, they are
    permuted again. With the defaults, five inner steps see every point once, as in the authors' demo.

    Attributes:
        activation: "tanh" or "relu"; the paper does not say which, the authors' demo uses tanh.
        batch: points per minibatch, 1 to 50.
        dtype: "float32" or "float64".
    """

    activation: str = "tanh"
    batch: int = 10
    dtype: str = "float32"

    def __post_init__(self) -> None:
        require(
            self.activation in ACTIVATIONS,
            f"activation is {self.activation!r}; choose one of {', '.join(ACTIVATIONS)}",
        )
        require(
            1 <= self.batch <= GRID_POINTS,
            f"batch is {self.batch}; a minibatch holds 1 to {GRID_POINTS} of the {GRID_POINTS} grid points",
        )
        require(self.dtype in ("float32", "float64"), f"dtype is {self.dtype!r}; choose float32 or float64")

    @property
    def torch_dtype(self) -> torch.dtype:
        """The floating-point type of weights and data."""
        return torch.float64 if self.dtype == "float64" else torch.float32

    def model(self, params: Params, inputs: Tensor) -> Tensor:
        """Apply the network 1 → 64 → 64 → 1, every run with its own weights."""
        return mlp(params, inputs, self.activation)

    @property
    def footprint(self) -> int:
        """Bytes that an inner step of one run touches."""
        return mlp_footprint(self.initialize(0), self.batch)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the tasks and the model, as JSON can hold it."""
        return {"kind": "Sine", **asdict(self)}

    def initialize(self, seed: int) -> Params:
        """Draw the initial weights of one run, as a stack of one."""
        return initialize_mlp(seed, SINE_WIDTHS, self.torch_dtype)

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw the minibatches of one block: `x` and `y` of shape [BLOCK, tasks, steps, batch, 1]."""
        rng = generator(seed, "train", block)
        count = BLOCK * tasks
        waves = sample_tasks(rng, count)
        points = steps * self.batch
        passes = math.ceil(points / GRID_POINTS)
        order = rng.permuted(np.tile(grid(), (count, passes, 1)), axis=2)
        x = order.reshape(count, -1)[:, :points]
        shape = (BLOCK, tasks, steps, self.batch, 1)
        return {"x": x.reshape(shape).astype(self.dtype), "y": waves(x).reshape(shape).astype(self.dtype)}

    def loss(self, minibatch: Mapping[str, Tensor]) -> MinibatchLoss:
        """Return the mean squared error on one minibatch per run."""
        x, y = minibatch["x"], minibatch["y"]
        return MLPLoss(self.model, mean_squared_error, x, y, self.activation)


@dataclass(frozen=True)
class SupportSet:
    """What the learner of an evaluation task sees, and the whole curve it is scored on.

    Attributes:
        tasks: the T sine waves.
        x: the p points seen, [T, p].
        y: their values, [T, p].
    """

    tasks: SineTasks
    x: Float[np.ndarray, "tasks p"]
    y: Float[np.ndarray, "tasks p"]


def require_points(points: int) -> None:
    """Raise `InputError` unless a learner may see that many points."""
    require(
        1 <= points <= GRID_POINTS,
        f"points is {points}; the learner may see 1 to {GRID_POINTS} points, the size of the grid",
    )


def sample_support(
    seed: int, tasks: int, points: int = 10, interval: tuple[float, float] = INTERVAL
) -> SupportSet:
    """Draw evaluation tasks, each with p points x ~ U(interval) (Nichol et al. 2018, section 4).

    Raises:
        InputError: if `points` is not between 1 and 50, the size of the grid, or there is no task.
    """
    require_points(points)
    require(tasks >= 1, f"tasks is {tasks}; evaluate on at least one task")
    rng = generator(seed, "test")
    waves = sample_tasks(rng, tasks)
    x = rng.uniform(*interval, size=(tasks, points))
    return SupportSet(waves, x, waves(x))
