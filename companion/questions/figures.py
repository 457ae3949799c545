"""Figures of the page of questions."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from companion.costs.figures import LOOK_OF
from companion.costs.ways import PRODUCTS, UNROLLED
from companion.style import BLACK, LOOKS, figure


def equal_k(summary: pd.DataFrame, zero_function: float) -> Figure:
    """Draw the error after 10 gradient steps against k, one curve per method.

    Args:
        summary: per `algorithm` and `steps` the `mean`, `low` and `high` over seeds.
        zero_function: the error of f ≡ 0 on the same tasks.
    """
    canvas, (axes,) = figure(height=2.8)
    for shift, (algorithm, curve) in zip(
        (0.96, 1.0, 1.04), summary.groupby("algorithm", sort=False), strict=False
    ):
        look = LOOKS[str(algorithm)]
        axes.errorbar(
            curve.steps * shift, curve["mean"], yerr=(curve["mean"] - curve.low, curve.high - curve["mean"]),
            color=look.color, linestyle=look.line, marker=look.marker, capsize=3, label=look.label,
        )  # fmt: skip
    axes.axhline(zero_function, color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)), label="zero function")
    ticks = sorted(summary.steps.unique())
    axes.set(
        xlabel="inner steps $k$ in training, the same for every method",
        ylabel="mean squared error\nafter 10 gradient steps", xscale="log", yscale="log",
    )  # fmt: skip
    axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.set_xticks([], minor=True)
    canvas.legend(loc="outside upper center", ncols=4)
    return canvas


def costs(table: pd.DataFrame) -> Figure:
    """Draw time and memory of a meta-gradient against k, on the largest network.

    Args:
        table: per `k` and `method` the `seconds` and `megabytes` of one network.
    """
    canvas, axes = figure(columns=2, height=2.6)
    names = {"MAML": PRODUCTS, "MAML unrolled": UNROLLED}
    for method, curve in table.groupby("method", sort=False):
        look = LOOK_OF[names.get(str(method), str(method))]
        for place, column in zip(axes, ("seconds", "megabytes"), strict=True):
            place.plot(
                curve.k,
                curve[column],
                color=look.color,
                linestyle=look.line,
                marker=look.marker,
                label=look.label,
            )
    axes[0].set(xlabel="inner steps $k$", ylabel="seconds per meta-gradient", ylim=(0, None))
    axes[1].set(xlabel="inner steps $k$", ylabel="memory kept (MB)", ylim=(0, None))
    axes[0].legend()
    return canvas
