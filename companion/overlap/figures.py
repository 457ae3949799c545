"""Figures of section 6.3: minibatches that overlap."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from companion.overlap.tails_foretold import LENGTHS
from companion.style import ACCURACY, BLUE, CYCLE, GRAY, LINES, MARKERS, ORANGE, figure, move_aside, note_lost


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
        labels: what readers see for each method. A method without a row is not drawn, but
            its colors are not given to another, so that it looks the same in all panels.
        xlabel: what is swept.
        overlap: from where on the last cycling minibatch must hold images of earlier ones; `None` for
            nowhere.
        scale: of what is swept, "linear" or "log".
    """
    canvas, (axes,) = figure(height=3.0)
    axes.set_xscale(scale)
    looks = zip(labels.items(), CYCLE, LINES, MARKERS, strict=False)
    for i, ((method, label), color, line, marker) in enumerate(looks):
        chosen = summary[summary.method == method].sort_values("value")
        if chosen.empty:
            continue
        errors = (chosen["mean"] - chosen.low, chosen.high - chosen["mean"])
        drawn = axes.errorbar(
            chosen.value, chosen["mean"], yerr=errors, color=color, linestyle=line, marker=marker,
            capsize=2, label=label,
        )  # fmt: skip
        move_aside(canvas, drawn.get_children(), 2 * i - 3)
    values = sorted(summary.value.unique())
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()
    for _, row in summary.iterrows():
        note_lost(axes, row, (row.value, row["mean"]))
    if overlap is not None:
        axes.axvline(overlap, color=GRAY, linewidth=1, linestyle="--")
        axes.annotate(
            "minibatches overlap →", (overlap, 0.03), xycoords=("data", "axes fraction"),
            xytext=(-3, 0), textcoords="offset points", ha="right", color=GRAY, fontsize=8,
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
    remaining = iter(panels)
    for label, summary in summaries.items():
        for initialization in titles:
            axes = next(remaining)
            _fresh_and_seen(axes, summary[summary.initialization == initialization])
            axes.axhline(0.0, color=GRAY, linewidth=1)
            if initialization == next(iter(titles)):
                axes.set_ylabel(label)
    for axes, title in zip(panels, titles.values(), strict=False):
        axes.set_title(title)
    for axes in panels[-len(titles) :]:
        axes.set_xlabel("inner step $i$")
        axes.set_xticks(sorted(summary.step.unique()))
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return canvas


def tails(points: pd.DataFrame) -> Figure:
    """Draw accuracy against the share of the last minibatch that was seen before, for both lengths.

    Args:
        points: columns `length`, `seen`, `mean`, `low`, `high`, as `tails_foretold.curves` returns them.
    """
    canvas, (axes,) = figure(height=2.8)
    styles = zip(LENGTHS.items(), CYCLE, LINES, MARKERS, (-0.7, 0.7), strict=False)
    for (length, label), color, line, marker, shift in styles:
        chosen = points[points.length == length]
        errors = (chosen["mean"] - chosen.low, chosen.high - chosen["mean"])
        axes.errorbar(
            100 * chosen.seen + shift, chosen["mean"], yerr=errors, color=color, linestyle=line,
            marker=marker, capsize=2, label=f"last gradient at {label}",
        )  # fmt: skip
    axes.set(xlabel="images of the last minibatch seen before (%)", ylabel=ACCURACY)
    axes.set_xticks([100 * share for share in sorted(points.seen.unique())])
    canvas.legend(loc="outside upper center")
    return canvas


def _fresh_and_seen(axes: Axes, summary: pd.DataFrame) -> None:
    for images, color, line, marker, shift in (
        ("fresh", BLUE, "-", "o", -0.06),
        ("seen", ORANGE, "--", "s", 0.06),
    ):
        chosen = summary[summary.images == images].sort_values("step")
        errors = (chosen["mean"] - chosen.low, chosen.high - chosen["mean"])
        axes.errorbar(
            chosen.step + shift, chosen["mean"], yerr=errors, color=color, linestyle=line,
            marker=marker, capsize=2, label=f"{images} images",
        )  # fmt: skip
