"""Intervals against their definition, over seeds, and as text."""

import numpy as np
import pandas as pd
import pytest

from companion.intervals import interval, intervals_of, over_seeds, over_tasks_alone, plus_minus
from companion.verdicts import HOLDS, OPEN, decide
from metalib.errors import InputError


def test_an_interval_covers_the_mean_in_95_of_100_samples():
    rng = np.random.default_rng(0)
    covered = [
        low <= 1.0 <= high for _, low, high in (interval(rng.normal(1.0, 2.0, 3)) for _ in range(4_000))
    ]
    assert abs(np.mean(covered) - 0.95) < 4 * (0.95 * 0.05 / 4_000) ** 0.5


def test_one_value_has_no_interval():
    with pytest.raises(InputError, match="got 1 value; an interval needs at least two"):
        interval(np.array([1.0]))


def test_seeds_that_diverged_are_counted_and_left_out():
    table = pd.DataFrame({"unit": ["a"] * 3 + ["b"] * 3, "mse": [1.0, 3.0, np.nan, np.nan, np.nan, 1.0]})
    summary = over_seeds(table, ["unit"])
    assert list(summary.seeds) == [2, 1]
    assert list(summary.diverged) == [1, 2]
    assert summary["mean"][0] == 2.0
    assert np.isnan(summary["mean"][1]), "one seed gives no interval, and is not passed off as a mean"


def test_a_single_run_has_a_mean_that_decides_nothing():
    summary = over_seeds(pd.DataFrame({"unit": ["a", "b"], "mse": [2.0, np.nan]}), ["unit"])
    assert list(plus_minus(summary)) == ["2.0 (one seed)", "diverged"]
    alone, _ = intervals_of(summary)
    assert alone.mean == 2.0
    assert decide(alone, above=-100.0) == decide(alone, above=100.0) == OPEN


def test_intervals_are_written_with_their_half_width():
    summary = pd.DataFrame({"mean": [97.14, 2.0], "low": [96.84, 1.0], "high": [97.44, 3.0]}, index=[4, 7])
    assert dict(plus_minus(summary)) == {4: "97.1 ± 0.3", 7: "2.0 ± 1.0"}


def test_an_interval_says_how_many_seeds_diverged():
    table = pd.DataFrame(
        {"curve": curve, "seed": seed, "accuracy": np.nan if seed < lost else 90.0 + seed}
        for curve, lost in (("whole", 0), ("one lost", 1), ("two lost", 2), ("all lost", 3))
        for seed in (0, 1, 2)
    )
    assert list(plus_minus(over_seeds(table, ["curve"], "accuracy"))) == [
        "91.0 ± 2.5",
        "91.5 ± 6.4 (2 of 3 seeds)",
        "diverged (but for 1 of 3 seeds)",
        "diverged",
    ]


def test_no_verdict_comes_from_the_seeds_that_are_left():
    table = pd.DataFrame({"unit": ["a"] * 3 + ["b"] * 3, "mse": [1.0, 3.0, np.nan, 1.0, 2.0, 3.0]})
    lost, whole = intervals_of(over_seeds(table, ["unit"]))
    assert decide(lost, above=-100.0) == OPEN
    assert decide(whole, above=-100.0) == HOLDS
    assert np.isnan(over_tasks_alone(pd.Series([4.0, np.nan]), pd.Series([0.3, np.nan])).mean)
