"""Figures of the page on glyphs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from companion.fewshot.figures import centers, mosaic
from companion.style import figure
from metalib.data.classes import ClassPool


def contact_sheet(pool: ClassPool, classes: Sequence[int], labels: Sequence[str]) -> Figure:
    """Draw all images of the chosen classes, one class per row."""
    images = 1.0 - pool.images[np.asarray(classes), ..., 0] / pool.maximum
    canvas, (axes,) = figure(height=6.5 / images.shape[1] * len(classes))
    mosaic(axes, images)
    axes.set_yticks(centers(len(classes), images.shape[2]), labels)
    axes.set_ylabel("class")
    axes.set_xlabel(f"{images.shape[1]} renditions")
    return canvas
