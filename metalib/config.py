"""What defines a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from metalib.errors import require
from metalib.inner import Adam
from metalib.meta_gradients import fomaml_weights, joint_weights, reptile_weights

LARGEST_SEED = 2**63 - 1
ALGORITHMS = ("reptile", "fomaml", "maml", "joint", "combination")
_WEIGHTS = {"reptile": reptile_weights, "fomaml": fomaml_weights, "joint": joint_weights}


@dataclass(frozen=True)
class TrainingConfig:
    """One run of the outer loop. The defaults are the authors' demo on sine waves.

    Attributes:
        algorithm: "reptile", "fomaml", "maml", "joint", or "combination" of the inner gradients.
        weights: c_1 … c_k of a "combination"; empty otherwise.
        seed: decides the initial weights and every task the run sees.
        k: inner steps per task.
        alpha: inner step size α > 0.
        epsilon: outer step size ε in [0, 1] at the first outer iteration.
        epsilon_final: outer step size that ε approaches linearly, in [0, 1].
        iterations: outer iterations T.
        tasks: tasks per outer iteration, n in Eq. 5; 1 is the serial version.
        inner: "sgd"; "adam", whose moments run on from task to task, as in the authors' code; or
            "adam-fresh", which starts every task without moments.
        beta1: decay of Adam's first moment in the inner loop.
        outer: "interpolate" moves φ by ε times the mean displacement (Algorithm 1, Eq. 5); "adam" feeds
            the mean displacement divided by α to Adam as a gradient, with ε as its step size (section 3).
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

    def __post_init__(self) -> None:
        _require_choice("algorithm", self.algorithm, ALGORITHMS)
        _require_choice("inner", self.inner, ("sgd", "adam", "adam-fresh"))
        _require_choice("outer", self.outer, ("interpolate", "adam"))
        for name in ("k", "iterations", "tasks"):
            value = getattr(self, name)
            require(
                isinstance(value, int) and value >= 1,
                f"{name} is {value}; it must be a whole number of at least 1",
            )
        require(
            isinstance(self.seed, int) and 0 <= self.seed <= LARGEST_SEED,
            f"seed is {self.seed}; seeds are whole numbers from 0 to {LARGEST_SEED}",
        )
        require(
            0 < self.alpha < math.inf,
            f"alpha is {self.alpha}; the inner step size must be a number greater than 0",
        )
        for name in ("epsilon", "epsilon_final"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"{name} is {value}; the outer step size must lie in [0, 1]")
        require(
            self.algorithm != "maml" or self.inner == "sgd",
            "algorithm 'maml' differentiates through plain SGD; set inner to 'sgd'",
        )
        if self.algorithm == "combination":
            require(
                len(self.weights) == self.k,
                f"weights has {len(self.weights)} entries for k = {self.k}; give one per inner step",
            )
            require(
                all(map(math.isfinite, self.weights)),
                f"weights are {self.weights}; give finite numbers, such as 1,1,0",
            )
        else:
            require(not self.weights, f"algorithm {self.algorithm!r} takes no weights; choose 'combination'")
        Adam(self.alpha, self.beta1)  # checks beta1

    @property
    def combination(self) -> tuple[float, ...] | None:
        """c_1 … c_k, the weights of the inner gradients in the outer step; `None` for MAML."""
        if self.algorithm == "combination":
            return self.weights
        return _WEIGHTS[self.algorithm](self.k) if self.algorithm in _WEIGHTS else None

    def epsilon_at(self, iteration: int) -> float:
        """Return ε_i = (1 − i/T) ε_0 + (i/T) ε_T for i = 0 … T − 1."""
        progress = iteration / self.iterations
        return (1.0 - progress) * self.epsilon + progress * self.epsilon_final

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON can hold it."""
        return {**asdict(self), "weights": list(self.weights)}


SHARED = ("k", "iterations", "tasks", "inner", "beta1", "outer")
"""What all runs of a stack have in common; algorithm, weights, seed, α and ε may differ."""


def require_stackable(configs: Sequence[TrainingConfig]) -> None:
    """Raise `InputError` unless the runs can be trained side by side."""
    require(len(configs) >= 1, "there is no run to train; give at least one configuration")
    for name in SHARED:
        values = sorted({getattr(config, name) for config in configs})
        require(
            len(values) == 1, f"the runs of a stack must share {name}, but have {values}; train them apart"
        )


def _require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    require(value in choices, f"{name} is {value!r}; choose one of {', '.join(choices)}")
