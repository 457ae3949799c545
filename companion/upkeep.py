"""What lies in a folder of results: complete, unfinished or damaged; and how unfinished work is removed."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.budgets import Budget
from companion.catalogue import EXPERIMENTS
from companion.results import load_result
from companion.revisions import other_code
from companion.running.experiment import FORMAT
from companion.running.unfinished import FOLDER, alone, folder_of, how_far
from metalib.errors import StoreError


class _BusyError(Exception):
    """Another process is at work."""


@dataclass(frozen=True)
class Found:
    """How it stands with one experiment under one budget."""

    experiment: str
    budget: str
    state: str


def stocktaking(results: Path) -> list[Found]:
    """Return how it stands with every experiment and budget, and with what else lies in the folder.

    A result is compared with the present budget and format; whether its units are the present ones is
    checked when `run` reads it, because that needs the data.

    Args:
        results: the folder that holds all results.
    """
    known = {(e.name, name): budget for e in EXPERIMENTS.values() for name, budget in e.budgets.items()}
    others = {
        (path.parent.name, path.name): None
        for path in sorted(results.glob("[!.]*/[!.]*"))
        if path.is_dir()
        and (path.parent.name, path.name) not in known
        # One that holds no file is itself a folder of results, such as again/.
        and any(inside.is_file() for inside in path.iterdir())
    }
    return [Found(*key, _state(results, *key, budget)) for key, budget in {**known, **others}.items()]


def _state(results: Path, experiment: str, budget: str, amount: Budget | None) -> str:
    folder = results / experiment / budget
    states = []
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        try:
            config = load_result(folder, of_other_code=True).provenance.get("config")
            states.append(_complete(config, budget, amount))
        except StoreError as error:
            states.append(f"damaged: {error}")
    work = folder_of(results, experiment, budget)
    if work.is_dir():
        units = sum(path.is_dir() and not path.name.startswith(".") for path in work.iterdir())
        # That of a unit that is finished is superfluous; what is scored has a second one.
        begun = {path.name.removesuffix(".npz").removesuffix(".record") for path in work.glob("[!.]*.npz")}
        checkpoints = sum(not (work / name).is_dir() for name in begun)
        reached = how_far(work)
        states.append(
            f"unfinished: {units} units finished, {checkpoints} with a checkpoint"
            f"{f'; {reached}' if reached else ''}{_units_of_other_code(work)}"
        )
    return "; ".join(states) or "not begun"


def _units_of_other_code(work: Path) -> str:
    """Say of unfinished work which code has been revised since it was begun; nothing if none was."""
    others = set()
    for path in work.glob("[!.]*/"):
        with suppress(StoreError):
            others.add(other_code(load_result(path, of_other_code=True).provenance.get("config")))
    named = ", ".join(sorted(others - {""}))
    return f"; of other code ({named})" if named else ""


def _complete(config: Any, budget: str, amount: Budget | None) -> str:
    """Say of a whole result whether it was computed by the present code, under the present budget."""
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        return "complete, but of another version"
    if other := other_code(config):
        return f"complete, but of other code ({other})"
    if amount is not None and config.get("budget") != {"name": budget, **amount.as_dict()}:
        return "complete, but of another budget"
    return f"complete, seeds {config.get('seeds')}"


def begun(results: Path) -> list[str]:
    """Return the names of what is unfinished in a folder of results, in alphabetical order."""
    folder = results / FOLDER
    names = {path.name.removesuffix(".lock") for path in folder.glob("*")} if folder.is_dir() else set()
    return sorted(name for name in names if not name.startswith("."))


def remove(results: Path, name: str) -> bool:
    """Remove what is unfinished under a name that `begun` gave, unless another process is at work on it.

    Returns:
        Whether it was removed.

    Raises:
        StoreError: if the disk does not let it go.
    """
    work = results / FOLDER / name

    def leave() -> None:
        raise _BusyError

    try:
        with alone(work, leave):
            if work.is_dir() and not work.is_symlink():
                shutil.rmtree(work)
            else:
                work.unlink(missing_ok=True)
    except _BusyError:
        return False
    except OSError as error:
        raise StoreError(f"cannot remove {work}: {error.strerror or error}") from None
    return True
