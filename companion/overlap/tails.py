"""A tail that was seen in part: is the gradient on it too short, or does it point elsewhere? (section 6.3)

FOMAML with k = 4 minibatches of 20 images, out of 16 images of each of 5 classes, ε = 1. The first three
minibatches share no image. Of the last one, a share of 0, ¼, ½, ¾ or all comes from the three before it, and
the rest is new. At every share above 0 there is a second run, whose last gradient is rescaled at each step
to the length that the gradient on an all new tail has at the same weights. It has the length of a separate
tail, and the direction of a seen one.

Said before this was run, on final accuracy, paired by seed, with 95 % intervals:

1. the larger the share, the lower: all seen ends more than `MARGIN` points below all new;
2. the cause is direction: with all images seen, rescaling makes good less than half of what is lost;
3. a quarter seen is within `MARGIN` points of none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion.budgets import BUDGETS, Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import WAYS, unit
from companion.overlap.settings import SEPARATE, config
from companion.running.experiment import Facts, Unit
from metalib.data.classes import ClassPool
from metalib.derivatives import Differentiated, MinibatchLoss, hvp, value_and_gradient
from metalib.errors import require
from metalib.params import Params, norm_per_run, scale
from metalib.rng import generator
from metalib.tasks.family import BLOCK
from metalib.tasks.fewshot import FewShot
from metalib.tasks.schemes import distinct

MARGIN = 2.0
"""Percentage points."""
K = 4
BATCH = 20
SHOTS = 16
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
OTHER = "other_"
"""Begins the names of what an all new tail would hold."""


@dataclass(frozen=True)
class Rescaled(Differentiated):
    """A loss whose gradient is as long as that of another one at the same weights.

    Attributes:
        direction: the loss that is descended.
        length: the loss whose gradient's length is taken.
    """

    direction: MinibatchLoss
    length: MinibatchLoss

    def __call__(self, params: Params) -> Tensor:
        """Return the loss that is descended, one number per run."""
        return self.direction(params)

    def _factor(self, params: Params, g: Params) -> Tensor:
        wanted = norm_per_run(value_and_gradient(self.length, params)[1])
        own = norm_per_run(g)
        return torch.where(own > 0, wanted / own, torch.ones_like(own))

    def value_and_gradient(self, params: Params) -> tuple[Tensor, Params]:
        """Return L(φ), and L'(φ) at the other gradient's length."""
        with torch.enable_grad():
            value, g = value_and_gradient(self.direction, params)
            return value, scale(g, self._factor(params, g))

    def hvp(self, params: Params, vector: Params) -> Params:
        """Return L''(φ) v, scaled as the gradient is; the factor counts as a number."""
        with torch.enable_grad():
            _, g = value_and_gradient(self.direction, params)
            return scale(hvp(self.direction, params, vector), self._factor(params, g))


@dataclass(frozen=True)
class PartlySeen(FewShot):
    """Few-shot tasks in minibatches that share no image, but for the last one.

    Attributes:
        seen: the share of the last minibatch that comes from the others, 0 to 1.
        rescaled: whether the gradient on it gets the length of one on new images alone.

    Raises:
        InputError: if the share lies outside [0, 1], the scheme is not "disjoint", or as `FewShot`.
    """

    seen: float = 0.0
    rescaled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.seen <= 1, f"seen is {self.seen}; a share lies in [0, 1]")
        require(
            self.scheme == "disjoint", f"scheme is {self.scheme!r}; only disjoint minibatches share nothing"
        )

    def sample(self, seed: int, block: int, tasks: int, steps: int) -> dict[str, np.ndarray]:
        """Draw the minibatches of one block; those of all shares are the same but for the last one.

        Returns:
            `image` and `label` of shape [BLOCK, tasks, steps, batch]; if rescaled, also what an all new last
            minibatch holds, under names that begin with `OTHER`, and −1 at all earlier steps.

        Raises:
            InputError: if more images are to be seen again than there are, or as `FewShot.sample`.
        """
        drawn = super().sample(seed, block, tasks, steps)
        count = round(self.seen * self.batch)
        earlier = (steps - 1) * self.batch
        require(
            count <= earlier, f"{steps} steps have {earlier} earlier images; {count} are to be seen again"
        )
        chosen = distinct(generator(seed, "seen", block), max(earlier, 1), count, (BLOCK, tasks))
        mixed = {}
        for name, array in drawn.items():
            before = array[:, :, :-1].reshape(BLOCK, tasks, -1)
            mixed[name] = array.copy()
            mixed[name][:, :, -1, :count] = np.take_along_axis(before, chosen, 2)
            if self.rescaled:
                mixed[OTHER + name] = np.full_like(array, -1)
                mixed[OTHER + name][:, :, -1] = array[:, :, -1]
        return mixed

    def loss(self, minibatch: Mapping[str, Tensor]) -> Any:
        """Return the cross-entropy on one minibatch per run, rescaled at the last step if asked for."""
        own = super().loss(minibatch)
        other = {name: minibatch[OTHER + name] for name in ("image", "label") if OTHER + name in minibatch}
        if not other or int(other["image"].flatten()[0]) < 0:
            return own
        return Rescaled(own, super().loss(other))


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes, units = pool(), []
    for seed in seeds:
        run = config(SEPARATE, K, 1.0, budget.iterations, seed)
        for seen in SHARES:
            for rescaled in (False, True) if seen else (False,):
                family = PartlySeen(classes, WAYS, SHOTS, BATCH, "disjoint", seen=seen, rescaled=rescaled)
                length = "rescaled" if rescaled else "own"
                facts: Facts = {"curve": f"{length}-{seen:g}", "seen": seen, "length": length}
                units.append(unit(facts, family, run, budget.evaluation_tasks))
    return tuple(units)


TAILS, TAILS_GLYPHS = on_both_pools(
    "figure4-tails",
    "last minibatches seen in part, at their own length and at that of a new one",
    BUDGETS["figure4-tails"],
    _units,
    on_divergence="record",
)
