"""What `benchmarks/ranks.py` measured, and what the model makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from companion.intervals import Interval, interval
from companion.scaling.cost import Link, Training, fit
from metalib.errors import StoreError

LARGE = Training(weights=1e9, gradient_seconds=0.5)
"""A model of 10⁹ weights on a worker that needs half a second for a gradient step: assumed, not measured."""
WORKERS = 10_000
LINKS = {
    "data center, 100 Gb/s": Link(latency=2e-5, bandwidth=12.5e9),
    "between sites, 1 Gb/s": Link(latency=2e-2, bandwidth=125e6),
    "homes, 50 Mb/s": Link(latency=5e-2, bandwidth=6.25e6),
}
"""Links of workers, by what they stand for: assumed, not measured."""


@dataclass(frozen=True)
class Measured:
    """The stored measurements.

    Attributes:
        rows: one per measurement, as `benchmarks/ranks.csv` holds them.
    """

    rows: pd.DataFrame

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Read the file.

        Raises:
            StoreError: if it is not there.
        """
        if not path.is_file():
            raise StoreError(f"{path} is missing; run python benchmarks/ranks.py")
        return cls(pd.read_csv(path))

    def part(self, name: str) -> pd.DataFrame:
        """Return the measurements of one part."""
        return self.rows[self.rows.part == name]

    def seconds(self, processes: int, setting: str = "ranks", column: str = "seconds") -> np.ndarray:
        """Return, per repeat, how long the training took.

        Args:
            processes: how many share it.
            setting: "ranks"; "one process", without ranks; or "apart", processes that never talk.
            column: "seconds", or those of them spent "waiting" in all-reduces.
        """
        rows = self.part("throughput")
        chosen = rows[(rows.ranks == processes) & (rows.setting == setting)].sort_values("repeat")
        return chosen[column].to_numpy()

    def speed_up(self, processes: int, setting: str = "ranks") -> Interval:
        """Return by how much several processes are faster than one, paired by repeat."""
        return interval(self.seconds(1, "one process") / self.seconds(processes, setting))

    def waiting(self, ranks: int) -> Interval:
        """Return the share of the time that ranks spend in all-reduces, in percent."""
        return interval(100.0 * self.seconds(ranks, column="waiting") / self.seconds(ranks))

    @property
    def sending(self) -> float:
        """Return the share of the time that all-reduces of 2 ranks take if no rank waits, in percent."""
        return 100.0 * ITERATIONS * self.link.all_reduce(2, self.message) / float(self.seconds(2).mean())

    @cached_property
    def message(self) -> int:
        """Bytes of a displacement of the Omniglot network, sent once per outer step."""
        return int(self.part("throughput").bytes.max())

    @cached_property
    def link(self) -> Link:
        """What the all-reduces on this machine say about its link."""
        return fit(self.part("collectives"))

    @cached_property
    def links(self) -> pd.DataFrame:
        """Seconds per outer gradient step: `k`, `delay`, mean `seconds` measured, `predicted` by the model.

        The model r + t/k takes r and t from the two runs without a delay, which it therefore meets; what it
        says of the others, where the delay is added to t, is a prediction.
        """
        rows = self.part("links")
        taken = (rows.seconds / (rows.steps / TASKS)).rename("seconds")
        means = rows.assign(seconds=taken).groupby(["k", "delay"]).seconds.mean().reset_index()
        few, many = (means[(means.delay == 0) & (means.k == k)].seconds.item() for k in (1, means.k.max()))
        talk = (few - many) / (1 - 1 / means.k.max())
        return means.assign(predicted=few - talk + (talk + means.delay) / means.k)

    @cached_property
    def hidden(self) -> Interval:
        """How much of the shorter of computing and sending is hidden behind the longer, in percent."""
        times = self.part("overlap").pivot(index="repeat", columns="setting", values="seconds")
        shorter = times[["steps", "all-reduce"]].min(axis=1)
        return interval((100 * (times["steps"] + times["all-reduce"] - times["both"]) / shorter).to_numpy())

    @cached_property
    def compressed(self) -> pd.DataFrame:
        """Per way to write a displacement: `bytes` relative to float32, `error` of a message, and the `loss`
        that training ends with, by how much it lies above that of float32: paired by seed.
        """
        rows = self.part("compression")
        means = rows.groupby("setting", sort=False)[["bytes", "error"]].mean()
        losses = rows.pivot(index="repeat", columns="setting", values="loss")
        above = [interval((losses[name] - losses["float32"]).to_numpy()) for name in means.index]
        relative = means.bytes / means.bytes["float32"]
        return means.assign(bytes=relative, loss=pd.Series(above, index=means.index)).reset_index()


TASKS = 4
"""Tasks per outer step in `benchmarks/ranks.py`; a step on all of them is one outer gradient step."""
ITERATIONS = 100
"""Outer steps of a training whose throughput is measured there."""


def extrapolated() -> pd.DataFrame:
    """Return what the model says of `LARGE` on `WORKERS` workers, per link.

    Returns:
        `link`; the `seconds` that one average takes; `synchronous`, the share of the time in percent that
        workers compute if they average after every step; and the local steps `k`, `k_int8`, `k_overlapped`
        from which on they compute nine tenths of the time: in float32, in int8, and overlapped.
    """
    quarter = Training(LARGE.weights, LARGE.gradient_seconds, bytes_per_weight=1 + 4 / 1024)
    rows = []
    for name, link in LINKS.items():
        talk = link.all_reduce(WORKERS, LARGE.weights * LARGE.bytes_per_weight)
        rows.append(
            {
                "link": name,
                "seconds": talk,
                "synchronous": 100 * LARGE.efficiency(link, WORKERS, 1),
                "k": LARGE.steps_for(link, WORKERS),
                "k_int8": quarter.steps_for(link, WORKERS),
                "k_overlapped": max(1, int(np.ceil(0.9 * talk / LARGE.gradient_seconds))),
            }
        )
    return pd.DataFrame(rows)
