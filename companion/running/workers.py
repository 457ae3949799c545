"""Stacks side by side on the cores of this machine, or on a cluster that Dask runs.

joblib starts the workers and hands out the work; nothing here is about distribution but the choice of its
engine and the small files by which workers on this machine say how far they have come.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path

import joblib
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

from companion.running.stacks import Finished, Stack, finish
from metalib.errors import InputError, WorkerError
from metalib.training.loop import OnDivergence

CONNECT_SECONDS = 10
POLL_SECONDS = 0.5


def side_by_side(
    stacks: Sequence[Stack],
    device: str,
    folder: Path,
    kept: Collection[str] = (),
    callback: Callable[[int], None] | None = None,
    on_divergence: OnDivergence = "raise",
    compile: str = "no",
) -> Iterator[Finished]:
    """Train and record stacks in the workers of an `engine`; yield units as they are finished.

    Args:
        stacks: what to train.
        device: "cpu", "cuda" or "cuda:i".
        folder: where checkpoints go. Workers on machines that do not share it keep theirs at home.
        kept: names of units that were recorded before, and are not recorded again.
        callback: called with the inner steps taken so far by all stacks together.
        on_divergence: "raise" an error when a run diverges, or "record" it.
        compile: whether to compile the outer step, one of `compiled.MODES`.
    """
    folder = folder.resolve()  # the workers of a cluster have working directories of their own
    done: dict[str, int] = {}
    work = [joblib.delayed(_work)(stack, device, folder, kept, on_divergence, compile) for stack in stacks]

    def progressed() -> int:
        return sum(done.get(stack.name) or _noted(_note(folder, stack)) for stack in stacks)

    with _watched(progressed, callback):
        for stack, finished in joblib.Parallel(return_as="generator_unordered", batch_size=1)(work):
            done[stack.name] = stack.inner_steps
            yield from finished


def _work(
    stack: Stack,
    device: str,
    folder: Path,
    kept: Collection[str],
    on_divergence: OnDivergence,
    compile: str,
) -> tuple[Stack, list[Finished]]:
    """Train and record one stack, in a worker."""
    torch.set_num_threads(1)
    note = _note(folder, stack)

    def write_down(inner_steps: int) -> None:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(inner_steps))

    checkpoint = folder / f"{stack.name}.npz"
    return stack, list(finish(stack, device, checkpoint, kept, write_down, on_divergence, compile=compile))


@contextmanager
def engine(jobs: int, scheduler: str = "") -> Iterator[None]:
    """Have the workers ready on which `side_by_side` does its work.

    Args:
        jobs: worker processes on this machine; with 1, there are none, and the caller does the work.
        scheduler: address of a Dask scheduler, such as tcp://host:8786, whose workers are used instead.

    Raises:
        InputError: if no scheduler answers at that address, or none of its workers.
        WorkerError: if workers were killed more often than the engine puts up with, or the scheduler is lost.
    """
    if not scheduler and jobs == 1:
        yield
        return
    if not scheduler:
        with joblib.parallel_config(
            backend="loky", n_jobs=jobs, inner_max_num_threads=1,
            initializer=_end_with_parent, initargs=(os.getpid(),),
        ):  # fmt: skip
            try:
                yield
            except TerminatedWorkerError as error:
                raise WorkerError(
                    "a worker process was killed, perhaps because memory ran out; the same command goes on "
                    "from the last checkpoints, with a smaller --jobs if need be"
                ) from error
        return
    try:
        # Imported by those who use it: it takes a second, and machines that only train need not have it.
        from dask.distributed import Client, KilledWorker
        from distributed.comm.core import CommClosedError
    except ImportError as error:
        raise InputError(
            "a scheduler needs Dask, which is not installed; pip install 'metalib[companion,cluster]'"
        ) from error
    for name in ("client", "core", "comm"):  # which say in pages what we say in a line
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r}; start one with `dask scheduler`, some workers with "
            "`dask worker`, and give the address that the scheduler prints"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise InputError(
                f"the Dask scheduler at {scheduler!r} has no workers; start some with "
                f"`dask worker {scheduler}`"
            ) from error
        with joblib.parallel_config(backend="dask", client=client):
            try:
                yield
            except KilledWorker as error:
                raise WorkerError(
                    f"workers of the cluster were lost again and again ({error}); the same command goes on "
                    "from what is finished"
                ) from error
            except (CancelledError, CommClosedError) as error:
                raise WorkerError(
                    f"the connection to the Dask scheduler at {scheduler} is lost; the same command goes on "
                    "from what is finished, once it is there again"
                ) from error


def _end_with_parent(parent: int) -> None:
    """End this worker when whoever started it is killed: the next attempt must not meet it at work."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _watched(progressed: Callable[[], int], callback: Callable[[int], None] | None) -> Iterator[None]:
    """Hand on, twice a second, how far the workers have come."""
    if callback is None:
        yield
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            callback(progressed())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        callback(progressed())


def _note(folder: Path, stack: Stack) -> Path:
    """Return the small file in which a worker says how far it has come with a stack."""
    return folder / f"{stack.name}.progress"


def _noted(note: Path) -> int:
    try:
        return int(note.read_text() or 0)
    except (OSError, ValueError):  # there is none yet, or it is half-written: it only moves the bar
        return 0


def cores() -> int:
    """Return how many processor cores this process may use."""
    return int(joblib.cpu_count())
