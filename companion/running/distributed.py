"""One training spread over processes: each takes its part of the tasks of every outer step.

Batched Reptile (Nichol et al. 2018, Eq. 5) averages displacements of tasks that do not know of each other.
So every rank of `torch.distributed` trains its part of them, and one all-reduce per outer step makes the
mean. Nothing else travels: initial weights and tasks follow from the seed on every rank.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

import metalib
from metalib.errors import MetalibError, WorkerError, require
from metalib.params import Params
from metalib.training.shares import Share, T

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Ranks(Share):
    """The part of the tasks that falls to this rank, and the mean over all ranks."""

    def require_agreement(self, identity: str, tasks: int, carried: bool) -> None:
        """Raise `InputError` unless all ranks train the same, with the same versions, in equal parts."""
        own = {"metalib": metalib.__version__, "torch": torch.__version__, "configuration": identity}
        everyone: list[dict[str, str]] = [{} for _ in range(self.size)]
        with _reported(self.rank):
            dist.all_gather_object(everyone, own)
        for name in own:
            for rank, theirs in enumerate(everyone):
                require(
                    theirs[name] == everyone[0][name],
                    f"rank {rank} has {name} {theirs[name]}, rank 0 has {everyone[0][name]}; "
                    "start every rank with the same",
                )
        require(
            tasks % self.size == 0,
            f"{tasks} tasks per outer step cannot be divided among {self.size} ranks; "
            "choose a number of ranks that divides the tasks",
        )
        require(
            self.size == 1 or not carried,
            f"inner optimizer carries its state from task to task, so {self.size} ranks cannot take tasks "
            "side by side; set inner to 'adam-fresh' or 'sgd'",
        )

    def from_first(self, read: Callable[[], T]) -> T:
        """Return to all ranks what `read` returns to rank 0, or raise on all what it raises there."""
        box: list[T | MetalibError | None] = [None]
        if self.rank == 0:
            try:
                box = [read()]
            except MetalibError as error:
                box = [error]
        with _reported(self.rank):
            dist.broadcast_object_list(box)
        if isinstance(box[0], MetalibError):
            raise box[0]
        return box[0]  # type: ignore[return-value]

    def mean(self, update: Params, values: Tensor) -> tuple[Params, Tensor]:
        """Return the displacement and the inner losses, averaged over the ranks by one all-reduce."""
        parts = [*update.values(), values]
        buffer = torch.cat([part.flatten() for part in parts])
        with _reported(self.rank):
            dist.all_reduce(buffer)
        pieces = (buffer / self.size).split([part.numel() for part in parts])
        means = [piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)]
        return dict(zip(update, means[:-1], strict=True)), means[-1]


@contextmanager
def ranks(timeout: float = 300.0) -> Iterator[Ranks]:
    """Join the other ranks that torchrun has started, and yield this rank's part of the tasks.

    Tensors on the processor travel by gloo, those on GPUs by nccl.

    Args:
        timeout: seconds to wait for the other ranks, when they start and at every outer step.

    Raises:
        InputError: if torchrun did not start this process.
        WorkerError: if a rank does not arrive, or is lost later.
    """
    missing = [name for name in VARIABLES if name not in os.environ]
    require(not missing, f"{', '.join(missing)} not set; start the script with torchrun")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = _meet(rank, size, timeout)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    with _reported(rank):
        dist.init_process_group(
            backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout)
        )
    try:
        yield Ranks(rank, size)
    finally:
        dist.destroy_process_group()


def _meet(rank: int, size: int, timeout: float) -> Store:
    """Return the store that the ranks share, once all of them are there."""
    deadline = time.monotonic() + timeout
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torchrun keeps a store of its own; without it, rank 0 does.
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        server = TCPStore(
            host, port, None, serves, timeout=timedelta(seconds=timeout), wait_for_workers=False
        )
    except RuntimeError:
        what = f"{port} cannot be opened" if serves else f"{port} does not answer within {timeout:g} s"
        raise WorkerError(
            f"{host}:{what}; start rank 0 there, or choose another MASTER_ADDR or MASTER_PORT"
        ) from None
    # Ranks that torchrun has started again must not meet the keys of those that were lost.
    store = PrefixStore(f"metalib/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", server)
    store.set(f"arrived/{rank}", "")
    absent = [r for r in range(size) if not _arrived(store, r, deadline)]
    if absent:
        raise WorkerError(
            f"rank {', '.join(map(str, absent))} of {size} did not arrive within {timeout:g} s; "
            "start all ranks, or fewer with a smaller WORLD_SIZE"
        )
    return store


def _arrived(store: Store, rank: int, deadline: float) -> bool:
    try:
        store.wait([f"arrived/{rank}"], timedelta(seconds=max(0.01, deadline - time.monotonic())))
    except RuntimeError:
        return False
    return True


@contextmanager
def _reported(rank: int) -> Iterator[None]:
    """Say what to do when another rank does not answer."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise WorkerError(
            f"rank {rank} waits for another in vain ({reason}); start again: it goes on from the checkpoint"
        ) from error
