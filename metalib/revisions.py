"""Revisions of the code that decides numbers, so that what other code has made is known as such.

Whoever changes code so that the same configuration gives other numbers, beyond roundoff, raises the number
of that code by one. `tests/companion/test_revisions.py` compares numbers with golden ones, and asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

REVISIONS = {"training": 1, "ClassPool": 1, "FewShot": 1, "Sine": 1}
"""Of training, and of whatever configurations name as a `kind`; packages that bring more add them. What was
made before there were revisions is of revision 1."""


def revisions_of(config: Any, always: tuple[str, ...] = ("training",)) -> dict[str, int]:
    """Return the present revisions of the code that decides what a configuration gives.

    >>> revisions_of({"family": {"kind": "Sine", "batch": 10}})
    {'training': 1, 'Sine': 1}

    Args:
        config: anything that JSON can hold; it names code as the `kind` of a mapping, at any depth. The
            `facts` of a unit name none.
        always: names of code that decides whatever the configuration says.
    """
    return {name: REVISIONS.get(name, 1) for name in dict.fromkeys([*always, *sorted(set(_kinds(config)))])}


def _kinds(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(config.get("kind"), str):
            yield config["kind"]
        config = [part for name, part in config.items() if name != "facts"]
    if isinstance(config, list | tuple):
        for part in config:
            yield from _kinds(part)
