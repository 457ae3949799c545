"""One look for all figures: legible at column width, in greyscale, and for colour-blind readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 6.5
"""Inches: the text width of a printed page."""


@dataclass(frozen=True)
class Look:
    """How one curve is drawn; colour, line and marker each tell it apart."""

    label: str
    colour: str
    line: str
    marker: str


# Okabe and Ito's colours, which people with any colour vision can tell apart, ordered so that
# neighbours also differ in lightness.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY, BLACK = "#CC79A7", "#56B4E9", "#7F7F7F", "#000000"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY, BLACK)
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

METHODS = {
    "reptile": Look("Reptile", BLUE, "-", "o"),
    "fomaml": Look("FOMAML", ORANGE, "--", "s"),
    "maml": Look("MAML", GREEN, "-.", "^"),
    "joint": Look("joint training", VERMILLION, ":", "D"),
    "pretraining": Look("pre-training, all fine-tuned", PURPLE, "--", "v"),
    "pretraining-head": Look("pre-training, new head only", SKY, ":", "P"),
    "pretraining-nearest": Look("pre-training, nearest mean", BLACK, "-", "*"),
    "random": Look("random weights", GREY, "-", "X"),
}


def apply() -> None:
    """Set matplotlib's defaults for everything drawn afterwards."""
    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "savefig.dpi": 200,
            "figure.constrained_layout.use": True,
            "font.size": 9,
            "axes.titlesize": 9,
            "axes.labelsize": 9,
            "legend.fontsize": 8,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "0.9",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.6,
            "lines.markersize": 4.5,
            "legend.frameon": False,
            "svg.hashsalt": "metalib",
        }
    )


def figure(rows: int = 1, columns: int = 1, height: float = 2.6, **options: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure as wide as the text, and its axes row by row.

    Args:
        rows: rows of axes.
        columns: columns of axes.
        height: inches per row.
        options: handed to `matplotlib.pyplot.subplots`, such as `sharey=True`.
    """
    apply()
    canvas, axes = plt.subplots(rows, columns, figsize=(WIDTH, height * rows), squeeze=False, **options)
    return canvas, list(axes.flat)


def note(canvas: Figure, text: str) -> None:
    """Write below a figure what it rests on, so that it says so wherever it is shown."""
    canvas.supxlabel(text, x=0.99, ha="right", fontsize=7, color=GREY)
