"""Figures of section 5.2: the solution manifolds and the moves between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from companion.manifolds.distance import Manifold, mean_half_squared_distance
from companion.manifolds.shapes import Affine, Graph, Sphere
from companion.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, figure

BESIDE = {"1": (-32, 4), "2": (-32, -5), "5": (3, -6), "20": (3, -3)}
"""Where in `limits` the name of an end stands, in points beside it: between the lines."""
PATHS = ((GREEN, "-"), (VERMILLION, "--"), (PURPLE, "-."))


def moves(
    curves: Sequence[Manifold], annealed: Tensor, constant: Tensor, best: Tensor, epsilon: float
) -> Figure:
    """Draw Fig. 2: alternating moves towards two manifolds over contours of E[½ D²], and the end close up.

    Args:
        curves: W_1 and W_2.
        annealed: iterates with ε going to 0, shape [steps, starts, 2].
        constant: iterates with ε constant, same shape.
        best: the point of least mean squared distance, shape [2].
        epsilon: ε at the start.
    """
    canvas, (left, right) = figure(columns=2, height=3.3)
    for place, path, title in (
        (left, annealed, rf"$\epsilon$ from {epsilon:g} to 0"),
        (right, constant, rf"$\epsilon$ = {epsilon:g} throughout"),
    ):
        _landscape(place, lambda phi: mean_half_squared_distance(curves, phi), (-3.2, 3.4), (-3.9, 3.6))
        for curve, color, name in zip(curves, (BLUE, ORANGE), ("$W_1$", "$W_2$"), strict=True):
            _outline(place, curve, color, name)
        for start, (color, line) in zip(range(path.shape[1]), PATHS, strict=False):
            x, y = path[:, start].T.numpy()
            place.plot(x, y, color=color, linestyle=line, marker=".", markersize=4, linewidth=1)
            place.plot(x[0], y[0], "s", color=color)
        place.plot(
            *best.tolist(), "*", markersize=13, color=BLACK, label=r"least $E[\frac{1}{2}D^2]$", zorder=5
        )
        place.set(title=title, xlabel=r"$\phi_1$", aspect="equal", xlim=(-3.2, 3.4), ylim=(-3.9, 3.6))
    x, y = best.tolist()
    right.set(title=f"{title}: the end", xlim=(x - 0.9, x + 0.9), ylim=(y - 1.02, y + 1.02))
    for place in (left, right):
        place.set_ylabel(r"$\phi_2$")
    left.legend(loc="lower right", fontsize=7, frameon=True)
    return canvas


def valley_and_point(
    expected_loss: Callable[[Tensor], Tensor], manifolds: Sequence[Manifold], ends: pd.DataFrame
) -> Figure:
    """Draw E[L] and E[½ D²] of the two-weight model, with where training ends from each start."""
    canvas, (left, right) = figure(columns=2, height=3.0, sharey=True)
    x, y = (-2.8, 2.8), (-2.4, 2.4)
    _landscape(left, expected_loss, x, y)
    _landscape(right, lambda phi: mean_half_squared_distance(manifolds, phi), x, y)
    for place, method, marker in (
        (left, "joint training", "o"),
        (right, "Reptile, exact projection", "*"),
    ):
        rows = ends[ends["method"] == method]
        for curve, color in zip(manifolds, (BLUE, ORANGE), strict=True):
            _outline(place, curve, color, None)
        place.plot(rows["start 1"], rows["start 2"], "s", color=BLACK, markersize=4, label="start")
        for row in rows.to_dict("records"):
            place.annotate(
                "", (row["end 1"], row["end 2"]), (row["start 1"], row["start 2"]),
                arrowprops={"arrowstyle": "->", "color": BLACK, "linewidth": 0.8, "linestyle": "--"},
            )  # fmt: skip
        place.plot(
            rows["end 1"],
            rows["end 2"],
            marker,
            color=VERMILLION,
            markersize=9,
            linestyle="none",
            label="end",
        )
        place.set(title=method, xlabel=r"$\phi_1$", xlim=x, ylim=y)
    left.axhline(0, color=VERMILLION, linewidth=1)
    left.set_ylabel(r"$\phi_2$")
    left.legend(loc="lower right", fontsize=7, frameon=True)
    return canvas


def limits(lines: Sequence[Affine], table: pd.DataFrame) -> Figure:
    """Draw three tasks with one example each, and where Reptile ends for every number of inner steps."""
    canvas, (left, right) = figure(columns=2, height=2.9)
    x, y = (-1.6, 2.2), (-0.5, 2.2)
    _landscape(left, lambda phi: mean_half_squared_distance(lines, phi), x, y)
    for line, color, style in zip(lines, (BLUE, ORANGE, GREEN), ("-", "--", "-."), strict=True):
        length = line.matrix.norm().item()
        span = (
            torch.tensor([[-4.0], [4.0]]).double()
            * torch.tensor([[-line.matrix[0, 1], line.matrix[0, 0]]]).double()
        )
        ends = line.project(torch.zeros(1, 2).double()) + span / length
        left.plot(*ends.T.numpy(), color=color, linestyle=style, label=rf"$\|a\|$ = {length:g}")
    left.plot(table["end 1"], table["end 2"], ".-", color=BLACK, linewidth=1)
    for row in table.to_dict("records"):
        name = "exact" if row["k"] == "exact" else f"k = {row['k']}"
        side = BESIDE.get(row["k"], (5, 0))
        left.annotate(name, (row["end 1"], row["end 2"]), fontsize=7, xytext=side, textcoords="offset points")
    left.set(title="where Reptile ends", xlabel=r"$\phi_1$", ylabel=r"$\phi_2$", xlim=x, ylim=y)
    left.legend(fontsize=7, loc="upper left", frameon=True)
    place = np.arange(len(table))
    right.plot(place, table["mean half squared distance"], "o-", color=BLUE, label=r"$E[\frac{1}{2}D^2]$")
    right.plot(place, table["expected loss"], "s--", color=ORANGE, label=r"$E[L]$")
    right.set_xticks(place, list(table["k"]))
    right.set(
        title="what is small there", xlabel="inner gradient steps $k$", ylabel="mean over the tasks",
        ylim=(0, None),
    )  # fmt: skip
    right.legend()
    return canvas


def _landscape(
    place: Axes, value: Callable[[Tensor], Tensor], x: tuple[float, float], y: tuple[float, float]
) -> None:
    """Draw gray contours of a function of points in the plane."""
    columns, rows = np.meshgrid(np.linspace(*x, 121), np.linspace(*y, 121))
    points = torch.from_numpy(np.stack([columns.ravel(), rows.ravel()], axis=1))
    height = value(points).reshape(columns.shape).numpy()
    place.contour(
        columns, rows, height, levels=np.linspace(height.min(), np.quantile(height, 0.9), 12), colors="0.8"
    )
    place.grid(False)


def _outline(place: Axes, manifold: Manifold, color: str, name: str | None) -> None:
    if isinstance(manifold, Sphere):
        center = manifold.center.tolist()
        place.add_patch(
            Circle((center[0], center[1]), manifold.radius, fill=False, color=color, linewidth=2.2)
        )
        place.annotate(name or "", (center[0], center[1]), color=color, ha="center", va="center", fontsize=11)
    elif isinstance(manifold, Graph):
        x = torch.linspace(manifold.low, manifold.high, 400).double()
        place.plot(*manifold.point(x).T.numpy(), color=color, linewidth=2.2)
        if name:
            place.annotate(name, (-2.4, 3.1), color=color, fontsize=11)
