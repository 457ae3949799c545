"""Which layers move inside: Reptile and MAML on 5-way Omniglot, adapted with parts of the network frozen.

Raghu et al. (2020) found that MAML's inner loop hardly changes the features, and froze all but the head
(ANIL). Oh et al. (2021) froze the head instead, and found that this makes the features move (BOIL). Here both
are asked of initializations that were trained with all layers free: what does adapting lose if the body or
the head stays where it is, and how alike are the features before and after?

Said before running it. A part may be frozen "at no cost" if the interval of what it costs lies within
`MARGIN`, and a layer's features are "reused" if the interval of its CKA lies above `REUSED`.

    MAML      the body can be frozen at no cost, and its four layers are reused, as Raghu et al. say; freezing
              the head costs more than the margin.
    Reptile   the other way round: the head can be frozen at no cost (so it was after two outer iterations, on
              which this was tried), the body cannot, and the last convolution is not reused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.budgets import BUDGETS, Budget, MethodsBudget
from companion.descendants.similarity import cka
from companion.fewshot.methods import MAML_EVALUATION_STEPS, maml_unit
from companion.fewshot.pretraining import HEAD
from companion.fewshot.scores import EVALUATION_STEPS
from companion.fewshot.settings import SETTINGS, on_both_pools, reptile_configs, reptile_family
from companion.results import Result
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.inner import adapt
from metalib.memory import side_by_side
from metalib.optimizers import Masked, Optimizer
from metalib.params import Params, norm_per_run, repeat, subtract
from metalib.rng import generator
from metalib.tasks.episodes import sample_tasks
from metalib.tasks.fewshot import FewShot
from metalib.tasks.schemes import cycling_minibatches
from metalib.training import Trained

WAYS = 5
MAML_TASKS = 4
MARGIN = 1.0
"""Points of accuracy that freezing a part may cost and still cost nothing. Fixed before the runs."""
REUSED = 0.9
"""CKA above which features count as reused. Fixed before the runs."""
LAYERS = ("conv 1", "conv 2", "conv 3", "conv 4", "head")
MOVED = ("all", "body", "head", "none")
"""Which part of the network adapts."""


@dataclass(frozen=True)
class RecordMovement:
    """What is kept of a run: accuracy with parts frozen, and how far every layer moves in adapting.

    Attributes:
        tasks: test tasks per number of shots.
        steps: inner steps of the run's own optimizer.
        batch: images per inner step; 0 for all training images of the task.
        held_out: images of each class that accuracy and CKA are measured on, in one pass.
        shots: training images per class.
    """

    tasks: int
    steps: int
    batch: int
    held_out: int = 15
    shots: tuple[int, ...] = (5,)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {"kind": "RecordMovement", **asdict(self), "shots": list(self.shots)}

    def __call__(self, family: FewShot, trained: Trained) -> Result:
        """Return the tables `accuracy`, `layers` and `history` of a run that stands alone."""
        accuracy: list[dict[str, Any]] = []
        layers: list[dict[str, Any]] = []
        for shots in self.shots:
            right, moved = self._measure(family, trained, shots)
            label = {"seed": trained.configs[0].seed, "shots": shots, "tasks": self.tasks}
            accuracy += [{**label, "moved": part, "accuracy": 100 * right[part]} for part in MOVED]
            layers += [{**label, "layer": layer, **moved[layer]} for layer in LAYERS]
        tables = {"accuracy": pd.DataFrame(accuracy), "layers": pd.DataFrame(layers)}
        return Result({**tables, "history": trained.history})

    def _measure(
        self, family: FewShot, trained: Trained, shots: int
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """Return accuracy by what moved, and the movement of every layer, as means over tasks."""
        (config,), phi, pool = trained.configs, trained.phi, family.pool
        rng = generator(config.seed, "evallayers", shots)
        places = sample_tasks(
            rng, pool.split(config.seed).test, WAYS, shots + self.held_out, self.tasks, pool
        )
        support = places[:, :, :shots].reshape(self.tasks, -1)
        order = cycling_minibatches(rng, WAYS * shots, self.batch or WAYS * shots, self.tasks, self.steps)
        image = np.take_along_axis(support, order.reshape(self.tasks, -1), 1).reshape(order.shape)
        query = places[:, :, shots:].reshape(self.tasks, -1)
        fresh = {name: value.to(_like(phi)) for name, value in family.initialize(config.seed).items()}
        width = side_by_side(family.net.footprint(query.shape[1]), _like(phi).device)
        sums: dict[str, list[Tensor]] = {}
        for chunk in range(0, self.tasks, width):
            kept = slice(chunk, chunk + width)
            found = _of_tasks(family, trained, fresh, image[kept], order[kept] // shots, query[kept])
            for name, values in found.items():
                sums.setdefault(name, []).append(values)
        means = {name: float(torch.cat(values).double().mean()) for name, values in sums.items()}
        measures = ("cka", "cka_untrained", "moved")
        return (
            {part: means[part] for part in MOVED},
            {layer: {name: means[f"{name} {layer}"] for name in measures} for layer in LAYERS},
        )


def _of_tasks(
    family: FewShot,
    trained: Trained,
    fresh: Params,
    image: np.ndarray,
    label: np.ndarray,
    query: np.ndarray,
) -> dict[str, Tensor]:
    """Adapt T tasks side by side with each part of the network free, and look at held-out images."""
    tasks, net, device = len(query), family.net, _like(trained.phi).device
    start = repeat(trained.phi, tasks)
    images, labels = torch.as_tensor(image, device=device), torch.as_tensor(label, device=device)
    losses = [
        family.loss({"image": images[:, step], "label": labels[:, step]}) for step in range(image.shape[1])
    ]
    asked = family.pool.gather(torch.as_tensor(query, device=device))
    truth = torch.arange(WAYS, device=device).repeat_interleave(query.shape[1] // WAYS)
    found: dict[str, Tensor] = {}
    with torch.no_grad():
        before, untrained = net.layers(start, asked), net.layers(repeat(fresh, tasks), asked)
    for part in MOVED:
        adapted = start
        if part != "none":
            learner = part_of(trained.configs[0].optimizer(), part, start)
            adapted = adapt(losses, start, learner, trained.inner.repeat(tasks))
        with torch.no_grad():
            after = net.layers(adapted, asked)
        found[part] = (after[-1].argmax(-1) == truth).double().mean(1)
        if part == "all":
            for i, layer in enumerate(LAYERS):
                found[f"cka {layer}"] = cka(before[i], after[i])
                found[f"cka_untrained {layer}"] = cka(before[i], untrained[i])
                mine = [name for name in start if layer_of(name) == layer]
                gone = {name: subtract(adapted, start)[name] for name in mine}
                size = norm_per_run({name: start[name] for name in mine})
                found[f"moved {layer}"] = norm_per_run(gone) / size
    return found


def part_of(optimizer: Optimizer, part: str, params: Params) -> Optimizer:
    """Return an optimizer that moves only a part of the network.

    Args:
        optimizer: how it moves.
        part: "all", "body" (the convolutions: BOIL) or "head" (the dense layer: ANIL).
        params: the weights, by name.
    """
    if part == "all":
        return optimizer
    return Masked(optimizer, tuple(name for name in params if (name in HEAD) == (part == "head")))


def layer_of(name: str) -> str:
    """Return which of `LAYERS` a weight belongs to."""
    return "head" if name in HEAD else f"conv {int(name[-1]) + 1}"


def _like(phi: Params) -> Tensor:
    return next(iter(phi.values()))


def _reptile(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[FewShot], ...]:
    family = reptile_family(pool(), WAYS)
    record = RecordMovement(budget.evaluation_tasks, EVALUATION_STEPS, SETTINGS[WAYS].evaluation_batch)
    return tuple(
        Unit(f"reptile-seed-{config.seed}", family, (config,), record, facts={"method": "reptile"})
        for config in reptile_configs(WAYS, budget.iterations, seeds)
    )


def _maml(pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[FewShot], ...]:
    as_released = MethodsBudget(0, budget.evaluation_tasks, iterations_maml=budget.iterations)
    unit = maml_unit("maml", pool(), as_released, seeds)
    record = RecordMovement(budget.evaluation_tasks, MAML_EVALUATION_STEPS, batch=0)
    return tuple(
        Unit(
            f"maml-seed-{config.seed}",
            unit.family,
            (replace(config, tasks=MAML_TASKS),),
            record,
            facts={"method": "maml"},
        )
        for config in unit.configs
    )


MOVING_LAYERS, MOVING_LAYERS_GLYPHS = on_both_pools(
    "moving-layers", "Which layers move inside: Reptile, 5-way", BUDGETS["moving-layers"], _reptile
)
MOVING_LAYERS_MAML, MOVING_LAYERS_MAML_GLYPHS = on_both_pools(
    "moving-layers-maml", "Which layers move inside: MAML, 5-way", BUDGETS["moving-layers-maml"], _maml
)
