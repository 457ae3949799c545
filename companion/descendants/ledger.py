"""The page's table: what a descendant has of Reptile, what it changes, and how the two compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from companion.descendants import averages, gradients
from companion.descendants.found import Found


@dataclass(frozen=True)
class Descendant:
    """A row of the table.

    Attributes:
        name: what it is called; several that share a check share a row.
        kept: what is Reptile's.
        changed: what is changed.
        check: measures how the two compare, on problems that a seed decides.
    """

    name: str
    kept: str
    changed: str
    check: Callable[[int], Found]


DESCENDANTS = (
    Descendant("Lookahead", "both loops", "one task: the whole data set", averages.lookahead),
    Descendant("SimuParallelSGD", "Eq. 5", "ε = 1, a single outer step", averages.parallel_sgd),
    Descendant("FedAvg", "Eq. 5", "ε = 1, clients drawn by their data", averages.federated_averaging),
    Descendant("local SGD", "Eq. 5", "ε = 1, workers share one distribution", averages.local_sgd),
    Descendant("DiLoCo", "Eq. 5", "AdamW inside, Nesterov outside", averages.diloco),
    Descendant("SWA", "the inner loop", "gradients weighted (k − i + 1) / k", averages.averaged_iterates),
    Descendant("model soups", "Eq. 5", "ε = 1, one outer step, k to the end", averages.soup),
    Descendant("Meta-SGD, ANIL, BOIL", "the inner loop", "a step size per weight", gradients.step_sizes),
    Descendant("implicit regularizer", "AvgGradInner", "seen as a penalty", gradients.implicit_regularizer),
    Descendant("Fish", "both loops", "a domain per inner step", gradients.fish),
    Descendant("iMAML", "φ − φ̃, if φ̃ is exact", "times (I + L''/λ)⁻¹", gradients.implicit_maml),
)
"""The descendants in the order of the page."""


def measure(seed: int = 0) -> dict[str, Found]:
    """Return what every check finds, by the name of the row.

    Args:
        seed: decides minibatches and weights of all problems.
    """
    return {descendant.name: descendant.check(seed) for descendant in DESCENDANTS}


def table(found: Mapping[str, Found]) -> str:
    """Return the rows as a Markdown table.

    Args:
        found: what `measure` returned.
    """
    rows = [f"| {d.name} | {d.kept} | {d.changed} | {found[d.name].brief} |" for d in DESCENDANTS]
    return "\n".join(["| descendant | Reptile's | changed | compared |", "|:--|:--|:--|:--|", *rows])


def comparisons(found: Mapping[str, Found], *names: str) -> pd.DataFrame:
    """Return every comparison of some rows, and how it ended.

    Args:
        found: what `measure` returned.
        names: the rows, in the order in which they are to be shown.
    """
    rows = [row for name in names for row in found[name].rows]
    return pd.DataFrame(rows, columns=["compared", "found"])
