"""The command line: `python -m companion --help`."""

from __future__ import annotations

import inspect
import io
import os
import re
import sys
from dataclasses import replace
from typing import Annotated, Any

import torch

try:
    import joblib  # noqa: F401
    import tqdm  # noqa: F401
    import typer
except ImportError as missing:
    print(f"companion: {missing.name} is not installed; pip install 'metalib[companion]'", file=sys.stderr)
    sys.exit(2)

from companion import remaking, upkeep
from companion.catalogue import EXPERIMENTS, find
from companion.endings import exit_code
from companion.options import Compile, Scheduler, folder, numbers, real, real_number, whole, whole_number
from companion.running import estimates, runner
from companion.running.distributed import own_device, spread, started_by_torchrun
from companion.running.experiment import Experiment
from companion.running.request import requested
from companion.running.workers import cores
from companion.sine import experiments as sine
from companion.sine.scores import POINTS
from metalib import __version__
from metalib.data import miniimagenet as mini
from metalib.data.omniglot import VARIABLE
from metalib.errors import require
from metalib.optimizers import OPTIMIZERS
from metalib.training.config import ALGORITHMS, TrainingConfig
from metalib.training.outer_optimizers import OUTER_OPTIMIZERS

app = typer.Typer(
    help="Experiments of the companion to 'On First-Order Meta-Learning Algorithms'.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Many processes for one training: torchrun --nproc-per-node=2 -m companion train --tasks 8",
)

Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:i")]
Omniglot = Annotated[str, typer.Option(envvar=VARIABLE, help="folder with its archives; else downloaded")]
MiniImagenet = Annotated[str, typer.Option(envvar=mini.VARIABLE, help="folder with a copy, for Table 1")]
Seeds = Annotated[str, typer.Option(help="seeds, separated by commas; if none, those of the experiment")]
Results = Annotated[str, typer.Option(help="folder that holds all results")]
Threads = Annotated[int, whole("threads", "processor threads; these networks are too small for more than 1")]
Jobs = Annotated[int, whole("jobs", "runs side by side, one thread each; 0: one per core, or one on a GPU")]
Again = Annotated[bool, typer.Option("--again", help="compute it although a result is there; replaces that")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="say what would be computed, and about how long")]


@app.command("list")
def list_experiments() -> None:
    """List the experiments and their budgets."""
    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name}\n    {experiment.title}")
        for name, budget in experiment.budgets.items():
            print(f"    {name:6}  {budget}")


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="experiment, see `list`")],
    budget: Annotated[str, typer.Option(help="one that `list` shows, such as smoke or paper")] = "quick",
    device: Device = "cpu",
    seeds: Seeds = "",
    results: Results = "runs",
    threads: Threads = 1,
    jobs: Jobs = 0,
    scheduler: Scheduler = "",
    compile: Compile = "no",
    omniglot: Omniglot = "",
    miniimagenet: MiniImagenet = "",
    again: Again = False,
    dry_run: DryRun = False,
) -> None:
    """Run an experiment. Interrupt it at any time: the same command goes on where it stopped."""
    _use_threads(threads)
    _use_data(omniglot, miniimagenet)
    chosen, jobs = replace(find(name), compile=compile), _side_by_side(jobs, device, threads, scheduler)
    _run(chosen, budget, device, seeds, results, jobs, scheduler, again, dry_run)


@app.command()
def rerun(
    provenance: Annotated[str, typer.Argument(help="provenance.json of a result, or the folder it is in")],
    units: Annotated[str, typer.Option(help="units to make again, separated by commas; else all")] = "",
    device: Device = "cpu",
    results: Results = "runs/again",
    jobs: Jobs = 0,
    omniglot: Omniglot = "",
    miniimagenet: MiniImagenet = "",
) -> None:
    """Make a result again from its provenance alone, and say whether the same comes out."""
    _use_threads(1)
    _use_data(omniglot, miniimagenet)
    names = list(filter(None, map(str.strip, units.split(","))))
    source, place = folder(provenance, "provenance"), folder(results)
    said = remaking.remake(source, place, names, device, _side_by_side(jobs, device), progress=True)
    print("\n".join(said))


@app.command()
def train(
    algorithm: Annotated[str, typer.Option(help=", ".join(ALGORITHMS))] = "reptile",
    weights: Annotated[str, typer.Option(help="c_1,…,c_k of a combination")] = "",
    k: Annotated[int, whole("k", "inner steps")] = 5,
    alpha: Annotated[float, real("alpha", "inner step size")] = 0.02,
    epsilon: Annotated[float, real("epsilon", "outer step size, falls linearly to --epsilon-final")] = 0.1,
    epsilon_final: Annotated[float, real("epsilon_final", "outer step size at the end")] = 0.0,
    iterations: Annotated[int, whole("iterations", "outer iterations")] = 3_000,
    tasks: Annotated[int, whole("tasks", "tasks per outer iteration")] = 1,
    inner: Annotated[str, typer.Option(help=", ".join(OPTIMIZERS))] = "sgd",
    beta1: Annotated[float, real("beta1", "decay of an inner Adam's first moment")] = 0.0,
    outer: Annotated[str, typer.Option(help=", ".join(OUTER_OPTIMIZERS))] = "interpolate",
    activation: Annotated[str, typer.Option(help="tanh or relu")] = "tanh",
    points: Annotated[int, whole("points", "points the learner sees in evaluation")] = POINTS,
    evaluation_tasks: Annotated[int, whole("evaluation_tasks", "unseen tasks it is scored on")] = 1_000,
    device: Device = "cpu",
    seeds: Seeds = "0",
    results: Results = "runs",
    threads: Threads = 1,
    again: Again = False,
    dry_run: DryRun = False,
) -> None:
    """Train one configuration of your own on sine waves and score it."""
    _use_threads(threads)
    config = TrainingConfig(
        algorithm=algorithm,
        weights=tuple(numbers(weights, "weights", real_number)),
        k=k,
        alpha=alpha,
        epsilon=epsilon,
        epsilon_final=epsilon_final,
        iterations=iterations,
        tasks=tasks,
        inner=inner,
        beta1=beta1,
        outer=outer,
    )
    experiment = sine.custom(config, activation, points, evaluation_tasks)
    _run(experiment, "custom", device, seeds, results, again=again, dry_run=dry_run)


@app.command()
def status(results: Results = "runs") -> None:
    """Say of every experiment and budget whether its result is complete, unfinished or damaged."""
    for found in upkeep.stocktaking(folder(results)):
        print(f"{found.experiment:30} {found.budget:7} {found.state}")


@app.command()
def clean(
    results: Results = "runs",
    yes: Annotated[bool, typer.Option("--yes", help="remove without asking")] = False,
) -> None:
    """Remove unfinished work, which could still be gone on with; results stay."""
    begun = upkeep.begun(place := folder(results))
    print("\n".join(begun) or f"nothing is unfinished in {place}")
    if begun and not yes:
        typer.confirm("remove what is unfinished of these?", abort=True)
    for name in begun:
        removed = upkeep.remove(place, name)
        print(f"{name}: {'removed' if removed else 'left, another process is at work on it'}")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def _run(
    experiment: Experiment[Any],
    budget: str,
    device: str,
    seeds: str,
    results: str,
    jobs: int = 1,
    scheduler: str = "",
    again: bool = False,
    dry_run: bool = False,
) -> None:
    of_seeds, place = numbers(seeds, "seeds", whole_number) if seeds else experiment.seeds, folder(results)
    if dry_run:
        asked = requested(experiment, budget, of_seeds, device, place, jobs, scheduler)
        print(estimates.plan(asked, jobs, again))
        return
    with spread(device) as ranks:
        result = runner.run(
            experiment, budget, seeds=of_seeds, device=own_device(device), results=place,
            progress=ranks.rank == 0, jobs=jobs, scheduler=scheduler, again=again, ranks=ranks,
        )  # fmt: skip
    kept = place / experiment.name / budget
    for name, table in result.tables.items():
        print(f"{kept / name}.csv  {len(table)} rows")
    if "adaptation" in result.tables:
        table = result.tables["adaptation"]
        chosen = table[table.step.isin((0, 1, 10, 32)) & (table.points == "whole")]
        rows = chosen.groupby(["unit", "algorithm", "steps", "epsilon", "step"], sort=False)
        means = rows.mse.agg(lambda error: error.mean(skipna=False)).unstack()  # a run that diverged counts
        print(f"\nmean squared error after gradient steps, mean over {len(of_seeds)} seed(s)")
        print(means.round(3).to_string(na_rep="diverged"))


def _use_data(omniglot: str, miniimagenet: str) -> None:
    folders = {VARIABLE: omniglot, mini.VARIABLE: miniimagenet}
    os.environ.update({variable: folder for variable, folder in folders.items() if folder})


def _side_by_side(jobs: int, device: str, threads: int = 1, scheduler: str = "") -> int:
    require(not scheduler or (jobs, threads) == (0, 1), "with --scheduler, leave out --jobs and --threads")
    require(threads == 1 or jobs < 2, f"threads is {threads}; with {jobs} jobs, each has one thread")
    return jobs or (1 if device != "cpu" or threads > 1 or started_by_torchrun() else cores())


def _use_threads(threads: int) -> None:
    require(threads >= 1, f"threads is {threads}; at least 1 has to do the work")
    require(threads <= cores(), f"threads is {threads}; this machine has {cores()} to offer")
    torch.set_num_threads(threads)


def _as_typed(message: str) -> str:
    """Return a message that begins with the option at fault, as the user typed it."""
    options = {option for command in (run, train, rerun) for option in inspect.signature(command).parameters}
    options -= {"name", "provenance"}
    name, _, rest = message.partition(" ")
    known = name in options and re.match(r"(is|are|has|holds|names) ", rest)
    return f"--{name.replace('_', '-')} {rest}" if known else message


def main() -> None:
    """Run the command line; an error becomes one line: exit code 2 if made on purpose, 1 if unexpected."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # one that knows no × shows it escaped
            stream.reconfigure(errors="backslashreplace")
    sys.exit(exit_code(lambda: app(standalone_mode=False), _as_typed))


if __name__ == "__main__":
    main()
