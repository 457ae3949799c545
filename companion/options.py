"""What is typed at the command line: numbers, lists, folders; refused in one line that names the option."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from metalib.errors import MetalibError, require

Number = TypeVar("Number", int, float)

Scheduler = Annotated[str, typer.Option(help="address of a Dask scheduler whose workers do the work")]
Compile = Annotated[str, typer.Option(help="no, yes, or auto: compile the outer step of long runs")]

_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}", flags=re.ASCII)
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?(inf|nan)", re.ASCII | re.IGNORECASE)


def whole_number(text: str) -> int:
    """Read a whole number as it is written everywhere; Python takes 1_0 too, and digits of other scripts.

    Raises:
        ValueError: if it is none.
    """
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(text)
    return int(text)


def real_number(text: str) -> float:
    """Read a number as it is written everywhere, such as 0.02 or 1e-3.

    Raises:
        ValueError: if it is none.
    """
    if not _REAL.fullmatch(text.strip()):
        raise ValueError(text)
    return float(text)


def whole(name: str, help: str) -> Any:
    """Return the option of that name for a whole number."""
    return _option(name, help, "INTEGER", whole_number, "write a whole number, such as 5")


def real(name: str, help: str) -> Any:
    """Return the option of that name for a number."""
    return _option(name, help, "NUMBER", real_number, "write a number, such as 0.02")


def numbers(text: str, name: str, read: Callable[[str], Number]) -> list[Number]:
    """Read numbers that are separated by commas.

    Raises:
        InputError: if one of them is none.
    """
    kind = "whole numbers" if read is whole_number else "numbers"
    advice = f"{name} is {shown(text)}; write {kind} separated by commas, such as 0,1,2"
    parts = [part for part in text.split(",") if part.strip()]
    try:
        return [read(part) for part in parts]
    except ValueError:
        require(False, advice)
        raise


def folder(text: str, name: str = "results") -> Path:
    """Read the name of a folder.

    Raises:
        InputError: if it is empty, or no name that a disk takes.
    """
    require(bool(text.strip()), f"{name} is empty; name a folder, such as runs")
    require("\0" not in text, f"{name} holds a zero byte; name a folder, such as runs")
    return Path(text)


def shown(text: str) -> str:
    """Return a text in quotes, shortened so that it does not fill the screen.

    >>> shown("1_0"), len(shown("9" * 10_000))
    ("'1_0'", 43)
    """
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _option(name: str, help: str, metavar: str, read: Callable[[str], Number], advice: str) -> Any:
    def parse(given: str | Number) -> Number:
        if not isinstance(given, str):  # a default
            return given
        try:
            return read(given)
        except ValueError:
            # Not an `InputError`, which is a `ValueError`: those are put into other words on the way.
            raise MetalibError(f"{name} is {shown(given)}; {advice}") from None

    return typer.Option(help=help, metavar=metavar, parser=parse)
