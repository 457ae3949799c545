"""Figures of what each method costs, and of what that buys."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from companion.costs.experiment import KS
from companion.costs.summaries import Evidence
from companion.costs.ways import FOMAML, IMPLICIT, PRODUCTS, REPTILE, UNROLLED, WAYS
from companion.implicit.training import LOOK
from companion.intervals import interval
from companion.style import BLACK, LOOKS, figure, move_aside
from metalib.methods import Look

LOOK_OF = {
    UNROLLED: Look(UNROLLED, BLACK, "-", "X"),
    PRODUCTS: Look(PRODUCTS, LOOKS["maml"].color, LOOKS["maml"].line, LOOKS["maml"].marker),
    FOMAML: LOOKS["fomaml"],
    REPTILE: LOOKS["reptile"],
    IMPLICIT: LOOK,
}


def growth(evidence: Evidence, network: str, place: str) -> Figure:
    """Draw time, memory and noise of a meta-gradient against the number of inner steps.

    Args:
        evidence: the measurements.
        network: the one whose time and memory are drawn.
        place: where the noise was measured.
    """
    canvas, (time, memory, noise) = figure(columns=3, height=2.9)
    for method in WAYS:
        seconds = evidence.of(network, method, "seconds")
        _curve(time, method, seconds.index, seconds)
        held = evidence.of(network, method, "megabytes")
        _curve(memory, method, held.index, held)
    rows = evidence.noise[(evidence.noise.phi == place) & (evidence.noise.minibatches == "fresh")]
    for shift, method in zip((-3, -1, 1, 3), WAYS[1:], strict=True):
        # As in the table, a point that some seed has no signal at is none.
        needed = (
            rows[rows.method == method]
            .groupby("k")
            .tasks_needed.agg(lambda seeds: seeds.median(skipna=False))
        )
        move_aside(canvas, _curve(noise, method, needed.index, needed), shift)
    time.set(ylabel="processor seconds")
    memory.set(ylabel="peak memory (MB)")
    noise.set(ylabel="tasks until noise = signal")
    for axes in (time, memory, noise):
        axes.set(xlabel="inner steps $k$", xscale="log", yscale="log")
        ks = (1, 4, 16, 64)
        axes.set_xticks(ks, [str(k) for k in ks], minor=False)
        axes.set_xticks([], minor=True)
    canvas.legend(
        *time.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8, frameon=False
    )
    return canvas


def steps(evidence: Evidence) -> Figure:
    """Draw the error after training with 5, 10, 20 inner steps, on minibatches that return and fresh ones."""
    canvas, (axes,) = figure(height=2.7)
    shift = 0.94
    for name in ("maml", "reptile"):
        look = LOOKS[name]
        for minibatches, filled in (("returning", True), ("fresh", False)):
            found = [interval(evidence.errors(name, minibatches, k)) for k in KS]
            axes.errorbar(
                [k * shift for k in KS],
                [one.mean for one in found],
                yerr=[[one.mean - one.low for one in found], [one.high - one.mean for one in found]],
                color=look.color,
                linestyle="-" if filled else ":",
                marker=look.marker,
                markerfacecolor=look.color if filled else "white",
                capsize=3,
                label=f"{look.label}, {minibatches}",
            )
            shift += 0.04
    axes.set(
        xlabel="inner steps $k$ in training",
        ylabel="mean squared error\nafter 10 gradient steps",
        xscale="log",
        ylim=(0, None),
    )
    axes.set_xticks(KS, [str(k) for k in KS], minor=False)
    axes.set_xticks([], minor=True)
    axes.legend(ncols=2)
    return canvas


def bought(curves: pd.DataFrame) -> Figure:
    """Draw the error on unseen tasks against seconds and against operations: mean and interval over seeds.

    Args:
        curves: `Evidence.curves`.
    """
    canvas, axes = figure(columns=2, height=2.7, sharey=True)
    prices = (("seconds", "processor seconds"), ("gradients", "operations (gradients of a minibatch)"))
    for place, (price, label) in zip(axes, prices, strict=True):
        for method in (PRODUCTS, FOMAML, REPTILE, IMPLICIT):
            rows = curves[curves.method == method]
            at = rows.groupby("iteration")[price].mean()
            found = [interval(group.to_numpy()) for _, group in rows.groupby("iteration").mse]
            look = LOOK_OF[method]
            name = "MAML" if method == PRODUCTS else look.label
            place.plot(
                at,
                [one.mean for one in found],
                color=look.color,
                linestyle=look.line,
                marker=look.marker,
                markevery=4,
                label=name,
            )
            low, high = [max(one.low, 1e-3) for one in found], [one.high for one in found]
            place.fill_between(at, low, high, color=look.color, alpha=0.15, linewidth=0)
        place.set(xlabel=label, xscale="log", yscale="log")
    axes[0].set_ylabel("mean squared error\nafter 10 gradient steps")
    errors = (0.3, 0.4, 0.6, 1, 2, 4)
    axes[0].set_yticks(errors, [f"{error:g}" for error in errors], minor=False)
    axes[0].set_yticks([], minor=True)
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return canvas


def _curve(axes: Axes, method: str, x: pd.Index, y: pd.Series) -> list[Line2D]:
    look = LOOK_OF[method]
    return axes.plot(x, y, color=look.color, linestyle=look.line, marker=look.marker, label=look.label)
