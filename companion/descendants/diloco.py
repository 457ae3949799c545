"""DiLoCo (Douillard et al. 2023): Reptile with AdamW inside and Nesterov momentum outside.

AdamW is written for this library's steps, which have Nesterov momentum; `with_pytorch` is the algorithm once
more, with the optimizers of PyTorch and nothing of this library but the losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from companion.descendants.rounds import Round
from metalib.errors import require
from metalib.optimizers import Adam, Optimizer, State
from metalib.params import Factor, Params, scale

BETAS = (0.9, 0.999)
WEIGHT_DECAY = 0.1
OUTER_STEP = 0.7
OUTER_MOMENTUM = 0.9


@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam whose weights shrink by themselves: φ ← (1 − α w) φ − α m̂ / (√v̂ + eps).

    Attributes:
        alpha: step size α > 0.
        decay: w ≥ 0, the weight decay.
        carried: whether its moments go from task to task, and from round to round.

    Raises:
        InputError: if the decay is negative, or α is not greater than 0.

    Source: Loshchilov and Hutter 2019, Algorithm 2.
    """

    alpha: Factor
    decay: float = WEIGHT_DECAY
    carried: bool = False
    remembers = ("first", "second")

    def __post_init__(self) -> None:
        require(self.decay >= 0, f"decay is {self.decay}; weights can only shrink, give at least 0")
        Adam(self.alpha)

    def direction(self, g: Params, state: State) -> tuple[Params, State]:
        """Return Adam's direction; the decay is not part of it."""
        return Adam(self.alpha, *BETAS).direction(g, state)

    def step(self, params: Params, g: Params, state: State) -> tuple[Params, State]:
        """Return the shrunken weights after Adam's step, and the state after it."""
        return super().step(scale(params, 1.0 - self.alpha * self.decay), g, state)


def with_pytorch(
    rounds: Sequence[Round],
    phi: Params,
    alpha: float,
    outer_step: float = OUTER_STEP,
    momentum: float = OUTER_MOMENTUM,
    fresh: bool = True,
) -> Params:
    """Return the global weights after rounds of DiLoCo, by `torch.optim.AdamW` and `torch.optim.SGD`.

    Args:
        rounds: per round and worker, the losses of its inner steps.
        phi: the global weights at the start.
        alpha: inner step size.
        outer_step: step size of the outer optimizer.
        momentum: of the outer optimizer.
        fresh: whether AdamW starts every round without moments, or each worker keeps its own.

    Source: Douillard et al. 2023, Algorithm 1.
    """
    shared = {name: value.clone().requires_grad_() for name, value in phi.items()}
    nesterov = {"momentum": momentum, "nesterov": True} if momentum else {}
    outer = torch.optim.SGD(list(shared.values()), lr=outer_step, **nesterov)  # type: ignore[arg-type]
    kept: list[dict[str, object]] = [{} for _ in rounds[0]]
    for workers in rounds:
        outer.zero_grad()
        for worker, losses in enumerate(workers):
            own = {name: value.detach().clone().requires_grad_() for name, value in shared.items()}
            inner = torch.optim.AdamW(list(own.values()), lr=alpha, betas=BETAS, weight_decay=WEIGHT_DECAY)
            if kept[worker] and not fresh:
                inner.load_state_dict(kept[worker])
            for loss in losses:
                inner.zero_grad()
                loss(own).sum().backward()
                inner.step()
            kept[worker] = inner.state_dict()
            for name, value in shared.items():
                gone = (value.detach() - own[name].detach()) / len(workers)
                value.grad = gone if value.grad is None else value.grad + gone
        outer.step()
    return {name: value.detach() for name, value in shared.items()}
