"""Intervals against their definition, over seeds, and as text."""

import numpy as np
import pandas as pd
import pytest

from companion.intervals import (
    Interval,
    interval,
    intervals_of,
    lowest,
    over_seeds,
    over_tasks_alone,
    paired,
    plus_minus,
)
from companion.verdicts import HOLDS, OPEN, decide
from metalib.errors import InputError


def test_an_interval_covers_the_mean_in_95_of_100_samples():
    rng = np.random.default_rng(0)
    covered = [
        low <= 1.0 <= high for _, low, high in (interval(rng.normal(1.0, 2.0, 3)) for _ in range(4_000))
    ]
    assert abs(np.mean(covered) - 0.95) < 4 * (0.95 * 0.05 / 4_000) ** 0.5


def test_one_value_has_a_mean_and_no_interval_and_none_has_neither():
    mean, low, high = interval(np.array([1.0]))
    assert mean == 1.0
    assert np.isnan([low, high]).all()
    with pytest.raises(InputError, match="there are no values"):
        interval(np.array([]))


def test_seeds_that_only_one_was_run_with_are_not_taken_for_lost():
    three, five = (pd.Series(range(n), dtype=float) for n in (3, 5))
    assert list(paired(five, three)) == [0.0, 0.0, 0.0]
    three[1] = np.nan
    assert np.isnan(paired(five, three)[1])


def test_the_lowest_of_single_seeds_is_that_of_the_lowest_mean():
    alone = [interval(np.array([value])) for value in (3.0, 1.0, 2.0)]
    assert lowest(alone).mean == 1.0
    assert lowest([Interval(1.0, 0.9, 1.1), Interval(2.0, 0.1, 3.9)]).mean == 2.0
    assert np.isnan(lowest([*alone, Interval(np.nan, np.nan, np.nan)]).mean)


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
