"""How much is a late gradient on images worth that were seen before? (Nichol et al. 2018, section 6.3)

The paper suggests that shared-tail FOMAML fails because, after a few steps on an image, its gradient says
little that is useful. Here six inner steps are taken on unseen test classes in two ways that agree in the
first three: the last three meet either fresh images or the ones of the first three again. After every step
the loss on 25 held-out images is measured; what it falls by is what the step's gradient was worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch

from metalib.derivatives import MinibatchLoss
from metalib.experiments import Budget, Experiment, Unit
from metalib.experiments.combinations import ALPHA, BATCH, WAYS, config, disjoint_family, unit
from metalib.inner import SGD, inner_loop
from metalib.meta_gradients import reptile_weights
from metalib.params import Params, repeat
from metalib.store import Result
from metalib.tasks import generator
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import FewShot, draw_tasks
from metalib.tasks.glyphs import glyphs
from metalib.tasks.omniglot import omniglot
from metalib.training import Trained

MINIBATCH_SHOTS = 2
MINIBATCHES = 6
HELD_OUT_SHOTS = 5
STEP = ALPHA * BATCH / (MINIBATCH_SHOTS * WAYS)
"""α that makes a sum over 10 images move as far as one over 25 does at α = 0.003."""
TASKS_AT_ONCE = 10
BUDGETS = {
    "smoke": Budget(10, 10),
    "quick": Budget(200, 60),
    "laptop": Budget(2_000, 500),
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


def decreases(family: FewShot, phi: Params, drawn: Minibatches, order: tuple[int, ...]) -> np.ndarray:
    """Return what the held-out loss per image falls by at every step, [tasks, steps].

    Args:
        family: the network and its loss.
        phi: an initialization, a stack of one.
        drawn: the tasks.
        order: which minibatch each step meets, counted from 0.
    """
    chunks = [
        _decreases(family, phi, drawn.image[start:stop], drawn.held_out[start:stop], order)
        for start, stop in (
            (start, start + TASKS_AT_ONCE) for start in range(0, len(drawn.image), TASKS_AT_ONCE)
        )
    ]
    return np.concatenate(chunks)


def _decreases(
    family: FewShot, phi: Params, image: np.ndarray, held_out: np.ndarray, order: tuple[int, ...]
) -> np.ndarray:
    device = next(iter(phi.values())).device
    label = np.repeat(np.arange(WAYS), MINIBATCH_SHOTS)
    losses = [_loss(family, image[:, i], label, device) for i in order]
    unseen = _loss(family, held_out, np.repeat(np.arange(WAYS), HELD_OUT_SHOTS), device)
    trajectory = inner_loop(losses, repeat(phi, len(image)), SGD(STEP))
    with torch.no_grad():
        values = torch.stack([unseen(weights) for weights in trajectory.phi], 1).cpu().double().numpy()
    return -np.diff(values, axis=1) / held_out.shape[1]


def _loss(family: FewShot, image: np.ndarray, label: np.ndarray, device: torch.device) -> MinibatchLoss:
    labels = np.broadcast_to(label, image.shape)
    return family.loss(
        {"image": torch.as_tensor(image, device=device), "label": torch.tensor(labels, device=device)}
    )


ORDERS = {"fresh": (0, 1, 2, 3, 4, 5), "seen": (0, 1, 2, 0, 1, 2)}


def _record(unit: Unit, trained: Trained, budget: Budget) -> Result:
    family, seed = unit.family, unit.configs[0].seed
    assert isinstance(family, FewShot)
    drawn = draw(family.pool, seed, budget.evaluation_tasks)
    start = {name: value.to(trained.phi[name]) for name, value in family.initialize(seed).items()}
    rows = []
    for initialization, phi in (("random", start), ("trained", trained.phi)):
        by_order = {name: decreases(family, phi, drawn, order) for name, order in ORDERS.items()}
        by_order["difference"] = by_order["fresh"] - by_order["seen"]
        for name, values in by_order.items():
            for step in range(values.shape[1]):
                column = values[:, step]
                rows.append(
                    {
                        "initialization": initialization,
                        "images": name,
                        "seed": seed,
                        "step": step + 1,
                        "tasks": len(column),
                        "decrease": column.mean(),
                        "standard_error": column.std(ddof=1) / len(column) ** 0.5,
                    }
                )
    return Result({"decrease": pd.DataFrame(rows)})


def _units(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
    family = disjoint_family(pool(), 4)
    return tuple(
        replace(unit("4-sum", family, config(reptile_weights(4), budget.iterations, seed)), monitor=None)
        for seed in seeds
    )


LATE_GRADIENTS = Experiment(
    "late-gradients",
    "what late gradients on seen images are worth, 5-way Omniglot",
    BUDGETS,
    partial(_units, omniglot),
    _record,
)
LATE_GRADIENTS_GLYPHS = replace(
    LATE_GRADIENTS,
    name="late-gradients-glyphs",
    title="what late gradients on seen images are worth, on the embedded glyphs",
    units=partial(_units, glyphs),
)
