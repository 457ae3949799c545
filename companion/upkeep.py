"""What lies in a folder of results: complete, unfinished or damaged; and how unfinished work is removed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from companion.budgets import Budget
from companion.catalogue import EXPERIMENTS
from companion.results import load_result
from companion.running.experiment import FORMAT
from metalib.errors import StoreError

UNFINISHED = ".unfinished"


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
        if path.is_dir() and (path.parent.name, path.name) not in known
    }
    return [Found(*key, _state(results, *key, budget)) for key, budget in {**known, **others}.items()]


def _state(results: Path, experiment: str, budget: str, amount: Budget | None) -> str:
    folder = results / experiment / budget
    states = []
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        try:
            states.append(_complete(load_result(folder).provenance.get("config"), budget, amount))
        except StoreError as error:
            states.append(f"damaged: {error}")
    work = results / UNFINISHED / f"{experiment}-{budget}"
    if work.is_dir():
        units = sum(path.is_dir() and not path.name.startswith(".") for path in work.iterdir())
        checkpoints = len(list(work.glob("[!.]*.npz")))
        states.append(f"unfinished: {units} units finished, {checkpoints} with a checkpoint")
    return "; ".join(states) or "not begun"


def _complete(config: Any, budget: str, amount: Budget | None) -> str:
    """Say of a whole result whether it was computed under the present budget and format."""
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        return "complete, but of another version"
    if amount is not None and config.get("budget") != {"name": budget, **amount.as_dict()}:
        return "complete, but of another budget"
    return f"complete, seeds {config.get('seeds')}"


def begun(results: Path) -> list[str]:
    """Return the names of what is unfinished in a folder of results, in alphabetical order."""
    folder = results / UNFINISHED
    names = {path.name.removesuffix(".lock") for path in folder.glob("*")} if folder.is_dir() else set()
    return sorted(name for name in names if not name.startswith("."))


def remove(results: Path, name: str) -> bool:
    """Remove what is unfinished under a name that `begun` gave, unless another process is at work on it.

    Returns:
        Whether it was removed.

    Raises:
        StoreError: if the disk does not let it go.
    """
    work = results / UNFINISHED / name
    lock = FileLock(work.with_name(f"{name}.lock"))
    try:
        with lock.acquire(timeout=0):
            if work.is_dir() and not work.is_symlink():
                shutil.rmtree(work)
            else:
                work.unlink(missing_ok=True)
            Path(lock.lock_file).unlink(missing_ok=True)
    except Timeout:
        return False
    except OSError as error:
        raise StoreError(f"cannot remove {work}: {error.strerror or error}") from None
    if not any(work.parent.iterdir()):
        work.parent.rmdir()
    return True
