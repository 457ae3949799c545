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

from metalib import store
from metalib.errors import StoreError, require
from metalib.experiments import SEEDS, Budget, Experiment, Unit
from metalib.store import Result
from metalib.training import choose_device, train


def run(
    experiment: Experiment,
    budget: str,
    *,
    seeds: Sequence[int] = SEEDS,
    device: str = "cpu",
    results: Path = Path("results"),
    progress: bool = False,
) -> Result:
    """Run an experiment, or return its result if it is already there.

    It may be interrupted at any time; the same call goes on from the last checkpoint. If another
    process is at work on the same result, this one waits for it.

    Args:
        experiment: what to run.
        budget: "smoke", "quick" or "paper".
        seeds: one run of every configuration per seed.
        device: "cpu", "cuda" or "cuda:i".
        results: the folder that holds all results.
        progress: show progress on the standard error stream.

    Raises:
        InputError: if the budget is unknown, a seed is given twice, or the device is not there.
        DivergenceError: if a run diverges.
        StoreError: if a stored file is damaged or belongs to another configuration.
    """
    require(
        budget in experiment.budgets,
        f"budget is {budget!r}; {experiment.name} has {', '.join(experiment.budgets)}",
    )
    require(len(seeds) >= 1, "seeds is empty; give at least one seed, such as 0")
    require(len(set(seeds)) == len(seeds), f"seeds {list(seeds)} repeat themselves; give each seed once")
    choose_device(device)
    amount = experiment.budgets[budget]
    units = experiment.units(amount, tuple(seeds))
    config = configuration(experiment, budget, seeds, units)
    folder = results / experiment.name / budget
    unfinished = results / ".unfinished" / f"{experiment.name}-{budget}"
    with _alone(unfinished.with_suffix(".lock"), progress):
        if not folder.exists():
            parts = {
                unit.name: _run_unit(experiment, unit, amount, device, unfinished, progress) for unit in units
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


def _run_unit(
    experiment: Experiment, unit: Unit, budget: Budget, device: str, unfinished: Path, progress: bool
) -> Result:
    folder = unfinished / unit.name
    config = [unit.as_dict(), budget.iterations, budget.evaluation_tasks]
    if not folder.exists():
        trained = train(
            unit.family,
            unit.configs,
            device=device,
            checkpoint=unfinished / f"{unit.name}.npz",
            progress=f"{experiment.name} {unit.name}" if progress else "",
            keep_diverged=experiment.keep_diverged,
        )
        recorded = experiment.record(unit, trained, budget)
        provenance = {"config": config, "training_seconds": round(trained.seconds, 1)}
        store.save_result(folder, Result(recorded.tables, recorded.arrays, provenance))
    return store.load_result(folder, config)


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
