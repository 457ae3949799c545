"""What an experiment is: a grid of runs, what is recorded of them, and budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from companion.budgets import Budget
from companion.results import Result
from companion.revisions import revised
from companion.running.compiled import MODES
from metalib.errors import require_choice
from metalib.tasks.family import TaskFamily
from metalib.training import Monitor, Trained, TrainingConfig
from metalib.training.loop import OnDivergence

SEEDS = (0, 1, 2)
"""Three random seeds, as in the paper's appendix A."""
FORMAT = 2
"""Version of the format of identities. 1 was written by repr, and left out how runs are scored."""

Facts = Mapping[str, str | float]
"""What tells a unit apart from others, as columns of tables."""

F = TypeVar("F", bound=TaskFamily)
F_in = TypeVar("F_in", contravariant=True)
B = TypeVar("B", bound=Budget)


class Recorder(Protocol[F_in]):
    """What is kept of trained runs, such as their accuracy on unseen tasks."""

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides what is recorded, as JSON can hold it."""
        ...

    def __call__(self, family: F_in, trained: Trained) -> Result:
        """Return the tables and arrays of trained runs."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """Where a `LongRecorder` keeps what it has done.

    Attributes:
        path: its file.
        identity: names what it belongs to.
    """

    path: Path
    identity: str


@runtime_checkable
class LongRecorder(Recorder[F_in], Protocol[F_in]):
    """A recorder that takes long, as it trains or scores for hours, and goes on where it was interrupted."""

    @property
    def inner_steps(self) -> int:
        """About how many inner steps it takes."""
        ...

    def __call__(
        self,
        family: F_in,
        trained: Trained,
        checkpoint: Checkpoint | None = None,
        callback: Callable[[int], None] | None = None,
    ) -> Result:
        """Return the tables and arrays; if it trains, as provenance `recording_seconds`, of all attempts.

        Args:
            family: the tasks.
            trained: the runs of the unit.
            checkpoint: where to keep unfinished work; nowhere if `None`.
            callback: called with the inner steps taken so far.
        """
        ...


@dataclass(frozen=True)
class Unit(Generic[F]):
    """Runs that are trained, recorded and stored together: often one run, at most one stack.

    Attributes:
        name: unique within the experiment; also the name of its files. Nothing is ever read out of it.
        family: the tasks, and the model that learns them.
        configs: the runs.
        record: what is kept of them.
        monitor: what is measured while they are in training.
        facts: what tells the unit apart from others; they become columns of every table.
    """

    name: str
    family: F
    configs: tuple[TrainingConfig, ...]
    record: Recorder[F]
    monitor: Monitor | None = None
    facts: Facts = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return everything that decides the numbers of the unit, as JSON can hold it."""
        return {
            "name": self.name,
            "facts": dict(self.facts),
            "family": self.family.as_dict(),
            "runs": [config.as_dict() for config in self.configs],
            "monitor": self.monitor.as_dict() if self.monitor else None,
            "record": self.record.as_dict(),
        }

    @property
    def training_steps(self) -> int:
        """The inner steps in which the runs are trained."""
        return sum(config.iterations * config.tasks * config.k for config in self.configs)

    @property
    def inner_steps(self) -> int:
        """The work that the unit is, in inner steps: its training, and that of a recorder that trains."""
        recording = self.record.inner_steps if isinstance(self.record, LongRecorder) else 0
        return self.training_steps + recording


@dataclass(frozen=True)
class Experiment(Generic[B]):
    """A figure or table: its grid of runs, and its budgets.

    Attributes:
        name: what the command line calls it.
        title: one line for readers.
        budgets: those of `budgets.BUDGETS`, by name.
        units: maps (budget, seeds) to the runs, in units.
        on_divergence: "record" where a run that diverges is a finding, recorded as numbers that are not
            finite; "raise" where it is an error.
        compile: whether to compile the outer step, one of `compiled.MODES`; decides no digit that counts.
        seeds: what to run if nothing else is asked for.

    Raises:
        InputError: if `compile` is none of the modes.
    """

    name: str
    title: str
    budgets: Mapping[str, B]
    units: Callable[[B, tuple[int, ...]], tuple[Unit[Any], ...]]
    on_divergence: OnDivergence = "raise"
    compile: str = "no"
    seeds: tuple[int, ...] = SEEDS

    def __post_init__(self) -> None:
        require_choice("compile", self.compile, MODES)

    def identity(self, budget: str, seeds: Sequence[int]) -> dict[str, Any]:
        """Return everything that decides the numbers of a result, as JSON can hold it: the configuration,
        and the revisions of the code.

        Args:
            budget: one of `budgets`.
            seeds: one run of every configuration per seed.
        """
        amount = self.budgets[budget]
        config = {
            "format": FORMAT,
            "experiment": self.name,
            "budget": {"name": budget, **amount.as_dict()},
            "seeds": list(seeds),
            "units": [unit.as_dict() for unit in self.units(amount, tuple(seeds))],
        }
        return revised(config)
