"""Stacks of units: what can be trained side by side is, and is recorded apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metalib.config import SHARED, TrainingConfig
from metalib.experiments import Budget, Experiment, Unit
from metalib.store import Result, digest, environment
from metalib.training import train

WIDEST = {"cpu": 1, "cuda": 64}
"""How many runs to gather in one stack. A processor core gains nothing from a second run of the networks
of section 6, and units of their own spread better over the cores; a GPU is filled by many."""


@dataclass(frozen=True)
class Stack:
    """Units that are trained side by side, because they share the family and the shape of the inner loop."""

    units: tuple[Unit, ...]

    @property
    def name(self) -> str:
        """The name of the stack's files: that of its only unit, or one that its units decide."""
        if len(self.units) == 1:
            return self.units[0].name
        return f"stack-{digest([unit.as_dict() for unit in self.units])}"

    @property
    def configs(self) -> tuple[TrainingConfig, ...]:
        """The runs of all units, in order."""
        return tuple(config for unit in self.units for config in unit.configs)

    @property
    def inner_steps(self) -> int:
        """The work to be done, in inner steps."""
        return sum(map(inner_steps, self.units))


@dataclass(frozen=True)
class Finished:
    """A unit that has been trained and recorded.

    Attributes:
        unit: which.
        result: its tables and arrays, and as provenance where it was trained, and for how long: the
            unit's share, by inner steps, of the wall time of its stack.
    """

    unit: Unit
    result: Result


def inner_steps(unit: Unit) -> int:
    """Return the work that a unit is, in inner steps."""
    return sum(config.iterations * config.tasks * config.k for config in unit.configs)


def gather(units: Sequence[Unit], widest: int) -> tuple[Stack, ...]:
    """Gather units into stacks of at most `widest` runs; a unit is never divided.

    The order of the units is kept within a stack, and among stacks by their first units.
    """
    alike: dict[tuple[object, ...], list[list[Unit]]] = {}
    for unit in units:
        key = (repr(unit.family), repr(unit.monitor), *(getattr(unit.configs[0], name) for name in SHARED))
        stacks = alike.setdefault(key, [[]])
        runs = sum(len(member.configs) for member in stacks[-1])
        if stacks[-1] and runs + len(unit.configs) > widest:
            stacks.append([])
        stacks[-1].append(unit)
    place = {unit.name: i for i, unit in enumerate(units)}
    gathered = [Stack(tuple(members)) for stacks in alike.values() for members in stacks]
    return tuple(sorted(gathered, key=lambda stack: place[stack.units[0].name]))


def finish(
    experiment: Experiment,
    stack: Stack,
    budget: Budget,
    device: str,
    checkpoint: Path,
    kept: Collection[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Iterator[Finished]:
    """Train a stack, going on from its checkpoint, and yield its units as they are recorded.

    Args:
        experiment: says how a unit is recorded.
        stack: what to train.
        budget: how much work to do.
        device: "cpu", "cuda" or "cuda:i".
        checkpoint: where unfinished training is kept.
        kept: names of units that were recorded before, and are not recorded again.
        progress: called with the inner steps taken so far.
    """
    per_iteration = stack.inner_steps // stack.configs[0].iterations
    first = stack.units[0]
    trained = train(
        first.family,
        stack.configs,
        device=device,
        checkpoint=checkpoint,
        monitor=first.monitor,
        progress=(lambda iteration: progress(iteration * per_iteration)) if progress else None,
        keep_diverged=experiment.keep_diverged,
    )
    start = 0
    for unit in stack.units:
        stop = start + len(unit.configs)
        if unit.name not in kept:
            result = experiment.record(unit, trained.runs(start, stop), budget)
            seconds = trained.seconds * inner_steps(unit) / stack.inner_steps
            provenance = {"training_seconds": round(seconds, 1), "environment": environment(device)}
            yield Finished(unit, replace(result, provenance=provenance))
        start = stop
