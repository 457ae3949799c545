"""What was predicted of personalization before the runs, and what came of it; page and tests call it.

The predictions were written down after a pilot with seed 100, which is not among the stored runs, and a
larger network; it showed that fine-tuning helps, and nothing about the other three.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from companion.intervals import Interval, difference, interval
from companion.personalization.experiment import RECORDED_STEPS
from companion.personalization.writers import KNOWN, NEW
from companion.results import Result, load_result
from companion.verdicts import Claim, decide

SIMILAR = 2.0
"""Points of accuracy within which two methods count as alike; chosen before the runs."""
TUNED = RECORDED_STEPS[-1]


@dataclass(frozen=True)
class Found:
    """A difference in points of accuracy, as two ways of repeating the experiment bound it.

    Attributes:
        over_seeds: mean over clients, one value per training run.
        over_alphabets: mean over seeds and clients, one value per alphabet.
    """

    over_seeds: Interval
    over_alphabets: Interval

    @property
    def widest(self) -> Interval:
        """From the lower of the two lower ends to the higher of the two upper ends: what verdicts rest on."""
        seeds, alphabets = self.over_seeds, self.over_alphabets
        # numpy's minimum of what is not a number is not a number, and leaves the claim open.
        low, high = np.minimum(seeds.low, alphabets.low), np.maximum(seeds.high, alphabets.high)
        return Interval(seeds.mean, float(low), float(high))

    def __str__(self) -> str:
        """Write the mean and both half intervals."""
        seeds, alphabets = self.over_seeds, self.over_alphabets
        return (
            f"{seeds.mean:+.1f} points (±{(seeds.high - seeds.low) / 2:.1f} over seeds, "
            f"±{(alphabets.high - alphabets.low) / 2:.1f} over alphabets)"
        )


@dataclass(frozen=True)
class Evidence:
    """The stored runs that the page rests on."""

    runs: Result

    @classmethod
    def load(cls, results: Path, budget: str) -> Evidence:
        """Read the stored runs.

        Args:
            results: the folder that holds all results.
            budget: which of the stored runs, such as "laptop".

        Raises:
            StoreError: if they are missing or damaged.
        """
        return cls(load_result(results / "personalization" / budget))

    def accuracy(self, method: str, step: int, kind: str) -> pd.DataFrame:
        """Return per client of a kind: `seed`, `alphabet`, `hand`, and `accuracy` in percent."""
        table = self.runs.tables["clients"]
        chosen = table[(table.method == method) & (table.step == step) & (table.kind == kind)]
        return chosen[["seed", "alphabet", "hand", "accuracy"]].reset_index(drop=True)

    def difference(self, one: tuple[str, int], other: tuple[str, int], kind: str = NEW) -> Found:
        """Return by how much one (method, step) serves clients better than another, paired by client."""
        return _found(self._paired(one, other, kind))

    def gain_beyond(self, one: tuple[str, int], other: tuple[str, int]) -> Found:
        """Return by how much more that is on new alphabets than on known ones.

        Over seeds it is paired, as both kinds are served by the same models. Alphabets are others, and
        independent.
        """
        kinds = [self._paired(one, other, kind) for kind in (NEW, KNOWN)]
        new, known = (paired.groupby("seed").gain.mean() for paired in kinds)
        halves = [
            (found.mean, found.high - found.mean) for found in (_found(kind).over_alphabets for kind in kinds)
        ]
        return Found(interval((new - known).to_numpy()), difference(*halves))

    def _paired(self, one: tuple[str, int], other: tuple[str, int], kind: str) -> pd.DataFrame:
        keys = ["seed", "alphabet", "hand"]
        both = self.accuracy(*one, kind).merge(self.accuracy(*other, kind), on=keys, validate="1:1")
        return both.assign(gain=both.accuracy_x - both.accuracy_y)

    def summary(self, kind: str = NEW) -> pd.DataFrame:
        """Return per method and step: mean and interval over alphabets, and the worst tenth of clients."""
        rows = []
        for method in ("joint", "fedavg", "reptile"):
            for step in RECORDED_STEPS:
                own = self.accuracy(method, step, kind)
                center = interval(own.groupby("alphabet").accuracy.mean().to_numpy())
                clients = own.groupby(["alphabet", "hand"]).accuracy.mean()
                rows.append((method, step, *center, float(np.quantile(clients, 0.1)), len(clients)))
        return pd.DataFrame(rows, columns=["method", "step", "mean", "low", "high", "worst_tenth", "clients"])

    def per_client(self, kind: str = NEW) -> pd.DataFrame:
        """Return every client's accuracy before and after fine-tuning Reptile's model: mean, spread."""
        keys = ["alphabet", "hand"]
        parts = {
            name: self.accuracy("reptile", step, kind).groupby(keys).accuracy.agg(["mean", "sem"])
            for name, step in (("before", 0), ("after", TUNED))
        }
        return pd.concat(parts, axis=1).sort_values(("before", "mean")).reset_index()


def _found(paired: pd.DataFrame) -> Found:
    by = {key: paired.groupby(key).gain.mean().to_numpy() for key in ("seed", "alphabet")}
    return Found(interval(by["seed"]), interval(by["alphabet"]))


def helps(evidence: Evidence) -> Claim:
    """Prediction 1: twenty steps on five characters of their own serve clients of new alphabets better."""
    gain = evidence.difference(("reptile", TUNED), ("reptile", 0))
    return Claim(
        "own drawings help", "fine-tuning on 5 characters raises accuracy on new alphabets", str(gain),
        decide(gain.widest, above=0),
    )  # fmt: skip


def more_on_new_alphabets(evidence: Evidence) -> Claim:
    """Prediction 2: they gain more than clients whose alphabet is known from other hands."""
    tuned, before = ("reptile", TUNED), ("reptile", 0)
    new, known = (evidence.difference(tuned, before, kind).over_alphabets.mean for kind in (NEW, KNOWN))
    apart = evidence.gain_beyond(tuned, before)
    return Claim(
        "new alphabets gain more", "the gain is larger where the alphabet is new than where only the hand is",
        f"{new:+.1f} against {known:+.1f}; difference {apart}",
        decide(apart.widest, above=0),
    )  # fmt: skip


def beats_joint(evidence: Evidence) -> Claim:
    """Prediction 3: fine-tuned, Reptile's model serves them better than the jointly trained one does."""
    ahead = evidence.difference(("reptile", TUNED), ("joint", TUNED))
    return Claim(
        "a start made for adapting", "fine-tuned, Reptile's model beats the jointly trained one, fine-tuned",
        str(ahead), decide(ahead.widest, above=0),
    )  # fmt: skip


def as_fedavg(evidence: Evidence) -> Claim:
    """Prediction 4: fine-tuned, Reptile's and FedAvg's models are within two points of each other."""
    apart = evidence.difference(("reptile", TUNED), ("fedavg", TUNED))
    return Claim(
        "FedAvg is Reptile", f"fine-tuned, both lie within {SIMILAR:g} points of each other", str(apart),
        decide(apart.widest, above=-SIMILAR, below=SIMILAR),
    )  # fmt: skip


def claims(evidence: Evidence) -> list[Claim]:
    """Return all four predictions with what was measured and the verdict."""
    return [one(evidence) for one in (helps, more_on_new_alphabets, beats_joint, as_fedavg)]
