"""The outer loop: frozen configurations in, trained initializations and their history out.

A call trains a *stack* of runs side by side. The runs may differ in algorithm, seed and step sizes;
they share the shape of the inner loop. A run alone is a stack of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metalib import store
from metalib.blocks import draw, losses_of, tasks_at_once
from metalib.checkpoints import Progress, load, save
from metalib.config import TrainingConfig
from metalib.errors import DivergenceError, require
from metalib.inner import Adam, AdamState
from metalib.outer import OuterState, OuterStep, outer_step
from metalib.params import Factor, Params, select
from metalib.tasks import BLOCK, TaskFamily

CHECKPOINT_SECONDS = 10.0


class Monitor(Protocol):
    """What is measured while runs are in training, after every block of `BLOCK` outer iterations."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the numbers, which become columns of the history."""
        ...

    def __call__(
        self, configs: Sequence[TrainingConfig], phi: Params, inner: AdamState | None, block: int
    ) -> np.ndarray:
        """Return the numbers of every run, [runs, columns]; `block` counts from 0."""
        ...


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Attributes:
        configs: the runs, in the order of the stack.
        phi: the trained initialization of every run.
        inner: the moments of an inner Adam, from which evaluation starts; `None` for SGD.
        history: one row per run and block of `BLOCK` outer iterations, with the mean of L_1(φ_1)
            (`loss_before`) and of L_k(φ_k) (`loss_after`) over the block, and what a monitor measured
            at its end.
        seconds: wall time spent, earlier attempts included.
    """

    configs: tuple[TrainingConfig, ...]
    phi: Params
    inner: AdamState | None
    history: pd.DataFrame
    seconds: float

    def runs(self, start: int, stop: int) -> Trained:
        """Return the runs from `start` up to, not including, `stop`, as a stack of their own."""
        chosen = slice(start, stop)
        history = self.history[self.history.run.between(start, stop - 1)].reset_index(drop=True)
        return Trained(
            self.configs[chosen],
            select(self.phi, chosen),
            self.inner.select(chosen) if self.inner is not None else None,
            history.assign(run=history.run - start),
            self.seconds,
        )


def choose_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        InputError: if this machine has no such device.
    """
    available = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    known = {*available, "cuda"} if len(available) > 1 else set(available)
    require(name in known, f"device is {name!r}; this machine has {', '.join(available)}")
    return torch.device(name)


def train(
    family: TaskFamily,
    configs: Sequence[TrainingConfig],
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    monitor: Monitor | None = None,
    progress: Callable[[int], None] | None = None,
    keep_diverged: bool = False,
) -> Trained:
    """Train a stack of runs.

    Args:
        family: the tasks, and the model that learns them.
        configs: one configuration per run.
        device: "cpu", "cuda" or "cuda:i".
        checkpoint: where to keep unfinished work. If the file exists, training goes on from it, and
            ends bit for bit where an uninterrupted training ends.
        monitor: what to measure after every block of outer iterations; nothing if `None`.
        progress: called with the number of outer iterations taken so far, after every block of them.
        keep_diverged: go on when a run diverges, whose numbers are then not finite. Runs do not touch
            each other, so the rest of the stack is not affected.

    Raises:
        InputError: if the runs cannot share a stack, or the device is not there.
        DivergenceError: if a loss or a weight is no longer finite, unless `keep_diverged`.
        StoreError: if the checkpoint is damaged or belongs to other runs.

    Source: Nichol et al. 2018, Algorithm 1 and Eq. 5.
    """
    place = choose_device(device)
    phi = _stack_of([family.initialize(config.seed) for config in configs], place)
    first = configs[0]
    width = tasks_at_once(configs, phi, place)
    step = outer_step(configs, width, place, next(iter(phi.values())).dtype)
    watched = [repr(monitor)] if monitor else []
    identity = store.digest([repr(family), *[config.as_dict() for config in configs], *watched])
    run = load(checkpoint, identity, place) or Progress(0, _initial_state(first, phi))
    saved = time.monotonic()
    if progress:
        progress(run.iteration)
    while run.iteration < first.iterations:
        started = time.monotonic()
        _train_block(family, step, run, width, place, monitor, keep_diverged)
        run.seconds += time.monotonic() - started
        finished = run.iteration == first.iterations
        if checkpoint and (finished or time.monotonic() - saved > CHECKPOINT_SECONDS):
            save(checkpoint, identity, run)
            saved = time.monotonic()
        if progress:
            progress(run.iteration)
    columns = ("loss_before", "loss_after", *(monitor.columns if monitor else ()))
    return Trained(
        tuple(configs), run.state.phi, run.state.inner, _history(configs, run.numbers, columns), run.seconds
    )


def _train_block(
    family: TaskFamily,
    step: OuterStep,
    run: Progress,
    width: int,
    place: torch.device,
    monitor: Monitor | None,
    keep_diverged: bool,
) -> None:
    """Take the outer iterations of one block, and measure what the monitor asks for."""
    configs = step.configs
    stop = min(run.iteration + BLOCK, configs[0].iterations)
    block = run.iteration // BLOCK
    drawn = draw(family, configs, block, width, place)
    epsilons = _epsilons(configs, run.iteration, stop, next(iter(run.state.phi.values())))
    values = []
    for losses, epsilon in zip(losses_of(family, drawn, len(epsilons)), epsilons, strict=True):
        run.state, inner_losses = step(run.state, losses, epsilon)
        values.append(inner_losses)
    means = torch.stack(values).mean(0)[:, [0, -1]]
    if not keep_diverged:
        _require_finite(configs, means, run)
    numbers = [means.to("cpu", torch.float64).numpy()]
    if monitor:
        numbers.append(monitor(configs, run.state.phi, run.state.inner, block))
    run.numbers.append(np.concatenate(numbers, axis=1))
    run.iteration = stop


def _epsilons(configs: Sequence[TrainingConfig], start: int, stop: int, like: Tensor) -> list[Factor]:
    """Return ε of every outer iteration: one number if the runs agree, else one per run."""
    rows = [[config.epsilon_at(i) for config in configs] for i in range(start, stop)]
    if all(len(set(row)) == 1 for row in rows):
        return [row[0] for row in rows]
    return list(torch.tensor(rows, dtype=like.dtype, device=like.device).unbind(0))


def _require_finite(configs: Sequence[TrainingConfig], means: Tensor, run: Progress) -> None:
    finite = torch.isfinite(means).all(1)
    for value in run.state.phi.values():
        finite &= torch.isfinite(value).flatten(1).all(1)
    if not bool(finite.all()):
        config = configs[int((~finite).int().argmax())]
        raise DivergenceError(
            f"training diverged within outer iterations {run.iteration} to {run.iteration + BLOCK - 1} "
            f"of {config.algorithm}, seed {config.seed}: a loss or weight is not finite with "
            f"alpha = {config.alpha} and epsilon = {config.epsilon}; choose a smaller alpha"
        )


def _initial_state(config: TrainingConfig, phi: Params) -> OuterState:
    fresh = Adam(1.0).initial_state(phi)
    return OuterState(
        phi,
        inner=fresh if config.inner == "adam" else None,
        outer=fresh if config.outer == "adam" else None,
    )


def _stack_of(runs: Sequence[Params], place: torch.device) -> Params:
    return {name: torch.cat([run[name] for run in runs]).to(place) for name in runs[0]}


def _history(
    configs: Sequence[TrainingConfig], numbers: Sequence[np.ndarray], columns: Sequence[str]
) -> pd.DataFrame:
    rows = [
        {
            "run": r,
            "algorithm": config.algorithm,
            "seed": config.seed,
            "iteration": min((block + 1) * BLOCK, config.iterations),
            **{column: float(value) for column, value in zip(columns, values[r], strict=True)},
        }
        for r, config in enumerate(configs)
        for block, values in enumerate(numbers)
    ]
    return pd.DataFrame(rows)
