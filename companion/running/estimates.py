"""What a run would compute, and about how long that takes: measured on a few iterations and tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from companion.budgets import FewShotBudget
from companion.results import load_result
from companion.running.allocator import keep_freed_memory
from companion.running.experiment import LongRecorder, Unit
from companion.running.kept import finished_units, taken_over
from companion.running.request import Request
from metalib.memory import side_by_side
from metalib.store import digest
from metalib.tasks.family import BLOCK
from metalib.training import Trained, TrainingConfig, train
from metalib.training.config import StackConfig

PROBE_SECONDS = 0.3
"""How long to train on for a measurement, once everything is warm."""
PROBE_TASKS = 4
"""How many tasks to score for a measurement; one, where a single one takes seconds."""


def plan(asked: Request, jobs: int, again: bool) -> str:
    """Say in a few lines what a run would compute, what is there already, and about how long it takes.

    Args:
        asked: what is asked for.
        jobs: stacks that are trained side by side.
        again: whether a result that is there is to be computed again.

    Raises:
        StoreError: if what lies there is damaged, or belongs to another configuration or to other code.
    """
    title = f"{asked.experiment.name}, budget {asked.budget}: {asked.experiment.budgets[asked.budget]}"
    there = asked.there and not again
    done = set(taken_over(asked)) if there else set()
    if there and not done:
        load_result(asked.folder, asked.identity)
        return f"{title}\nnothing: the result is in {asked.folder}; --again would compute it again"
    done |= set(finished_units(asked, again))
    left = [unit for unit in asked.units if unit.name not in done]
    runs = sum(len(unit.configs) for unit in left)
    steps = sum(unit.inner_steps for unit in left)
    work = f"{len(left)} of {len(asked.units)} units, {runs} runs, {steps:,} inner steps"
    jobs = min(jobs, len(left))
    where = f"with {jobs} side by side" if jobs > 1 else "one after the other"
    duration = in_words(seconds(asked, left, max(jobs, 1)))
    return f"{title}\n{work}\nabout {duration} on {asked.device}, {where}, from the beginning"


def seconds(asked: Request, units: Sequence[Unit[Any]], jobs: int) -> float:
    """Return about how long the training and scoring of units takes, from scratch.

    Units that differ in nothing but numbers, such as seeds, step sizes and weights, are measured once.

    Args:
        asked: what is asked for; the units are some of its own.
        units: which.
        jobs: stacks that are trained side by side.
    """
    keep_freed_memory()  # as the run itself does
    known: dict[str, float] = {}
    each = []
    for unit in units:
        kind = _kind(unit)
        if kind not in known:
            known[kind] = _measured(asked, unit)
        each.append(known[kind])
    return max(sum(each) / jobs, max(each, default=0.0))


def in_words(duration: float) -> str:
    """Return a length of time in words.

    >>> in_words(0.2), in_words(75), in_words(5_400), in_words(1e6)
    ('1 s', '75 s', '90 minutes', '12 days')
    """
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if duration >= 2 * length or (unit == "minutes" and duration >= 90):
            return f"{duration / length:.0f} {unit}"
    return f"{max(1.0, duration):.0f} s"


def _kind(unit: Unit[Any]) -> str:
    """Return what decides how long a unit takes, but for how many runs do nothing but repeat it."""
    stack = asdict(StackConfig.of(unit.configs))
    algorithms = [config.algorithm for config in unit.configs]
    record = unit.record.as_dict().get("kind")
    return digest([unit.family.as_dict(), stack, algorithms, record, unit.monitor is None])


def _measured(asked: Request, unit: Unit[Any]) -> float:
    """Return how long one unit takes, from a few of its iterations and of its evaluation tasks."""
    configs = unit.configs
    # More networks side by side than fit take as long as one after the other.
    fitting = max(1, side_by_side(unit.family.footprint, asked.device))
    few = configs[: min(len(configs), fitting)]
    stack = StackConfig.of(few)
    first = _trained(asked, unit, few, 1)
    first = _trained(asked, unit, few, 1)  # the first time, everything is cold
    more = max(1, min(stack.iterations, BLOCK, round(PROBE_SECONDS / max(first.seconds, 1e-6))))
    longer = _trained(asked, unit, few, 1 + more)
    each = max(0.0, longer.seconds - first.seconds) / more
    block = max(0.0, first.seconds - each)  # sampled at once, whatever of it is used
    training = each * stack.iterations + block * -(-stack.iterations // BLOCK)
    wanted, fewer = _fewer_tasks(asked, unit)
    if fewer.inner_steps == unit.inner_steps > unit.training_steps:
        # A recorder that trains takes its inner steps about as fast as the unit takes its own. To score is
        # nothing beside that.
        recording = training * (unit.inner_steps / unit.training_steps - 1)
    else:
        started = time.monotonic()
        fewer.record(fewer.family, first)
        recording = (time.monotonic() - started) * wanted
    return (training + recording) * len(configs) / len(few)


def _trained(asked: Request, unit: Unit[Any], configs: Sequence[TrainingConfig], iterations: int) -> Trained:
    short = [replace(config, iterations=iterations) for config in configs]
    return train(unit.family, short, device=asked.device, monitor=unit.monitor, on_divergence="record")


def _fewer_tasks(asked: Request, unit: Unit[Any]) -> tuple[float, Unit[Any]]:
    """Return a unit that is scored on a few of its tasks, and how many times as many it has itself."""
    budget = asked.experiment.budgets[asked.budget]
    ways = getattr(unit.family, "ways", 0)
    wanted = (budget.for_ways(ways) if isinstance(budget, FewShotBudget) else budget).evaluation_tasks
    tasks = min(1 if isinstance(unit.record, LongRecorder) else PROBE_TASKS, wanted)
    changes = {name: tasks for name in asdict(budget) if name.startswith("evaluation_tasks")}
    fewer = asked.experiment.units(replace(budget, **changes), asked.seeds)
    (probe,) = (other for other in fewer if other.name == unit.name)
    return wanted / tasks, probe
