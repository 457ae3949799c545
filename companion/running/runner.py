"""Runs an experiment: trains its units, records them, and keeps what is finished.

<results>/<experiment>/<budget>/              the result
<results>/.unfinished/<experiment>-<budget>/  finished units, checkpoints and a log, until the result is there
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from companion.results import Result, load_result, save_result
from companion.revisions import revised
from companion.running.assembly import merged
from companion.running.experiment import SEEDS, Experiment
from companion.running.kept import clear, finished_units, forget_the_rest, taken_over
from companion.running.request import Request, lacking, requested, require_parts
from companion.running.stacks import Finished, Stack, finish, train_along
from companion.running.unfinished import LOG, Log, alone, how_far, share
from companion.running.workers import engine, side_by_side
from metalib import __version__
from metalib.errors import require
from metalib.training.shares import ALONE, Share


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
    again: bool = False,
    ranks: Share = ALONE,
) -> Result:
    """Run an experiment, or return its result if it is already there.

    It may be interrupted at any time; the same call goes on from the last checkpoints, and trains no
    finished unit again. Nor does it train again what a result with fewer seeds holds: the new one takes its
    place in the end. If another process is at work on the same result, this one waits for it.

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
        again: compute the result although one is there, whatever it is; the new one replaces it in the end.
            Unfinished work that is damaged, or not of this configuration and code, is begun anew.
        ranks: the part of every meta-batch that this process trains, if others train the rest. The first
            records and keeps everything; what the others return is empty.

    Raises:
        InputError: if the budget is unknown, `seeds` is empty, one is given twice or out of range, `jobs` is
            below 1 or, like a scheduler, given with `ranks`, these cannot share the tasks, the device is not
            there, the work cannot fit in memory, or no scheduler with workers answers.
        WorkerError: if a worker process, a rank or the scheduler is lost.
        DivergenceError: if a run diverges, unless the experiment records it.
        StoreError: if a stored file is damaged, belongs to another configuration or to other code, or cannot
            be written.
    """
    require(
        ranks.size == 1 or (jobs == 1 and not scheduler),
        "jobs and scheduler spread many runs, ranks the tasks of one; choose one of the two",
    )
    asked = requested(experiment, budget, seeds, device, results, jobs, scheduler)
    for stack in asked.stacks:  # all of them, before hours are spent on the first
        require_parts(stack.configs[0].tasks, stack.configs[0].optimizer().carried, ranks.size)
    if ranks.rank:
        train_along(asked.stacks, device, experiment.on_divergence, ranks)
        return Result({})

    def wait() -> None:
        if progress:
            print(f"another process is at work on {asked.unfinished.name}; waiting for it", file=sys.stderr)

    with alone(asked.unfinished, wait):
        known = {} if again else taken_over(asked)
        if ranks.size == 1:  # other ranks cannot know what the first has found, and gather all units
            asked = lacking(asked, known)
        if again or known or not asked.there:
            parts = {**known, **finished_units(asked, again)}
            if again:
                forget_the_rest(asked, parts)
            log = Log(asked.unfinished)
            with log.until_the_end():
                _work(asked, parts, jobs, scheduler, progress, log, ranks)
                save_result(asked.folder, merged(asked, parts))
        # Kept units go only once this very result is there: another one in its place loses nothing.
        result = load_result(asked.folder, asked.identity)
        clear(asked)
    ranks.from_first(lambda: "")  # the others are done
    return result


def _work(
    asked: Request,
    parts: dict[str, Result],
    jobs: int,
    scheduler: str,
    progress: bool,
    log: Log,
    ranks: Share,
) -> None:
    """Train and record what is not kept yet, and keep it."""
    stacks = [stack for stack in asked.stacks if not _is_kept(stack, parts)]
    if not stacks:
        return
    jobs = min(jobs, len(stacks))
    with engine(jobs, scheduler):
        _announce(asked, parts, progress, log)
        with _bar(asked, parts, progress) as bar:
            _keep(asked, stacks, parts, jobs, scheduler, log, ranks, bar)


def _keep(
    asked: Request,
    stacks: Sequence[Stack],
    parts: dict[str, Result],
    jobs: int,
    scheduler: str,
    log: Log,
    ranks: Share,
    bar: tqdm[Any],
) -> None:
    """Keep every unit as it is finished."""
    before = at = bar.n

    def show(inner_steps: int) -> None:
        nonlocal at  # a bar that is not shown does not count
        # A worker that was killed goes on from its last checkpoint, which lies behind what it had noted.
        first, ahead = at == before, max(0, before + inner_steps - at)
        at += ahead
        bar.update(ahead)
        if first and ahead:
            bar.refresh()  # where it stands is seen at once, and not after a block of iterations
        log.reached(at, bar.total)

    try:
        for finished in _finished(asked, stacks, tuple(parts), jobs, scheduler, show, bar, ranks):
            name = finished.unit.name
            save_result(asked.unfinished / name, _named(finished))
            parts[name] = load_result(asked.unfinished / name)
            log.write(f"unit {name} is finished")
    finally:
        log.write(share(at, bar.total))


def _finished(
    asked: Request,
    stacks: Sequence[Stack],
    kept: tuple[str, ...],
    jobs: int,
    scheduler: str,
    show: Callable[[int], None],
    bar: tqdm[Any],
    ranks: Share,
) -> Iterator[Finished]:
    """Yield the units that are not kept yet, as they are finished."""
    on_divergence, compile = asked.experiment.on_divergence, asked.experiment.compile
    if scheduler or jobs > 1:
        yield from side_by_side(stacks, asked.device, asked.unfinished, kept, show, on_divergence, compile)
        return
    before = 0
    for stack in stacks:

        def show_stage(inner_steps: int, stack: Stack = stack, before: int = before) -> None:
            # Scoring takes its time too; what does not take hours does not move the bar.
            stage = "scoring" if inner_steps >= stack.training_steps else "training"
            bar.set_postfix_str(f"{stage} {stack.name}")
            show(before + inner_steps)

        checkpoint = asked.unfinished / f"{stack.name}.npz"
        yield from finish(stack, asked.device, checkpoint, kept, show_stage, on_divergence, ranks, compile)
        before += stack.inner_steps


def _announce(asked: Request, kept: Collection[str], progress: bool, log: Log) -> None:
    """Write down what a run begins with, and say where it stands if it goes on from earlier work."""
    at = f"{len(kept)} of {len(asked.units)} units finished"
    if progress and (reached := how_far(asked.unfinished)):
        print(f"going on: {at}, at {reached}; see {log.folder / LOG}", file=sys.stderr)
    seeds = ", ".join(map(str, asked.seeds))
    log.write(
        f"{asked.experiment.name}, budget {asked.budget}, seeds {seeds}, on {asked.device}; "
        f"metalib {__version__}, torch {torch.__version__}; {at}"
    )


def _bar(asked: Request, kept: Collection[str], progress: bool) -> tqdm[Any]:
    """Return one progress bar for everything, what is finished included."""
    return tqdm(
        desc=asked.experiment.name, total=sum(stack.inner_steps for stack in asked.stacks),
        initial=sum(stack.inner_steps for stack in asked.stacks if _is_kept(stack, kept)),
        unit=" inner steps", unit_scale=True, smoothing=0.05, disable=not progress,
    )  # fmt: skip


def _is_kept(stack: Stack, kept: Collection[str]) -> bool:
    return all(unit.name in kept for unit in stack.units)


def _named(finished: Finished) -> Result:
    """Return what is stored of a unit: its result, with the identity it belongs to."""
    result = finished.result
    identity = revised(finished.unit.as_dict())
    return replace(result, provenance={"config": identity, **result.provenance})
