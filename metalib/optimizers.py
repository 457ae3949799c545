"""Optimizers as pure functions of weights, gradients and a state; nothing is modified in place.

To add one, write its class here and name it in `OPTIMIZERS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metalib.errors import require
from metalib.params import Factor, Params, add_scaled, repeat, select, zeros_like

if TYPE_CHECKING:
    from typing import Self

    from jaxtyping import Int


@dataclass(frozen=True)
class State:
    """What an optimizer remembers from one step to the next, for a stack of runs.

    Attributes:
        steps: how many steps it has counted.
        moments: running means or whatever else it keeps of the gradients, by name.
    """

    steps: int = 0
    moments: Mapping[str, Params] = field(default_factory=dict)

    def select(self, runs: slice | Int[Tensor, " selected"]) -> State:
        """Return the state of the chosen runs."""
        return State(self.steps, {name: select(kept, runs) for name, kept in self.moments.items()})

    def repeat(self, times: int) -> State:
        """Return the state of a stack in which every run stands `times` times, copies side by side."""
        return State(self.steps, {name: repeat(kept, times) for name, kept in self.moments.items()})

    def arrays(self) -> dict[str, Tensor]:
        """Return `steps`, and every moment of every weight as `moment/weight`."""
        named = {f"{name}/{w}": v for name, kept in self.moments.items() for w, v in kept.items()}
        return {"steps": torch.tensor(self.steps), **named}

    @classmethod
    def restore(cls, arrays: Mapping[str, Tensor]) -> State:
        """Return the state whose `arrays` these are."""
        moments: dict[str, Params] = {}
        for key, value in arrays.items():
            name, _, weight = key.partition("/")
            if weight:
                moments.setdefault(name, {})[weight] = value
        return cls(int(arrays["steps"]), moments)


class Optimizer(ABC):
    """A rule that turns a gradient into a step, φ_{i+1} = φ_i − α · direction.

    Attributes:
        alpha: step size α > 0, one number or one per run of a stack.
        plain: whether the direction is the gradient itself, as MAML's product formula and the expansions of
            section 5 assume.
        carried: whether training carries the state from one task to the next.
        remembers: names of the moments in its state.
    """

    alpha: Factor
    plain: bool = False
    carried: bool = False
    remembers: tuple[str, ...] = ()

    def initial_state(self, params: Params) -> State:
        """Return the state before the first step: moments of zero."""
        return State(0, {name: zeros_like(params) for name in self.remembers})

    @abstractmethod
    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return the direction of the next step and the state that includes the gradient g."""

    def step(self, params: Params, g: Params, state: State) -> tuple[Params, State]:
        """Return φ_{i+1} = φ_i − α · direction, and the state after the step."""
        direction, state = self.direction(g, state)
        return add_scaled(params, direction, -self.alpha), state

    def select(self, runs: slice | Int[Tensor, " selected"]) -> Self:
        """Return the optimizer of the chosen runs of a stack."""
        if isinstance(self.alpha, Tensor) and self.alpha.ndim:
            chosen = copy(self)  # not made anew: that checks α, and would wait for a GPU
            object.__setattr__(chosen, "alpha", self.alpha[runs])
            return chosen
        return self


@dataclass(frozen=True)
class SGD(Optimizer):
    """Plain gradient descent, φ_{i+1} = φ_i − α g_i (Nichol et al. 2018, Eq. 10).

    Attributes:
        alpha: the inner step size α > 0, one number or one per run of a stack.

    Raises:
        InputError: if α is not greater than 0.
    """

    alpha: Factor
    plain = True

    def __post_init__(self) -> None:
        _require_positive_alpha(self.alpha)

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return g itself."""
        return g, state


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba 2015): φ ← φ − α m̂ / (√v̂ + eps), with bias-corrected moments m̂ and v̂.

    The paper sets β1 = 0, having found that momentum hurts throughout (section 6.1).

    Attributes:
        alpha: step size α > 0, one number or one per run of a stack.
        beta1: decay of the first moment, in [0, 1).
        beta2: decay of the second moment, in [0, 1).
        eps: keeps the division finite.
        carried: whether training carries the moments from task to task, as the authors' code does.

    Raises:
        InputError: if α is not greater than 0, or a decay lies outside [0, 1).
    """

    alpha: Factor
    beta1: float = 0.0
    beta2: float = 0.999
    eps: float = 1e-8
    carried: bool = True
    remembers = ("first", "second")

    def __post_init__(self) -> None:
        _require_positive_alpha(self.alpha)
        require_decay("beta1", self.beta1)
        require_decay("beta2", self.beta2)

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return m̂ / (√v̂ + eps), and the moments that include g."""
        steps, before = state.steps + 1, state.moments
        # With β1 = 0 the first moment is the gradient itself.
        first = {n: torch.lerp(g[n], before["first"][n], self.beta1) for n in g} if self.beta1 else g
        second = {n: torch.lerp(g[n].square(), before["second"][n], self.beta2) for n in g}
        root = {n: (second[n] / (1.0 - self.beta2**steps)).sqrt_().add_(self.eps) for n in g}
        unbiased = {n: first[n] / (1.0 - self.beta1**steps) for n in g} if self.beta1 else first
        return {n: unbiased[n] / root[n] for n in g}, State(steps, {"first": first, "second": second})


@dataclass(frozen=True)
class Nesterov(Optimizer):
    """Nesterov momentum, outside in DiLoCo (Douillard et al. 2023): v ← β v + g, φ ← φ − α (g + β v)."""

    alpha: Factor
    beta: float = 0.9
    remembers = ("velocity",)

    def __post_init__(self) -> None:
        require_decay("beta", self.beta)

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return g + β v, and the velocity v that includes g."""
        velocity = add_scaled(g, state.moments["velocity"], self.beta)
        return add_scaled(g, velocity, self.beta), State(state.steps + 1, {"velocity": velocity})


@dataclass(frozen=True)
class Masked(Optimizer):
    """An optimizer that moves some weights and leaves the others, as when a new head is fitted to features.

    Attributes:
        optimizer: how they are moved.
        names: which weights.
    """

    optimizer: Optimizer
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("alpha", "carried", "remembers"):
            object.__setattr__(self, name, getattr(self.optimizer, name))

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return the direction of `optimizer`, zero for all other weights."""
        moved, state = self.optimizer.direction(g, state)
        kept = {name: v if name in self.names else torch.zeros_like(v) for name, v in moved.items()}
        return kept, state

    def select(self, runs: slice | Int[Tensor, " selected"]) -> Masked:
        """Return the optimizer of the chosen runs of a stack."""
        return Masked(self.optimizer.select(runs), self.names)


OPTIMIZERS: dict[str, Callable[[Factor, float], Optimizer]] = {
    "sgd": lambda alpha, beta1: SGD(alpha),
    "adam": Adam,
    "adam-fresh": partial(Adam, carried=False),
}
"""Inner optimizers by name, each made from α and β1. "adam-fresh" begins every task without moments."""


def require_decay(name: str, value: float) -> None:
    """Raise `InputError` unless `value` is the decay of a running mean, in [0, 1)."""
    within = isinstance(value, (int, float)) and 0.0 <= value < 1.0
    require(within, f"{name} is {value}; a decay needs 0 <= {name} < 1")


def _require_positive_alpha(alpha: Factor) -> None:
    positive = bool((torch.as_tensor(alpha) > 0).all())
    require(positive, f"alpha is {alpha}; the inner step size must be greater than 0")
