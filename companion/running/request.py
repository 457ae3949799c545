"""What is asked for, checked before anything is done or shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from companion.running.experiment import Experiment, Unit
from companion.running.stacks import Stack, gather, widest
from companion.running.unfinished import folder_of
from metalib.errors import nearest, require
from metalib.training import TrainingConfig
from metalib.training.loop import choose_device, require_device_name
from metalib.training.minibatches import require_room_for


@dataclass(frozen=True)
class Request:
    """An experiment under a budget and some seeds, on a device, with a folder for its result.

    Attributes:
        units: what is to be trained and recorded.
        stacks: the same units, gathered into what is trained side by side.
        identity: everything that decides the numbers of the result.
        folder: where the result goes.
        unfinished: where work is kept until then.
    """

    experiment: Experiment[Any]
    budget: str
    seeds: tuple[int, ...]
    device: str
    units: tuple[Unit[Any], ...]
    stacks: tuple[Stack, ...]
    identity: dict[str, Any]
    folder: Path
    unfinished: Path

    @property
    def there(self) -> bool:
        """Whether something lies where the result goes; an empty folder is nothing."""
        return self.folder.exists() and not (self.folder.is_dir() and not any(self.folder.iterdir()))


def requested(
    experiment: Experiment[Any],
    budget: str,
    seeds: Sequence[int],
    device: str,
    results: Path,
    jobs: int = 1,
    scheduler: str = "",
) -> Request:
    """Check what is asked for, and say what it consists of.

    The arguments, and what is raised, are those of `runner.run`.
    """
    require(
        budget in experiment.budgets,
        f"budget is {budget!r}; {experiment.name} has {', '.join(experiment.budgets)}"
        f"{nearest(budget, experiment.budgets)}",
    )
    require(len(seeds) >= 1, "seeds is empty; give at least one seed, such as 0")
    require(len(set(seeds)) == len(seeds), f"seeds {list(seeds)} repeat themselves; give each seed once")
    for seed in seeds:
        TrainingConfig(seed=seed)  # which refuses a bad one; before the data are fetched
    require(jobs >= 1, f"jobs is {jobs}; at least 1 process has to do the work")
    require_device_name(device)
    if not scheduler:  # whose workers have devices of their own
        choose_device(device)
    units = experiment.units(experiment.budgets[budget], tuple(seeds))
    stacks = gather(units, widest(units, device))
    if not scheduler:
        for stack in stacks:
            _require_room(stack, device)
    return Request(
        experiment,
        budget,
        tuple(seeds),
        device,
        units,
        stacks,
        experiment.identity(budget, seeds),
        results / experiment.name / budget,
        folder_of(results, experiment.name, budget),
    )


def lacking(asked: Request, known: Collection[str]) -> Request:
    """Return the same request, but only the units whose names are not known are to be trained.

    The result is that of all units; the stacks are gathered from those that are left.

    Args:
        asked: what is asked for.
        known: names of units.
    """
    left = [unit for unit in asked.units if unit.name not in known]
    return replace(asked, stacks=gather(left, widest(left, asked.device))) if known else asked


def require_parts(tasks: int, carried: bool, ranks: int) -> None:
    """Raise `InputError` unless so many ranks can take the tasks of an outer step side by side.

    Args:
        tasks: per outer step.
        carried: whether the inner optimizer carries its state from task to task.
        ranks: how many processes train one run.
    """
    require(
        tasks % ranks == 0,
        f"{tasks} tasks per outer step cannot be divided among {ranks} ranks; "
        "choose a number of ranks that divides the tasks",
    )
    require(
        ranks == 1 or not carried,
        f"inner optimizer carries its state from task to task, so {ranks} ranks cannot take tasks "
        "side by side; set inner to 'adam-fresh' or 'sgd'",
    )


def _require_room(stack: Stack, device: str) -> None:
    """Raise `InputError` if the training of a stack cannot fit in memory."""
    one = stack.units[0].family.initialize(stack.configs[0].seed)
    runs = {name: w.to(device).expand(len(stack.configs), *w.shape[1:]) for name, w in one.items()}
    require_room_for(stack.configs, runs)
