"""How noisy meta-gradients are at a fixed φ, as the number of inner steps grows.

Every sine wave of a sample is drawn minibatches for twice. With g_{t,a} the meta-gradient of
draw a of task t, the signal is ‖E[g]‖², the noise E‖g − E[g]‖², and the part of the noise that is due to
minibatches is half of E‖g_{t,1} − g_{t,2}‖²; all three are estimated without bias, if the two draws are
independent. Minibatches that return come from one shuffle of the same points; the last is not told of them.
Noise over signal is the number of tasks over which a meta-gradient must be averaged until both are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from companion.costs.experiment import FreshSine
from companion.costs.ways import FOMAML, IMPLICIT, PRODUCTS, REPTILE, SOLVER_STEPS
from companion.implicit.training import Proximal, implicit_of
from companion.intervals import NORMAL
from metalib.errors import require
from metalib.inner import inner_loop
from metalib.meta_gradients import fomaml, maml, reptile
from metalib.optimizers import SGD
from metalib.params import Params, repeat
from metalib.tasks.family import BLOCK
from metalib.tasks.sine import Sine

if TYPE_CHECKING:
    from jaxtyping import Float

ALPHA = 0.02
CHUNK = 50
"""Runs whose trajectories are held at once."""
RETURNING = "returning"
FAMILIES: dict[str, Callable[[], Sine]] = {RETURNING: Sine, "fresh": FreshSine}


@dataclass(frozen=True)
class Noise:
    """What a sample of meta-gradients says.

    Attributes:
        length: the root mean square of ‖g‖.
        tasks_needed: noise over signal; not a number where the signal cannot be told from zero.
        low: lower end of its 95 % interval over tasks, by the jackknife on a logarithmic scale.
        high: upper end.
        within: the share of the noise that is due to minibatches, if the two draws are independent.
    """

    length: float
    tasks_needed: float
    low: float
    high: float
    within: float


def summarize(g: Float[Tensor, "tasks 2 weights"]) -> Noise:
    """Return signal and noise of meta-gradients, two of each task.

    Raises:
        InputError: if there are fewer than three tasks.
    """
    tasks = len(g)
    require(tasks >= 3, f"there are {tasks} tasks; noise over tasks needs at least 3")
    means = g.mean(1)
    products = (means @ means.T).numpy()
    across = products.sum(1) - np.diag(products)
    squares = g.square().sum(2).mean(1).numpy()
    within = 0.5 * (g[:, 0] - g[:, 1]).square().sum(1).mean().item()

    def needed(kept: float, left: float, count: int) -> float:
        signal = left / (count * (count - 1))
        return (kept / count - signal) / signal if signal > 0 else float("nan")

    whole = needed(squares.sum(), across.sum(), tasks)
    without = np.array(
        [needed(squares.sum() - squares[t], across.sum() - 2 * across[t], tasks - 1) for t in range(tasks)]
    )
    error = float(np.sqrt((tasks - 1) * np.var(np.log(without))))
    signal = across.sum() / (tasks * (tasks - 1))
    return Noise(
        float(squares.mean() ** 0.5),
        whole,
        whole * float(np.exp(-NORMAL * error)),
        whole * float(np.exp(NORMAL * error)),
        within / (float(squares.mean()) - signal),
    )


def meta_gradients(family: Sine, phi: Params, k: int, tasks: int, seed: int) -> dict[str, Tensor]:
    """Return two meta-gradients of every task per method, [tasks, 2, weights], in double precision.

    Args:
        family: says where minibatches come from.
        phi: φ, a stack of one.
        k: inner steps.
        tasks: sine waves, at most `BLOCK`.
        seed: decides them.

    Raises:
        InputError: if `tasks` is not between 1 and `BLOCK`.
    """
    require(1 <= tasks <= BLOCK, f"tasks is {tasks}; choose 1 to {BLOCK}")
    sampled = family.sample(seed, 0, 1, 2 * k)
    runs = {n: torch.from_numpy(a[:tasks, 0]).unflatten(1, (2, k)).flatten(0, 1) for n, a in sampled.items()}
    found: dict[str, list[Tensor]] = {PRODUCTS: [], FOMAML: [], REPTILE: [], IMPLICIT: []}
    for start in range(0, 2 * tasks, CHUNK):
        part = {n: a[start : start + CHUNK] for n, a in runs.items()}
        losses = [family.loss({n: a[:, i] for n, a in part.items()}) for i in range(k)]
        start_of = repeat(phi, len(part["x"]))
        trajectory = inner_loop(losses, start_of, SGD(ALPHA))
        found[PRODUCTS].append(_rows(maml(trajectory)))
        found[FOMAML].append(_rows(fomaml(trajectory)))
        found[REPTILE].append(_rows(reptile(trajectory)))
        strength = 1.0 / (max(1, k - 1) * ALPHA)
        pulled = inner_loop(losses, start_of, Proximal(ALPHA, strength))
        solved = implicit_of(pulled, strength, SOLVER_STEPS, truncate=True)
        found[IMPLICIT].append(_rows(solved.x))
    return {name: torch.cat(rows).unflatten(0, (-1, 2)) for name, rows in found.items()}


def noise_against_k(phi: Params, ks: Sequence[int], tasks: int, seed: int) -> pd.DataFrame:
    """Return one row per way to draw `minibatches`, `k` and `method`, with the fields of `Noise`.

    `within` is not a number for minibatches that return.

    Args:
        phi: φ, a stack of one.
        ks: numbers of inner steps.
        tasks: sine waves in the sample.
        seed: decides them.
    """
    rows = []
    for minibatches, family in FAMILIES.items():
        for k in ks:
            for method, g in meta_gradients(family(), phi, k, tasks, seed).items():
                said = summarize(g)
                within = float("nan") if minibatches == RETURNING else said.within
                told = {**vars(said), "within": within}
                rows.append({"minibatches": minibatches, "k": k, "method": method, **told})
    return pd.DataFrame(rows)


def _rows(g: Params) -> Float[Tensor, "runs weights"]:
    return torch.cat([value.flatten(1) for value in g.values()], 1).double()
