"""How much is a late gradient on images worth that were seen before? (Nichol et al. 2018, section 6.3)

The paper suggests that shared-tail FOMAML fails because, after a few steps on an image, its gradient says
little that is useful. Here six inner steps are taken on unseen test classes in two ways that agree in the
first three: the last three meet either fresh images or the ones of the first three again. At every step we
record the length of the gradient, its cosine with the gradient on 25 held-out images of the task, and by how
much the step lowers the loss on them. A gradient may be worth little because it is short, or because it
points elsewhere: the first two numbers tell these apart.

Everything is measured along the inner loop, at φ_i; the held-out images are one batch, whose statistics
normalize it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.budgets import BUDGETS, Budget
from companion.fewshot.settings import on_both_pools
from companion.inner_gradients.settings import ALPHA, BATCH, WAYS, config, disjoint_family
from companion.overlap import settings
from companion.results import Result
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.derivatives import MinibatchLoss, value_and_gradient
from metalib.inner import inner_loop
from metalib.memory import side_by_side
from metalib.meta_gradients import reptile_weights
from metalib.optimizers import SGD
from metalib.params import Params, dot_per_run, norm_per_run, repeat
from metalib.rng import generator
from metalib.tasks.episodes import sample_tasks
from metalib.tasks.fewshot import FewShot
from metalib.training import Trained

MINIBATCH_SHOTS = 2
MINIBATCHES = 6
HELD_OUT_SHOTS = 5
STEP = ALPHA * BATCH / (MINIBATCH_SHOTS * WAYS)
"""α that makes a sum over 10 images move as far as one over 25 does at α = 0.003."""
ORDERS = {"fresh": (0, 1, 2, 3, 4, 5), "seen": (0, 1, 2, 0, 1, 2)}
"""Which minibatch each step meets, counted from 0."""
MEASURES = ("decrease", "length", "cosine")
SHARED_TAIL_STEPS = 8


@dataclass(frozen=True)
class Minibatches:
    """The images of evaluation tasks, as places in the pool.

    Attributes:
        image: disjoint minibatches, two images of each class, [tasks, 6, 10].
        held_out: five more images of each class, [tasks, 25].
    """

    image: np.ndarray
    held_out: np.ndarray


def sample(pool: ClassPool, seed: int, tasks: int) -> Minibatches:
    """Sample tasks of unseen test classes.

    Args:
        pool: the classes and their images.
        seed: of the run, which decides what the test classes are.
        tasks: how many.
    """
    shots = MINIBATCHES * MINIBATCH_SHOTS + HELD_OUT_SHOTS
    rng = generator(seed, "late")
    places = sample_tasks(rng, pool.split(seed).test, WAYS, shots, tasks, pool)
    used = places[:, :, HELD_OUT_SHOTS:].reshape(tasks, WAYS, MINIBATCHES, MINIBATCH_SHOTS)
    return Minibatches(
        used.swapaxes(1, 2).reshape(tasks, MINIBATCHES, -1),
        places[:, :, :HELD_OUT_SHOTS].reshape(tasks, -1),
    )


def measure(
    family: FewShot, phi: Params, sampled: Minibatches, order: Sequence[int]
) -> dict[str, np.ndarray]:
    """Say what every inner step is worth.

    Args:
        family: the network and its loss.
        phi: an initialization, a stack of one.
        sampled: the tasks.
        order: which minibatch each step meets, counted from 0.

    Returns:
        Arrays of shape [tasks, steps]: `decrease`, what the held-out loss per image falls by (nats);
        `length`, the norm of g_i; `cosine`, between g_i and the held-out gradient at φ_i.
    """
    held_out = sampled.held_out.shape[1]
    width = side_by_side(family.net.footprint(held_out), next(iter(phi.values())).device)
    chunks = [
        _measure(
            family, phi, sampled.image[start : start + width], sampled.held_out[start : start + width], order
        )
        for start in range(0, len(sampled.image), width)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in MEASURES}


def _measure(
    family: FewShot, phi: Params, image: np.ndarray, held_out: np.ndarray, order: Sequence[int]
) -> dict[str, np.ndarray]:
    losses = [_loss(family, image[:, i], MINIBATCH_SHOTS, phi) for i in order]
    unseen = _loss(family, held_out, HELD_OUT_SHOTS, phi)
    trajectory = inner_loop(losses, repeat(phi, len(image)), SGD(STEP))
    at_each = [value_and_gradient(unseen, weights) for weights in trajectory.phi]
    towards = [direction for _, direction in at_each[:-1]]
    found = {
        "decrease": [(before - after) / held_out.shape[1] for (before, _), (after, _) in pairwise(at_each)],
        "length": [norm_per_run(g) for g in trajectory.g],
        "cosine": [
            dot_per_run(g, d) / (norm_per_run(g) * norm_per_run(d))
            for g, d in zip(trajectory.g, towards, strict=True)
        ],
    }
    return {name: _columns(columns) for name, columns in found.items()}


def _columns(columns: Sequence[Tensor]) -> np.ndarray:
    return torch.stack(list(columns), 1).cpu().double().numpy()


def _loss(family: FewShot, image: np.ndarray, shots: int, phi: Params) -> MinibatchLoss:
    device = next(iter(phi.values())).device
    label = np.broadcast_to(np.repeat(np.arange(WAYS), shots), image.shape)
    return family.loss(
        {"image": torch.as_tensor(image, device=device), "label": torch.tensor(label, device=device)}
    )


@dataclass(frozen=True)
class RecordGradients:
    """What is kept of trained runs: what every inner step from their initialization is worth.

    Attributes:
        initialization: what the trained weights are called.
        tasks: tasks of unseen test classes to measure on.
        random: whether the weights before training are recorded too.
    """

    initialization: str
    tasks: int
    random: bool

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        orders = {images: list(order) for images, order in ORDERS.items()}
        return {"kind": "RecordGradients", **asdict(self), "step": STEP, "orders": orders}

    def __call__(self, family: FewShot, trained: Trained) -> Result:
        """Return the table `gradients`: a row per initialization, order of images and inner step."""
        seed = trained.configs[0].seed
        sampled = sample(family.pool, seed, self.tasks)
        initializations = {self.initialization: trained.phi}
        if self.random:
            start = {name: v.to(trained.phi[name]) for name, v in family.initialize(seed).items()}
            initializations = {"random": start, **initializations}
        rows = []
        for initialization, phi in initializations.items():
            by_order = {images: measure(family, phi, sampled, order) for images, order in ORDERS.items()}
            by_order["difference"] = {m: by_order["fresh"][m] - by_order["seen"][m] for m in MEASURES}
            for images, found in by_order.items():
                for step in range(MINIBATCHES):
                    means = {measured: values[:, step].mean() for measured, values in found.items()}
                    label = {"initialization": initialization, "images": images, "seed": seed}
                    rows.append({**label, "step": step + 1, "tasks": self.tasks, **means})
        return Result({"gradients": pd.DataFrame(rows)})


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    classes, units = pool(), []
    shared_tail = settings.family(classes, settings.SHARED, BATCH)
    tasks = budget.evaluation_tasks
    for seed in seeds:
        sum_of_four = config(reptile_weights(4), budget.iterations, seed)
        last_of_eight = settings.config(settings.SHARED, SHARED_TAIL_STEPS, 1.0, budget.iterations, seed)
        units += [
            # Random weights are recorded once, beside Reptile's.
            Unit(
                f"reptile-seed-{seed}",
                disjoint_family(classes, 4),
                (sum_of_four,),
                RecordGradients("reptile", tasks, random=True),
            ),
            Unit(
                f"shared-tail-seed-{seed}",
                shared_tail,
                (last_of_eight,),
                RecordGradients("shared-tail", tasks, random=False),
            ),
        ]
    return tuple(units)


LATE_GRADIENTS, LATE_GRADIENTS_GLYPHS = on_both_pools(
    "late-gradients",
    "what late gradients on seen images are worth",
    BUDGETS["late-gradients"],
    _units,
    on_divergence="record",
)
