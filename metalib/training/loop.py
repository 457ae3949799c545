"""The outer loop: frozen configurations in, trained initializations and their history out.

A call trains a *stack* of runs side by side. The runs may differ in algorithm, seed and step sizes;
they share the shape of the inner loop. A run alone is a stack of one.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metalib import store
from metalib.errors import DivergenceError, require, require_choice
from metalib.memory import WORKING_SET
from metalib.optimizers import State
from metalib.params import Factor, Params, select
from metalib.revisions import revisions_of
from metalib.tasks.family import BLOCK, TaskFamily
from metalib.training.checkpoints import Expected, Progress, load, save
from metalib.training.config import StackConfig, TrainingConfig
from metalib.training.minibatches import blocks, losses_of, require_room_for, sample_block, tasks_at_once
from metalib.training.monitor import Monitor
from metalib.training.outer import OuterStep, outer_step
from metalib.training.shares import ALONE, Share

CHECKPOINT_SECONDS = 10.0
TF32 = False
"""Whether a GPU may round what it multiplies to 10 bits, which PyTorch lets convolutions do."""

OnDivergence = Literal["raise", "record"]


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Attributes:
        configs: the runs, in the order of the stack.
        phi: the trained initialization of every run.
        inner: the state of the inner optimizer, from which evaluation starts.
        history: one row per run and block of `BLOCK` outer iterations, with the mean of L_1(φ_1)
            (`loss_before`) and of L_k(φ_k) (`loss_after`) over the block, and what a monitor measured
            at its end.
        seconds: wall time spent, earlier attempts included.
    """

    configs: tuple[TrainingConfig, ...]
    phi: Params
    inner: State
    history: pd.DataFrame
    seconds: float

    def runs(self, start: int, stop: int) -> Trained:
        """Return the runs from number `start` up to, but not including, `stop`, as a stack of their own."""
        chosen = slice(start, stop)
        history = self.history[self.history.run.between(start, stop - 1)].reset_index(drop=True)
        return Trained(
            self.configs[chosen],
            select(self.phi, chosen),
            self.inner.select(chosen),
            history.assign(run=history.run - start),
            self.seconds,
        )


def require_device_name(name: str) -> None:
    """Raise `InputError` unless `name` could be a device: "cpu", "cuda" or "cuda:i"."""
    known = name in WORKING_SET or re.fullmatch(r"cuda:(0|[1-9][0-9]*)", name)
    require(bool(known), f"device is {name!r}; it can be {', '.join(WORKING_SET)} or, for example, cuda:1")


def choose_device(name: str) -> torch.device:
    """Return the device of that name; on a GPU, float32 is computed as float32 unless `TF32` is true.

    Raises:
        InputError: if this machine has no such device.
    """
    available = ["cpu"] + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    known = {*available, "cuda"} if len(available) > 1 else set(available)
    require(name in known, f"device is {name!r}; this machine has {', '.join(available)}")
    if name != "cpu":
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = TF32
    return torch.device(name)


def identity_of(family: TaskFamily, configs: Sequence[TrainingConfig], monitor: Monitor | None = None) -> str:
    """Return a digest of everything that decides what training finds, and what code of it has been revised.

    Args:
        family: the tasks.
        configs: the runs of the stack.
        monitor: what is measured on the way.
    """
    runs = [config.as_dict() for config in configs]
    parts = [family.as_dict(), runs, monitor.as_dict() if monitor else None]
    revised = {name: revision for name, revision in revisions_of(parts).items() if revision > 1}
    return store.digest(parts) + "".join(f"+{name}-{revision}" for name, revision in revised.items())


def train(
    family: TaskFamily,
    configs: Sequence[TrainingConfig],
    *,
    device: str = "cpu",
    checkpoint: Path | None = None,
    monitor: Monitor | None = None,
    callback: Callable[[int], None] | None = None,
    on_divergence: OnDivergence = "raise",
    share: Share = ALONE,
    prepare: Callable[[OuterStep], OuterStep] | None = None,
) -> Trained:
    """Train a stack of runs.

    Args:
        family: the tasks, and the model that learns them.
        configs: one configuration per run.
        device: "cpu", "cuda" or "cuda:i".
        checkpoint: where to keep unfinished work. If the file exists, training goes on from it, and
            ends bit for bit where an uninterrupted training ends.
        monitor: what to measure after every block of outer iterations; nothing if `None`.
        callback: called with the number of outer iterations taken so far, at the start and after each block.
        on_divergence: "raise" an error when a run diverges, or "record" it and go on: its numbers are then
            not finite. Runs do not touch each other, so the rest of the stack is not affected.
        share: the part of every meta-batch that this process trains, if others train the rest. All return
            the same; the first keeps the checkpoint.
        prepare: makes another outer step of the one that is to be taken, such as a compiled one. It gives the
            same numbers up to roundoff, so that checkpoints of both are the same runs'.

    Raises:
        InputError: if the runs cannot share a stack or fit in memory, or the device or a setting is unknown.
        DivergenceError: if a loss or a weight is no longer finite and `on_divergence` is "raise".
        StoreError: if the checkpoint is damaged, belongs to other runs, or cannot be written.

    Source: Nichol et al. 2018, Algorithm 1 and Eq. 5.
    """
    require_choice("on_divergence", on_divergence, get_args(OnDivergence))
    stack, where = StackConfig.of(configs), choose_device(device)
    initial_weights = [family.initialize(config.seed) for config in configs]
    phi = {name: torch.cat([run[name] for run in initial_weights]).to(where) for name in initial_weights[0]}
    require_room_for(configs, phi)
    identity = identity_of(family, configs, monitor)
    share.require_agreement(identity, stack.tasks, configs[0].optimizer().carried)
    width = tasks_at_once(family, configs, where, share)
    step = outer_step(configs, width, where, next(iter(phi.values())).dtype, share)
    step = prepare(step) if prepare else step
    columns = ("loss_before", "loss_after", *(monitor.columns if monitor else ()))
    initial = Expected(step.initial_state(phi), stack.iterations, len(columns), on_divergence == "raise")
    run = load(checkpoint, identity, initial, share) or Progress(0, initial.state)
    saved = time.monotonic()
    if callback:
        callback(run.iteration)
    sample = partial(sample_block, family, configs, width=width, share=share)
    left, first = math.ceil((stack.iterations - run.iteration) / BLOCK), run.iteration // BLOCK
    started = time.monotonic()
    for sampled in blocks(sample, range(first, first + left), where):
        _train_block(family, step, run, sampled, monitor, on_divergence)
        run.seconds += time.monotonic() - started
        finished = run.iteration == stack.iterations
        if checkpoint and share.rank == 0 and (finished or time.monotonic() - saved > CHECKPOINT_SECONDS):
            save(checkpoint, identity, run)
            saved = time.monotonic()
        if callback:
            callback(run.iteration)
        started = time.monotonic()
    history = _history(configs, run.numbers, columns)
    return Trained(tuple(configs), run.state.phi, run.state.inner, history, run.seconds)


def _train_block(
    family: TaskFamily,
    step: OuterStep,
    run: Progress,
    sampled: dict[str, Tensor],
    monitor: Monitor | None,
    on_divergence: OnDivergence,
) -> None:
    """Take the outer iterations of one block, and measure what the monitor asks for."""
    configs, like = step.configs, next(iter(run.state.phi.values()))
    stop = min(run.iteration + BLOCK, StackConfig.of(configs).iterations)
    block = run.iteration // BLOCK
    epsilons = _epsilons(configs, run.iteration, stop, like)
    values = []
    for losses, epsilon in zip(losses_of(family, sampled, len(epsilons)), epsilons, strict=True):
        run.state, inner_losses = step(run.state, losses, epsilon)
        values.append(inner_losses)
    means = torch.stack(values).mean(0)[:, [0, -1]]
    if on_divergence == "raise":
        _require_finite(configs, means, run, stop)
    numbers = [means.to("cpu", torch.float64).numpy()]
    if monitor:
        numbers.append(monitor(family, configs, run.state.phi, run.state.inner, block))
    run.numbers.append(np.concatenate(numbers, axis=1))
    run.iteration = stop


def _epsilons(configs: Sequence[TrainingConfig], start: int, stop: int, like: Tensor) -> list[Factor]:
    """Return ε of every outer iteration: one number if the runs agree, else one per run."""
    rows = [[config.epsilon_at(i) for config in configs] for i in range(start, stop)]
    if all(len(set(row)) == 1 for row in rows):
        return [row[0] for row in rows]
    return list(torch.tensor(rows, dtype=like.dtype, device=like.device).unbind(0))


def _require_finite(configs: Sequence[TrainingConfig], means: Tensor, run: Progress, stop: int) -> None:
    finite = torch.isfinite(means).all(1)
    for value in run.state.phi.values():
        finite &= torch.isfinite(value).flatten(1).all(1)
    if not bool(finite.all()):
        config = configs[int((~finite).int().argmax())]
        raise DivergenceError(
            f"training diverged within outer iterations {run.iteration} to {stop - 1} "
            f"of {config.algorithm}, seed {config.seed}: a loss or weight is not finite with "
            f"alpha = {config.alpha} and epsilon = {config.epsilon}; choose a smaller alpha"
        )


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
