"""What one line, interval, band or map of a figure draws, as columns of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colors
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection, QuadMesh
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.contour import ContourSet
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.transforms import Affine2D

SIDES = ("x", "y")
RESOLUTION = 100
"""Points across a panel: corners of contours closer to a straight line than a ninth of one are left out."""

Rows = dict[str, Any]
"""Columns by name, of the same length or one value for all rows."""


def drawn(axes: Axes) -> Iterator[Rows]:
    """Yield columns for each thing that is drawn in a panel, pictures (arrays of pixels) left out."""
    taken: set[int] = set()
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            yield _interval(container)
            line, caps, bars = container.lines
            taken |= {id(part) for part in (line, *caps, *bars)}
        elif isinstance(container, BarContainer):
            yield _bars(container)
            taken |= {id(bar) for bar in container}
    for artist in [*axes.lines, *axes.collections, *axes.patches, *axes.texts]:
        if id(artist) not in taken and artist.get_visible():
            found = _one(artist, axes)
            if found is not None:
                yield found


def _one(artist: Artist, axes: Axes) -> Rows | None:
    if isinstance(artist, Line2D):
        return _line(artist, axes)
    if isinstance(artist, Annotation):
        return _annotation(artist)
    if isinstance(artist, Patch):
        return _patch(artist, axes)
    return _collection(artist, axes) if isinstance(artist, Collection) else None


def _collection(artist: Collection, axes: Axes) -> Rows | None:
    if isinstance(artist, QuadMesh):
        return _map(artist)
    if isinstance(artist, ContourSet):
        return _contours(artist, axes)
    if isinstance(artist, PathCollection):
        return _points(artist)
    if isinstance(artist, PolyCollection):
        return _band(artist)
    if isinstance(artist, LineCollection):
        return {**_look(artist, "line"), **_corners([np.asarray(s) for s in artist.get_segments()])}
    return None


def label(text: object) -> str:
    """Return a label as it stands in the legend; empty for the names that matplotlib invents."""
    return "" if text is None or str(text).startswith("_") else str(text)


def _look(artist: Any, kind: str) -> Rows:
    """Return what identifies something that is drawn: its kind, its label and its color."""
    edge = isinstance(artist, Patch) and not artist.get_fill()
    color = artist.get_color() if hasattr(artist, "get_color") else artist.get_facecolor()
    found = colors.to_rgba_array(artist.get_edgecolor() if edge else color)
    one = colors.to_hex(found[0]) if len(found) == 1 else ""
    return {"drawn": kind, "series": label(artist.get_label()), "color": one}


def _corners(lines: list[np.ndarray]) -> Rows:
    joined = np.concatenate([*lines, np.empty((0, 2))])
    return {"x": joined[:, 0], "y": joined[:, 1]}


def _line(line: Line2D, axes: Axes) -> Rows:
    """Return the points of a line. One that runs across the whole panel has only an x, or only a y."""
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    of_data = line.get_transform().contains_branch_seperately(axes.transData)
    if not all(of_data):
        x, y = (v[:1] if given else np.array([np.nan]) for v, given in zip((x, y), of_data, strict=True))
    kind = "points" if line.get_linestyle() in ("None", "none", "", " ") else "line"
    return {**_look(line, kind), "x": x, "y": y}


def _interval(container: ErrorbarContainer) -> Rows:
    """Return the points of error bars with the ends of their intervals."""
    line, _, bars = container.lines
    x, y = (np.asarray(values, dtype=float) for values in line.get_data())
    rows: Rows = {**_look(line, "interval"), "series": label(container.get_label()), "x": x, "y": y}
    given = [side for side, has in zip(SIDES, (container.has_xerr, container.has_yerr), strict=True) if has]
    for side, segments in zip(given, bars, strict=True):
        # Of a point without an interval matplotlib keeps no ends.
        ends = np.array([
            np.asarray(segment)[:, SIDES.index(side)] if len(segment) == 2 else (np.nan, np.nan)
            for segment in segments.get_segments()
        ])  # fmt: skip
        rows |= {f"{side}_low": ends.min(1), f"{side}_high": ends.max(1)}
    return rows


def _bars(container: BarContainer) -> Rows:
    corners = [np.array([bar.get_xy(), (bar.get_x() + bar.get_width(), bar.get_y() + bar.get_height())])
               for bar in container]  # fmt: skip
    return {**_look(container[0], "bar"), "series": label(container.get_label()), **_boxes(np.array(corners))}


def _boxes(corners: np.ndarray) -> Rows:
    """Return middle and ends of boxes, from two opposite corners of each, shape [boxes, 2, 2]."""
    rows: Rows = {}
    for i, side in enumerate(SIDES):
        low, high = corners[:, :, i].min(1), corners[:, :, i].max(1)
        rows |= {side: (low + high) / 2, f"{side}_low": low, f"{side}_high": high}
    return rows


def _points(artist: PathCollection) -> Rows:
    x, y = np.ma.filled(np.ma.asarray(artist.get_offsets(), dtype=float), np.nan).T
    value = artist.get_array()
    return {**_look(artist, "points"), "x": x, "y": y} | ({} if value is None else {"value": value})


def _band(artist: PolyCollection) -> Rows:
    """Return the lower and upper edge of an area, at every x where its outline has a corner."""
    corners = pd.DataFrame(_corners([np.asarray(path.vertices) for path in artist.get_paths()]))
    edges = corners.groupby("x")["y"].agg(["min", "max"]).reset_index()
    return {**_look(artist, "band"), "x": edges["x"], "y_low": edges["min"], "y_high": edges["max"]}


def _map(artist: QuadMesh) -> Rows:
    """Return the cells of a map with their values."""
    mesh = np.asarray(artist.get_coordinates())
    corners = np.stack([mesh[:-1, :-1].reshape(-1, 2), mesh[1:, 1:].reshape(-1, 2)], axis=1)
    value: np.ndarray = np.ma.filled(np.ma.asarray(artist.get_array(), dtype=float), np.nan).ravel()
    return {"drawn": "map", "series": "", "color": "", "value": value, **_boxes(corners)}


def _contours(artist: ContourSet, axes: Axes) -> Rows:
    """Return contours as they are put on the page: inside the panel, without corners that nobody can see."""
    onto = axes.transScale + axes.transLimits + Affine2D().scale(RESOLUTION)
    seen = [_seen(path, onto) for path in artist.get_paths()]
    level = np.repeat(np.asarray(artist.levels), [len(line) for line in seen])
    return {"drawn": "contour", "series": "", "color": "", "value": level, **_corners(seen)}


def _seen(path: Path, onto: Any) -> np.ndarray:
    inside = path.cleaned(onto, simplify=True, clip=(0.0, 0.0, float(RESOLUTION), float(RESOLUTION)))
    corners = np.asarray(inside.vertices)[np.asarray(inside.codes) != Path.STOP]
    return np.asarray(onto.inverted().transform(corners))


def _patch(artist: Patch, axes: Axes) -> Rows | None:
    if isinstance(artist, Circle):
        x, y = np.asarray(artist.get_center())
        return {**_look(artist, "circle"), "x": [x], "y": [y], "value": [artist.get_radius()]}
    if not artist.get_transform().contains_branch(axes.transData):
        return None
    corners = np.asarray(artist.get_patch_transform().transform_path(artist.get_path()).vertices)
    if isinstance(artist, Rectangle):
        return {**_look(artist, "bar"), **_boxes(np.array([[corners.min(0), corners.max(0)]]))}
    return {**_look(artist, "outline"), **_corners([corners])}


def _annotation(artist: Annotation) -> Rows | None:
    """Return an arrow from its start to its end, or a text at its place, if that is given in data."""
    if artist.xycoords != "data":
        return None
    x, y = artist.xy
    look = {"series": artist.get_text(), "color": colors.to_hex(artist.get_color())}
    if artist.arrow_patch is not None and artist.anncoords == "data":
        start_x, start_y = artist.get_position()
        return {**look, "drawn": "arrow", "x": [start_x, x], "y": [start_y, y]}
    return {**look, "drawn": "text", "x": [x], "y": [y]} if look["series"] else None
