"""The figure of the page on speed."""

from __future__ import annotations

from matplotlib.figure import Figure

from companion.speed.summaries import ALONE, COMPILED, LIBRARIES, OURS, WORKS, Measured
from companion.style import BLACK, BLUE, GRAY, GREEN, ORANGE, PURPLE, SKY, VERMILLION, figure

LOOKS = {
    COMPILED: (BLUE, "D"),
    "JAX": (ORANGE, "s"),
    "torch.func": (GREEN, "^"),
    "TorchOpt": (PURPLE, "P"),
    "higher": (VERMILLION, "v"),
    "plain PyTorch": (SKY, "X"),
    ALONE: (GRAY, "|"),
}
"""Color and marker."""


def beside(measured: Measured) -> Figure:
    """Draw every library's time over metalib's, work by work, with 95 % intervals of the median."""
    canvas, (axes,) = figure(height=3.6)
    names = [name for name in (*LIBRARIES, ALONE) if name != OURS]
    for place, name in enumerate(names):
        color, marker = LOOKS[name]
        found = [
            (row - (place - len(names) / 2 + 0.5) * 0.09, ratio)
            for row, (work, case) in enumerate(reversed(WORKS))
            if (ratio := measured.ratio(work, case, name))
        ]
        middle = [ratio.median for _, ratio in found]
        below = [ratio.median - ratio.low for _, ratio in found]
        above = [ratio.high - ratio.median for _, ratio in found]
        axes.errorbar(
            middle, [height for height, _ in found], xerr=(below, above), color=color, marker=marker,
            linestyle="none", capsize=2, label=name,
        )  # fmt: skip
    axes.axvline(1.0, color=BLACK, linewidth=1.0)
    axes.annotate(
        OURS, (1.0, len(WORKS) - 0.45), xytext=(3, 0), textcoords="offset points", ha="left", fontsize=8
    )
    axes.set(
        xscale="log",
        xlabel="time over that of metalib; left of 1 is faster",
        ylim=(-0.5, len(WORKS) - 0.3),
    )
    axes.set_yticks(range(len(WORKS)), list(reversed(WORKS.values())))
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16, 32]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return canvas
