"""Checkpoints of unfinished training: everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from metalib import store
from metalib.errors import StoreError
from metalib.inner import AdamState
from metalib.outer import OuterState
from metalib.params import Params


@dataclass
class Progress:
    """How far a stack has come.

    Attributes:
        iteration: outer iterations taken.
        state: the weights and the optimizers' moments after them.
        numbers: per finished block, the numbers of every run: mean first and last inner loss, and what
            the monitor measured.
        seconds: wall time spent.
    """

    iteration: int
    state: OuterState
    numbers: list[np.ndarray] = field(default_factory=list)
    seconds: float = 0.0


def save(path: Path, identity: str, run: Progress) -> None:
    """Write a checkpoint, all or nothing; `identity` names the runs it belongs to."""
    arrays = {f"phi/{name}": value.cpu().numpy() for name, value in run.state.phi.items()}
    adams = {"inner": run.state.inner, "outer": run.state.outer}
    for loop, adam in adams.items():
        if adam is not None:
            arrays |= {f"{loop}/first/{name}": v.cpu().numpy() for name, v in adam.first.items()}
            arrays |= {f"{loop}/second/{name}": v.cpu().numpy() for name, v in adam.second.items()}
    arrays["numbers"] = np.stack(run.numbers)
    header = {
        "identity": identity,
        "iteration": run.iteration,
        "seconds": run.seconds,
        "adam_steps": {loop: adam.steps for loop, adam in adams.items() if adam is not None},
    }
    store.save_arrays(path, arrays, header)


def load(path: Path | None, identity: str, place: torch.device) -> Progress | None:
    """Read a checkpoint if there is one.

    Raises:
        StoreError: if it is damaged, of another version of metalib, or belongs to other runs.
    """
    if path is None or not path.exists():
        return None
    arrays, header = store.load_arrays(path)
    if header.get("identity") != identity:
        raise StoreError(f"{path} is the checkpoint of other runs; delete it or name another file")

    def part(prefix: str) -> Params:
        return {
            name.removeprefix(prefix): torch.from_numpy(value).to(place)
            for name, value in arrays.items()
            if name.startswith(prefix)
        }

    try:
        adams = {
            loop: AdamState(steps, part(f"{loop}/first/"), part(f"{loop}/second/"))
            for loop, steps in header["adam_steps"].items()
        }
        state = OuterState(part("phi/"), adams.get("inner"), adams.get("outer"))
        return Progress(header["iteration"], state, list(arrays["numbers"]), header["seconds"])
    except KeyError as missing:
        raise StoreError(
            f"{path} has no {missing}: another version of metalib wrote it; delete it to start anew"
        ) from None
