"""Figures of section 5.1: the expansions, AvgGrad and AvgGradInner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from metalib.plotting.style import BLACK, BLUE, GREY, METHODS, ORANGE, VERMILLION, figure

LOOKS = {"MAML": METHODS["maml"], "FOMAML": METHODS["fomaml"], "Reptile": METHODS["reptile"]}


def remainders(table: pd.DataFrame, k: int) -> Figure:
    """Draw the remainder of both orders against α, one panel per problem, with lines of slope 1 and 2."""
    problems = list(table["problem"].unique())
    canvas, axes = figure(columns=len(problems), height=2.9, sharey=True)
    for place, problem in zip(axes, problems, strict=True):
        here = table[(table["problem"] == problem) & (table["k"] == k)]
        for name, look in LOOKS.items():
            for order, fill in ((0, "white"), (1, look.colour)):
                rows = here[(here["algorithm"] == name) & (here["order"] == order)]
                label = name if order else None
                place.loglog(
                    rows["alpha"], rows["relative"], color=look.colour, linestyle=look.line,
                    marker=look.marker, markerfacecolor=fill, label=label,
                )  # fmt: skip
        for order in (0, 1):
            _guide(place, here[here["order"] == order], order + 1)
        place.set(title=f"{problem}, k = {k}", xlabel=r"inner step size $\alpha$")
        place.xaxis.set_minor_locator(NullLocator())
    axes[0].set_ylabel(r"$\|g - \mathrm{expansion}\| \; / \; \|g\|$")
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return canvas


def _guide(place: Axes, rows: pd.DataFrame, slope: int) -> None:
    """Draw a thin line of the given slope below the points, and name it."""
    alpha = np.array([rows["alpha"].min(), rows["alpha"].max()])
    at_end = rows[rows["alpha"] == rows["alpha"].max()]["relative"].min()
    ends = 0.35 * at_end * (alpha / alpha[1]) ** slope
    place.loglog(alpha, ends, color=BLACK, linewidth=0.8)
    place.annotate(
        f"slope {slope}", (alpha[1], ends[1]), fontsize=7, ha="right", va="top", xytext=(2, -5),
        textcoords="offset points",
    )  # fmt: skip


def remainder_maps(
    maps: dict[str, pd.DataFrame], marks: Sequence[tuple[float, int, str]], lines: pd.DataFrame, used: float
) -> Figure:
    """Draw where the expansion breaks.

    Args:
        maps: title and table of `theory_regime.remainder_map`, drawn as maps over (α, k).
        marks: (α, k, label) of training settings on these maps.
        lines: one more such table, drawn against α, one line per k.
        used: the α to mark there.
    """
    canvas, axes = figure(columns=len(maps) + 1, height=2.9)
    for place, (title, table) in zip(axes, maps.items(), strict=False):
        grid = table.groupby(["k", "alpha"])["against_term"].median().unstack("alpha")
        alpha, k = grid.columns.to_numpy(), grid.index.to_numpy()
        shown = place.pcolormesh(
            alpha, k, grid.to_numpy(), norm=LogNorm(1e-3, 10.0), cmap="cividis", shading="nearest"
        )
        levels = place.contour(
            alpha, k, grid.to_numpy(), levels=[0.1, 0.5, 1.0], colors=BLACK, linestyles=["-", "--", ":"]
        )
        place.clabel(levels, fmt="%g", fontsize=7)
        for x, y, label in marks:
            place.plot(x, y, "*", markersize=13, color="white", markeredgecolor=BLACK)
            place.annotate(
                label, (x, y), fontsize=7, color="white", ha="right", va="center", xytext=(-9, 0),
                textcoords="offset points",
                bbox={"facecolor": BLACK, "alpha": 0.6, "linewidth": 0, "pad": 1.5},
            )  # fmt: skip
        place.set(title=title, xscale="log", xlabel=r"$\alpha$")
        place.yaxis.set_major_locator(MaxNLocator(integer=True))
        place.grid(False)
    axes[0].set_ylabel("inner steps $k$")
    bar = canvas.colorbar(shown, ax=axes[: len(maps)], location="bottom", aspect=40, pad=0.03)
    bar.set_label(r"$\|$remainder$\|$ / $\|$Hessian term$\|$")
    last = axes[-1]
    for (k_value, rows), colour, line, marker in zip(
        lines.groupby("k"), (BLUE, ORANGE), ("-", "--"), ("o", "s"), strict=False
    ):
        last.loglog(
            rows["alpha"],
            rows["against_term"],
            color=colour,
            linestyle=line,
            marker=marker,
            label=f"k = {k_value}",
        )
    last.axvline(used, color=VERMILLION, linestyle=":", label=rf"$\alpha$ = {used:g}")
    last.axhline(1.0, color=GREY, linewidth=0.8)
    last.set(title="Omniglot network", xlabel=r"$\alpha$ (loss: sum)", ylim=(0.3, 60))
    last.legend(fontsize=7, loc="upper left", frameon=True)
    return canvas


def kinks(smooth: pd.DataFrame, kinked: pd.DataFrame) -> Figure:
    """Draw the remainder draw by draw and on average, for tanh and ReLU."""
    canvas, (left, right) = figure(columns=2, height=2.8)
    for table, label, colour, line, marker in (
        (smooth, "tanh", BLUE, "-", "o"),
        (kinked, "ReLU", VERMILLION, "--", "s"),
    ):
        for place, column in ((left, "median relative"), (right, "mean against term")):
            place.loglog(
                table["alpha"], table[column], color=colour, linestyle=line, marker=marker, label=label
            )
        low, high = (
            (table["mean against term"] + sign * table["noise"]).clip(lower=1e-4) for sign in (-1, 1)
        )
        right.fill_between(table["alpha"], low, high, color=colour, alpha=0.2, linewidth=0)
    left.set(title="typical draw", xlabel=r"$\alpha$", ylabel=r"median $\|$remainder$\|$ / $\|g_2\|$")
    right.set(
        title="average over draws",
        xlabel=r"$\alpha$",
        ylabel=r"$\|E\,$remainder$\|$ / $\|\alpha\,E\,\bar H_2\bar g_1\|$",
    )
    left.legend()
    return canvas


def coefficients(table: pd.DataFrame, convergence: pd.DataFrame) -> Figure:
    """Draw recovered coefficients against k with the predictions, their ratio, and the error against α."""
    canvas, (left, middle, right) = figure(columns=3, height=2.8)
    for name, look in LOOKS.items():
        rows = table[table["method"] == name].sort_values("k")
        points: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": "", "label": name}
        left.plot(rows["k"], rows["inner"], **points)
        left.plot(rows["k"], rows["inner predicted"], color=look.colour, linestyle=look.line, linewidth=1)
        middle.plot(rows["k"], rows["inner"] / rows["avg_grad"], **points)
        predicted = rows["inner predicted"] / rows["avg_grad predicted"]
        middle.plot(rows["k"], predicted, color=look.colour, linestyle=look.line, linewidth=1)
        rows = convergence[convergence["method"] == name]
        error = (rows["inner"] / rows["inner predicted"] - 1).abs()
        right.loglog(rows["alpha"], error, color=look.colour, marker=look.marker, linestyle=look.line)
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
    axes.plot(predicted, place, "o", markersize=10, markerfacecolor="none", color=GREY, label="predicted")
    axes.plot(ratio, place, "D", markersize=4, color=BLUE, label="recovered from E[g]")
    axes.set_yticks(place, list(table["method"]))
    axes.invert_yaxis()
    axes.set_xlabel(r"weight of $-\alpha\,$AvgGradInner against AvgGrad")
    axes.legend()
    return canvas


def training(reptile: pd.DataFrame, joint: pd.DataFrame, steps: pd.DataFrame) -> Figure:
    """Draw what Reptile's update is made of, the gradient inner product, and what moves it.

    Args:
        reptile: `theory_training.through_training` of the Reptile run.
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
    left.axhline(0, color=GREY, linewidth=0.8)
    left.set(title="cosine of the update with", ylim=(-1, 1.1))
    left.legend(loc="lower right", fontsize=7)
    for table, name in ((reptile, "reptile"), (joint, "joint")):
        look = METHODS[name]
        middle.plot(
            table["iteration"], table["inner product"], color=look.colour, linestyle=look.line,
            marker=look.marker, label=look.label,
        )  # fmt: skip
    middle.set_title(r"$E[\bar g_1\cdot\bar g_2]$")
    middle.set_yscale("symlog", linthresh=0.1)
    middle.legend(fontsize=7)
    right.plot(steps["iteration"], steps["plus"], color=BLUE, marker="o", label="+AvgGradInner")
    right.plot(
        steps["iteration"],
        steps["minus"],
        color=VERMILLION,
        linestyle="--",
        marker="s",
        label=r"$-$AvgGradInner",
    )
    right.fill_between(
        steps["iteration"], steps["random low"], steps["random high"], color=BLACK, alpha=0.4, label="random"
    )
    right.set(title="its change by a step", ylim=(-0.085, 0.115))
    right.legend(fontsize=7, loc="upper right")
    for place in (left, middle, right):
        place.set_xscale("symlog", linthresh=3)
        place.set_xlim(-0.5, 1500)
        place.set_xticks([0, 3, 30, 300], ["0", "3", "30", "300"])
        place.xaxis.set_minor_locator(NullLocator())
        place.set_xlabel("outer iteration")
    return canvas
