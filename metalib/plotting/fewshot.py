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

from metalib.plotting.style import BLACK, BLUE, GREY, METHODS, ORANGE, VERMILLION, figure
from metalib.tasks.classes import ClassPool
from metalib.tasks.fewshot import Episodes

if TYPE_CHECKING:
    from jaxtyping import Float

MODES = {"transductive": (BLUE, "o"), "inductive": (ORANGE, "s")}


def contact_sheet(pool: ClassPool, classes: Sequence[int], labels: Sequence[str]) -> Figure:
    """Draw all images of the chosen classes, one class per row."""
    images = 1.0 - pool.images[np.asarray(classes), ..., 0] / pool.maximum
    canvas, (axes,) = figure(height=6.5 / images.shape[1] * len(classes))
    _mosaic(axes, images)
    axes.set_yticks(_centres(len(classes), images.shape[2]), labels)
    axes.set_ylabel("class")
    axes.set_xlabel(f"{images.shape[1]} renditions")
    return canvas


def task(pool: ClassPool, episodes: Episodes, which: int) -> Figure:
    """Draw one evaluation task: the training images of each class, and beside them what is held out."""
    support = pool.gather(_torch(episodes.support[which]))[..., 0].numpy()
    query = pool.gather(_torch(episodes.query[which]))[..., 0].numpy()
    ways = len(query)
    rows = 1.0 - support.reshape(ways, -1, *support.shape[1:])
    shots = rows.shape[1]
    canvas, (left, right) = figure(columns=2, height=0.55 * ways, gridspec_kw={"width_ratios": [shots, 1]})
    _mosaic(left, rows)
    _mosaic(right, 1.0 - query[:, None])
    left.set_yticks(_centres(ways, rows.shape[2]), [str(label) for label in range(ways)])
    left.set(ylabel="label", title=f"training images, {shots} per class")
    right.set_title("held out")
    return canvas


def history(losses: pd.DataFrame) -> Figure:
    """Draw the training loss before and at the end of the inner loop, one line per seed."""
    canvas, (axes,) = figure(height=2.4)
    for column, colour, line, label in (
        ("loss_before", GREY, "--", r"before adapting, $L_1(\phi_1)$"),
        ("loss_after", BLUE, "-", r"at the last inner step, $L_k(\phi_k)$"),
    ):
        for i, (_, run) in enumerate(losses.groupby("seed")):
            axes.plot(run.iteration, run[column], color=colour, linestyle=line, label="" if i else label)
    axes.set(xlabel="outer iteration", ylabel="cross-entropy,\nsum over the minibatch", ylim=(0, None))
    axes.legend()
    return canvas


def cells(compared: pd.DataFrame) -> Figure:
    """Draw every cell of Table 2: the paper's accuracy and ours, mean and interval over seeds.

    Args:
        compared: one row per cell, as `experiments.table2.compare` returns it.
    """
    canvas, (axes,) = figure(height=3.2)
    place = np.arange(len(compared))[::-1]
    axes.plot(
        compared.paper, place + 0.15, marker="|", markersize=9, linestyle="none", color=BLACK, label="paper"
    )
    for mode, (colour, marker) in MODES.items():
        rows = (compared["mode"] == mode).to_numpy()
        found = compared[rows]
        errors = (found["mean"] - found.low, found.high - found["mean"])
        axes.errorbar(
            found["mean"], place[rows] - 0.15, xerr=errors, color=colour, marker=marker, linestyle="none",
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
        for offset, (mode, (colour, marker)) in zip((0.12, -0.12), MODES.items(), strict=True):
            found = summary[summary["mode"] == mode].set_index("algorithm").loc[names]
            errors = (found["mean"] - found.low, found.high - found["mean"])
            heights = np.arange(len(names))[::-1] + offset
            place.errorbar(
                found["mean"], heights, xerr=errors, color=colour, marker=marker, linestyle="none",
                capsize=2, label=mode,
            )  # fmt: skip
        labels = [METHODS[name].label for name in names]
        place.set_yticks(np.arange(len(names))[::-1], labels)
        place.set(title=title, xlabel="accuracy on test classes (%)")
    canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return canvas


def _mosaic(axes: Axes, images: Float[np.ndarray, "rows columns height width"]) -> None:
    """Draw images in rows and columns, ink dark."""
    rows, columns, height, width = images.shape
    axes.imshow(images.swapaxes(1, 2).reshape(rows * height, columns * width), cmap="Greys", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _centres(rows: int, height: int) -> np.ndarray:
    return (np.arange(rows) + 0.5) * height


def _torch(places: np.ndarray) -> Tensor:
    return torch.from_numpy(places)
