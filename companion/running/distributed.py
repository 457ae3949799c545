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
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

import metalib
from companion.running.heartbeats import Heartbeats
from companion.running.request import require_parts
from metalib.errors import MetalibError, WorkerError, require
from metalib.params import Params
from metalib.training.loop import choose_device
from metalib.training.shares import ALONE, Share, T

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ARRIVAL_SECONDS = 300.0
OWN_SECONDS = 10.0
"""How long a process may take to reach a store that is there."""


@dataclass(frozen=True)
class Ranks(Share):
    """The part of the tasks that falls to this rank, and the mean over all ranks.

    Attributes:
        beats: by which a rank that is lost is found out.
    """

    beats: Heartbeats | None = field(default=None, compare=False)

    def require_agreement(self, identity: str, tasks: int, carried: bool) -> None:
        """Raise `InputError` unless all ranks train the same, with the same versions, in equal parts."""
        versions = {"metalib": metalib.__version__, "torch": torch.__version__, "numpy": np.__version__}
        own = {**versions, "configuration": identity}
        everyone: list[dict[str, str]] = [{} for _ in range(self.size)]
        with self.reported():
            dist.all_gather_object(everyone, own)
        for name in own:
            for rank, theirs in enumerate(everyone):
                require(
                    theirs[name] == everyone[0][name],
                    f"rank {rank} has {name} {theirs[name]}, rank 0 has {everyone[0][name]}; "
                    "start every rank with the same",
                )
        require_parts(tasks, carried, self.size)

    def from_first(self, read: Callable[[], T]) -> T:
        """Return to all ranks what `read` returns to rank 0, or raise on all what it raises there."""
        box: list[T | MetalibError | None] = [None]
        if self.rank == 0:
            try:
                box = [read()]
            except MetalibError as error:
                box = [error]
        with self.reported():
            dist.broadcast_object_list(box)
        if isinstance(box[0], MetalibError):
            raise box[0]
        return box[0]  # type: ignore[return-value]

    def mean(self, update: Params, values: Tensor) -> tuple[Params, Tensor]:
        """Return the displacement and the inner losses, averaged over the ranks by one all-reduce."""
        parts = [*update.values(), values]
        buffer = torch.cat([part.flatten() for part in parts])
        with self.reported():
            dist.all_reduce(buffer)
        pieces = (buffer / self.size).split([part.numel() for part in parts])
        means = [piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)]
        return dict(zip(update, means[:-1], strict=True)), means[-1]

    def gather(self, parts: list[Tensor]) -> list[list[Tensor]]:
        """Return the tensors of every rank, in the order of the ranks; all have the same shapes and types."""
        own = torch.cat([part.contiguous().view(-1).view(torch.uint8) for part in parts])
        everyone = [torch.empty_like(own) for _ in range(self.size)]
        with self.reported():
            dist.all_gather(everyone, own)
        sizes = [part.numel() * part.element_size() for part in parts]
        return [
            [
                piece.clone().view(part.dtype).view_as(part)
                for piece, part in zip(one.split(sizes), parts, strict=True)
            ]
            for one in everyone
        ]

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Let an error of the block say which rank is lost, and what to do.

        Raises:
            WorkerError: if the block raises a RuntimeError, as when a rank is lost.
        """
        try:
            yield
        except RuntimeError as error:
            reason = str(error).splitlines()[0].split(". This is")[0]
            lost = self.beats.lost() if self.beats else []
            raise WorkerError(
                (f"rank {', '.join(map(str, lost))} is lost" if lost else f"rank {self.rank} waits in vain")
                + f" ({reason}); start again: it goes on from the checkpoint"
            ) from error


@contextmanager
def spread(device: str = "cpu", timeout: float = 86_400.0) -> Iterator[Share]:
    """Yield this rank's part of the tasks if torchrun has started this process, else all of them.

    Args:
        device: "cpu", "cuda" or "cuda:i".
        timeout: seconds to wait for the other ranks, also while the first scores what was trained.
    """
    if not started_by_torchrun():
        yield ALONE
        return
    with ranks(timeout, device) as share:
        yield share


def started_by_torchrun() -> bool:
    """Return whether torchrun has started this process, as one rank of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def backend() -> str:
    """Return what tensors travel by: gloo from processor to processor, nccl from GPU to GPU."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"


def own_device(device: str) -> str:
    """Return this rank's device: of several GPUs in a machine, every rank takes its own.

    Args:
        device: "cpu", "cuda" or "cuda:i".
    """
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


@contextmanager
def ranks(timeout: float = 300.0, device: str = "cpu") -> Iterator[Ranks]:
    """Join the other ranks that torchrun has started, and yield this rank's part of the tasks.

    Args:
        timeout: seconds to wait for the other ranks: at most `ARRIVAL_SECONDS` when they start, and at
            every outer step.
        device: "cpu", "cuda" or "cuda:i".

    Raises:
        InputError: if torchrun did not start this process, or the device is not there.
        WorkerError: if a rank does not arrive, or is lost later.
    """
    missing = [name for name in VARIABLES if name not in os.environ]
    require(not missing, f"{', '.join(missing)} not set; start the script with torchrun")
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    own = choose_device(own_device(device))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    store, beats = _meet(rank, size, min(timeout, ARRIVAL_SECONDS))
    share = Ranks(rank, size, beats)
    try:
        with share.reported():
            dist.init_process_group(
                backend(), store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout)
            )
        yield share
    finally:
        beats.stopped.set()
        if dist.is_initialized():
            dist.destroy_process_group()


def _meet(rank: int, size: int, timeout: float) -> tuple[Store, Heartbeats]:
    """Return the store that the ranks share, and their heartbeats, once all of them are there."""
    deadline = time.monotonic() + timeout
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    # torchrun keeps a store of its own; without it, rank 0 does.
    serves = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    # Who serves waits for nobody but itself here, and a busy machine may take long over that.
    patience = timedelta(seconds=max(timeout, OWN_SECONDS) if serves else timeout)
    try:
        server = TCPStore(host, port, None, serves, timeout=patience, wait_for_workers=False)
    except RuntimeError:
        what = f"{port} cannot be opened" if serves else f"{port} does not answer within {timeout:g} s"
        raise WorkerError(
            f"{host}:{what}; start rank 0 there, or choose another MASTER_ADDR or MASTER_PORT"
        ) from None
    # Ranks that torchrun has started again must not meet the keys of those that were lost.
    prefix = f"metalib/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"

    def connect() -> Store:
        client = TCPStore(
            host, port, None, False, timeout=timedelta(seconds=OWN_SECONDS), wait_for_workers=False
        )
        return PrefixStore(prefix, client)

    store = PrefixStore(prefix, server)
    beats = Heartbeats.start(connect, rank, size)
    store.set(f"arrived/{rank}", "")
    absent = [r for r in range(size) if not _arrived(store, r, deadline)]
    if absent:
        beats.stopped.set()
        raise WorkerError(
            f"rank {', '.join(map(str, absent))} of {size} did not arrive within {timeout:g} s; "
            "start all ranks, or fewer with a smaller WORLD_SIZE"
        )
    return store, beats


def _arrived(store: Store, rank: int, deadline: float) -> bool:
    try:
        store.wait([f"arrived/{rank}"], timedelta(seconds=max(0.01, deadline - time.monotonic())))
    except RuntimeError:
        return False
    return True
