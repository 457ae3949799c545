"""Figures of section 5.1: the expansions, AvgGrad and AvgGradInner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from companion.expansion.remainders import COMPARED
from companion.style import BLACK, BLUE, GRAY, ORANGE, VERMILLION, figure


def remainders(table: pd.DataFrame, k: int) -> Figure:
    """Draw the remainder of both orders against α, one panel per problem, with lines of slope 1 and 2."""
    problems = list(table["problem"].unique())
    canvas, axes = figure(columns=len(problems), height=2.9, sharey=True)
    for place, problem in zip(axes, problems, strict=True):
        here = table[(table["problem"] == problem) & (table["k"] == k)]
        for name, method in COMPARED.items():
            look = method.look
            for order, fill in ((0, "white"), (1, look.color)):
                rows = here[(here["algorithm"] == name) & (here["order"] == order)]
                label = name if order else None
                place.loglog(
                    rows["alpha"], rows["relative"], color=look.color, linestyle=look.line,
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
        f"slope {slope}", (alpha[0], ends[0]), fontsize=7, ha="left", va="top", xytext=(8, 2),
        textcoords="offset points",
    )  # fmt: skip


def remainder_maps(
    maps: dict[str, pd.DataFrame], marks: Sequence[tuple[float, int, str]], lines: pd.DataFrame, used: float
) -> Figure:
    """Draw where the expansion breaks.

    Args:
        maps: title and table of `regime.remainder_map`, drawn as maps over (α, k).
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
            place.plot(x, y, "*", markersize=13, color="white", markeredgecolor=BLACK, label=label)
        place.set(title=title, xscale="log", xlabel=r"$\alpha$")
        place.yaxis.set_major_locator(MaxNLocator(integer=True))
        place.grid(False)
    axes[0].set_ylabel("inner steps $k$")
    canvas.legend(handles=axes[0].get_legend_handles_labels()[0], loc="lower right")
    bar = canvas.colorbar(shown, ax=axes[: len(maps)], location="bottom", aspect=40, pad=0.03)
    against = r"$\|$remainder$\|$ / $\|$Hessian term$\|$"
    bar.set_label(against)
    last = axes[-1]
    for (k_value, rows), color, line, marker in zip(
        lines.groupby("k"), (BLUE, ORANGE), ("-", "--"), ("o", "s"), strict=False
    ):
        last.loglog(
            rows["alpha"],
            rows["against_term"],
            color=color,
            linestyle=line,
            marker=marker,
            label=f"k = {k_value}",
        )
    last.axvline(used, color=VERMILLION, linestyle=":", label=rf"$\alpha$ = {used:g}")
    last.axhline(1.0, color=GRAY, linewidth=0.8)
    last.set(title="Omniglot network", xlabel=r"$\alpha$ (loss: sum)", ylabel=against, ylim=(0.3, 60))
    last.legend(fontsize=7, loc="upper left", frameon=True)
    return canvas


def kinks(smooth: pd.DataFrame, kinked: pd.DataFrame) -> Figure:
    """Draw the remainder draw by draw and on average, for tanh and ReLU."""
    canvas, (left, right) = figure(columns=2, height=2.8)
    for table, label, color, line, marker in (
        (smooth, "tanh", BLUE, "-", "o"),
        (kinked, "ReLU", VERMILLION, "--", "s"),
    ):
        for place, column in ((left, "median relative"), (right, "mean against term")):
            place.loglog(
                table["alpha"], table[column], color=color, linestyle=line, marker=marker, label=label
            )
        low, high = (
            (table["mean against term"] + sign * table["noise"]).clip(lower=1e-4) for sign in (-1, 1)
        )
        right.fill_between(table["alpha"], low, high, color=color, alpha=0.2, linewidth=0)
    left.set(title="typical draw", xlabel=r"$\alpha$", ylabel=r"median $\|$remainder$\|$ / $\|g_2\|$")
    right.set(
        title="average over draws",
        xlabel=r"$\alpha$",
        ylabel=r"$\|E\,$remainder$\|$ / $\|\alpha\,E\,\bar H_2\bar g_1\|$",
    )
    left.legend()
    return canvas
