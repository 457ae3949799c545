"""Figures of what many workers cost."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from companion.scaling.summaries import LARGE, LINKS, WORKERS
from companion.style import BLUE, CYCLE, LINES, MARKERS, ORANGE, figure


def local_steps(links: pd.DataFrame) -> Figure:
    """Draw measured times behind slow links beside the model, and the model far beyond this machine.

    Args:
        links: `summaries.Measured.links`.
    """
    canvas, (left, right) = figure(columns=2, height=2.7)
    looks = ((1, ORANGE, "s", "--", "k = 1, synchronous SGD"), (10, BLUE, "o", "-", "k = 10, Reptile"))
    for k, color, marker, line, label in looks:
        rows = links[links.k == k]
        delay = 1e3 * rows.delay
        left.plot(delay, 1e3 * rows.seconds, marker, color=color, label=label)
        left.plot(delay, 1e3 * rows.predicted, line, color=color)
    left.set(xlabel="delay before every average (ms)", ylabel="time per gradient step (ms)", ylim=(0, None))
    left.set_title("2 processes: measured, and model (lines)")
    left.legend()
    ks = np.unique(np.logspace(0, 5, 101).round().astype(int))
    for (name, link), color, style, marker in zip(LINKS.items(), CYCLE, LINES, MARKERS, strict=False):
        shares = [100 * LARGE.efficiency(link, WORKERS, int(k)) for k in ks]
        right.plot(
            ks, shares, color=color, linestyle=style, marker=marker, markevery=20, label=name.split(", ")[1]
        )
    right.set_xscale("log")
    right.set(xlabel="local steps $k$", ylabel="time spent computing (%)", ylim=(0, 103))
    right.set_title("model: 10,000 workers, $10^9$ weights")
    right.legend(loc="lower right", title="link")
    return canvas
