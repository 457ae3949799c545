"""Figures of the sine case study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from companion.results import Result
from companion.sine.one_at_a_time import CHANGES
from companion.sine.settings import DEMO, NAMES, SPACE
from companion.sine.tuning import MARGIN, SYMBOLS, effect
from companion.style import (
    BLACK,
    BLUE,
    CYCLE,
    GRAY,
    LINES,
    LOOKS,
    MARKERS,
    ORANGE,
    SKY,
    VERMILLION,
    figure,
    move_aside,
)
from metalib.tasks.sine import SineTasks, SupportSet, grid, zero_function_error

if TYPE_CHECKING:
    from jaxtyping import Float

READERS = {"tanh": "tanh", "relu": "ReLU", "interpolate": "interpolation", "adam": "Adam"}
"""What readers call the units of a network and what its outer step is taken with."""


def tasks(waves: SineTasks, shown: int = 4) -> Figure:
    """Draw a few sine waves, and how their average vanishes as more are averaged."""
    canvas, (left, right) = figure(columns=2)
    x = np.broadcast_to(grid(), (len(waves.amplitude), len(grid())))
    curves = waves(x)
    for curve, color, line in zip(curves[:shown], CYCLE, LINES, strict=False):
        left.plot(grid(), curve, color=color, linestyle=line)
    left.set(title=f"{shown} tasks", xlabel="$x$", ylabel=r"$f_\tau(x)$")
    for count, color, line in zip((1, 10, 100, len(curves)), (SKY, BLUE, GRAY, BLACK), LINES, strict=False):
        right.plot(grid(), curves[:count].mean(0), color=color, linestyle=line, label=f"{count:,}")
    right.set(title="average of $n$ tasks", xlabel="$x$", ylabel="mean of $f_\\tau(x)$")
    right.margins(y=0.5)
    right.legend(title="$n$", ncols=4, loc="upper center", columnspacing=1.0, handlelength=1.8)
    return canvas


def training(history: pd.DataFrame) -> Figure:
    """Draw the loss before and after the inner loop through training, and the floor of joint training."""
    canvas, (left, right) = figure(columns=2, sharey=True)
    for axes, column, title in (
        (left, "loss_before", r"before adapting, $L_1(\phi_1)$"),
        (right, "loss_after", r"at the last inner step, $L_k(\phi_k)$"),
    ):
        for algorithm, run in history.groupby("algorithm", sort=False):
            look = LOOKS[str(algorithm)]
            smooth = run[column].rolling(10, min_periods=1).mean()
            axes.plot(run.iteration, smooth, color=look.color, linestyle=look.line, label=look.label)
        _floor(axes)
        axes.set(title=title, xlabel="outer iteration", ylim=(0, 6))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=4)
    left.set_ylabel("mean squared error")
    right.legend()
    return canvas


def learned_curves(
    curves: dict[str, Float[np.ndarray, "steps 50"]], after: Sequence[int], support: SupportSet, task: int
) -> Figure:
    """Draw Fig. 1: what each initialization predicts before and after adapting to one task.

    Args:
        curves: per method, the curve after each number of steps in `after`.
        after: numbers of gradient steps.
        support: the evaluation tasks.
        task: which of them the curves belong to.
    """
    canvas, axes = figure(rows=2, columns=3, height=2.3, sharex=True, sharey=True)
    truth = support.tasks(np.broadcast_to(grid(), (len(support.x), len(grid()))))[task]
    shades = np.linspace(0.78, 0.0, len(after))
    for place, (method, lines) in zip(axes, curves.items(), strict=False):
        place.plot(grid(), truth, color=BLUE, linewidth=4, alpha=0.35, label="true curve")
        for curve, steps, shade, line in zip(lines, after, shades, (":", "-.", "--", "-"), strict=True):
            name = f"after {steps} step{'s' * (steps > 1)}" if steps else "before"
            place.plot(grid(), curve, color=str(shade), linestyle=line, label=name)
        place.plot(support.x[task], support.y[task], "o", color="#D55E00", label="points seen", zorder=5)
        place.set_title(LOOKS[method].label)
    for place in axes[3:]:
        place.set_xlabel("$x$")
    for place in axes[::3]:
        place.set_ylabel("$y$")
    axes[-1].axis("off")
    axes[2].tick_params(labelbottom=True)
    axes[2].set_xlabel("$x$")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), loc="center")
    return canvas


def adaptation(summary: pd.DataFrame, zero_function: float, error: str = "mean squared error") -> Figure:
    """Draw the error after 0 … 32 gradient steps, one panel per unit, mean and interval over seeds.

    A curve ends where the first of its runs is no longer finite.

    Args:
        summary: as `summaries.by_step` or `summaries.beyond_by_step` returns it.
        zero_function: the same of f ≡ 0 on the same tasks, which is drawn beside it.
        error: what it holds the mean of.
    """
    units = list(summary.unit.unique())
    canvas, axes = figure(rows=(len(units) + 1) // 2, columns=2, height=2.3, sharex=True, sharey=True)
    for place, unit in zip(axes, units, strict=False):
        finite = summary[(summary.unit == unit) & (summary.diverged == 0)]
        for algorithm, curve in finite.groupby("algorithm", sort=False):
            look = LOOKS[str(algorithm)]
            place.plot(
                curve.step, curve["mean"], color=look.color, linestyle=look.line, marker=look.marker,
                markevery=8, label=look.label,
            )  # fmt: skip
            place.fill_between(curve.step, curve.low, curve.high, color=look.color, alpha=0.2, linewidth=0)
        _floor(place, zero_function)
        facts = summary[summary.unit == unit].iloc[0]
        activation, outer = (READERS[str(fact)] for fact in (facts.activation, facts.outer))
        place.set(title=f"{activation}, outer step: {outer}", yscale="log", ylim=(0.02, 300))
    for place in axes[-2:]:
        place.set_xlabel("gradient steps")
    for place in axes[::2]:
        place.set_ylabel(error)
    axes[0].legend(fontsize=7, ncols=2)
    return canvas


def inner_steps(summary: pd.DataFrame, zero_function: float) -> Figure:
    """Draw the error after 10 gradient steps against Reptile's k, for both ways to choose ε.

    Args:
        summary: as `summaries.by_inner_steps` returns it.
        zero_function: the error of f ≡ 0 on the same tasks.
    """
    canvas, (axes,) = figure(height=2.8)
    looks = {"ε = 0.1": (BLUE, "-", "o", -2), "ε = 0.5 / k": (ORANGE, "--", "s", 2)}
    for rule, curve in summary.groupby("rule", sort=False):
        color, line, marker, shift = looks[str(rule)]
        drawn = axes.errorbar(
            curve.steps, curve["mean"], yerr=(curve["mean"] - curve.low, curve.high - curve["mean"]),
            color=color, linestyle=line, marker=marker, capsize=3, label=str(rule),
        )  # fmt: skip
        move_aside(canvas, drawn.get_children(), shift)
    _floor(axes, zero_function)
    axes.set(
        xlabel="inner steps $k$ in training", ylabel="mean squared error\nafter 10 gradient steps",
        yscale="log", xticks=sorted(summary.steps.unique()),
    )  # fmt: skip
    axes.legend()
    return canvas


def _floor(axes: Axes, error: float = zero_function_error()) -> None:
    axes.axhline(error, color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)), label="zero function")


def search(candidates: pd.DataFrame, chosen: pd.DataFrame) -> Figure:
    """Draw the path of every search, and the settings that it found, beside the demo's.

    Args:
        candidates: as `tuning.candidates` returns them. Those that err 10 times as much as the demo's
            settings, or diverge, lie on the upper edge.
        chosen: as `tuning.chosen` returns them.
    """
    canvas, (path, places) = figure(columns=2, height=3.0)
    searches = list(chosen.index)
    shift = {one: (i - (len(searches) - 1) / 2) * 0.12 for i, one in enumerate(searches)}
    path.scatter(
        candidates.generation + candidates.search.map(shift), candidates.ratio.clip(upper=10.0),
        s=5, color=GRAY, label="candidate", rasterized=True,
    )  # fmt: skip
    for i, one in enumerate(searches):
        best = candidates[candidates.search == one].groupby("generation").best.first()
        path.plot(
            best.index + shift[one], best, drawstyle="steps-post", color=CYCLE[i % 5], linestyle=LINES[i % 5],
            marker=MARKERS[i % 5],
        )  # fmt: skip
        places.plot(
            [SPACE[name].place(chosen.loc[one, name]) for name in NAMES],
            [row + shift[one] for row in range(len(NAMES))],
            linestyle="", marker=MARKERS[i % 5], color=CYCLE[i % 5], label=f"search {one}",
        )  # fmt: skip
    path.plot([], [], color=GRAY, drawstyle="steps-post", label="best so far of each search")
    path.axhline(1.0, color=BLACK, linewidth=1.2, linestyle=(0, (1, 1)), label="demo's settings")
    path.set(
        xlabel="generation", ylabel="validation error /\nthat of the demo's settings",
        yscale="log", ylim=(None, 11.0), title="candidates",
    )  # fmt: skip
    path.minorticks_off()
    path.legend(fontsize=6, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    for row, name in enumerate(NAMES):
        own = SPACE[name].place(getattr(DEMO, name))
        places.plot(
            [own, own], [row - 0.4, row + 0.4], color=BLACK, linewidth=2.5, solid_capstyle="butt",
            label="demo's" if row == 0 else None,
        )  # fmt: skip
    titles = [f"{SYMBOLS[name]}\n{SPACE[name].low:g} to {SPACE[name].high:g}" for name in NAMES]
    places.set(
        yticks=range(len(NAMES)), yticklabels=titles, xlim=(-0.05, 1.05), ylim=(len(NAMES) - 0.4, -0.6),
        xlabel="place in the range, logarithmic", title="settings found",
    )  # fmt: skip
    places.legend(fontsize=6, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    return canvas


def one_at_a_time(short: Result, long: Result) -> Figure:
    """Draw by what halving and doubling every setting multiplies the error, in short and in long runs."""
    canvas, (axes,) = figure(height=3.4)
    rows = [(name, value) for name, values in CHANGES.items() for value in values]
    looks = ((short, BLUE, "o", -0.14), (long, VERMILLION, "s", 0.14))
    axes.axvspan(*MARGIN, color="0.88", label=f"alike: {MARGIN[0]:g} to {MARGIN[1]:g}")
    axes.axvline(1.0, color=BLACK, linewidth=0.8)
    for one, color, marker, shift in looks:
        found = [effect(one, *row) for row in rows]
        middle = np.exp([each.mean for each in found])
        low, high = (np.exp([getattr(each, side) for each in found]) for side in ("low", "high"))
        axes.errorbar(
            middle, np.arange(len(rows)) + shift, xerr=(middle - low, high - middle), color=color,
            marker=marker, linestyle="", capsize=3,
            label=f"{one.provenance['config']['budget']['iterations']:,} iterations",
        )  # fmt: skip
    axes.set(
        xscale="log", yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.5),
        yticklabels=[f"{SYMBOLS[n]}: {getattr(DEMO, n):g} to {v:g}" for n, v in rows],
        xlabel="error after the change / error without it",
    )  # fmt: skip
    ticks = (0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return canvas
