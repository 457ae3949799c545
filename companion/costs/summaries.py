"""What is made of the measurements and runs on costs: growth with k, noise, and what a price buys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from companion.costs.experiment import COMMON_K, STRONGER, runs, watched
from companion.costs.ways import FOMAML, IMPLICIT, PRODUCTS, REPTILE, operations
from companion.intervals import LEVEL, UNMEASURED, Interval, counted, interval
from companion.results import Result, load_result
from metalib.derivatives import gradient
from metalib.errors import StoreError, require
from metalib.tasks.sine import Sine
from metalib.training import train

if TYPE_CHECKING:
    from jaxtyping import Float

FROM_K = 4
"""Growth is fitted from here on: below, what does not depend on k weighs too much."""
PULL = STRONGER[0]
"""λ of the runs of implicit MAML that others are compared with."""
TRAINED = {"maml": PRODUCTS, "fomaml": FOMAML, "reptile": REPTILE, "imaml": IMPLICIT}
"""What readers call the methods that were trained with."""


@dataclass(frozen=True)
class Evidence:
    """All that the page rests on.

    Attributes:
        costs: one row per network, k and method, as `benchmarks/costs.csv` holds them.
        noise: one row per φ, seed, way to draw minibatches, k and method, as `benchmarks/variance.csv`.
        runs: the result of `COSTS`.
        stronger: the result of `IMPLICIT`, implicit MAML with stronger pulls.
    """

    costs: pd.DataFrame
    noise: pd.DataFrame
    runs: Result
    stronger: Result

    @classmethod
    def load(cls, results: Path, budget: str, costs: Path, noise: Path) -> Evidence:
        """Read what is stored.

        Raises:
            StoreError: if a file is not there.
        """
        for path, flag in ((costs, "--costs"), (noise, "--noise")):
            if not path.is_file():
                raise StoreError(f"{path} is missing; run python benchmarks/costs.py {flag} {path}")
        runs, stronger = (load_result(results / name / budget) for name in ("sine-costs", "sine-implicit"))
        return cls(pd.read_csv(costs), pd.read_csv(noise), runs, stronger)

    def of(self, network: str, method: str, column: str) -> pd.Series:
        """Return a column of one method on one network, by k."""
        rows = self.costs[(self.costs.network == network) & (self.costs.method == method)]
        return rows.set_index("k")[column]

    def exponent(self, network: str, method: str, column: str = "seconds") -> Interval:
        """Return the exponent p of k^p that fits a column from k = `FROM_K` on."""
        values = self.of(network, method, column).loc[FROM_K:]
        return slope(np.log(values.index.to_numpy(float)), np.log(values.to_numpy()))

    def per_step(self, network: str, method: str, column: str) -> Interval:
        """Return by how much a column grows with every inner step, from k = `FROM_K` on."""
        values = self.of(network, method, column).loc[FROM_K:]
        return slope(values.index.to_numpy(float), values.to_numpy())

    def weights_per_step(self, network: str, method: str) -> Interval:
        """Return how many times the weights' own size the peak memory grows by with every inner step."""
        size = float(self.of(network, method, "weights").iloc[0])
        found = self.per_step(network, method, "megabytes")
        return Interval(*(value / size for value in found))

    def times_as_much(self, network: str, method: str, base: str, k: int, column: str = "seconds") -> float:
        """Return how many times as much a method costs as another, at one k."""
        return float(self.of(network, method, column)[k] / self.of(network, base, column)[k])

    def change_of_ratio(self, network: str, method: str, base: str) -> Interval:
        """Return the factor by which the ratio of two methods' times changes from the first k to the last."""
        ratio = self.of(network, method, "seconds") / self.of(network, base, "seconds")
        values = ratio.loc[FROM_K:]
        found = slope(np.log(values.index.to_numpy(float)), np.log(values.to_numpy()))
        reach = np.log(values.index[-1] / values.index[0])
        return Interval(*(float(np.exp(reach * value)) for value in found))

    def noise_ratio(
        self, place: str, method: str, few: int, many: int, minibatches: str = "fresh"
    ) -> Interval:
        """Return the logarithm of noise over signal at `many` steps over that at `few`; over seeds."""
        rows = self.noise[
            (self.noise.phi == place)
            & (self.noise.method == method)
            & (self.noise.minibatches == minibatches)
        ]
        wide = rows.pivot(index="seed", columns="k", values="tasks_needed")
        values = np.log((wide[many] / wide[few]).to_numpy())
        return interval(values) if np.isfinite(values).all() else UNMEASURED

    def errors(
        self, algorithm: str, minibatches: str, k: int, steps: int = 10
    ) -> Float[np.ndarray, " seeds"]:
        """Return the error after some gradient steps, 10 by default, at the end of training; one per seed."""
        return self.scores(algorithm, minibatches, k, steps).mse.to_numpy()

    def scores(self, algorithm: str, minibatches: str, k: int, steps: int = 10) -> pd.DataFrame:
        """Return the rows of the same errors, by seed, with their standard errors over tasks.

        Raises:
            InputError: if no such run is stored.
        """
        rows = self.runs.tables["adaptation"]
        chosen = rows[
            (rows.algorithm == algorithm)
            & (rows.minibatches == minibatches)
            & (rows.k == k)
            & (rows.points == "whole")
            & (rows.step == steps)
        ]
        require(
            len(chosen) > 0, f"no run of {algorithm} with {minibatches} minibatches and k = {k} is stored"
        )
        return chosen.set_index("seed").sort_index()

    @property
    def budget(self) -> str:
        """How long the runs are, in words."""
        config = self.runs.provenance["config"]
        return f"{config['budget']['iterations']:,} outer iterations, {counted(config['seeds'])}"

    @property
    def tasks(self) -> int:
        """How many unseen tasks a trained network is scored on."""
        return int(self.runs.provenance["config"]["budget"]["evaluation_tasks"])

    @property
    def watched(self) -> int:
        """How many while it is in training."""
        return watched(self.tasks)

    def curves(self) -> pd.DataFrame:
        """Return `mse` against `iteration`, `seconds` and `gradients` at k = 5, per `method` and `seed`.

        Implicit MAML has the pull `PULL`, as it diverges with the one that it shares a reach with MAML at.
        """
        history, stronger = self.runs.tables["history"], self.stronger.tables["history"]
        common = (history.k == COMMON_K) & (history.minibatches == "returning")
        others = history[common & (history.algorithm != "imaml")]
        chosen = pd.concat([others, stronger[stronger["pull"] == PULL]])
        chosen = chosen.assign(method=chosen.algorithm.map(TRAINED))
        seconds = self.of_training()
        return chosen.assign(
            seconds=chosen.iteration * chosen.method.map(seconds),
            gradients=chosen.iteration * chosen.method.map(gradients_per_step()),
        )[["method", "seed", "iteration", "mse", "seconds", "gradients"]]

    def of_training(self) -> dict[str, float]:
        """Return the processor seconds of an outer step of training, per method."""
        return {
            method: float(self.of("training", method, "seconds")[COMMON_K]) for method in TRAINED.values()
        }

    def bought(self, price: str) -> tuple[float, dict[str, Interval]]:
        """Return the error that each method has when the one that is done first is done.

        Args:
            price: "seconds", "gradients" or "iteration".

        Returns:
            The price, and per method the error over seeds.
        """
        limit, errors = self.at_equal(price)
        return limit, {method: interval(values) for method, values in errors.items()}

    def at_equal(self, price: str) -> tuple[float, dict[str, Float[np.ndarray, " seeds"]]]:
        """Return the same, with the error of every seed, linear between the points of its curve."""
        curves = self.curves()
        limit = float(curves.groupby("method")[price].max().min())
        return limit, {
            str(method): np.array([np.interp(limit, run[price], run.mse) for _, run in rows.groupby("seed")])
            for method, rows in curves.groupby("method")
        }


def slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Interval:
    """Return the slope of a least-squares line with Student's interval, n − 2 degrees of freedom.

    Raises:
        InputError: if there are fewer than three points, which leave nothing to estimate an error from.

    >>> slope(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])).mean
    2.0
    """
    from scipy import stats

    require(len(x) >= 3, f"there are {len(x)} points; a slope with an interval needs at least 3")
    away = x - x.mean()
    found = float(away @ y / (away @ away))
    left = y - y.mean() - found * away
    error = float(np.sqrt(left @ left / (len(x) - 2) / (away @ away)))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df=len(x) - 2)) * error
    return Interval(found, found - half, found + half)


@cache
def gradients_per_step() -> dict[str, float]:
    """Return the operations of an outer step at k = 5 per method, in gradients of one minibatch."""
    family = Sine()
    sampled = family.sample(0, 0, 1, 1)
    loss = family.loss({name: torch.from_numpy(a[:1, 0, 0]) for name, a in sampled.items()})
    one = operations(partial(gradient, loss, family.initialize(0)))
    return {
        TRAINED[config.algorithm]: operations(partial(train, family, [config])) / one
        for config in runs(tuple(TRAINED), COMMON_K, 1, (0,))
    }
