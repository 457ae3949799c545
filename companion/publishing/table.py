"""What a whole figure draws, as one tidy table: a row per point, with panel, legend label and axis labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from companion.publishing.artists import SIDES, drawn

COLUMNS = (
    *("panel", "title", "drawn", "curve", "series", "color"),
    *("x", "x_low", "x_high", "x_name", "y", "y_low", "y_high", "y_name", "value", "x_label", "y_label"),
)
"""
panel, title: number of the panel, row by row from 1, and what stands above it.
drawn: line, points, interval, band, bar, map, contour, circle, outline, arrow or text.
curve: numbers what is drawn in a panel.
series: its label in the legend, or else that of what has its color.
x, y: in the units of the axes. A line across the whole panel has only one of the two.
x_low to y_high: ends of an interval, edges of a band, sides of a bar or of a cell.
x_name, y_name: of the nearest tick, where ticks have names.
value: of a cell of a map; the level of a contour; the radius of a circle.
x_label, y_label: what the axes are called.
"""

ALWAYS = ("panel", "drawn", "x", "y")
"""Columns that every table has; of the others those that nothing fills are left out."""

DIGITS = 8
"""Significant digits of a CSV."""

SPEAKING = ("text", "arrow")
"""What says a text of its own instead of a label of the legend."""


def table(canvas: Figure) -> pd.DataFrame:
    """Return everything that a figure draws from data, one row per point, with the columns `COLUMNS`.

    Pictures (arrays of pixels) are left out, and so are color bars.
    """
    panels = [axes for axes in canvas.axes if axes.get_label() != "<colorbar>"]
    frames = [frame for number, axes in enumerate(panels, start=1) for frame in _panel(number, axes)]
    if not frames:
        return pd.DataFrame(columns=list(ALWAYS))
    found = _labelled(pd.concat(frames, ignore_index=True).reindex(columns=list(COLUMNS)))
    filled = [name for name in found if name in ALWAYS or found[name].replace("", None).notna().any()]
    return found[filled]


def as_csv(canvas: Figure) -> str:
    """Return the table as CSV; empty if the figure draws nothing but pictures."""
    found = table(canvas)
    if found.empty:
        return ""
    return str(found.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n"))


def _panel(number: int, axes: Axes) -> list[pd.DataFrame]:
    frames = []
    for curve, rows in enumerate(drawn(axes), start=1):
        frame = pd.DataFrame(rows)
        frame["panel"], frame["title"], frame["curve"] = number, _line(axes.get_title()), curve
        for side, axis in zip(SIDES, (axes.xaxis, axes.yaxis), strict=True):
            frame[f"{side}_label"] = _label(axes, side)
            if side in frame:
                frame[f"{side}_name"] = _names(axis, frame[side].to_numpy(dtype=float))
        frames.append(frame)
    return frames


def _label(axes: Axes, side: str) -> str:
    """Return what an axis is called; panels that share it often leave that to one of them."""
    sharing = axes.get_shared_x_axes() if side == "x" else axes.get_shared_y_axes()
    labels = [getattr(panel, f"get_{side}label")() for panel in (axes, *sharing.get_siblings(axes))]
    return _line(next(filter(None, labels), ""))


def _line(text: str) -> str:
    return " ".join(text.split())


def _names(axis: Axis, places: np.ndarray) -> list[str]:
    """Return what the nearest tick is called, if the ticks of this axis have names instead of numbers."""
    formatter, ticks = axis.get_major_formatter(), np.asarray(axis.get_majorticklocs(), dtype=float)
    named = isinstance(axis.get_major_locator(), FixedLocator) and isinstance(formatter, FuncFormatter)
    names = [formatter(tick, i) for i, tick in enumerate(ticks)] if named else []
    if all(map(_is_number, names)):
        return [""] * len(places)
    nearest = np.abs(places[:, None] - ticks).argmin(1)
    return ["" if np.isnan(place) else names[i] for i, place in zip(nearest, places, strict=True)]


def _is_number(name: str) -> bool:
    try:
        float(name.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return True


def _labelled(found: pd.DataFrame) -> pd.DataFrame:
    """Give what has no label the label of what has its color, if only one label has it."""
    silent = ~found["drawn"].isin(SPEAKING)
    named = found[silent & (found["series"] != "") & (found["color"] != "")]
    owners = named.groupby("color")["series"].unique()
    only = {color: labels[0] for color, labels in owners.items() if len(labels) == 1}
    nameless = silent & (found["series"] == "")
    found.loc[nameless, "series"] = [only.get(color, "") for color in found.loc[nameless, "color"]]
    return found
