"""What one training over ranks costs on this machine; the page `notebooks/scale.ipynb` reads what it stores.

    throughput   Reptile on the Omniglot network (5 ways, k = 10, minibatches of 10, 4 tasks per outer step,
                 100 outer steps): one process, then 1, 2 and 4 ranks of one thread each, and 2 processes
                 that take half of the tasks each and never talk; the time inside all-reduces is told apart,
                 and the processor time of the first rank (`busy`)
    links        the same number of gradient steps with k = 1 and k = 10 over 2 ranks, behind a delay before
                 every all-reduce, which stands in for a slow link
    collectives  all-reduces of 4 kB to 16 MB among 2 and 4 ranks
    overlap      ten inner steps, an all-reduce of 4 MB behind a delay, and both at once
    compression  Reptile on sine waves, 2 ranks: whole displacements, eight bits a number, the largest numbers

python benchmarks/ranks.py throughput --store --repeat 0

Each call measures once. With --store it writes its rows into benchmarks/ranks.csv, in place of those of the
same part and repeat; without a part, all parts are measured. Ranks are forked processes that talk by gloo
over the loopback device.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor

from companion.running.distributed import VARIABLES, Ranks, ranks
from companion.scaling.compression import Compressed, Compression, Int8, TopK, message_bytes
from metalib.data.glyphs import glyphs
from metalib.data.omniglot import VARIABLE, omniglot
from metalib.errors import WorkerError
from metalib.inner import adapt
from metalib.optimizers import SGD
from metalib.params import Params
from metalib.tasks.fewshot import FewShot
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train

FILE = Path(__file__).with_suffix(".csv")
COLUMNS = "part repeat ranks k setting delay bytes steps seconds busy waiting error loss".split()  # noqa: SIM905
TASKS, K, ITERATIONS = 4, 10, 100
LINK_STEPS = 90
"""Gradient steps per task behind a slow link; with k = 1, one less than a block of iterations has."""
DELAYS = (0.0, 0.02, 0.1)
SIZES = (10**3, 10**4, 10**5, 10**6, 4 * 10**6)
COMPRESSIONS: dict[str, tuple[Compression | None, bool]] = {
    "float32": (None, False),
    "int8": (Int8(), False),
    "int8, feedback": (Int8(), True),
    "largest 10 %": (TopK(0.1), False),
    "largest 10 %, feedback": (TopK(0.1), True),
    "largest 1 %": (TopK(0.01), False),
    "largest 1 %, feedback": (TopK(0.01), True),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Timed(Ranks):
    """A rank that notes when its all-reduces begin and end, behind a delay in place of a slow link."""

    delay: float = 0.0
    begun: list[float] = field(default_factory=list, compare=False)
    ended: list[float] = field(default_factory=list, compare=False)

    def mean(self, update: Params, values: Tensor) -> tuple[Params, Tensor]:
        """Wait, average, and note the time."""
        self.begun.append(time.perf_counter())
        time.sleep(self.delay)
        averaged = super().mean(update, values)
        self.ended.append(time.perf_counter())
        return averaged

    @property
    def waiting(self) -> float:
        """Seconds inside all-reduces, the first left out: ranks do not begin at once."""
        return sum(self.ended[1:]) - sum(self.begun[1:])


def on_ranks(size: int, work: Callable[..., list[Row]], *arguments: Any) -> list[Row]:
    """Return what `work(share, *arguments)` returns to the first of forked ranks.

    Raises:
        WorkerError: if it does not return there.
    """
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    started = [
        context.Process(target=_rank, args=(rank, size, port, sender, work, arguments))
        for rank in range(size)
    ]
    for process in started:
        process.start()
    sender.close()  # so that the pipe ends with the first rank, whether or not it has sent anything
    try:
        rows: list[Row] = receiver.recv()
    except EOFError:
        raise WorkerError("the first rank ended without a measurement; its own error stands above") from None
    finally:
        for process in started:
            process.join()
    return rows


def _rank(
    rank: int, size: int, port: int, sender: Connection, work: Callable[..., list[Row]], arguments: Any
) -> None:
    os.environ.update(zip(VARIABLES, (str(rank), str(size), "127.0.0.1", str(port)), strict=True))
    torch.set_num_threads(1)
    with ranks(timeout=120) as share:
        rows = work(share, *arguments)
        if rank == 0:
            sender.send(rows)


def family() -> FewShot:
    """Return the tasks: Omniglot's if it is at hand, else the glyphs'; the work is the same."""
    return FewShot(omniglot() if os.environ.get(VARIABLE) else glyphs(), ways=5, shots=10, batch=10)


CONFIG = TrainingConfig(k=K, tasks=TASKS, alpha=0.003, epsilon=1.0, iterations=ITERATIONS)
STEPS = ITERATIONS * TASKS * K


def alone(_: Ranks, tasks: FewShot) -> list[Row]:
    """Train in this process, as without ranks."""
    train(tasks, [replace(CONFIG, iterations=1)])  # the first time, memory and images have to be fetched
    start, busy = time.perf_counter(), time.process_time()
    train(tasks, [CONFIG])
    taken = {"seconds": time.perf_counter() - start, "busy": time.process_time() - busy}
    return [{"setting": "one process", "steps": STEPS, **taken}]


def spread_out(share: Ranks, tasks: FewShot) -> list[Row]:
    """Train over ranks."""
    train(tasks, [replace(CONFIG, iterations=1)], share=share)
    timed = Timed(share.rank, share.size, share.beats)
    dist.barrier()
    start, busy = time.perf_counter(), time.process_time()
    train(tasks, [CONFIG], share=timed)
    taken = {"seconds": time.perf_counter() - start, "busy": time.process_time() - busy}
    size = 4 * (sum(weight.numel() for weight in tasks.initialize(0).values()) + K)
    return [{"setting": "ranks", "bytes": size, "steps": STEPS, **taken, "waiting": timed.waiting}]


def apart(share: Ranks, tasks: FewShot) -> list[Row]:
    """Train on as many tasks as a rank has, at the same time as the other ranks, and never talk to them."""
    config = replace(CONFIG, tasks=TASKS // share.size)
    train(tasks, [replace(config, iterations=1)])
    dist.barrier()
    start, busy = time.perf_counter(), time.process_time()
    train(tasks, [config])
    dist.barrier()
    taken = {"seconds": time.perf_counter() - start, "busy": time.process_time() - busy}
    return [{"setting": "apart", "steps": STEPS, **taken}]


def throughput() -> Iterator[Row]:
    """Time the same training in one process and over 1, 2 and 4 ranks, and 2 that never talk: the ceiling."""
    tasks = family()
    yield from ({**row, "ranks": 2} for row in on_ranks(2, apart, tasks))
    for size in (2, 1, 4):
        if size == 2:  # beside what it is compared with
            yield from ({**row, "ranks": 1} for row in on_ranks(1, alone, tasks))
        yield from ({**row, "ranks": size} for row in on_ranks(size, spread_out, tasks))


def slowed(share: Ranks, tasks: FewShot) -> list[Row]:
    """Take 360 gradient steps, with k = 1 and k = 10, behind each of the delays.

    The clock runs from the first all-reduce on. All iterations are of one block, so that neither has to
    sample another meanwhile.
    """
    rows = []
    for k in (1, K):
        config = replace(CONFIG, k=k, iterations=LINK_STEPS // k + 1)
        for delay in DELAYS:
            timed = Timed(share.rank, share.size, share.beats, delay)
            train(tasks, [config], share=timed)
            found = {"seconds": timed.ended[-1] - timed.ended[0], "waiting": timed.waiting}
            rows.append({"setting": "ranks", "k": k, "delay": delay, "steps": LINK_STEPS * TASKS, **found})
    return rows


def links() -> Iterator[Row]:
    """Time training over 2 ranks behind slow links."""
    yield from ({**row, "ranks": 2} for row in on_ranks(2, slowed, family()))


def all_reduces(share: Ranks) -> list[Row]:
    """Time all-reduces of several sizes; the median of twenty."""
    rows = []
    for size in SIZES:
        buffer, times = torch.ones(size), []
        for _ in range(20):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(buffer)
            times.append(time.perf_counter() - start)
        rows.append({"setting": "all-reduce", "bytes": 4 * size, "seconds": float(pd.Series(times).median())})
    return rows


def collectives() -> Iterator[Row]:
    """Time all-reduces among 2 and 4 ranks."""
    for size in (2, 4):
        yield from ({**row, "ranks": size} for row in on_ranks(size, all_reduces))


def together(share: Ranks, tasks: FewShot) -> list[Row]:
    """Time inner steps, a slow all-reduce, and both at once."""
    phi, sampled = tasks.initialize(0), tasks.sample(0, 0, 1, K)
    losses = [
        tasks.loss({name: torch.from_numpy(array[0, :, i]) for name, array in sampled.items()})
        for i in range(K)
    ]
    buffer, delay = torch.ones(10**6), 0.05

    def compute() -> None:
        adapt(losses, phi, SGD(0.003))

    def talk() -> None:
        time.sleep(delay)
        dist.all_reduce(buffer)

    def both() -> None:
        with ThreadPoolExecutor(1) as pool:
            talking: Future[None] = pool.submit(talk)
            compute()
            talking.result()

    rows = []
    for name, work in (("steps", compute), ("all-reduce", talk), ("both", both)):
        times = []
        for _ in range(12):
            dist.barrier()
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        seconds = float(pd.Series(times[2:]).median())
        rows.append({"setting": name, "delay": delay, "bytes": 4 * 10**6, "steps": K, "seconds": seconds})
    return rows


def overlap() -> Iterator[Row]:
    """Time computing and communicating apart and at once, on 2 ranks."""
    yield from ({**row, "ranks": 2} for row in on_ranks(2, together, family()))


def compressed(share: Ranks, seed: int) -> list[Row]:
    """Train with every way to write displacements; keep the mean error of the messages and the last loss."""
    config = TrainingConfig(tasks=8, iterations=400, epsilon=0.5, seed=seed)
    n = sum(weight.numel() for weight in Sine().initialize(0).values())
    rows = []
    for name, (compression, feedback) in COMPRESSIONS.items():
        ours = Compressed.of(share, compression, feedback=feedback) if compression else share
        start = time.perf_counter()
        trained = train(Sine(), [config], share=ours)
        errors = ours.errors if isinstance(ours, Compressed) else [0.0]
        rows.append(
            {
                "setting": name, "bytes": message_bytes(compression, n),
                "seconds": time.perf_counter() - start, "error": float(pd.Series(errors).mean()),
                "loss": trained.history.loss_after[-2:].mean(),
            }
        )  # fmt: skip
    return rows


def compression(repeat: int) -> Iterator[Row]:
    """Train sine waves over 2 ranks with compressed displacements; repeats differ in their seed."""
    yield from ({**row, "ranks": 2} for row in on_ranks(2, compressed, repeat))


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    "throughput": throughput,
    "links": links,
    "collectives": collectives,
    "overlap": overlap,
}


def main() -> None:
    """Measure what is asked for, print it, and keep it if asked to."""
    parser = argparse.ArgumentParser(description="time one training over ranks")
    parser.add_argument("parts", choices=[*PARTS, "compression", []], nargs="*", default=[])
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--store", action="store_true", help="write the rows into ranks.csv")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for part in given.parts or [*PARTS, "compression"]:
        measured = compression(given.repeat) if part == "compression" else PARTS[part]()
        rows = [{"part": part, "repeat": given.repeat, **row} for row in measured]
        table = pd.DataFrame(rows).reindex(columns=COLUMNS)
        print(table.dropna(axis=1, how="all").round(4).to_string(index=False))
        if not given.store:
            continue
        if FILE.exists():
            before = pd.read_csv(FILE)
            kept = before[(before.part != part) | (before.repeat != given.repeat)]
            table = pd.DataFrame([*kept.to_dict("records"), *table.to_dict("records")], columns=COLUMNS)
        table.round(6).to_csv(FILE, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
