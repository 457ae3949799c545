"""Revisions of the code that decides numbers, so that what other code has made is known as such.

Whoever changes code so that the same configuration gives other numbers, beyond roundoff, raises the number
of that code by one. `tests/companion/test_revisions.py` compares numbers with golden ones, and asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

REVISIONS = {"training": 1, "ClassPool": 1, "FewShot": 1, "Sine": 1}
"""Of training, and of whatever configurations name as a `kind`. What is not listed is of revision 1, and so
is what was made before there were revisions. Packages that bring more add theirs."""


def revisions_of(config: Any, always: tuple[str, ...] = ("training",)) -> dict[str, int]:
    """Return the revisions of the code that a configuration names as a `kind` at any depth, `facts` aside.

    >>> revisions_of({"family": {"kind": "Sine", "batch": 10}})
    {'training': 1, 'Sine': 1}
    """
    return {name: REVISIONS.get(name, 1) for name in dict.fromkeys([*always, *sorted(set(_kinds(config)))])}


def _kinds(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(config.get("kind"), str):
            yield config["kind"]
        config = [part for name, part in config.items() if name != "facts"]
    for part in config if isinstance(config, list | tuple) else ():
        yield from _kinds(part)
