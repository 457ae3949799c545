"""Table 1 on a small made-up pool of Mini-ImageNet's layout: from units to the comparison with the paper."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from companion.budgets import Budget
from companion.fewshot import table1
from companion.running import runner
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.data.classes import ClassPool, Split
from metalib.tasks.episodes import sample_episodes
from tests.tolerances import EXACT, FLOAT32

TRAIN, VALIDATION, TEST = np.arange(8), np.arange(8, 11), np.arange(11, 17)
IMAGES = 16


@cache
def small_pool() -> ClassPool:
    images = np.random.default_rng(0).integers(0, 256, (17, IMAGES, 84, 84, 3), np.uint8)
    return ClassPool("made up", images, maximum=255, fixed=Split(TRAIN, TEST), rotate_train=False)


def quick_units(budget, seeds):
    """The units, scored after two steps instead of fifty."""
    units = table1.units(small_pool, budget, seeds)
    fewer = [tuple(replace(scoring, steps=2) for scoring in unit.record.scorings) for unit in units]
    return tuple(
        replace(unit, record=replace(unit.record, scorings=scorings))
        for unit, scorings in zip(units, fewer, strict=True)
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    experiment = replace(table1.TABLE_1, budgets={"smoke": Budget(1, 2)}, units=quick_units)
    return runner.run(experiment, "smoke", seeds=(0,), results=tmp_path_factory.mktemp("runs"))


def test_one_run_serves_both_shots_and_both_modes_on_both_sides_of_the_split(result):
    accuracy = result.tables["accuracy"]
    cells = accuracy.groupby(["shots", "classes", "mode", "seed"]).size()
    assert len(cells) == 2 * 2 * 3
    assert (cells == 1).all()
    assert set(accuracy.unit) == {"reptile-seed-0"}
    assert result.arrays["reptile-seed-0/phi/dense"].shape == (1, 6 * 6 * 32, 5)


def test_our_numbers_stand_beside_those_of_the_paper(result):
    table = table1.compare(result.tables["accuracy"]).set_index(["algorithm", "shots", "mode"])
    assert dict(table.paper) == pytest.approx(
        {
            ("reptile", 1, "inductive"): 47.07,
            ("reptile", 1, "transductive"): 49.97,
            ("reptile", 5, "inductive"): 62.74,
            ("reptile", 5, "transductive"): 65.99,
        }
    )
    assert table.ours.between(0, 100).all(), "one seed has a mean"
    assert table.low.isna().all(), "but no interval over seeds"


def test_intervals_over_seeds_and_over_tasks_are_those_written_out():
    rows = pd.DataFrame(
        {
            "algorithm": "maml", "seed": [0, 1, 2], "shots": 5, "classes": "test", "mode": "transductive",
            "accuracy": [60.0, 61.0, 62.0], "standard_error": [1.0, 2.0, 2.0],
        }
    )  # fmt: skip
    others = [rows.assign(classes="train", accuracy=90.0), rows.assign(mode="difference", accuracy=3.0)]
    (row,) = table1.compare(pd.concat([rows, *others])).itertuples()
    assert (row.ours, row.seeds, row.paper, row.paper_half_interval) == (61.0, 3, 63.11, 0.92)
    half = 4.302653 / 3**0.5
    assert (row.low, row.high) == pytest.approx((61.0 - half, 61.0 + half), rel=FLOAT32)
    assert row.over_tasks == pytest.approx(1.96 * 3.0 / 3, rel=EXACT)


def cells(gap: float, transduction: float, error: float) -> pd.DataFrame:
    """One made-up seed, every cell as far from the paper, and what transduction adds."""
    published = {key[1:]: mean for key, (mean, _) in table1.PAPER.items() if key[0] == "reptile"}
    found = {key: mean + gap for key, mean in published.items()}
    found |= {(shots, "difference"): transduction for shots in (1, 5)}
    return pd.DataFrame(
        [
            {"algorithm": "reptile", "seed": 0, "classes": "test", "shots": shots, "mode": mode,
             "accuracy": accuracy, "standard_error": error}
            for (shots, mode), accuracy in found.items()
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gap", "transduction", "error", "verdicts"),
    [
        (-3.0, 2.0, 0.3, [HOLDS, HOLDS, HOLDS]),
        (-9.0, -2.0, 0.3, [FAILS, HOLDS, FAILS]),
        (1.5, 2.0, 0.3, [HOLDS, FAILS, HOLDS]),
        (-3.0, 2.0, 3.0, [OPEN, OPEN, OPEN]),
    ],
)
def test_what_was_expected_is_judged_by_intervals_over_tasks(gap, transduction, error, verdicts):
    assert list(table1.expected(cells(gap, transduction, error)).verdict) == verdicts


def test_intervals_over_tasks_average_over_seeds():
    one = cells(-3.0, 2.0, 0.3)
    two = pd.concat([one, one.assign(seed=1, accuracy=one.accuracy + 2.0, standard_error=0.4)])
    found = table1.test_accuracy(two).set_index(["shots", "mode"]).loc[(5, "difference")]
    assert (found["mean"], found.high - found["mean"]) == pytest.approx((3.0, 1.96 * 0.25), rel=FLOAT32)


def test_settings_are_those_of_the_paper():
    for seed, unit in enumerate(table1.units(small_pool, table1.BUDGETS["paper"], (0, 1, 2))):
        family, (config,) = unit.family, unit.configs
        assert (family.ways, family.shots, family.batch) == (5, 15, 10)
        assert (family.scheme, family.tail_shots, family.reduction) == ("cycling", 0, "sum")
        assert (config.algorithm, config.seed, config.alpha, config.k) == ("reptile", seed, 0.001, 8)
        assert (config.inner, config.beta1, config.tasks) == ("adam", 0.0, 5)
        assert (config.epsilon, config.epsilon_final, config.iterations) == (1.0, 0.0, 100_000)
        scored = {
            scoring.shots: (scoring.batch, scoring.steps, scoring.tasks) for scoring in unit.record.scorings
        }
        assert scored == {(1,): (5, 50, 10_000), (5,): (15, 50, 10_000)}
        net = family.net
        assert (net.size, net.channels, net.filters, net.pooling) == (84, 3, 32, True)


def test_validation_classes_stay_out_of_training_and_of_the_test():
    family, pool = table1.family(small_pool()), small_pool()
    trained = set(family.sample(0, 0, tasks=5, steps=8)["image"].ravel() // IMAGES)
    tested = {
        side: set(sample_episodes(pool, 0, 50, classes=side).image.ravel() // IMAGES)
        for side in ("train", "test")
    }
    assert trained == tested["train"] == set(TRAIN)
    assert tested["test"] == set(TEST)
