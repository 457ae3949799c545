"""Figures of few-shot classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from companion.style import BLACK, BLUE, GRAY, ORANGE, VERMILLION, figure, readers_name
from metalib.data.classes import ClassPool
from metalib.tasks.episodes import Episodes

if TYPE_CHECKING:
    from jaxtyping import Float

MODES = {"transductive": (BLUE, "o"), "inductive": (ORANGE, "s")}


def task(pool: ClassPool, episodes: Episodes, which: int) -> Figure:
    """Draw one evaluation task: the training images of each class, and beside them what is held out."""
    support = pool.gather(_torch(episodes.support[which]))[..., 0].numpy()
    query = pool.gather(_torch(episodes.query[which]))[..., 0].numpy()
    ways = len(query)
    rows = 1.0 - support.reshape(ways, -1, *support.shape[1:])
    shots = rows.shape[1]
    canvas, (left, right) = figure(columns=2, height=0.55 * ways, gridspec_kw={"width_ratios": [shots, 1]})
    mosaic(left, rows)
    mosaic(right, 1.0 - query[:, None])
    left.set_yticks(centers(ways, rows.shape[2]), [str(label) for label in range(ways)])
    left.set(ylabel="label", title=f"training images, {shots} per class")
    right.set_title("held out")
    left.set_anchor("E")
    right.set_anchor("W")
    return canvas


def history(losses: pd.DataFrame) -> Figure:
    """Draw the training loss before and at the end of the inner loop, one line per seed."""
    canvas, (axes,) = figure(height=2.4)
    for column, color, line, label in (
        ("loss_before", GRAY, "--", r"before adapting, $L_1(\phi_1)$"),
        ("loss_after", BLUE, "-", r"at the last inner step, $L_k(\phi_k)$"),
    ):
        for i, (_, run) in enumerate(losses.groupby("seed")):
            axes.plot(run.iteration, run[column], color=color, linestyle=line, label="" if i else label)
    axes.set(xlabel="outer iteration", ylabel="cross-entropy,\nsum over the minibatch", ylim=(0, None))
    axes.legend()
    return canvas


def cells(compared: pd.DataFrame) -> Figure:
    """Draw every cell of Table 1 or 2: the paper's accuracy and ours, mean and interval.

    Args:
        compared: one row per cell, as `table2.compare` and `table1.test_accuracy` return it.
    """
    canvas, (axes,) = figure(height=1.0 + 0.275 * len(compared))
    place = np.arange(len(compared))[::-1]
    axes.plot(
        compared.paper, place + 0.15, marker="|", markersize=9, linestyle="none", color=BLACK, label="paper"
    )
    for mode, (color, marker) in MODES.items():
        rows = (compared["mode"] == mode).to_numpy()
        found = compared[rows]
        errors = (found["mean"] - found.low, found.high - found["mean"])
        axes.errorbar(
            found["mean"], place[rows] - 0.15, xerr=errors, color=color, marker=marker, linestyle="none",
            capsize=2, label=f"ours, {mode}",
        )  # fmt: skip
    names = [f"{row.ways}-way {row.shots}-shot, {row['mode']}" for _, row in compared.iterrows()]
    axes.set_yticks(place, names)
    axes.set_xlabel("accuracy on test classes (%)")
    canvas.legend(loc="outside upper center", ncols=3)
    return canvas


def differences(summary: pd.DataFrame, names: Sequence[str], label: str) -> Figure:
    """Draw means with intervals beside a line at zero.

    Args:
        summary: rows with `mean`, `low`, `high` in percentage points.
        names: what each row is called.
        label: what the differences are.
    """
    canvas, (axes,) = figure(height=0.5 + 0.25 * len(summary))
    place = np.arange(len(summary))[::-1]
    errors = (summary["mean"] - summary.low, summary.high - summary["mean"])
    axes.errorbar(summary["mean"], place, xerr=errors, color=BLUE, marker="o", linestyle="none", capsize=2)
    axes.axvline(0.0, color=VERMILLION, linewidth=1, linestyle="--")
    axes.set_yticks(place, list(names))
    axes.set_ylim(-0.6, len(summary) - 0.4)
    axes.set_xlabel(label)
    return canvas


def methods(summaries: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the accuracy of every method, one panel per number of shots, mean and interval over seeds.

    Args:
        summaries: per panel title, rows with `algorithm`, `mode`, `mean`, `low`, `high`.
    """
    canvas, axes = figure(columns=len(summaries), height=2.6, sharey=True)
    for place, (title, summary) in zip(axes, summaries.items(), strict=True):
        names = list(summary.algorithm.unique())
        for offset, (mode, (color, marker)) in zip((0.12, -0.12), MODES.items(), strict=True):
            found = summary[summary["mode"] == mode].set_index("algorithm").loc[names]
            errors = (found["mean"] - found.low, found.high - found["mean"])
            heights = np.arange(len(names))[::-1] + offset
            place.errorbar(
                found["mean"], heights, xerr=errors, color=color, marker=marker, linestyle="none",
                capsize=2, label=mode,
            )  # fmt: skip
        labels = [readers_name(name) for name in names]
        place.set_yticks(np.arange(len(names))[::-1], labels)
        place.set(title=title, xlabel="accuracy on test classes (%)")
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return canvas


def mosaic(axes: Axes, images: Float[np.ndarray, "rows columns height width"]) -> None:
    """Draw images in rows and columns, ink dark."""
    rows, columns, height, width = images.shape
    axes.imshow(images.swapaxes(1, 2).reshape(rows * height, columns * width), cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def centers(rows: int, height: int) -> np.ndarray:
    """Return the middle of every row of a mosaic, in pixels.

    Args:
        rows: how many.
        height: of each, in pixels.
    """
    return (np.arange(rows) + 0.5) * height


def _torch(places: np.ndarray) -> Tensor:
    return torch.from_numpy(places)
