"""Checkpoints of unfinished training: everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metalib import store
from metalib.errors import StoreError
from metalib.optimizers import State
from metalib.params import Params
from metalib.tasks.family import BLOCK
from metalib.training.outer import OuterState
from metalib.training.shares import ALONE, Share


@dataclass
class Progress:
    """How far a stack has come.

    Attributes:
        iteration: outer iterations taken.
        state: the weights and the optimizers' states after them.
        numbers: per finished block, the numbers of every run: mean first and last inner loss, and what
            the monitor measured.
        seconds: wall time spent.
    """

    iteration: int
    state: OuterState
    numbers: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0


def save(path: Path, identity: str, run: Progress) -> None:
    """Write a checkpoint, all or nothing.

    Args:
        path: its file.
        identity: names the runs it belongs to.
        run: what to keep.

    Raises:
        StoreError: if the disk does not take it; what was there before stays.
    """
    arrays = _arrays(run.state)
    arrays["numbers"] = np.stack(run.numbers)
    header = {"identity": identity, "iteration": run.iteration, "seconds": run.seconds}
    store.save_arrays(path, arrays, header)


@dataclass(frozen=True)
class Expected:
    """What a checkpoint must agree with.

    Attributes:
        state: the weights and states before the first iteration; those of a checkpoint have their names,
            shapes and types, and go to their device.
        iterations: outer iterations T.
        columns: how many numbers of every run a block leaves.
        finite: whether weights and losses must be finite; those of runs whose divergence is recorded as a
            finding need not be.
    """

    state: OuterState
    iterations: int
    columns: int
    finite: bool


def load(path: Path | None, identity: str, expected: Expected, share: Share = ALONE) -> Progress | None:
    """Read a checkpoint if there is one, and check that training can have left it.

    Args:
        path: its file; nothing is read if `None`.
        identity: names the runs it must belong to.
        expected: what else it must agree with.
        share: the part of the tasks that this process trains; the first reads for all.

    Raises:
        StoreError: if it is damaged, of another version of metalib, of other runs or revised code, or holds
            what these runs cannot have left.
    """
    stored = share.from_first(
        lambda: store.load_arrays(path, sealed=True) if path and path.exists() else None
    )
    if stored is None:
        return None
    arrays, header = stored
    if header.get("identity") != identity:
        same = str(header.get("identity")).partition("+")[0] == identity.partition("+")[0]
        what = "code that has been revised since" if same else "other runs"
        raise StoreError(f"{path} is the checkpoint of {what}; delete it or name another file")
    try:
        wrong = _wrong(header["iteration"], header["seconds"], arrays, expected)
    except KeyError as missing:
        raise StoreError(
            f"{path} has no {missing}: another version of metalib wrote it; delete it to start anew"
        ) from None
    if wrong:
        raise StoreError(f"{path} is damaged: {wrong}; delete it to start anew")
    device = next(iter(expected.state.phi.values())).device

    def part(name: str) -> Params:
        prefix = f"{name}/"
        return {
            key.removeprefix(prefix): torch.from_numpy(value).to(device)
            for key, value in arrays.items()
            if key.startswith(prefix)
        }

    state = OuterState(part("phi"), State.restore(part("inner")), State.restore(part("outer")))
    return Progress(header["iteration"], state, list(arrays["numbers"]), header["seconds"])


def _arrays(state: OuterState) -> dict[str, np.ndarray]:
    parts = {"phi": state.phi, "inner": state.inner.arrays(), "outer": state.outer.arrays()}
    return {f"{part}/{name}": v.cpu().numpy() for part, of in parts.items() for name, v in of.items()}


def _wrong(iteration: Any, seconds: Any, arrays: dict[str, np.ndarray], expected: Expected) -> str:
    """Say what of a checkpoint these runs cannot have left; nothing if all is well.

    Raises:
        KeyError: if an array is missing.
    """
    total = expected.iterations
    if type(iteration) is not int or not 1 <= iteration <= total or (iteration % BLOCK and iteration < total):
        return f"iteration is {iteration!r}, which is not the end of a block of {BLOCK} of these {total}"
    if not isinstance(seconds, int | float) or not 0.0 <= seconds < math.inf:
        return f"seconds is {seconds!r}, which is no length of time"
    like, numbers = _arrays(expected.state), arrays["numbers"]
    like["numbers"] = np.empty((-(-iteration // BLOCK), len(next(iter(like.values()))), expected.columns))
    for name, wanted in like.items():
        found = arrays[name]
        if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
            return (
                f"{name} is {found.dtype} of shape {found.shape}, not {wanted.dtype} of shape {wanted.shape}"
            )
    if unknown := sorted(arrays.keys() - like.keys()):
        return f"{unknown[0]!r} belongs to no such run"
    if min(arrays["inner/steps"], arrays["outer/steps"]) < 0:
        return "an optimizer has counted less than 0 steps"
    # The first two columns are the losses; what a monitor measures may be undefined.
    watched = {name: value for name, value in arrays.items() if name.startswith("phi/")}
    for name, value in {**watched, "numbers": numbers[..., :2]}.items():
        if expected.finite and not np.isfinite(value).all():
            return f"{name} is not finite"
    return ""
