"""Checkpoints of unfinished training: everything that is needed to go on as if nothing had happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from metalib import store
from metalib.errors import StoreError
from metalib.optimizers import State
from metalib.params import Params
from metalib.training.outer import OuterState


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
    parts = {"phi": run.state.phi, "inner": run.state.inner.arrays(), "outer": run.state.outer.arrays()}
    arrays = {f"{part}/{name}": v.cpu().numpy() for part, of in parts.items() for name, v in of.items()}
    arrays["numbers"] = np.stack(run.numbers)
    header = {"identity": identity, "iteration": run.iteration, "seconds": run.seconds}
    store.save_arrays(path, arrays, header)


def load(path: Path | None, identity: str, device: torch.device) -> Progress | None:
    """Read a checkpoint if there is one.

    Args:
        path: its file; nothing is read if `None`.
        identity: names the runs it must belong to.
        device: where the runs live.

    Raises:
        StoreError: if it is damaged, of another version of metalib, or belongs to other runs.
    """
    if path is None or not path.exists():
        return None
    arrays, header = store.load_arrays(path)
    if header.get("identity") != identity:
        raise StoreError(f"{path} is the checkpoint of other runs; delete it or name another file")

    def part(name: str) -> Params:
        prefix = f"{name}/"
        return {
            key.removeprefix(prefix): torch.from_numpy(value).to(device)
            for key, value in arrays.items()
            if key.startswith(prefix)
        }

    try:
        state = OuterState(part("phi"), State.restore(part("inner")), State.restore(part("outer")))
        return Progress(header["iteration"], state, list(arrays["numbers"]), header["seconds"])
    except KeyError as missing:
        raise StoreError(
            f"{path} has no {missing}: another version of metalib wrote it; delete it to start anew"
        ) from None
