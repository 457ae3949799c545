"""What defines a training run, and what the runs of a stack share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from metalib.errors import require, require_choice
from metalib.methods import COMBINATION, METHODS, Method, find
from metalib.optimizers import OPTIMIZERS, Optimizer, require_decay
from metalib.params import Factor
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS, OuterOptimizer

LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 10**9
"""More outer iterations, tasks or inner steps than anyone can wait for."""
LARGEST_FLOAT32 = (2.0 - 2.0**-23) * 2.0**127
SMALLEST_FLOAT32 = 2.0**-126
ALGORITHMS = (*METHODS, COMBINATION)


@dataclass(frozen=True)
class TrainingConfig:
    """One run of the outer loop. The defaults are the authors' demo on sine waves.

    Attributes:
        algorithm: one of `methods.METHODS`, or "combination" of the inner gradients.
        weights: c_1 … c_k of a "combination"; empty otherwise.
        seed: decides the initial weights and every task the run sees.
        k: inner steps per task.
        alpha: inner step size α > 0.
        epsilon: outer step size ε in [0, 1] at the first outer iteration.
        epsilon_final: outer step size that ε approaches linearly, in [0, 1].
        iterations: outer iterations T.
        tasks: tasks per outer iteration, n in Eq. 5; 1 is the serial version.
        inner: one of `optimizers.OPTIMIZERS`: "sgd"; "adam", whose moments run on from task to task, as in
            the authors' code; or "adam-fresh", which starts every task without moments.
        beta1: decay of Adam's first moment in the inner loop.
        outer: one of `outer_optimizers.OUTER_OPTIMIZERS`: "interpolate" moves φ by ε times the mean
            displacement (Algorithm 1, Eq. 5); "adam" feeds the mean displacement divided by α to Adam as a
            gradient, with ε as its step size (section 3); "nesterov" gives it momentum, as DiLoCo does.

    Raises:
        InputError: if a value lies outside its range, or two of them exclude each other.
    """

    algorithm: str = "reptile"
    weights: tuple[float, ...] = ()
    seed: int = 0
    k: int = 5
    alpha: float = 0.02
    epsilon: float = 0.1
    epsilon_final: float = 0.0
    iterations: int = 30_000
    tasks: int = 1
    inner: str = "sgd"
    beta1: float = 0.0
    outer: str = "interpolate"

    def _require_names(self) -> None:
        """Raise `InputError` unless method and inner optimizer are known; a subclass may bring its own."""
        require_choice("algorithm", self.algorithm, ALGORITHMS)
        require_choice("inner", self.inner, OPTIMIZERS)

    def __post_init__(self) -> None:
        weights = [c.item() if hasattr(c, "item") else c for c in self.weights]
        object.__setattr__(self, "weights", tuple(weights))
        for field in fields(self):  # NumPy's numbers, as sweeps over arrays give them, become Python's
            if hasattr(value := getattr(self, field.name), "item"):
                object.__setattr__(self, field.name, value.item())
        self._require_names()
        require_choice("outer", self.outer, OUTER_OPTIMIZERS)
        for name in ("k", "iterations", "tasks"):
            value = getattr(self, name)
            whole = isinstance(value, int) and value >= 1
            require(whole, f"{name} is {value}; it must be a whole number of at least 1")
            require(value <= LARGEST_COUNT, f"{name} is {value}; it can be at most {LARGEST_COUNT}")
        whole = isinstance(self.seed, int) and 0 <= self.seed <= LARGEST_SEED
        require(whole, f"seed is {self.seed}; seeds are whole numbers from 0 to {LARGEST_SEED}")
        positive = isinstance(self.alpha, (int, float)) and 0 < self.alpha < math.inf
        require(positive, f"alpha is {self.alpha}; the inner step size must be a number greater than 0")
        holds = f"weights are float32, which holds {SMALLEST_FLOAT32:.1e} to {LARGEST_FLOAT32:.1e}"
        require(SMALLEST_FLOAT32 <= self.alpha <= LARGEST_FLOAT32, f"alpha is {self.alpha}; {holds}")
        for name in ("epsilon", "epsilon_final"):
            value = getattr(self, name)
            within = isinstance(value, (int, float)) and 0 <= value <= 1
            require(within, f"{name} is {value}; the outer step size must lie in [0, 1]")
        require_decay("beta1", self.beta1)
        if self.algorithm == COMBINATION:
            count = len(self.weights)
            require(count == self.k, f"weights has {count} entries for k = {self.k}; give one per inner step")
            finite = all(isinstance(c, (int, float)) and math.isfinite(c) for c in self.weights)
            require(finite, f"weights are {self.weights}; give finite numbers, such as 1,1,0")
            fits = all(abs(c) <= LARGEST_FLOAT32 for c in self.weights)
            require(fits, f"weights are {self.weights}; a float32 holds numbers up to {LARGEST_FLOAT32:.1e}")
        else:
            require(not self.weights, f"algorithm {self.algorithm!r} takes no weights; choose 'combination'")
        require(
            self.method.any_optimizer or self.optimizer().plain,
            f"algorithm {self.algorithm!r} differentiates through plain SGD; set inner to 'sgd'",
        )

    @property
    def method(self) -> Method:
        """How inner trajectories become an outer update."""
        return find(self.algorithm, self.weights)

    @property
    def settings(self) -> tuple[Any, ...]:
        """What decides the method; neighbors in a stack that agree in it are computed together."""
        return self.algorithm, self.weights

    def optimizer(self, alpha: Factor | None = None) -> Optimizer:
        """Return the optimizer of the inner loop, with another α if one is given, such as one per run."""
        return OPTIMIZERS[self.inner](self.alpha if alpha is None else alpha, self.beta1)

    def epsilon_at(self, iteration: int) -> float:
        """Return ε_i = (1 − i/T) ε_0 + (i/T) ε_T for i = 0 … T − 1."""
        progress = iteration / self.iterations
        return (1.0 - progress) * self.epsilon + progress * self.epsilon_final

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON can hold it."""
        return {**asdict(self), "weights": list(self.weights)}


@dataclass(frozen=True)
class StackConfig:
    """What all runs of a stack have in common; algorithm, weights, seed, α and ε may differ.

    The fields are those of `TrainingConfig`.
    """

    k: int
    iterations: int
    tasks: int
    inner: str
    beta1: float
    outer: str

    @classmethod
    def of(cls, configs: Sequence[TrainingConfig]) -> StackConfig:
        """Return what the runs share.

        Raises:
            InputError: if there is no run, or they cannot be trained side by side.
        """
        require(len(configs) >= 1, "there is no run to train; give at least one configuration")
        for field in fields(cls):
            values = sorted({getattr(config, field.name) for config in configs})
            require(
                len(values) == 1,
                f"the runs of a stack must share {field.name}, but have {values}; train them apart",
            )
        return cls(**{field.name: getattr(configs[0], field.name) for field in fields(cls)})

    @property
    def outer_optimizer(self) -> OuterOptimizer:
        """The optimizer of the outer loop."""
        return OUTER_OPTIMIZERS[self.outer]
