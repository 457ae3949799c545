"""What is finished of a run: units of an earlier attempt, and those of a result with fewer seeds."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from companion.results import Result, load_provenance, load_result
from companion.revisions import revised
from companion.running.experiment import Unit
from companion.running.request import Request
from companion.running.stacks import forget_its_own, forget_others, gather, widest
from companion.running.unfinished import LOG
from metalib.errors import StoreError
from metalib.store import digest


def finished_units(asked: Request, again: bool) -> dict[str, Result]:
    """Read the units that an earlier attempt has finished.

    Args:
        asked: what is asked for.
        again: whether to pass over what does not belong to it.

    Raises:
        StoreError: if a unit does not belong to it, unless that is passed over.
    """
    kept = {}
    for unit in asked.units:
        folder = asked.unfinished / unit.name
        if folder.exists():
            try:
                kept[unit.name] = load_result(folder, revised(unit.as_dict()))
            except StoreError:
                if not again:
                    raise
    return kept


def forget_the_rest(asked: Request, kept: Collection[str]) -> None:
    """Throw away unfinished work that does not belong to what is asked for, checkpoints included.

    Args:
        asked: what is asked for.
        kept: names of the units that do belong.
    """
    for unit in asked.units:
        folder = asked.unfinished / unit.name
        if folder.exists() and unit.name not in kept:
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    for stack in asked.stacks:
        forget_others(stack, asked.unfinished)


def held(asked: Request) -> Sequence[Unit[Any]]:
    """Return the units that the result in the place of the one asked for holds, if it lacks others.

    It must hold nothing else: then the new result can take its place without losing anything.

    Args:
        asked: what is asked for. Something is where its result goes.
    """
    try:
        config = load_provenance(asked.folder)[0].get("config")
    except StoreError:
        return ()  # whoever asks for the result is told what is wrong
    stored = config.get("units") if isinstance(config, dict) else None
    known = {digest(unit.as_dict()): unit for unit in asked.units}
    found = [known.get(digest(unit)) for unit in stored or ()]
    units = [unit for unit in found if unit is not None]
    return units if len(units) == len(found) < len(known) else ()


def taken_over(asked: Request) -> dict[str, Result]:
    """Read the units of a result with fewer seeds, which stays where it is until the new one is whole.

    Args:
        asked: what is asked for.

    Returns:
        What it holds of each of its units, by name; nothing if there is no such result, and others must be
        trained in any case.

    Raises:
        StoreError: if that is damaged, or of other code.
    """
    units = held(asked) if asked.there else ()
    if not units:
        return {}
    result = load_result(asked.folder)
    return {unit.name: part(result, unit) for unit in units}


def part(result: Result, unit: Unit[Any]) -> Result:
    """Return what a result holds of one of its units: what `assembly.merged` put together.

    Args:
        result: of several units.
        unit: one of them.
    """
    tables = {
        name: table[table.unit == unit.name].drop(columns=["unit", *unit.facts]).reset_index(drop=True)
        for name, table in result.tables.items()
    }
    begin = f"{unit.name}/"
    arrays = {
        name.removeprefix(begin): array for name, array in result.arrays.items() if name.startswith(begin)
    }
    ran = result.provenance
    environment = ran["environment"].get(unit.name, ran["environment"])
    seconds = ran["training_seconds"][unit.name]
    made = {"config": revised(unit.as_dict()), "environment": environment, "training_seconds": seconds}
    return Result(tables, arrays, made)


def clear(asked: Request) -> None:
    """Remove what the result has made superfluous; work on other seeds stays, and its log."""
    # Work that was begun on a device of the other kind lies under the names of its own stacks.
    left = tuple(unit for stack in asked.stacks for unit in stack.units)
    every = (gather(u, widest(u, device)) for u in (asked.units, left) for device in ("cpu", "cuda"))
    stacks = [*asked.stacks, *(stack for gathered in every for stack in gathered)]
    for stack in stacks:
        forget_its_own(stack, asked.unfinished)
    for unit in asked.units:
        folder = asked.unfinished / unit.name
        if folder.exists() and _config(folder) in (None, revised(unit.as_dict())):
            shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    names = {stack.name for stack in stacks} | {unit.name for unit in asked.units}
    written = [(asked.unfinished, name) for name in names] + [(asked.folder.parent, asked.folder.name)]
    for folder, name in written:
        # What a killed process was writing.
        for path in folder.glob(f".{glob.escape(name)}.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with suppress(OSError):  # it is not there, or not empty
        if [path.name for path in asked.unfinished.iterdir()] == [LOG]:
            (asked.unfinished / LOG).unlink()
        asked.unfinished.rmdir()


def _config(folder: Path) -> Any:
    """Return what the result in a folder is made of, nothing if it is damaged."""
    with suppress(StoreError):
        return load_provenance(folder)[0].get("config")
    return None
