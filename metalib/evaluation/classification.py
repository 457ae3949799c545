"""Adapt to few-shot classification tasks and score what was learned, with and without transduction."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from metalib.errors import require
from metalib.inner import adapt
from metalib.memory import side_by_side
from metalib.optimizers import Optimizer, State
from metalib.params import Params, repeat
from metalib.tasks.episodes import Episodes, concatenate
from metalib.tasks.fewshot import FewShot

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Predictions: TypeAlias = "tuple[Int[Tensor, 'tasks N'], Int[Tensor, 'tasks N']]"
"""The class of every held-out image, all classified together, and each alone."""


@dataclass(frozen=True)
class Accuracies:
    """Share of the N held-out images that are classified correctly, per task.

    Attributes:
        transductive: all N held-out images share one forward pass, and so their batch statistics.
        inductive: every held-out image is classified in a pass of its own, beside the training images.
    """

    transductive: Float[np.ndarray, " tasks"]
    inductive: Float[np.ndarray, " tasks"]

    def undefined(self) -> Accuracies:
        """Return "not a number" for every task: what weights that are not finite deserve."""
        nothing = np.full_like(self.transductive, np.nan)
        return Accuracies(nothing, nothing)


def accuracies(
    family: FewShot,
    phi: Params,
    episodes: Sequence[Episodes],
    optimizer: Optimizer,
    state: State | None = None,
) -> list[Accuracies]:
    """Adapt every run's initialization to its own tasks and classify their held-out images.

    Args:
        family: says which pool the images come from and which network the weights belong to.
        phi: the initializations, a stack of R runs.
        episodes: the tasks of each run, as many for one run as for another.
        optimizer: the inner optimizer of training, the same for all runs.
        state: the inner optimizer's at the end of training, from which every task starts; fresh if `None`.

    Source: Nichol et al. 2018, section 6.1, and the authors' code: evaluation starts from the moments of
    training, and in the inductive setting the prediction of the last image of a pass counts.
    """

    def predict(some: Episodes) -> Predictions:
        return _predictions(family, phi, some, optimizer, state)

    return score(family, phi, episodes, predict)


def score(
    family: FewShot, phi: Params, episodes: Sequence[Episodes], predict: Callable[[Episodes], Predictions]
) -> list[Accuracies]:
    """Return the accuracies of `predict`, asked about as many tasks at a time as the device is good at."""
    like, tasks = next(iter(phi.values())), len(episodes[0].query)
    runs, sizes = len(like), [len(of_run.query) for of_run in episodes]
    require(sizes == [tasks] * runs, f"{runs} runs need a set of tasks each, of one size; got {sizes}")
    largest = max(episodes[0].image.shape[2], episodes[0].query.shape[1])
    width = max(1, side_by_side(family.net.footprint(largest), like.device) // runs)
    chunks = [
        predict(concatenate([of_run.tasks(start, start + width) for of_run in episodes]))
        for start in range(0, tasks, width)
    ]
    # Each chunk holds some tasks of every run, one run after the other.
    together, alone = (
        torch.cat([chunk.unflatten(0, (runs, -1)) for chunk in part], 1).cpu().numpy()
        for part in zip(*chunks, strict=True)
    )
    truth = np.arange(family.ways)
    return [
        Accuracies((one == truth).mean(1), (other == truth).mean(1))
        for one, other in zip(together, alone, strict=True)
    ]


def _predictions(
    family: FewShot, phi: Params, episodes: Episodes, optimizer: Optimizer, state: State | None
) -> Predictions:
    """Adapt T tasks, T / R of each run, as a stack of T, and classify their held-out images in both modes."""
    like = next(iter(phi.values()))
    count = len(episodes.query) // len(like)
    image, label, support, query = (
        torch.as_tensor(places, device=like.device)
        for places in (episodes.image, episodes.label, episodes.support, episodes.query)
    )
    losses = [
        family.loss({"image": image[:, step], "label": label[:, step]}) for step in range(image.shape[1])
    ]
    if state is not None:
        state = state.repeat(count)
    adapted = adapt(losses, repeat(phi, count), optimizer, state)
    together = family.net(adapted, family.pool.gather(query)).argmax(-1)
    return together, torch.cat(list(_inductive(family, adapted, support, query)), 1)


def _inductive(family: FewShot, adapted: Params, support: Tensor, query: Tensor) -> Iterator[Tensor]:
    """Yield the predictions for one held-out image of every task after the other, [T, 1] each."""
    for i in range(query.shape[1]):
        beside = torch.cat([support, query[:, i : i + 1]], 1)
        yield family.net(adapted, family.pool.gather(beside))[:, -1:].argmax(-1)
