"""One model for all, and one for each: joint training, FedAvg and Reptile before and after fine-tuning.

All three spend the same number of gradient steps on clients' devices. Joint training (federated SGD) sends
the model out for every single step; FedAvg and Reptile only for every tenth. FedAvg (McMahan et al. 2017) is
batched Reptile (Eq. 5) with ε = 1 throughout and clients weighed by their data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch

from companion.budgets import PERSONALIZATION as BUDGETS
from companion.budgets import Budget
from companion.fewshot.settings import on_both_pools
from companion.personalization.upright import Upright, Visit, visit
from companion.personalization.writers import KNOWN, NEW
from companion.results import Result
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool
from metalib.inner import steps
from metalib.memory import side_by_side
from metalib.optimizers import SGD
from metalib.params import Params, repeat, select
from metalib.training import Trained, TrainingConfig

ALPHA = 0.1
LOCAL_STEPS = 10
CLIENTS_PER_ROUND = 10
RECORDED_STEPS = (0, 1, 5, 20)
"""After how many steps on its own drawings a client is tested; 0 is the model that serves all."""


@dataclass(frozen=True)
class RecordClients:
    """What is kept: how well every held-out client is served, before and after it fine-tunes.

    Attributes:
        clients: held-out clients of each kind, the same for every run.
    """

    clients: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        return {
            "kind": "RecordClients",
            "clients": self.clients,
            "steps": list(RECORDED_STEPS),
            "alpha": ALPHA,
        }

    def __call__(self, family: Upright, trained: Trained) -> Result:
        """Return one row per run, client and number of steps, and the history."""
        rows = [
            {"seed": config.seed, "kind": kind, **row}
            for run, config in enumerate(trained.configs)
            for kind in (KNOWN, NEW)
            for row in _served(
                family,
                select(trained.phi, slice(run, run + 1)),
                visit(family, config.seed, kind, self.clients),
            )
        ]
        return Result({"clients": pd.DataFrame(rows), "history": trained.history})


def _served(family: Upright, phi: Params, visited: Visit) -> list[dict[str, Any]]:
    """Return the accuracy of every client in percent, after each of `RECORDED_STEPS` full-batch steps."""
    device = next(iter(phi.values())).device
    labels = [label.to(device) for label in visited.label]
    width, rows = side_by_side(family.footprint, device), []
    for start in range(0, len(visited.clients), width):
        here = slice(start, start + width)
        clients, support, query = visited.clients[here], visited.support[here], visited.query[here]
        support, query = support.to(device), query.to(device)
        loss = family.loss({"image": support, "label": labels[0].expand(len(clients), -1)})
        weights = repeat(phi, len(clients))
        taken = steps([loss] * RECORDED_STEPS[-1], weights, SGD(ALPHA))
        for step in range(RECORDED_STEPS[-1] + 1):
            weights = next(taken).phi if step else weights
            if step in RECORDED_STEPS:
                right = 100.0 * (_told(family, weights, support, query) == labels[1]).double().mean(1)
                rows += [
                    {"alphabet": client.alphabet, "hand": client.hand, "step": step, "accuracy": accuracy}
                    for client, accuracy in zip(clients, right.tolist(), strict=True)
                ]
    return rows


def _told(family: Upright, weights: Params, support: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Return what every drawing is taken for, each by itself beside those that the client learned from."""
    answers = []
    with torch.no_grad():
        for i in range(query.shape[1]):
            images = family.pool.gather(torch.cat([support, query[:, i : i + 1]], 1))
            answers.append(family.net(weights, images)[:, -1].argmax(-1))
    return torch.stack(answers, 1)


def _units(
    pool: Callable[[], ClassPool], budget: Budget, seeds: tuple[int, ...]
) -> tuple[Unit[Upright], ...]:
    drawings = pool()
    config = partial(TrainingConfig, alpha=ALPHA, epsilon=1.0, tasks=CLIENTS_PER_ROUND)
    rounds, record = budget.iterations, RecordClients(budget.evaluation_tasks)
    runs = {
        "joint": tuple(config("joint", k=1, iterations=LOCAL_STEPS * rounds, seed=s) for s in seeds),
        "fedavg": tuple(config(k=LOCAL_STEPS, epsilon_final=1.0, iterations=rounds, seed=s) for s in seeds),
        "reptile": tuple(config(k=LOCAL_STEPS, iterations=rounds, seed=s) for s in seeds),
    }
    return tuple(
        Unit(method, Upright(drawings, by_data=method == "fedavg"), configs, record, facts={"method": method})
        for method, configs in runs.items()
    )


PERSONALIZATION, PERSONALIZATION_GLYPHS = on_both_pools(
    "personalization", "Writers as clients: joint training, FedAvg, Reptile, fine-tuned", BUDGETS, _units
)
