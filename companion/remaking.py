"""A result made again from its provenance alone, and compared with what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.budgets import Budget
from companion.catalogue import EXPERIMENTS, find
from companion.results import ARRAYS, PROVENANCE, load_provenance, load_result
from companion.revisions import other_code, without_revisions
from companion.running import runner
from companion.running.distributed import started_by_torchrun
from companion.running.experiment import FORMAT, Experiment, Unit
from companion.sine import experiments as sine
from metalib.errors import StoreError, require
from metalib.store import digest, sha256
from metalib.training import TrainingConfig

ROUNDOFF = 1e-6
"""Relative difference of numbers up to which a table counts as the same. Other processors round otherwise."""


@dataclass(frozen=True)
class Recipe:
    """What makes a result again.

    Attributes:
        experiment: with the stored budget as its only one, and the stored units as its only ones.
        budget: the name of the budget.
        seeds: of the runs.
    """

    experiment: Experiment[Any]
    budget: str
    seeds: tuple[int, ...]

    def with_units(self, names: Sequence[str]) -> Recipe:
        """Return the recipe for some of the units.

        Raises:
            InputError: if there is no unit of one of the names.
        """
        units = self.experiment.units(self.experiment.budgets[self.budget], self.seeds)
        known = [unit.name for unit in units]
        for name in names:
            require(name in known, f"units names {name!r}, which the result lacks; it has {', '.join(known)}")
        return replace(self, experiment=_narrowed(self.experiment, names))


def recipe(config: Any, experiment: Experiment[Any] | None = None) -> Recipe:
    """Return what makes a result again.

    Args:
        config: the entry of that name of its provenance.
        experiment: the one that it names; looked up if `None`.

    Raises:
        InputError: if it names no experiment of today.
        StoreError: if it is no such entry, or other code, data or settings of today would make another.
    """
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise StoreError("the provenance does not say what made its result, or an earlier version wrote it")
    if other := other_code(config):
        raise StoreError(f"the result is of other code ({other}); check out the version that made it")
    today = _budgeted(experiment or _experiment(config), config["budget"])
    name, seeds = config["budget"]["name"], tuple(config["seeds"])
    units = {unit["name"]: unit for unit in config["units"]}
    narrowed = _narrowed(today, list(units))
    made = {unit["name"]: unit for unit in narrowed.identity(name, seeds)["units"]}
    if found := next(_differences(units, made), None):
        raise StoreError(f"today's code and data would make another result: {found}")
    return Recipe(narrowed, name, seeds)


def remake(
    source: Path, results: Path, units: Sequence[str] = (), device: str = "cpu", jobs: int = 1,
    progress: bool = False,
) -> list[str]:  # fmt: skip
    """Make a stored result again from its provenance, and say in a line per file how the two compare.

    Args:
        source: the provenance, or the folder that holds it. The rest of the result need not be there.
        results: the folder for the new one.
        units: names of those to make; all if empty. Then the stored tables must be there.
        device: "cpu", "cuda" or "cuda:i".
        jobs: runs side by side.
        progress: whether to show a bar.

    Raises:
        InputError: if the new result would lie where the old one is, or another one, if a unit is unknown, or
            if torchrun has started this process.
        StoreError: if the result cannot be made again, or comes out different.
    """
    require(not started_by_torchrun(), "rerun is not spread over processes; start it without torchrun")
    provenance, files = load_provenance(source)
    made = recipe(provenance.get("config"))
    count = len(provenance["config"]["units"])
    made = made.with_units(units) if units else made
    folder = results / made.experiment.name / made.budget
    beside = source if source.is_dir() else source.parent
    require(
        folder.resolve() != beside.resolve(),
        f"results is {results}, where the stored result is; name another",
    )
    _require_its_own(folder, made, count)
    there = [name for name in files if (beside / name).is_file()]
    for name in there:  # before hours are spent
        if sha256(beside / name) != files[name]:
            raise StoreError(f"{beside / name} was changed after it was stored; restore it, or move it away")
    whole = len(there) == len(files)
    require(whole or not units, f"units can be compared only where the tables lie beside {PROVENANCE}")
    runner.run(
        made.experiment, made.budget, seeds=made.seeds, device=device, results=results, jobs=jobs,
        progress=progress, again=True,
    )  # fmt: skip
    same = {name: not units and sha256(folder / name) == files[name] for name in files}
    if all(same.values()):
        return [f"{name}: the same, byte by byte" for name in files]
    if not whole:
        other = ", ".join(name for name in files if not same[name])
        raise StoreError(
            f"{other} came out different; put the stored files beside {source} to see by how much"
        )
    return _compared(beside, folder, {name for name in files if same[name]}, units)


def _require_its_own(folder: Path, made: Recipe, count: int) -> None:
    """Raise `InputError` if something else is there than an earlier attempt, at `count` units or fewer."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    wanted, own = without_revisions(made.experiment.identity(made.budget, made.seeds)), False
    with suppress(StoreError):  # what cannot be read is somebody's, too
        held = without_revisions(load_provenance(folder)[0].get("config"))
        if isinstance(held, dict) and held.keys() == wanted.keys():
            of_units = digest({**held, "units": []}) == digest({**wanted, "units": []})
            own = digest(held) == digest(wanted) or (of_units and len(held["units"]) < count)
    require(own, f"results is {folder.parents[1]}, where {folder} holds another result; name another")


def _compared(before: Path, after: Path, same: set[str], units: Sequence[str]) -> list[str]:
    """Say of every table how far it is from the stored one; weights are compared through their scores."""
    old, new = load_result(before), load_result(after)
    said, worst = [f"{name}: the same, byte by byte" for name in sorted(same)], []
    for name in sorted(set(old.tables) - {file.removesuffix(".csv") for file in same}):
        tables = (old.tables[name], new.tables[name])
        was, became = (_of_units(table, units) for table in tables) if units else tables
        difference = largest_difference(was, became)
        far = f"largest relative difference {difference:.1e}{_since(was, became)}"
        said.append(f"{name}.csv: {far if difference else 'equal'}")
        worst += [name] if difference > ROUNDOFF else []
    if old.arrays and ARRAYS not in same and not units:
        said.append(f"{ARRAYS}: other bytes; weights are compared through their scores")
    if worst:
        raise StoreError(f"{'; '.join(said)}. That is more than roundoff ({ROUNDOFF:g})")
    return said


def _of_units(table: pd.DataFrame, units: Sequence[str]) -> pd.DataFrame:
    """Return the rows of some units, without the columns that only others have, and in one order."""
    rows = table[table.unit.isin(units)].reset_index(drop=True)
    return rows[sorted(name for name in rows.columns if not rows[name].isna().all())]


def _since(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Say up to where two histories agree: training amplifies roundoff, and other code differs at once."""
    if "iteration" not in before or len(before) != len(after):
        return ""
    agreed = ""
    for iteration in sorted(set(before.iteration)):
        parts = [table[table.iteration == iteration].reset_index(drop=True) for table in (before, after)]
        if largest_difference(*parts) > ROUNDOFF:
            return agreed
        agreed = f", roundoff up to iteration {iteration}"
    return ""


def largest_difference(before: pd.DataFrame, after: pd.DataFrame) -> float:
    """Return the largest difference of two tables' numbers, relative to the largest number of the column.

    Infinite if they differ in shape, in names, in words, or in which numbers are finite.

    >>> largest_difference(pd.DataFrame({"loss": [1.0, 4.0]}), pd.DataFrame({"loss": [1.0, 4.4]}))
    0.1
    """
    if list(before.columns) != list(after.columns) or len(before) != len(after):
        return np.inf
    largest = 0.0
    for name in before.columns:
        a, b = before[name].to_numpy(), after[name].to_numpy()
        if a.dtype.kind not in "fi" or b.dtype.kind not in "fi":
            largest = max(largest, 0.0 if ((a == b) | (pd.isna(a) & pd.isna(b))).all() else np.inf)
            continue
        finite = np.isfinite(a)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
            return np.inf
        away = np.abs(a[finite] - b[finite]).max(initial=0.0)
        largest = max(largest, float(away / (np.abs(a[finite]).max(initial=0.0) or 1.0)))
    return round(largest, 12)


def _experiment(config: Mapping[str, Any]) -> Experiment[Any]:
    """Return the experiment that made a result; that of `train` follows from its only unit."""
    if config["experiment"] in EXPERIMENTS or config["budget"]["name"] != "custom":
        return find(config["experiment"])
    (unit,) = config["units"]
    run = {**unit["runs"][0], "weights": tuple(unit["runs"][0]["weights"])}
    family, record = unit["family"], unit["record"]
    return sine.custom(TrainingConfig(**run), family["activation"], record["points"], record["tasks"])


def _budgeted(experiment: Experiment[Any], stored: Mapping[str, Any]) -> Experiment[Any]:
    """Return the experiment with the stored budget, which need not be one of today's."""
    kind: Any = type(next(iter(experiment.budgets.values())))
    amounts = {name: value for name, value in stored.items() if name != "name"}
    if set(amounts) != {field.name for field in fields(kind)}:
        raise StoreError(f"the budget of the result, {amounts}, is none of {experiment.name}'s")
    budget = kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in amounts.items()})
    return replace(experiment, budgets={stored["name"]: budget})


def _narrowed(experiment: Experiment[Any], names: Sequence[str]) -> Experiment[Any]:
    """Return the experiment with those of its units alone."""

    def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit[Any], ...]:
        return tuple(unit for unit in experiment.units(budget, seeds) if unit.name in names)

    return replace(experiment, units=units)


def _differences(stored: Any, today: Any, where: str = "") -> Iterator[str]:
    """Yield in what two configurations differ, as JSON has them."""
    if digest(stored) == digest(today):
        return
    pairs: dict[Any, tuple[Any, Any]] = {}
    if isinstance(stored, dict) and isinstance(today, dict):
        pairs = {name: (stored.get(name), today.get(name)) for name in {**stored, **today}}
    elif isinstance(stored, list) and isinstance(today, list) and len(stored) == len(today):
        pairs = dict(enumerate(zip(stored, today, strict=True)))
    if not pairs:
        yield f"{where} is {today} and was {stored}"
    for name, (before, now) in pairs.items():
        yield from _differences(before, now, f"{where}.{name}" if where else str(name))
