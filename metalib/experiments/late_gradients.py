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
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metalib.derivatives import MinibatchLoss, value_and_gradient
from metalib.experiments import Budget, Unit, overlap
from metalib.experiments.combinations import ALPHA, BATCH, WAYS, config, disjoint_family
from metalib.experiments.fewshot import on_both_pools
from metalib.inner import SGD, inner_loop
from metalib.meta_gradients import reptile_weights
from metalib.params import Params, dot_per_run, norm_per_run, repeat
from metalib.store import Result
from metalib.tasks import generator
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot, draw_tasks
from metalib.training import Trained

MINIBATCH_SHOTS = 2
MINIBATCHES = 6
HELD_OUT_SHOTS = 5
STEP = ALPHA * BATCH / (MINIBATCH_SHOTS * WAYS)
"""α that makes a sum over 10 images move as far as one over 25 does at α = 0.003."""
TASKS_AT_ONCE = 10
ORDERS = {"fresh": (0, 1, 2, 3, 4, 5), "seen": (0, 1, 2, 0, 1, 2)}
"""Which minibatch each step meets, counted from 0."""
MEASURES = ("decrease", "length", "cosine")
SHARED_TAIL_STEPS = 8
RECORDS_RANDOM = "reptile"
"""The unit that also records random weights, so that they are recorded once."""
BUDGETS = {
    "smoke": Budget(10, 10),
    "quick": Budget(200, 60),
    "laptop": Budget(2_000, 300),
    "paper": Budget(40_000, 10_000),
}


@dataclass(frozen=True)
class Minibatches:
    """The images of evaluation tasks, as places in the pool.

    Attributes:
        image: disjoint minibatches, two images of each class, [tasks, 6, 10].
        held_out: five more images of each class, [tasks, 25].
    """

    image: np.ndarray
    held_out: np.ndarray


def draw(pool: ClassPool, seed: int, tasks: int) -> Minibatches:
    """Draw tasks of unseen test classes."""
    shots = MINIBATCHES * MINIBATCH_SHOTS + HELD_OUT_SHOTS
    rng = generator(seed, "late")
    places = draw_tasks(rng, pool.split(seed).test, WAYS, shots, tasks, pool)
    used = places[:, :, HELD_OUT_SHOTS:].reshape(tasks, WAYS, MINIBATCHES, MINIBATCH_SHOTS)
    return Minibatches(
        used.swapaxes(1, 2).reshape(tasks, MINIBATCHES, -1),
        places[:, :, :HELD_OUT_SHOTS].reshape(tasks, -1),
    )


def measure(family: FewShot, phi: Params, drawn: Minibatches, order: Sequence[int]) -> dict[str, np.ndarray]:
    """Say what every inner step is worth.

    Args:
        family: the network and its loss.
        phi: an initialization, a stack of one.
        drawn: the tasks.
        order: which minibatch each step meets, counted from 0.

    Returns:
        Arrays of shape [tasks, steps]: `decrease`, what the held-out loss per image falls by (nats);
        `length`, the norm of g_i; `cosine`, between g_i and the held-out gradient at φ_i.
    """
    chunks = [
        _measure(family, phi, drawn.image[start:stop], drawn.held_out[start:stop], order)
        for start, stop in (
            (start, start + TASKS_AT_ONCE) for start in range(0, len(drawn.image), TASKS_AT_ONCE)
        )
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


def _record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    family, seed = unit.family, unit.configs[0].seed
    assert isinstance(family, FewShot)
    drawn = draw(family.pool, seed, budget.evaluation_tasks)
    start = {name: value.to(trained.phi[name]) for name, value in family.initialize(seed).items()}
    name, rows = unit.name.rpartition("-seed-")[0], []
    initializations = {name: trained.phi} if name != RECORDS_RANDOM else {"random": start, name: trained.phi}
    for initialization, phi in initializations.items():
        by_order = {images: measure(family, phi, drawn, order) for images, order in ORDERS.items()}
        by_order["difference"] = {m: by_order["fresh"][m] - by_order["seen"][m] for m in MEASURES}
        for images, found in by_order.items():
            for step in range(MINIBATCHES):
                means = {measured: values[:, step].mean() for measured, values in found.items()}
                label = {"initialization": initialization, "images": images, "seed": seed, "step": step + 1}
                rows.append({**label, "tasks": len(drawn.image), **means})
    return Result({"gradients": pd.DataFrame(rows)})


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    classes = pool()
    shared = next(method for method in overlap.METHODS if method.name == "shared-cycling")
    tasks = overlap.family(classes, shared, BATCH)
    units = []
    for seed in seeds:
        sum_of_four = config(reptile_weights(4), budget.iterations, seed)
        last_of_eight = overlap.config(shared, SHARED_TAIL_STEPS, 1.0, budget.iterations, seed)
        units += [
            Unit(f"{RECORDS_RANDOM}-seed-{seed}", disjoint_family(classes, 4), (sum_of_four,)),
            Unit(f"shared-tail-seed-{seed}", tasks, (last_of_eight,)),
        ]
    return tuple(units)


LATE_GRADIENTS, LATE_GRADIENTS_GLYPHS = on_both_pools(
    "late-gradients",
    "what late gradients on seen images are worth",
    BUDGETS,
    _units,
    _record,
    keep_diverged=True,
)
