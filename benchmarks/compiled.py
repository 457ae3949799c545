"""What a compiled outer step gains, and what compiling costs: processor time, one thread, medians in turns.

python benchmarks/compiled.py        the sine network
python benchmarks/compiled.py all    and the Omniglot network

Plain and compiled steps begin at the same state and are compared before they are timed: a step that differs
by more than roundoff is reported as not compiled, with a ratio of 1.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from os import environ
from statistics import median
from typing import Any

import torch

from companion.running.compiled import compiled
from metalib.data.glyphs import glyphs
from metalib.tasks.family import TaskFamily
from metalib.tasks.fewshot import FewShot
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig
from metalib.training.minibatches import losses_of, sample_block
from metalib.training.outer import OuterStep, outer_step

CPU = torch.device("cpu")
REPEATS = 31
Case = tuple[str, TaskFamily, list[TrainingConfig], int, int]


def cases(images: bool) -> list[Case]:
    """Return name, tasks, runs, tasks side by side and steps per measurement of every case."""
    found: list[Case] = [
        ("Reptile, 12 runs", Sine(), [TrainingConfig(seed=s) for s in range(12)], 1, 10),
        ("Reptile, 25 tasks", Sine(), [TrainingConfig(tasks=25)], 25, 6),
        ("MAML, 25 tasks", Sine(), [TrainingConfig("maml", tasks=25)], 25, 4),
        ("Reptile with Adam", Sine(), [TrainingConfig(inner="adam", alpha=0.001)], 1, 10),
    ]
    few_shot = FewShot(glyphs(), shots=10, batch=10)
    return found + [
        (f"{name}, images", few_shot, [TrainingConfig(name, k=2, alpha=0.001)], 1, 1)
        for name in ("reptile", "maml")
        if images
    ]


def processor_seconds() -> float:
    """Return the processor time of this process and of the compilers that it has started."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def milliseconds(call: Callable[[], Any], times: int) -> float:
    """Return the mean processor time of a call."""
    started = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - started) / times * 1e3


def main() -> None:
    torch.set_num_threads(1)
    environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()  # nothing is compiled already
    for name, family, configs, width, times in cases("all" in sys.argv):
        starts = [family.initialize(config.seed) for config in configs]
        phi = {key: torch.cat([start[key] for start in starts]) for key in starts[0]}
        plain = outer_step(configs, width, CPU, torch.float32)
        state, fast = plain.initial_state(phi), compiled(plain)
        losses = next(losses_of(family, sample_block(family, configs, 0, width), 1))
        started = processor_seconds()
        fast(state, losses, 0.1)
        cost = processor_seconds() - started
        taken: dict[str, list[float]] = {"plain": [], "compiled": []}
        for repeat in range(REPEATS):
            both: list[tuple[str, OuterStep]] = [("plain", plain), ("compiled", fast)]
            for which, step in both if repeat % 2 else both[::-1]:
                taken[which].append(milliseconds(partial(step, state, losses, 0.1), times))
        before, after = (median(values) for values in taken.values())
        ratios = sorted(a / b for a, b in zip(*taken.values(), strict=True))
        middle = f"{ratios[len(ratios) // 4]:.2f} to {ratios[-(len(ratios) // 4) - 1]:.2f}"
        pays = cost * 1e3 / (before - after) if before > after else float("inf")
        print(
            f"{name}: plain {before:.2f} ms, compiled {after:.2f} ms, ratio {before / after:.2f} "
            f"(middle half {middle}); compiling {cost:.0f} s, pays from {pays:,.0f} iterations",
            flush=True,
        )


if __name__ == "__main__":
    main()
