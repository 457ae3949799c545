"""Figures of section 6.2: combinations of inner gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from companion.inner_gradients.filters import combination_filter, fomaml_filter, maml_filter, reptile_filter
from companion.inner_gradients.settings import Combination
from companion.intervals import plus_minus
from companion.style import (
    ACCURACY,
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    LOOKS,
    MARKERS,
    ORANGE,
    VERMILLION,
    figure,
    note_lost,
)

CHANCE = 20.0
"""Accuracy of guessing among five classes, in percent."""
KINDS = {"first": ("-.", "X"), "sum": ("-", "o"), "average": ("--", "s"), "last": (":", "^")}
BY_K = {1: BLACK, 2: VERMILLION, 3: ORANGE, 4: BLUE}


def learning_curves(summary: pd.DataFrame, curves: Sequence[Combination], zoom: float) -> Figure:
    """Draw Figure 3 in the paper's form: accuracy on unseen classes through training, mean over the seeds.

    A curve ends where the first of its runs diverges. The more inner steps, the thicker it is. Ten bands
    would hide one another: the intervals stand in `final_accuracies`.

    Args:
        summary: columns `curve`, `iteration`, `mean`, `diverged`.
        curves: which to draw.
        zoom: where the scale of the right panel begins, which shows the same curves from nearby.
    """
    canvas, (whole, near) = figure(columns=2, height=3.6)
    by_k: dict[int, list[Artist]] = {}
    for curve in curves:
        line, _ = KINDS[curve.kind]
        chosen = summary[(summary.curve == curve.name) & (summary.diverged == 0)]
        for axes in (whole, near):
            (drawn,) = axes.plot(
                chosen.iteration, chosen["mean"], color=BY_K[curve.k], linestyle=line,
                linewidth=0.8 + 0.25 * curve.k, label=curve.label,
            )  # fmt: skip
        by_k.setdefault(curve.k, []).append(drawn)
    for axes in (whole, near):
        axes.set_xlabel("outer iteration")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    whole.set(ylabel=ACCURACY, ylim=(CHANCE - 2, 100))
    near.set_ylim(zoom, 100)
    # One column of the legend for each k, filled up with nothing.
    blank = Line2D([], [], linestyle="none", label=" ")
    filled = [line for lines in by_k.values() for line in [*lines, blank, blank][: len(KINDS) - 1]]
    canvas.legend(handles=filled, loc="outside upper center", ncols=len(by_k))
    return canvas


def final_accuracies(
    summary: pd.DataFrame, curves: Sequence[Combination], edge: float = float("-inf")
) -> Figure:
    """Draw mean and interval of every curve, one row each, in the order of `curves`.

    Args:
        summary: columns `curve`, `mean`, `low`, `high`, `seeds`, `diverged`.
        curves: which to draw.
        edge: rows whose mean lies below are written at the left edge, so that the others can be told apart.
    """
    canvas, (axes,) = figure(height=0.6 + 0.24 * len(curves))
    texts = dict(zip(summary.curve, plus_minus(summary), strict=True))
    heights = range(len(curves))[::-1]
    for height, curve in zip(heights, curves, strict=True):
        color, (_, marker) = BY_K[curve.k], KINDS[curve.kind]
        mean, error = _row(summary, curve.name)
        if mean < edge:
            axes.annotate(
                f"← {texts[curve.name]}", (0.01, height), xycoords=("axes fraction", "data"), va="center",
                color=color,
            )  # fmt: skip
            continue
        axes.errorbar([mean], [height], xerr=error, color=color, marker=marker, linestyle="none", capsize=2)
        note_lost(axes, summary[summary.curve == curve.name].iloc[0], (mean, height))
    axes.set_yticks(heights, [curve.label for curve in curves])
    axes.set_ylim(-0.6, len(curves) - 0.4)
    axes.set_xlabel(ACCURACY)
    return canvas


def dial(summary: pd.DataFrame, others: Mapping[str, str]) -> Figure:
    """Draw accuracy against λ, the weight of AvgGradInner at equal weight of AvgGrad.

    Args:
        summary: columns `curve`, `kind`, `lambda`, `mean`, `low`, `high`; a line joins the curves of kind
            "dial".
        others: up to three further curves, and what readers see.
    """
    canvas, (axes,) = figure(height=2.8)
    on_dial = summary[summary.kind == "dial"]
    errors = (on_dial["mean"] - on_dial.low, on_dial.high - on_dial["mean"])
    axes.errorbar(
        on_dial["lambda"], on_dial["mean"], yerr=errors, color=BLUE, marker="o", capsize=2,
        label=r"$c = (1 - \lambda, \lambda)$",
    )  # fmt: skip
    looks = list(zip((GREEN, ORANGE, GRAY), MARKERS[2:5], strict=True))
    for (curve, label), (color, marker) in zip(others.items(), looks[: len(others)], strict=True):
        mean, error = _row(summary, curve)
        value = summary[summary.curve == curve]["lambda"].iloc[0]
        axes.errorbar(
            [value], [mean], yerr=error, color=color, marker=marker, linestyle="none", capsize=2,
            label=label,
        )  # fmt: skip
    axes.set(xlabel=r"share $\lambda = \sum_i c_i (i - 1)$, with $\sum_i c_i = 1$", ylabel=ACCURACY)
    axes.legend()
    return canvas


def filters() -> Figure:
    """Draw what updates make of the first gradient along a direction of curvature h, against αh.

    On the left the paper's methods with four inner steps, each over its weight of AvgGrad; on the right the
    dial with two steps, and MAML.
    """
    canvas, (methods, dial) = figure(columns=2, height=2.9, sharey=True)
    x = np.linspace(0.0, 2.0, 201)
    curves = {"reptile": reptile_filter(4, x) / 4, "fomaml": fomaml_filter(4, x), "maml": maml_filter(4, x)}
    for name, y in curves.items():
        look = LOOKS[name]
        methods.plot(x, y, color=look.color, linestyle=look.line, label=look.label)
    for value, color, line in ((0.5, BLUE, "-"), (1.0, ORANGE, "--"), (2.0, VERMILLION, ":")):
        y = combination_filter((1.0 - value, value), x)
        dial.plot(x, y, color=color, linestyle=line, label=f"λ = {value:g}")
    dial.plot(x, maml_filter(2, x), color=GREEN, linestyle="-.", label="MAML")
    for axes, title in ((methods, "four inner steps"), (dial, "two inner steps")):
        axes.axhline(0.0, color=BLACK, linewidth=0.8)
        axes.set(xlabel="αh, step size times curvature", title=title, ylim=(-1.6, 1.1))
        axes.legend(loc="lower left")
    methods.set_ylabel("update over first gradient")
    return canvas


def _row(summary: pd.DataFrame, curve: str) -> tuple[float, list[list[float]]]:
    """Return the mean of a curve and how far its interval reaches to either side, as `errorbar` wants it."""
    row = summary[summary.curve == curve].iloc[0]
    mean = float(row["mean"])
    return mean, [[mean - float(row.low)], [float(row.high) - mean]]
