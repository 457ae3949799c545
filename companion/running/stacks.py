"""Stacks of units: what can be trained side by side is, and is recorded apart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from companion.results import Result, environment
from companion.revisions import revised
from companion.running.allocator import keep_freed_memory
from companion.running.compiled import compiled
from companion.running.experiment import Checkpoint, LongRecorder, Unit
from metalib.errors import StoreError
from metalib.memory import side_by_side
from metalib.store import digest, load_arrays
from metalib.training import Trained, TrainingConfig, train
from metalib.training.config import StackConfig
from metalib.training.loop import OnDivergence, identity_of
from metalib.training.shares import ALONE, Share


@dataclass(frozen=True)
class Stack:
    """Units that are trained side by side, because they share the family and the shape of the inner loop."""

    units: tuple[Unit[Any], ...]

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
    def training_steps(self) -> int:
        """The inner steps in which the runs are trained."""
        return sum(unit.training_steps for unit in self.units)

    @property
    def inner_steps(self) -> int:
        """The work to be done, in inner steps."""
        return sum(unit.inner_steps for unit in self.units)


@dataclass(frozen=True)
class Finished:
    """A unit that has been trained and recorded.

    Attributes:
        unit: which.
        result: its tables and arrays, and as provenance where it was trained, and for how long: the
            unit's share, by inner steps, of the wall time of its stack, and what its recorder has trained.
    """

    unit: Unit[Any]
    result: Result


def widest(units: Sequence[Unit[Any]], device: str) -> int:
    """Return how many runs to gather in one stack.

    On a GPU, as many as fill it. A processor core gains nothing from a second run of the same stack, and
    units of their own spread better over the cores.

    Args:
        units: what is to be trained.
        device: "cpu", "cuda" or "cuda:i".
    """
    if torch.device(device).type == "cpu":
        return 1
    largest = max(unit.family.footprint * max(config.tasks for config in unit.configs) for unit in units)
    return side_by_side(largest, device)


def gather(units: Sequence[Unit[Any]], most: int) -> tuple[Stack, ...]:
    """Gather units into stacks of at most `most` runs; a unit is never divided.

    The order of the units is kept within a stack, and among stacks by their first units.

    Args:
        units: what is to be trained; units share a stack if they share family, monitor and `StackConfig`.
        most: runs in a stack.
    """
    alike: dict[str, list[list[Unit[Any]]]] = {}
    for unit in units:
        monitor = unit.monitor.as_dict() if unit.monitor else None
        key = digest([unit.family.as_dict(), monitor, asdict(StackConfig.of(unit.configs))])
        stacks = alike.setdefault(key, [[]])
        runs = sum(len(member.configs) for member in stacks[-1])
        if stacks[-1] and runs + len(unit.configs) > most:
            stacks.append([])
        stacks[-1].append(unit)
    place = {unit.name: i for i, unit in enumerate(units)}
    gathered = [Stack(tuple(members)) for stacks in alike.values() for members in stacks]
    return tuple(sorted(gathered, key=lambda stack: place[stack.units[0].name]))


def record_checkpoint(unit: Unit[Any], folder: Path) -> Checkpoint:
    """Return where the recorder of a unit keeps what it has done, if it is one that takes long."""
    return Checkpoint(folder / f"{unit.name}.record.npz", digest(revised(unit.as_dict())))


def forget_others(stack: Stack, folder: Path) -> None:
    """Remove checkpoints in a stack's place that are damaged, or not of these runs and this code.

    Args:
        stack: what is to be trained.
        folder: where its checkpoints lie.
    """
    _remove(stack, folder, lambda found, own: found != own)


def forget_its_own(stack: Stack, folder: Path) -> None:
    """Remove checkpoints in a stack's place that are damaged, or of these very runs and this code.

    Args:
        stack: what has been trained.
        folder: where its checkpoints lie.
    """
    _remove(stack, folder, lambda found, own: found in (None, own))


def _remove(stack: Stack, folder: Path, superfluous: Callable[[Any, str], bool]) -> None:
    """Remove the checkpoints whose identity, `None` if damaged, is superfluous beside the stack's own."""
    first = stack.units[0]
    expected = {folder / f"{stack.name}.npz": identity_of(first.family, stack.configs, first.monitor)}
    for unit in stack.units:
        record = record_checkpoint(unit, folder)
        expected[record.path] = record.identity
    for path, identity in expected.items():
        if not path.is_file():
            continue
        try:
            header = load_arrays(path, sealed=True)[1]
        except StoreError:
            header = {}
        if superfluous(header.get("identity"), identity):
            path.unlink()
    if not (folder / f"{stack.name}.npz").exists():
        (folder / f"{stack.name}.progress").unlink(missing_ok=True)


def finish(
    stack: Stack,
    device: str,
    checkpoint: Path,
    kept: Collection[str] = (),
    callback: Callable[[int], None] | None = None,
    on_divergence: OnDivergence = "raise",
    ranks: Share = ALONE,
    compile: str = "no",
) -> Iterator[Finished]:
    """Train a stack, going on from its checkpoint, and yield its units as they are recorded.

    Args:
        stack: what to train.
        device: "cpu", "cuda" or "cuda:i".
        checkpoint: where unfinished training is kept.
        kept: names of units that were recorded before, and are not recorded again.
        callback: called with the inner steps taken so far.
        on_divergence: "raise" an error when a run diverges, or "record" it.
        ranks: the part of every meta-batch that this process trains; the others `train_along`.
        compile: whether to compile the outer step, one of `compiled.MODES`.
    """
    keep_freed_memory()
    ranks.from_first(lambda: stack.name)
    training = stack.training_steps
    per_iteration = training // StackConfig.of(stack.configs).iterations
    first = stack.units[0]
    trained = train(
        first.family,
        stack.configs,
        device=device,
        checkpoint=checkpoint,
        monitor=first.monitor,
        callback=(lambda iteration: callback(iteration * per_iteration)) if callback else None,
        on_divergence=on_divergence,
        share=ranks,
        prepare=partial(compiled, mode=compile),
    )
    start, done = 0, training
    for unit in stack.units:
        stop = start + len(unit.configs)
        if unit.name not in kept:
            runs = trained.runs(start, stop)
            result = _recorded(unit, runs, checkpoint.parent, _further(callback, done))
            seconds = trained.seconds * unit.training_steps / training
            seconds += result.provenance.get("recording_seconds", 0.0)
            provenance = {"training_seconds": round(seconds, 1), "environment": environment(device)}
            yield Finished(unit, replace(result, provenance=provenance))
        start, done = stop, done + unit.inner_steps - unit.training_steps


def _recorded(
    unit: Unit[Any], trained: Trained, folder: Path, callback: Callable[[int], None] | None
) -> Result:
    """Record the runs of a unit; a recorder that takes long goes on from its checkpoint."""
    if isinstance(unit.record, LongRecorder):
        return unit.record(unit.family, trained, record_checkpoint(unit, folder), callback)
    return unit.record(unit.family, trained)


def _further(callback: Callable[[int], None] | None, done: int) -> Callable[[int], None] | None:
    """Return what counts on from `done` inner steps."""
    return (lambda inner_steps: callback(done + inner_steps)) if callback else None


def train_along(
    stacks: Sequence[Stack], device: str, on_divergence: OnDivergence = "raise", ranks: Share = ALONE
) -> None:
    """Train this process's part of every stack that the first process finishes, and keep nothing.

    Args:
        stacks: those of the first process.
        device: "cpu", "cuda" or "cuda:i".
        on_divergence: "raise" an error when a run diverges, or "record" it.
        ranks: the part of every meta-batch that this process trains.
    """
    keep_freed_memory()
    by_name = {stack.name: stack for stack in stacks}
    while name := ranks.from_first(lambda: ""):
        stack = by_name[name]
        first = stack.units[0]
        train(
            first.family, stack.configs,
            device=device, monitor=first.monitor, on_divergence=on_divergence, share=ranks,
        )  # fmt: skip
