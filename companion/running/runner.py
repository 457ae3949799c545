"""Runs an experiment: trains its units, records them, and keeps what is finished.

<results>/<experiment>/<budget>/              the result
<results>/.unfinished/<experiment>-<budget>/  finished units and checkpoints, until the result is there
"""

from __future__ import annotations

import glob
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from tqdm import tqdm

from companion.results import Result, load_result, save_result
from companion.running.experiment import SEEDS, Experiment, Unit
from companion.running.stacks import Finished, Stack, finish, gather, widest
from companion.running.workers import side_by_side
from metalib.errors import StoreError, nearest, require
from metalib.training.loop import choose_device, require_device_name


def run(
    experiment: Experiment[Any],
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
        budget: one of `experiment.budgets`, such as "smoke", "quick", "laptop" or "paper".
        seeds: one run of every configuration per seed.
        device: "cpu", "cuda" or "cuda:i".
        results: the folder that holds all results.
        progress: show progress on the standard error stream.
        jobs: stacks to train side by side, each in a process and thread of its own; with 1, they are
            trained one after the other in this process.
        scheduler: address of a Dask scheduler whose workers do the work instead, such as tcp://host:8786.

    Raises:
        InputError: if the budget is unknown, a seed is given twice, the device is not there, or no
            scheduler with workers answers.
        WorkerError: if worker processes were killed.
        DivergenceError: if a run diverges.
        StoreError: if a stored file is damaged or belongs to another configuration.
    """
    require(
        budget in experiment.budgets,
        f"budget is {budget!r}; {experiment.name} has {', '.join(experiment.budgets)}"
        f"{nearest(budget, experiment.budgets)}",
    )
    require(len(seeds) >= 1, "seeds is empty; give at least one seed, such as 0")
    require(len(set(seeds)) == len(seeds), f"seeds {list(seeds)} repeat themselves; give each seed once")
    require(jobs >= 1, f"jobs is {jobs}; at least 1 process has to do the work")
    require_device_name(device)
    if not scheduler:  # whose workers have devices of their own
        choose_device(device)
    amount = experiment.budgets[budget]
    units = experiment.units(amount, tuple(seeds))
    identity = experiment.identity(budget, seeds)
    folder = results / experiment.name / budget
    unfinished = results / ".unfinished" / f"{experiment.name}-{budget}"
    stacks = gather(units, widest(units, device))
    with _alone(unfinished.with_suffix(".lock"), progress):
        if not folder.exists() or not any(folder.iterdir()):
            parts = _kept(units, unfinished)
            with _bar(experiment, stacks, parts, progress) as bar:
                for finished in _finished(
                    experiment, stacks, device, unfinished, tuple(parts), jobs, scheduler, bar
                ):
                    name = finished.unit.name
                    save_result(unfinished / name, _named(finished))
                    parts[name] = load_result(unfinished / name)
            save_result(folder, _merged([(unit, parts[unit.name]) for unit in units], identity))
        # Kept units go only once this very result is there: another one in its place loses nothing.
        result = load_result(folder, identity)
        _clear(unfinished, stacks)
    return result


def _finished(
    experiment: Experiment[Any],
    stacks: Sequence[Stack],
    device: str,
    unfinished: Path,
    kept: tuple[str, ...],
    jobs: int,
    scheduler: str,
    bar: tqdm[Any],
) -> Iterator[Finished]:
    """Yield the units that are not kept yet, as they are finished."""
    stacks = [stack for stack in stacks if not _is_kept(stack, kept)]
    before = bar.n

    def show(inner_steps: int) -> None:
        # A worker that was killed goes on from its last checkpoint, which lies behind what it had noted.
        bar.update(max(0, before + inner_steps - bar.n))

    if scheduler or (jobs > 1 and len(stacks) > 1):
        yield from side_by_side(
            stacks, device, unfinished, kept,
            jobs=min(jobs, len(stacks)), scheduler=scheduler, callback=show,
            on_divergence=experiment.on_divergence,
        )  # fmt: skip
        return
    for stack in stacks:

        def show_stage(inner_steps: int, stack: Stack = stack) -> None:
            show(inner_steps)
            # Scoring takes its time too, and does not move the bar.
            stage = "scoring" if inner_steps == stack.inner_steps else "training"
            bar.set_postfix_str(f"{stage} {stack.name}")

        checkpoint = unfinished / f"{stack.name}.npz"
        yield from finish(stack, device, checkpoint, kept, show_stage, experiment.on_divergence)
        before += stack.inner_steps


def _bar(
    experiment: Experiment[Any], stacks: Sequence[Stack], kept: Collection[str], progress: bool
) -> tqdm[Any]:
    """Return one progress bar for everything, what is finished included."""
    return tqdm(
        desc=experiment.name, total=sum(stack.inner_steps for stack in stacks),
        initial=sum(stack.inner_steps for stack in stacks if _is_kept(stack, kept)),
        unit=" inner steps", unit_scale=True, smoothing=0.05, disable=not progress,
    )  # fmt: skip


def _is_kept(stack: Stack, kept: Collection[str]) -> bool:
    return all(unit.name in kept for unit in stack.units)


def _kept(units: Sequence[Unit[Any]], unfinished: Path) -> dict[str, Result]:
    """Read the units that an earlier attempt has finished."""
    return {
        unit.name: load_result(unfinished / unit.name, unit.as_dict())
        for unit in units
        if (unfinished / unit.name).exists()
    }


def _clear(unfinished: Path, stacks: Sequence[Stack]) -> None:
    """Remove what the result has made superfluous; work on other seeds stays."""
    names = {stack.name for stack in stacks} | {unit.name for stack in stacks for unit in stack.units}
    for name in map(glob.escape, names):
        # The last pattern is of files that a killed process was writing.
        for pattern in (name, f"{name}.npz", f"{name}.progress", f".{name}.*"):
            for path in unfinished.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    with suppress(OSError):  # it is not there, or not empty
        unfinished.rmdir()


def _named(finished: Finished) -> Result:
    """Return what is stored of a unit: its result, with the configuration it belongs to."""
    result = finished.result
    return replace(result, provenance={"config": finished.unit.as_dict(), **result.provenance})


def _merged(parts: Sequence[tuple[Unit[Any], Result]], identity: dict[str, Any]) -> Result:
    """Put the units' tables below one another; the first columns name the unit and its facts."""
    names = parts[0][1].tables
    tables = {
        name: pd.concat([with_facts(part.tables[name], unit) for unit, part in parts], ignore_index=True)
        for name in names
    }
    arrays = {f"{unit.name}/{name}": array for unit, part in parts for name, array in part.arrays.items()}
    environments = {unit.name: part.provenance["environment"] for unit, part in parts}
    common = next(iter(environments.values()))
    alike = all(environment == common for environment in environments.values())
    provenance = {
        "config": identity,
        "environment": common if alike else environments,
        "training_seconds": {unit.name: part.provenance["training_seconds"] for unit, part in parts},
    }
    return Result(tables, arrays, provenance)


def with_facts(table: pd.DataFrame, unit: Unit[Any]) -> pd.DataFrame:
    """Return the table of a unit with columns that name it and hold its facts, before all others.

    Args:
        table: what was recorded.
        unit: of which unit.
    """
    known = {"unit": unit.name, **unit.facts}
    return table.assign(**known)[[*known, *table.columns]]


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
