"""The claims of section 4, each from the stored runs to its verdict; page and tests call them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log
from pathlib import Path
from typing import Any

import pandas as pd

from companion.intervals import Interval, counted
from companion.results import Result, load_result
from companion.sine.one_at_a_time import CHANGES
from companion.sine.summaries import (
    MATCHED,
    ahead,
    below_zero_function,
    beyond_by_step,
    by_inner_steps,
    by_step,
    excess,
    log_ratio,
    one,
    zero_function_median,
)
from companion.sine.tuning import MARGIN, SYMBOLS, as_ratio, in_short, little, matters_little
from companion.verdicts import Claim, decide, each, jointly, most
from metalib.tasks.sine import zero_function_error

UNIT, ADAM_UNIT = "tanh-interpolate", "tanh-adam"
"""The runs that the claims speak of, by how the outer step is taken."""
JOINT = 0.05
"""Part of the zero function's error within which an error after adapting counts as that of joint training.
This and the next margin were set when the runs of Figure 1 had been seen; they are judged on new seeds."""
NEAR_ZERO = 0.2
"""An excess over the zero function's error, 4.25, that we call none."""
ALIKE = MARGIN
"""Ratios of errors that we call alike; set before the runs of appendix A, after those of MAML and Reptile."""


@dataclass(frozen=True)
class Evidence:
    """The stored runs that the page rests on.

    Attributes:
        figure_1: MAML, FOMAML, Reptile, joint training and no training.
        inner_steps: Reptile with 1 to 10 inner steps.
        meta_batch: Reptile, serial and batched.
        search: Reptile's settings, searched with CMA-ES.
        short: each of them halved and doubled, in short runs.
        long: the same in runs as long as the others.
        new_seeds: Figure 1 and one inner step on seeds that set no margin.
    """

    figure_1: Result
    inner_steps: Result
    meta_batch: Result
    search: Result
    short: Result
    long: Result
    new_seeds: Result

    @classmethod
    def load(cls, results: Path, budget: str = "paper") -> Evidence:
        """Read the stored runs.

        Args:
            results: the folder that holds all results.
            budget: which of the stored runs.

        Raises:
            StoreError: if one of them is missing or damaged.
        """
        names = ("sine-figure-1", "sine-inner-steps", "sine-meta-batch")
        figure_1, inner_steps, meta_batch = (load_result(results / name / budget) for name in names)
        short, long = (load_result(results / "sine-one-at-a-time" / name) for name in ("laptop", budget))
        search = load_result(results / "sine-search" / "laptop")
        new_seeds = load_result(results / "sine-new-seeds" / budget)
        return cls(figure_1, inner_steps, meta_batch, search, short, long, new_seeds)

    def runs(self, algorithm: str, step: int, unit: str = UNIT) -> pd.DataFrame:
        """Return one method of Figure 1 after some gradient steps, a row per seed."""
        return one(self.figure_1, step, unit=unit, algorithm=algorithm)

    def new_excess(self, step: int, **facts: object) -> Interval:
        """Return the `excess` of one configuration on the new seeds."""
        return excess(one(self.new_seeds, step, **facts))

    def on_new_seeds(self, *found: Interval, digits: int = 2) -> str:
        """Say what was found on the new seeds."""
        seeds = counted(self.new_seeds.provenance["config"]["seeds"])
        return f"on {seeds} that set no margin {' and '.join(f'{one:+.{digits}f}' for one in found)}"

    @cached_property
    def errors(self) -> pd.DataFrame:
        """Mean squared errors of Figure 1 by unit, algorithm and step."""
        return by_step(self.figure_1).set_index(["unit", "algorithm", "step"]).sort_index()

    @cached_property
    def beyond(self) -> pd.DataFrame:
        """Median squared errors on the unseen half by unit, algorithm and step."""
        return beyond_by_step(self.figure_1).set_index(["unit", "algorithm", "step"]).sort_index()


def _found(table: Any, algorithm: str, step: int) -> Interval:
    """Return the mean over seeds and its interval, of one method after some gradient steps."""
    return Interval(*table.loc[(algorithm, step), ["mean", "low", "high"]])


def joint_training_learns_the_zero_function(evidence: Evidence) -> Claim:
    """Joint training ends at the zero function, from which adapting helps less than from Reptile's end."""
    gap = excess(evidence.runs("joint", 0))
    new = evidence.new_excess(0, algorithm="joint")
    tanh = evidence.errors.loc[UNIT]
    return Claim(
        "E f = 0, so joint training learns the zero function",
        "useless to train on the expected loss",
        f"joint training before adapting, error minus the zero function's: {gap:+.3f}; "
        f"{evidence.on_new_seeds(new, digits=3)}; less than {NEAR_ZERO:g} counts as none; "
        f"after 10 steps {_found(tanh, 'joint', 10):.2f}, Reptile {_found(tanh, 'reptile', 10):.2f}",
        jointly(
            decide(new, above=-NEAR_ZERO, below=NEAR_ZERO),
            decide(ahead(evidence.runs("reptile", 10), evidence.runs("joint", 10)), above=0),
        ),
    )


def the_initialization_predicts_about_zero(evidence: Evidence) -> Claim:
    """Before adapting, MAML's and Reptile's initializations err about as much as the zero function."""
    gaps = {name: excess(evidence.runs(name, 0)) for name in ("reptile", "maml")}
    new = {name: evidence.new_excess(0, algorithm=name) for name in gaps}
    return Claim(
        "the initialization itself predicts about 0",
        "for MAML and Reptile",
        f"tanh, error before adapting minus the zero function's: Reptile {gaps['reptile']:+.2f}, "
        f"MAML {gaps['maml']:+.2f}; {evidence.on_new_seeds(*new.values())}; "
        f"less than {NEAR_ZERO:g} counts as none",
        each(new.values(), above=-NEAR_ZERO, below=NEAR_ZERO),
    )


def maml_and_reptile_fit_the_sine(evidence: Evidence) -> Claim:
    """After 32 steps the intervals of MAML and Reptile lie below that of random weights."""
    tanh = evidence.errors.loc[UNIT]
    return Claim(
        "MAML and Reptile fit the sine after a few steps, random weights do not",
        "Fig. 1",
        f"after 32 steps: MAML {_found(tanh, 'maml', 32):.2f}, Reptile {_found(tanh, 'reptile', 32):.2f}, "
        f"random weights {_found(tanh, 'random', 32):.2f}",
        each(
            (ahead(evidence.runs(name, 32), evidence.runs("random", 32)) for name in ("maml", "reptile")),
            above=0,
        ),
    )


def they_infer_the_curve_away_from_the_points(evidence: Evidence) -> Claim:
    """On the half of the interval where nothing was seen they err less than the zero function, by medians."""
    tanh, zero = evidence.beyond.loc[UNIT], zero_function_median(evidence.figure_1)
    return Claim(
        "they infer the curve away from the points",
        "Fig. 1",
        f"median error on the unseen half after 32 steps: MAML {_found(tanh, 'maml', 32):.2f}, "
        f"Reptile {_found(tanh, 'reptile', 32):.2f}, the zero function {zero:.2f}; "
        f"joint training {_found(tanh, 'joint', 32):.2f}, random weights {_found(tanh, 'random', 32):.2f}",
        each(
            (below_zero_function(evidence.figure_1, UNIT, name, 32) for name in ("maml", "reptile")),
            above=0,
        ),
    )


def one_step_reptile_is_joint_training(evidence: Evidence) -> Claim:
    """Reptile with k = 1 stays at the zero function's error; k = 2 is clearly below."""
    rows = by_inner_steps(evidence.inner_steps).set_index(["rule", "steps"])
    first, second = (
        one(evidence.inner_steps, 10, algorithm="combination", steps=k, epsilon=0.5 / k) for k in (1, 2)
    )
    apart, better = excess(first), ahead(second, first)
    new = evidence.new_excess(10, algorithm="combination", steps=1)
    margin = JOINT * zero_function_error()
    return Claim(
        "Reptile with k = 1 is joint training, with k ≥ 2 it is not",
        "Eqs. 6, 7",
        "error after 10 gradient steps: "
        + ", ".join(f"{_found(rows, MATCHED, k):.2f} for k = {k}" for k in (1, 2, 5))
        + f"; k = 1 differs from the zero function by {apart:+.2f}; {evidence.on_new_seeds(new)}; "
        f"less than {margin:.2f} counts as none; k = 2 is {better:.2f} below k = 1",
        jointly(decide(new, above=-margin, below=margin), decide(better, above=0)),
    )


def maml_and_reptile_perform_alike(evidence: Evidence) -> Claim:
    """The ratio of their errors after 10 steps is near 1, with both ways to take the outer step."""
    low, high = ALIKE
    ratios = {
        outer: log_ratio(evidence.runs("maml", 10, unit), evidence.runs("reptile", 10, unit))
        for outer, unit in {"interpolation": UNIT, "Adam": ADAM_UNIT}.items()
    }
    return Claim(
        "MAML and Reptile perform alike",
        "Fig. 1 shows one task of each",
        "MAML's error over Reptile's after 10 steps: "
        + ", ".join(f"{as_ratio(ratio)} with {outer}" for outer, ratio in ratios.items())
        + f"; a ratio of {low:g} to {high:g} counts as alike",
        jointly(*(decide(ratio, above=log(low), below=log(high)) for ratio in ratios.values())),
    )


def most_settings_matter_little(evidence: Evidence) -> Claim:
    """Halving or doubling most settings leaves the error alike, at the demo's number of iterations."""
    told = (f"{SYMBOLS[name]} {in_short(evidence.long, name)}" for name in CHANGES)
    low, high = MARGIN
    seeds = counted(evidence.long.tables["error"].seed.unique())
    return Claim(
        "most hyper-parameters matter little",
        "appendix A, found with CMA-ES",
        f"Reptile on sine waves, {seeds}: halving and doubling multiplies the error after 10 steps by "
        f"{', '.join(told)}; {len(little(evidence.long))} of {len(CHANGES)} settings stay within "
        f"{low:g} to {high:g}",
        most(*(matters_little(evidence.long, name) for name in CHANGES)),
    )


CLAIMS = (
    joint_training_learns_the_zero_function,
    the_initialization_predicts_about_zero,
    maml_and_reptile_fit_the_sine,
    they_infer_the_curve_away_from_the_points,
    one_step_reptile_is_joint_training,
    maml_and_reptile_perform_alike,
    most_settings_matter_little,
)
"""The claims of the page, in its order."""


def ledger(evidence: Evidence) -> list[Claim]:
    """Return all claims of the page with their verdicts."""
    return [claim(evidence) for claim in CLAIMS]
