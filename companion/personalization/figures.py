"""Figures of clients who fine-tune one model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from companion.personalization.experiment import RECORDED_STEPS
from companion.style import BLUE, GRAY, PURPLE, figure
from companion.style import LOOKS as EVERYWHERE
from metalib.methods import Look

LOOKS = {
    "joint": EVERYWHERE["joint"],
    "fedavg": Look("FedAvg", PURPLE, "--", "v"),
    "reptile": EVERYWHERE["reptile"],
}


def clients(summary: pd.DataFrame, per_client: pd.DataFrame) -> Figure:
    """Draw accuracy against steps on a client's own drawings, and every client before and after.

    Args:
        summary: `claims.Evidence.summary`.
        per_client: `claims.Evidence.per_client`.
    """
    canvas, (left, right) = figure(columns=2, height=2.7)
    places = np.arange(len(RECORDED_STEPS))
    for i, (method, look) in enumerate(LOOKS.items()):
        rows = summary[summary.method == method]
        errors = np.stack([rows["mean"] - rows.low, rows.high - rows["mean"]])
        left.errorbar(
            places + 0.08 * (i - 1), rows["mean"], errors,
            color=look.color, linestyle=look.line, marker=look.marker, label=look.label, capsize=2,
        )  # fmt: skip
    left.set_xticks(places, [str(step) for step in RECORDED_STEPS])
    left.set(xlabel="steps on own drawings", ylabel="accuracy, new alphabets (%)")
    left.legend(loc="lower right")
    order = np.arange(len(per_client))
    before, after = per_client["before"], per_client["after"]
    right.errorbar(
        order, after["mean"], after["sem"], fmt="o", color=BLUE, markersize=3, elinewidth=0.7, label="after"
    )
    right.plot(order, before["mean"], "--", color=GRAY, label="before")
    right.axhline(25, color=GRAY, linestyle=":", linewidth=0.8, label="chance")
    right.set(xlabel="clients, worst served first", ylabel="accuracy of the client (%)", ylim=(0, 103))
    right.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return canvas
