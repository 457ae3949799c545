"""Runs an experiment: trains its units, records them, and keeps what is finished.

<results>/<experiment>/<budget>/              the result
<results>/.unfinished/<experiment>-<budget>/  finished units and checkpoints, until the result is there
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from metalib import store
from metalib.errors import StoreError, require
from metalib.experiments import SEEDS, Budget, Experiment, Unit
from metalib.experiments.stacks import WIDEST, Finished, Stack, finish, gather
from metalib.experiments.workers import side_by_side
from metalib.store import Result
from metalib.training import choose_device


def run(
    experiment: Experiment,
    budget: str,
    *,
    seeds: Sequence[int] = SEEDS,
    device: str = "cpu",
    results: Path = Path("results"),
    progress: bool = False,
    jobs: int = 1,
    scheduler: str = "",
) -> Result:
    """Run an experiment, or return its result if it is already there.

    It may be interrupted at any time; the same call goes on from the last checkpoints, and trains no
    finished unit again. If another process is at work on the same result, this one waits for it.

    Args:
        experiment: what to run.
        budget: "smoke", "quick" or "paper".
        seeds: one run of every configuration per seed.
        device: "cpu", "cuda" or "cuda:i".
        results: the folder that holds all results.
        progress: show progress on the standard error stream.
        jobs: stacks to train side by side, each in a process and thread of its own; with 1, they are
            trained one after the other in this process.
        scheduler: address of a Dask scheduler whose workers do the work instead, such as tcp://host:8786.

    Raises:
        InputError: if the budget is unknown, a seed is given twice, the device is not there, or no
            scheduler answers.
        DivergenceError: if a run diverges.
        StoreError: if a stored file is damaged or belongs to another configuration.
    """
    require(
        budget in experiment.budgets,
        f"budget is {budget!r}; {experiment.name} has {', '.join(experiment.budgets)}",
    )
    require(len(seeds) >= 1, "seeds is empty; give at least one seed, such as 0")
    require(len(set(seeds)) == len(seeds), f"seeds {list(seeds)} repeat themselves; give each seed once")
    require(jobs >= 1, f"jobs is {jobs}; at least 1 process has to do the work")
    choose_device(device)
    amount = experiment.budgets[budget]
    units = experiment.units(amount, tuple(seeds))
    config = configuration(experiment, budget, seeds, units)
    folder = results / experiment.name / budget
    unfinished = results / ".unfinished" / f"{experiment.name}-{budget}"
    with _alone(unfinished.with_suffix(".lock"), progress):
        if not folder.exists():
            missing = [unit for unit in units if not (unfinished / unit.name).exists()]
            stacks = gather(missing, WIDEST[device.split(":")[0]])
            with _bar(experiment, units, stacks, progress) as bar:
                for finished in _finished(
                    experiment, stacks, amount, device, unfinished, jobs, scheduler, bar
                ):
                    _keep(unfinished / finished.unit.name, finished, amount)
            parts = {
                unit.name: store.load_result(unfinished / unit.name, _identity(unit, amount))
                for unit in units
            }
            store.save_result(folder, _merged(parts, config, device))
            shutil.rmtree(unfinished, ignore_errors=True)
    return store.load_result(folder, config)


def configuration(
    experiment: Experiment, budget: str, seeds: Sequence[int], units: Sequence[Unit]
) -> dict[str, Any]:
    """Return everything that decides the numbers of a result, as JSON can hold it."""
    amount = experiment.budgets[budget]
    return {
        "experiment": experiment.name,
        "budget": budget,
        "iterations": amount.iterations,
        "evaluation_tasks": amount.evaluation_tasks,
        "seeds": list(seeds),
        "units": [unit.as_dict() for unit in units],
    }


def _finished(
    experiment: Experiment,
    stacks: Sequence[Stack],
    budget: Budget,
    device: str,
    unfinished: Path,
    jobs: int,
    scheduler: str,
    bar: tqdm[Any],
) -> Iterator[Finished]:
    """Yield the units of all stacks as they are finished."""
    before = bar.n

    def show(inner_steps: int) -> None:
        # A worker that was killed goes on from its last checkpoint, which lies behind what it had noted.
        bar.update(max(0, before + inner_steps - bar.n))

    if scheduler or (jobs > 1 and len(stacks) > 1):
        yield from side_by_side(
            experiment, stacks, budget, device, unfinished, jobs=jobs, scheduler=scheduler, progress=show
        )
        return
    for stack in stacks:

        def show_stage(inner_steps: int, stack: Stack = stack) -> None:
            show(inner_steps)
            # Scoring takes its time too, and does not move the bar.
            stage = "scoring" if inner_steps == stack.inner_steps else "training"
            bar.set_postfix_str(f"{stage} {stack.name}")

        yield from finish(experiment, stack, budget, device, unfinished / f"{stack.name}.npz", show_stage)
        before += stack.inner_steps


def _bar(experiment: Experiment, units: Sequence[Unit], stacks: Sequence[Stack], progress: bool) -> tqdm[Any]:
    """Return one progress bar for everything, finished units included."""
    total = sum(Stack((unit,)).inner_steps for unit in units)
    done = total - sum(stack.inner_steps for stack in stacks)
    return tqdm(
        desc=experiment.name, total=total, initial=done, unit=" inner steps", unit_scale=True,
        smoothing=0.05, disable=not progress,
    )  # fmt: skip


def _identity(unit: Unit, budget: Budget) -> list[Any]:
    return [unit.as_dict(), budget.iterations, budget.evaluation_tasks]


def _keep(folder: Path, finished: Finished, budget: Budget) -> None:
    provenance = {
        "config": _identity(finished.unit, budget),
        "training_seconds": round(finished.seconds, 1),
    }
    store.save_result(folder, Result(finished.result.tables, finished.result.arrays, provenance))


def _merged(parts: dict[str, Result], config: dict[str, Any], device: str) -> Result:
    """Put the units' tables below one another, with a first column that names the unit."""
    names = next(iter(parts.values())).tables
    tables = {
        name: pd.concat(
            [part.tables[name].assign(unit=unit) for unit, part in parts.items()], ignore_index=True
        )
        for name in names
    }
    tables = {name: table[["unit", *table.columns.drop("unit")]] for name, table in tables.items()}
    arrays = {f"{unit}/{name}": array for unit, part in parts.items() for name, array in part.arrays.items()}
    seconds = {unit: part.provenance["training_seconds"] for unit, part in parts.items()}
    provenance = {
        "config": config,
        "environment": store.environment(device),
        "training_seconds": seconds,
    }
    return Result(tables, arrays, provenance)


@contextmanager
def _alone(path: Path, progress: bool) -> Iterator[None]:
    """Hold a lock that other processes respect; the system frees it however this process ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress:
                print(f"another process is at work on {path.stem}; waiting for it", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise StoreError(f"cannot write to {path.parent}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
