"""Errors that a user can act on: what was wrong, what was expected, what to do."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any


class MetalibError(Exception):
    """Base of every error raised on purpose; the command line prints it in one line and exits with 2."""


class InputError(MetalibError, ValueError):
    """An argument or a configuration value lies outside its range."""


class DivergenceError(MetalibError, ArithmeticError):
    """Training produced a number that is not finite."""


class WorkerError(MetalibError, RuntimeError):
    """A process that was doing part of the work was lost."""


class StoreError(MetalibError, OSError):
    """A stored file is missing, damaged, or belongs to something else."""


def require(condition: bool, message: str) -> None:
    """Raise `InputError(message)` unless `condition` holds."""
    if not condition:
        raise InputError(message)


def require_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise `InputError` unless `value` is one of `choices`; a near miss is told which one it resembles."""
    known = list(choices)
    guess = nearest(str(value), known)
    require(value in known, f"{name} is {value!r}; choose one of {', '.join(known)}{guess}")


def optional_module(name: str, extra: str) -> Any:
    """Return an optional module, or raise `InputError` with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        what = name.partition(".")[0].replace("PIL", "pillow")
        raise InputError(f"{what} is not installed; pip install 'metalib[{extra}]'") from None


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return the end of a message that asks whether the most similar choice was meant, if one is similar.

    >>> nearest("reptil", ["reptile", "maml"])
    "; did you mean 'reptile'?"
    """
    known = {choice.casefold(): choice for choice in choices}
    similar = difflib.get_close_matches(value.casefold(), list(known), n=1, cutoff=0.7)
    return f"; did you mean {known[similar[0]]!r}?" if similar else ""
