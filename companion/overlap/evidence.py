"""The stored runs that the page on section 6.3 rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from companion.inner_gradients.summaries import contrast
from companion.intervals import Interval, counted, over_seeds
from companion.results import Result, load_result

STORED = ("figure4a", "figure4b", "figure4c", "figure4-sensitivity", "late-gradients", "figure4-tails")
MEASURES = ("decrease", "length", "cosine")


@dataclass(frozen=True)
class Evidence:
    """The stored runs that the page rests on.

    Attributes:
        by_steps: Figure 4a, the number of inner iterations.
        by_batch: Figure 4b, the size of the minibatch.
        by_epsilon: Figure 4c, the outer step size.
        sensitivity: images per class, and the size of the tail.
        late: what late gradients are worth.
        tails: last minibatches seen in part.
    """

    by_steps: Result
    by_batch: Result
    by_epsilon: Result
    sensitivity: Result
    late: Result
    tails: Result

    @classmethod
    def load(cls, results: Path, budget: str) -> Evidence:
        """Read the stored runs.

        Args:
            results: the folder that holds all results.
            budget: which of the stored runs, such as "laptop".

        Raises:
            StoreError: if one of them is missing or damaged.
        """
        return cls(*(load_result(results / name / budget) for name in STORED))

    @property
    def budget(self) -> str:
        """How long the runs of Figure 4 are."""
        config = self.by_steps.provenance["config"]
        return f"{config['budget']['iterations']:,} iterations, {counted(config['seeds'])}"

    @property
    def late_budget(self) -> str:
        """Those of the late gradients."""
        config = self.late.provenance["config"]
        iterations, tasks = config["budget"]["iterations"], config["budget"]["evaluation_tasks"]
        return f"{iterations:,} iterations, {counted(config['seeds'])}, {tasks} tasks each"

    @cached_property
    def worth(self) -> dict[str, pd.DataFrame]:
        """By what is measured: mean and interval per initialization, images and step, from step 4 on."""
        gradients = self.late.tables["gradients"]
        by = ["initialization", "images", "step"]
        return {measured: over_seeds(gradients[gradients.step > 3], by, measured) for measured in MEASURES}

    def along_steps(self, weights: Mapping[str, float]) -> Interval:
        """Return a weighted sum of accuracies of Figure 4a."""
        return contrast(self.by_steps.tables["accuracy"], weights)

    def along_batch(self, weights: Mapping[str, float]) -> Interval:
        """Return one of Figure 4b."""
        return contrast(self.by_batch.tables["accuracy"], weights)

    def along_epsilon(self, weights: Mapping[str, float]) -> Interval:
        """Return a weighted sum of accuracies of Figure 4c."""
        return contrast(self.by_epsilon.tables["accuracy"], weights)

    @property
    def longer(self) -> Interval:
        """What an outer step of 4 instead of 1 adds to the shared tail."""
        return self.along_epsilon({"shared-cycling-4": 1, "shared-cycling-1": -1})

    def behind(self, name: str) -> dict[float, Interval]:
        """Return by how much the shared tail is behind another method, at every common outer step size."""
        return {
            step: self.along_epsilon({f"{name}-{step:g}": 1, f"shared-cycling-{step:g}": -1})
            for step in (0.1, 0.3, 1)
        }
