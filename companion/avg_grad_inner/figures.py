"""Figures of section 5.1: AvgGrad and AvgGradInner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from companion.expansion.remainders import COMPARED
from companion.style import BLACK, BLUE, GRAY, LOOKS, ORANGE, VERMILLION, figure


def coefficients(table: pd.DataFrame, convergence: pd.DataFrame) -> Figure:
    """Draw recovered coefficients against k with the predictions, their ratio, and the error against α."""
    canvas, (left, middle, right) = figure(columns=3, height=2.8)
    for name, method in COMPARED.items():
        look = method.look
        rows = table[table["method"] == name].sort_values("k")
        points: dict[str, Any] = {"color": look.color, "marker": look.marker, "linestyle": "", "label": name}
        left.plot(rows["k"], rows["inner"], **points)
        left.plot(rows["k"], rows["inner predicted"], color=look.color, linestyle=look.line, linewidth=1)
        middle.plot(rows["k"], rows["inner"] / rows["avg_grad"], **points)
        predicted = rows["inner predicted"] / rows["avg_grad predicted"]
        middle.plot(rows["k"], predicted, color=look.color, linestyle=look.line, linewidth=1)
        rows = convergence[convergence["method"] == name]
        error = (rows["inner"] / rows["inner predicted"] - 1).abs()
        right.loglog(rows["alpha"], error, color=look.color, marker=look.marker, linestyle=look.line)
    left.set(title=r"coefficient of $-\alpha\,$AvgGradInner", xlabel="inner steps $k$")
    middle.set(title=r"ratio to AvgGrad, over $\alpha$", xlabel="inner steps $k$")
    right.set(title=f"relative error, k = {convergence['k'].iloc[0]}", xlabel=r"$\alpha$")
    left.legend(fontsize=7)
    return canvas


def curves_of_figure_3(table: pd.DataFrame) -> Figure:
    """Draw the ratio of the two coefficients for the ten curves of the paper's Fig. 3."""
    canvas, (axes,) = figure(height=2.9)
    ratio = table["inner"] / table["avg_grad"]
    predicted = table["inner predicted"] / table["avg_grad predicted"]
    place = np.arange(len(table))
    axes.plot(predicted, place, "o", markersize=10, markerfacecolor="none", color=GRAY, label="predicted")
    axes.plot(ratio, place, "D", markersize=4, color=BLUE, label="recovered from E[g]")
    axes.set_yticks(place, list(table["method"]))
    axes.invert_yaxis()
    axes.set_xlabel(r"weight of $-\alpha\,$AvgGradInner against AvgGrad")
    axes.legend()
    return canvas


def training(reptile: pd.DataFrame, joint: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Draw what Reptile's update is made of, the gradient inner product, and what moves it.

    Args:
        reptile: `training.through_training` of the Reptile run.
        joint: the same of the joint run.
        steps: a row per iteration with the relative changes `plus`, `minus`, `random low`, `random high`.
    """
    canvas, (left, middle, right) = figure(columns=3, height=3.0)
    left.plot(
        reptile["iteration"],
        reptile["cos avg_grad"],
        color=ORANGE,
        linestyle="--",
        marker="s",
        label="AvgGrad",
    )
    left.plot(
        reptile["iteration"],
        reptile["cos inner"],
        color=BLUE,
        linestyle="-",
        marker="o",
        label=r"$-$AvgGradInner",
    )
    left.axhline(0, color=GRAY, linewidth=0.8)
    left.set(title="cosine of the update with", ylim=(-1, 1.1))
    left.legend(loc="lower right", fontsize=7)
    for table, name in ((reptile, "reptile"), (joint, "joint")):
        look = LOOKS[name]
        middle.plot(
            table["iteration"], table["inner product"], color=look.color, linestyle=look.line,
            marker=look.marker, label=look.label,
        )  # fmt: skip
    middle.set_title(r"$E[\bar g_1\cdot\bar g_2]$")
    middle.set_yscale("symlog", linthresh=0.1)
    middle.legend(fontsize=7)
    for column, color, line, marker, label in (
        ("plus", VERMILLION, ":", "^", "+AvgGradInner"),
        ("minus", BLUE, "-", "o", r"$-$AvgGradInner"),
    ):
        change = 100 * steps[column]
        right.plot(steps["iteration"], change, color=color, linestyle=line, marker=marker, label=label)
    low, high = 100 * steps["random low"], 100 * steps["random high"]
    right.fill_between(steps["iteration"], low, high, color=BLACK, alpha=0.4, label="random")
    right.set(title="its change by a step (%)", ylim=(-8.5, 11.5))
    right.legend(fontsize=7, loc="upper right")
    for place in (left, middle, right):
        place.set_xscale("symlog", linthresh=3)
        place.set_xlim(-0.5, 1.5 * steps["iteration"].max())
        place.set_xticks([0, 3, 30, 300], ["0", "3", "30", "300"])
        place.xaxis.set_minor_locator(NullLocator())
        place.set_xlabel("outer iteration")
    return canvas
