"""Stacks side by side on the cores of this machine, or on a cluster that Dask runs.

joblib starts the workers and hands out the work; nothing here is about distribution but the choice of its
engine and the small files by which workers on this machine say how far they have come.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import torch

from metalib.errors import InputError
from metalib.experiments import Budget, Experiment
from metalib.experiments.stacks import Finished, Stack, finish

CONNECT_SECONDS = 10
POLL_SECONDS = 0.5


def side_by_side(
    experiment: Experiment,
    stacks: Sequence[Stack],
    budget: Budget,
    device: str,
    folder: Path,
    *,
    jobs: int,
    scheduler: str = "",
    progress: Callable[[int], None] | None = None,
) -> Iterator[Finished]:
    """Train and record stacks in worker processes of one thread each; yield units as they are finished.

    Args:
        experiment: says how a unit is recorded.
        stacks: what to train.
        budget: how much work to do.
        device: "cpu", "cuda" or "cuda:i".
        folder: where checkpoints go. Workers on other machines that do not share it keep theirs there.
        jobs: worker processes on this machine; with a scheduler, its workers are used.
        scheduler: address of a Dask scheduler, such as tcp://host:8786.
        progress: called with the inner steps taken so far by all stacks together.

    Raises:
        InputError: if no scheduler answers at that address.
    """
    notes = {stack.name: folder / f"{stack.name}.progress" for stack in stacks}
    work = [
        joblib.delayed(_work)(
            experiment, stack, budget, device, folder / f"{stack.name}.npz", notes[stack.name]
        )
        for stack in stacks
    ]
    with _engine(jobs, scheduler), _watched(list(notes.values()), progress):
        for finished in joblib.Parallel(return_as="generator_unordered", batch_size=1)(work):
            yield from finished


def _work(
    experiment: Experiment, stack: Stack, budget: Budget, device: str, checkpoint: Path, note: Path
) -> list[Finished]:
    """Train and record one stack, in a worker."""
    torch.set_num_threads(1)

    def progress(inner_steps: int) -> None:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(inner_steps))

    return list(finish(experiment, stack, budget, device, checkpoint, progress))


@contextmanager
def _engine(jobs: int, scheduler: str) -> Iterator[None]:
    if not scheduler:
        with joblib.parallel_config(
            backend="loky", n_jobs=jobs, inner_max_num_threads=1,
            initializer=_end_with_parent, initargs=(os.getpid(),),
        ):  # fmt: skip
            yield
        return
    # Dask is imported by those who use it: it takes a second.
    from dask.distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r}; start one with `dask scheduler`, some workers with "
            "`dask worker`, and give the address that the scheduler prints"
        ) from error
    with client, joblib.parallel_config(backend="dask", client=client):
        yield


def _end_with_parent(parent: int) -> None:
    """End this worker when whoever started it is killed: the next attempt must not meet it at work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _watched(notes: Sequence[Path], progress: Callable[[int], None] | None) -> Iterator[None]:
    """Sum up, twice a second, what the workers have noted."""
    if progress is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            progress(sum(map(_noted, notes)))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        progress(sum(map(_noted, notes)))


def _noted(note: Path) -> int:
    try:
        return int(note.read_text() or 0)
    except FileNotFoundError:
        return 0


def cores() -> int:
    """Return how many processor cores this process may use."""
    count: Any = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(count or 1)
