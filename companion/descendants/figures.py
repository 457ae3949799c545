"""Figures of the page on Reptile's descendants: the family tree, and which layers move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion.descendants.moving_layers import LAYERS, REUSED
from companion.descendants.summaries import costs, similarity
from companion.style import BLACK, GRAY, LOOKS, figure

STEM, BRANCH, LEAF = 0.255, 0.285, 0.575
"""Where, from left to right, the trunk, the branches and the leaves begin."""


@dataclass(frozen=True)
class Leaf:
    """A descendant in the tree.

    Attributes:
        name: what it is called, with the year of its publication.
        exact: whether it equals Reptile once the branch and its own note are granted.
        note: what else is changed.
    """

    name: str
    exact: bool
    note: str


TREE = {
    "one task": (
        Leaf("Lookahead 2019", True, "the task is the whole data set"),
        Leaf("Fish 2022", True, "each inner step on another domain"),
    ),
    "workers as tasks, ε = 1": (
        Leaf("SimuParallelSGD 2010", True, "a single outer step"),
        Leaf("FedAvg 2017", True, "clients drawn in proportion to their data"),
        Leaf("local SGD 2019", True, "all workers see one distribution"),
        Leaf("model soups 2022", True, "a single outer step, many inner ones"),
    ),
    "other optimizers": (Leaf("DiLoCo 2023", True, "AdamW inside, Nesterov momentum outside"),),
    "other weights of $g_i$": (Leaf("SWA 2018", True, "$c_i = (k-i+1)/k$ instead of 1"),),
    "same $\\alpha^2$ term": (Leaf("implicit regularizer 2021", True, "AvgGradInner, by another road"),),
    "a step size per weight": (
        Leaf("Meta-SGD 2017", False, "learned, by MAML's gradient"),
        Leaf("ANIL 2020", False, "0 in the body, MAML's gradient"),
        Leaf("BOIL 2021", False, "0 in the head, MAML's gradient"),
    ),
    "inner problem solved": (Leaf("iMAML 2019", False, "times the inverse of $I + L''/\\lambda$"),),
}
"""The family, by what is changed. Reptile and its update are the trunk."""
TRUNK = (
    "Reptile 2018\n\n$\\phi \\leftarrow \\phi - \\varepsilon\\,\\frac{1}{n}\\sum_i(\\phi-\\tilde\\phi_i)$"
    "\n$\\tilde\\phi_i = U_i^k(\\phi)$"
)


def tree() -> Figure:
    """Draw the family tree: the trunk is Reptile's update, a branch is what is changed in it."""
    leaves = sum(map(len, TREE.values()))
    canvas, (axes,) = figure(height=0.27 * leaves + 0.4)
    axes.set(xlim=(0, 1), ylim=(leaves - 0.3, -1.4))
    axes.axis("off")
    first, middles = 0, []
    for branch, members in TREE.items():
        rows = np.arange(first, first + len(members))
        middles.append(rows.mean())
        _draw_branch(axes, branch, members, rows)
        first += len(members)
    axes.plot([STEM, STEM], [middles[0], middles[-1]], color=BLACK, linewidth=2.5)
    middle = (leaves - 1) / 2
    axes.plot([STEM - 0.03, STEM], [middle, middle], color=BLACK, linewidth=2.5)
    box = {"boxstyle": "round,pad=0.5", "fc": "white", "ec": BLACK, "lw": 1.5}
    axes.text(0.11, middle, TRUNK, ha="center", va="center", fontsize=9, bbox=box)
    for place, exact, text in (
        (BRANCH, True, "equal to roundoff"),
        (LEAF, False, "differs in a known way"),
    ):
        _draw_end(axes, place + 0.01, -1.0, exact)
        axes.text(place + 0.03, -1.0, text, va="center", fontsize=8)
    return canvas


def _draw_branch(axes: Axes, branch: str, members: tuple[Leaf, ...], rows: np.ndarray) -> None:
    middle, fork = rows.mean(), LEAF - 0.03
    axes.plot([STEM, fork], [middle, middle], color=BLACK, linewidth=1.2)
    axes.text(BRANCH, middle - 0.1, branch, va="bottom", fontsize=8)
    axes.plot([fork, fork], [rows[0], rows[-1]], color=BLACK, linewidth=1.2)
    for leaf, place in zip(members, rows, strict=True):
        line = "-" if leaf.exact else ":"
        axes.plot([fork, LEAF], [place, place], color=BLACK, linewidth=1.2, linestyle=line)
        _draw_end(axes, LEAF, place, leaf.exact)
        axes.text(LEAF + 0.02, place - 0.04, leaf.name, va="center", fontsize=8, weight="bold")
        axes.text(LEAF + 0.02, place + 0.37, leaf.note, va="center", fontsize=7, color="0.2")


def _draw_end(axes: Axes, x: float, y: float, exact: bool) -> None:
    axes.plot(x, y, "o", markersize=6, color=BLACK, markerfacecolor=BLACK if exact else "white")


def movement(accuracy: pd.DataFrame, layers: pd.DataFrame) -> Figure:
    """Draw what freezing a part costs, and how alike every layer's features are before and after adapting.

    Args:
        accuracy: the table of that name of `moving_layers.MOVING_LAYERS`.
        layers: the table of that name.
    """
    canvas, (left, right) = figure(columns=2, height=2.7, gridspec_kw={"width_ratios": [2, 3]})
    cost, alike = costs(accuracy), similarity(layers)
    for offset, (name, rows) in zip((-0.08, 0.08), cost.groupby("method", sort=False), strict=False):
        look = LOOKS[str(name)]
        place = np.arange(len(rows)) + offset
        errors = (rows["mean"] - rows.low, rows.high - rows["mean"])
        left.errorbar(
            place, rows["mean"], yerr=errors, color=look.color, marker=look.marker, linestyle="none",
            capsize=3, label=look.label,
        )  # fmt: skip
        own = alike[alike.method == name]
        errors = (own["mean"] - own.low, own.high - own["mean"])
        right.errorbar(
            np.arange(len(LAYERS)) + offset, own["mean"], yerr=errors, color=look.color, marker=look.marker,
            linestyle=look.line, capsize=3, label=look.label,
        )  # fmt: skip
    left.axhline(0, color=GRAY, linewidth=0.8)
    left.set_xticks(range(2), [f"{part} frozen" for part in cost.frozen.unique()])
    left.set(xlim=(-0.5, 1.5), ylabel="accuracy lost (points)")
    left.legend()
    right.axhline(REUSED, color=GRAY, linewidth=0.8, linestyle="--")
    right.set_xticks(range(len(LAYERS)), LAYERS)
    right.set(ylim=(0, 1.05), ylabel="CKA, before and after adapting")
    return canvas
