"""Figures of sections 6.2 and 6.3: combinations of inner gradients, and minibatches that overlap."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from metalib.intervals import plus_minus
from metalib.plotting.style import BLACK, BLUE, CYCLE, GREEN, GREY, LINES, MARKERS, ORANGE, VERMILLION, figure

CHANCE = 20.0
"""Accuracy of guessing among five classes, in percent."""
KINDS = {"first": ("-.", "X"), "sum": ("-", "o"), "average": ("--", "s"), "last": (":", "^")}
BY_K = {1: BLACK, 2: VERMILLION, 3: ORANGE, 4: BLUE}
ACCURACY = "accuracy on test classes (%)"


def learning_curves(curves: pd.DataFrame, labels: Mapping[str, str], zoom: float) -> Figure:
    """Draw Figure 3 in the paper's form: accuracy on unseen classes through training, mean over the seeds.

    A curve ends where the first of its runs diverges. Ten bands would hide one another: the intervals stand
    in `final_accuracies`.

    Args:
        curves: columns `curve` (named "k-kind"), `iteration`, `mean`, `diverged`.
        labels: what readers see for each curve.
        zoom: where the scale of the right panel begins, which shows the same curves from nearby.
    """
    canvas, (whole, near) = figure(columns=2, height=3.6)
    by_k: dict[str, list[Artist]] = {}
    for curve, label in labels.items():
        k, kind = curve.split("-")
        line, _ = KINDS[kind]
        chosen = curves[(curves.curve == curve) & (curves.diverged == 0)]
        for axes in (whole, near):
            (drawn,) = axes.plot(
                chosen.iteration, chosen["mean"], color=BY_K[int(k)], linestyle=line, label=label
            )
        by_k.setdefault(k, []).append(drawn)
    for axes in (whole, near):
        axes.set_xlabel("outer iteration")
    whole.set(ylabel=ACCURACY, ylim=(CHANCE - 2, 100))
    near.set_ylim(zoom, 100)
    # One column of the legend for each k, filled up with nothing.
    blank = Line2D([], [], linestyle="none", label=" ")
    filled = [line for lines in by_k.values() for line in [*lines, blank, blank][: len(KINDS) - 1]]
    canvas.legend(handles=filled, loc="outside upper center", ncols=len(by_k))
    return canvas


def final_accuracies(summary: pd.DataFrame, labels: Mapping[str, str], edge: float = float("-inf")) -> Figure:
    """Draw mean and interval of every curve, one row each, in the order of `labels`.

    Args:
        summary: columns `curve`, `mean`, `low`, `high`, `seeds`, `diverged`.
        labels: what readers see for each curve.
        edge: rows whose mean lies below are written at the left edge, so that the others can be told apart.
    """
    canvas, (axes,) = figure(height=0.6 + 0.24 * len(labels))
    texts = dict(zip(summary.curve, plus_minus(summary), strict=True))
    for place, curve in zip(range(len(labels))[::-1], labels, strict=True):
        k, _, kind = curve.partition("-")
        colour = BY_K.get(int(k), BLUE) if k.isdigit() else BLUE
        mean, error = _row(summary, curve)
        if mean < edge:
            axes.annotate(
                f"← {texts[curve]}", (0.01, place), xycoords=("axes fraction", "data"), va="center",
                color=colour,
            )  # fmt: skip
            continue
        marker = KINDS.get(kind, ("-", "o"))[1]
        axes.errorbar([mean], [place], xerr=error, color=colour, marker=marker, linestyle="none", capsize=2)
        _note_lost(axes, summary[summary.curve == curve].iloc[0], (mean, place))
    axes.set_yticks(range(len(labels))[::-1], list(labels.values()))
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlabel(ACCURACY)
    return canvas


def dial(summary: pd.DataFrame, others: Mapping[str, tuple[float, str]]) -> Figure:
    """Draw accuracy against λ, the weight of AvgGradInner at equal weight of AvgGrad.

    Args:
        summary: columns `curve`, `mean`, `low`, `high`; the curves named "dial…" are joined by a line.
        others: up to three further curves with their λ and what readers see.
    """
    canvas, (axes,) = figure(height=2.8)
    on_dial = summary[summary.curve.str.startswith("dial")]
    place = on_dial.curve.str.removeprefix("dial").astype(float)
    errors = (on_dial["mean"] - on_dial.low, on_dial.high - on_dial["mean"])
    axes.errorbar(
        place, on_dial["mean"], yerr=errors, color=BLUE, marker="o", capsize=2,
        label=r"$c = (1 - \lambda, \lambda)$",
    )  # fmt: skip
    looks = list(zip((GREEN, ORANGE, GREY), MARKERS[2:5], strict=True))
    for (curve, (value, label)), (colour, marker) in zip(others.items(), looks[: len(others)], strict=True):
        mean, error = _row(summary, curve)
        axes.errorbar(
            [value], [mean], yerr=error, color=colour, marker=marker, linestyle="none", capsize=2,
            label=label,
        )  # fmt: skip
    axes.set(xlabel=r"$\lambda = \sum_i c_i (i - 1)$, with $\sum_i c_i = 1$", ylabel=ACCURACY)
    axes.legend()
    return canvas


def sweep(
    summary: pd.DataFrame,
    labels: Mapping[str, str],
    xlabel: str,
    overlap: float | None = None,
    scale: str = "linear",
) -> Figure:
    """Draw a panel of Figure 4: accuracy against what is swept, one curve per method.

    Args:
        summary: columns `method`, `value`, `mean`, `low`, `high`.
        labels: what readers see for each method. Those without a row keep their look free, so that a
            method looks the same in all panels.
        xlabel: what is swept.
        overlap: from where on the last cycling minibatch must hold images of earlier ones; `None` for
            nowhere.
        scale: of what is swept, "linear" or "log".
    """
    canvas, (axes,) = figure(height=3.0)
    axes.set_xscale(scale)
    for (method, label), colour, line, marker in zip(labels.items(), CYCLE, LINES, MARKERS, strict=False):
        chosen = summary[summary.method == method].sort_values("value")
        if chosen.empty:
            continue
        errors = (chosen["mean"] - chosen.low, chosen.high - chosen["mean"])
        axes.errorbar(
            chosen.value, chosen["mean"], yerr=errors, color=colour, linestyle=line, marker=marker,
            capsize=2, label=label,
        )  # fmt: skip
    values = sorted(summary.value.unique())
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    for _, row in summary.iterrows():
        _note_lost(axes, row, (row.value, row["mean"]))
    if overlap is not None:
        axes.axvline(overlap, color=GREY, linewidth=1, linestyle="--")
        axes.annotate(
            "minibatches overlap", (overlap, 0.02), xycoords=("data", "axes fraction"),
            xytext=(4, 0), textcoords="offset points", color=GREY, fontsize=8,
        )  # fmt: skip
    axes.set(xlabel=xlabel, ylabel=ACCURACY)
    canvas.legend(loc="outside upper center", ncols=2)
    return canvas


def late_gradients(summaries: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> Figure:
    """Draw what is measured at inner steps, for fresh images and for seen ones.

    Args:
        summaries: by what is measured, with its unit, one row of panels each: columns `initialization`,
            `images`, `step`, `mean`, `low`, `high`.
        titles: what readers see for each initialization, one column of panels each.
    """
    canvas, panels = figure(len(summaries), len(titles), height=1.9, sharex=True)
    place = iter(panels)
    for label, summary in summaries.items():
        for initialization in titles:
            axes = next(place)
            _fresh_and_seen(axes, summary[summary.initialization == initialization])
            axes.axhline(0.0, color=GREY, linewidth=1)
            if initialization == next(iter(titles)):
                axes.set_ylabel(label)
    for axes, title in zip(panels, titles.values(), strict=False):
        axes.set_title(title)
    for axes in panels[-len(titles) :]:
        axes.set_xlabel("inner step $i$")
        axes.set_xticks(sorted(summary.step.unique()))
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return canvas


def _fresh_and_seen(axes: Axes, summary: pd.DataFrame) -> None:
    for images, colour, line, marker, shift in (
        ("fresh", BLUE, "-", "o", -0.06),
        ("seen", ORANGE, "--", "s", 0.06),
    ):
        chosen = summary[summary.images == images].sort_values("step")
        errors = (chosen["mean"] - chosen.low, chosen.high - chosen["mean"])
        axes.errorbar(
            chosen.step + shift, chosen["mean"], yerr=errors, color=colour, linestyle=line,
            marker=marker, capsize=2, label=f"{images} images",
        )  # fmt: skip


def _note_lost(axes: Axes, row: pd.Series, place: tuple[float, float]) -> None:
    """Write beside a mean how many seeds it comes from, if runs diverged: without them it flatters."""
    if row.diverged and row.seeds:
        axes.annotate(
            f"{row.seeds} of {row.seeds + row.diverged} seeds", place,
            xytext=(3, 4), textcoords="offset points", fontsize=8,
        )  # fmt: skip


def _row(summary: pd.DataFrame, curve: str) -> tuple[float, list[list[float]]]:
    """Return the mean of a curve and how far its interval reaches to either side, as `errorbar` wants it."""
    row = summary[summary.curve == curve].iloc[0]
    mean = float(row["mean"])
    return mean, [[mean - float(row.low)], [float(row.high) - mean]]
