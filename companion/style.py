"""One look for all figures: legible at column width, in grayscale, and for color-blind readers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from companion.publishing import forms
from metalib import methods
from metalib.methods import METHODS, Look

if TYPE_CHECKING:
    from matplotlib.typing import LineStyleType

ACCURACY = "accuracy on test classes (%)"
WIDTH = 6.5
"""Inches: the text width of a printed page."""


# Okabe and Ito's colors, ordered so that neighbors also differ in lightness.
BLUE, ORANGE, GREEN, VERMILLION = methods.BLUE, methods.ORANGE, methods.GREEN, methods.VERMILLION
PURPLE, SKY, GRAY, BLACK = "#CC79A7", "#56B4E9", "#7F7F7F", "#000000"
CYCLE = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GRAY, BLACK)
LINES: tuple[LineStyleType, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

LOOKS = {
    **{name: method.look for name, method in METHODS.items()},
    "pretraining": Look("pre-training, all fine-tuned", PURPLE, "--", "v"),
    "pretraining-head": Look("pre-training, new head only", SKY, ":", "P"),
    "pretraining-nearest": Look("pre-training, nearest mean", BLACK, "-", "*"),
    "random": Look("random weights", GRAY, "-", "X"),
}
"""Of the methods, and of what stands beside them in figures."""


def readers_name(name: str) -> str:
    """Return what readers call a method or what stands beside it, in figures and tables.

    >>> readers_name("maml"), readers_name("pretraining-nearest")
    ('MAML', 'pre-training, nearest mean')
    """
    return LOOKS[name].label


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
    forms.activate()
    return canvas, list(axes.flat)


def move_aside(canvas: Figure, drawn: Iterable[Artist], points: float) -> None:
    """Move what is drawn so many points to the right, on any scale.

    So the intervals of several curves at one value stand side by side, and none hides another.
    """
    by = ScaledTranslation(points / 72, 0, canvas.dpi_scale_trans)
    for artist in drawn:
        artist.set_transform(artist.get_transform() + by)


def note(canvas: Figure, text: str) -> None:
    """Write below a figure what it rests on, so that it says so wherever it is shown."""
    canvas.supxlabel(text, x=0.99, ha="right", fontsize=7, color=GRAY)


def note_lost(axes: Axes, row: pd.Series, place: tuple[float, float]) -> None:
    """Write beside a mean how many seeds it comes from, if runs diverged: without them it flatters.

    Args:
        axes: where the mean is drawn.
        row: its `seeds` and how many `diverged`.
        place: its coordinates.
    """
    if row.diverged and row.seeds:
        axes.annotate(
            f"{row.seeds} of {row.seeds + row.diverged} seeds", place,
            xytext=(3, 4), textcoords="offset points", fontsize=8,
        )  # fmt: skip
