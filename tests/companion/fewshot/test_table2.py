"""The few-shot experiments on a small embedded pool: from the command line's entry to the tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from companion.budgets import FewShotBudget
from companion.fewshot import table2
from companion.fewshot.scores import Scoring, score
from companion.fewshot.settings import reptile_configs, reptile_family
from companion.running import runner
from metalib.data.classes import ClassPool
from metalib.params import norm, subtract
from metalib.training.loop import train
from tests.rounding import in_double
from tests.tolerances import EXACT, FLOAT32, ROUNDOFF


def small_pool() -> ClassPool:
    """Sixty classes that are easy to tell apart: each has its own pattern under a little noise."""
    rng = np.random.default_rng(0)
    pattern = rng.random((60, 1, 7, 7, 1)).repeat(4, 2).repeat(4, 3)
    noise = rng.random((60, 20, 28, 28, 1))
    images = (0.5 * pattern + 0.5 * noise > 0.5).astype(np.uint8)
    return ClassPool("patterns", images, train_classes=30, rotate_train=False)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        experiment = table2.TABLE_2_GLYPHS
        smallest = {"smoke": FewShotBudget(2, 3, 1, 2)}
        experiment = replace(
            experiment,
            budgets=smallest,
            units=lambda budget, seeds: table2._units(small_pool, budget, seeds),
        )
        patch.chdir(tmp_path_factory.mktemp("runs"))
        yield runner.run(experiment, "smoke", seeds=(0,))


def test_every_cell_of_the_table_is_there_for_every_seed(result):
    accuracy = result.tables["accuracy"]
    cells = accuracy.groupby(["ways", "shots", "classes", "mode", "seed"]).size()
    assert len(cells) == 2 * 2 * 2 * 3
    assert (cells == 1).all()
    shares = accuracy[accuracy["mode"] != "difference"].accuracy
    assert shares.between(0, 100).all()
    assert (accuracy[accuracy.ways == 5].tasks == 3).all()
    assert (accuracy[accuracy.ways == 20].tasks == 2).all()


def test_transduction_is_a_paired_difference(result):
    keys = ["unit", "seed", "shots", "classes"]
    means = result.tables["accuracy"].pivot(index=keys, columns="mode", values="accuracy")
    np.testing.assert_allclose(means.difference, means.transductive - means.inductive, atol=100 * EXACT)


def test_trained_weights_and_moments_are_kept(result):
    assert result.arrays["reptile-5-way/phi/dense"].shape == (1, 256, 5)
    assert result.arrays["reptile-20-way/second/conv_3"].shape == (1, 64, 3, 3, 64)


def test_settings_are_those_of_the_paper():
    found = table2._units(small_pool, table2.BUDGETS["paper"], (0, 1, 2))
    units = {unit.family.ways: unit for unit in found}
    for ways, alpha, batch, k, evaluation_batch, iterations in (
        (5, 0.001, 10, 5, 5, 100_000),
        (20, 0.0005, 20, 10, 10, 200_000),
    ):
        unit = units[ways]
        family, config = unit.family, unit.configs[2]
        assert (family.ways, family.shots, family.batch) == (ways, 10, batch)
        assert (family.scheme, family.tail_shots, family.reduction) == ("cycling", 0, "sum")
        assert (config.seed, config.alpha, config.k, config.iterations) == (2, alpha, k, iterations)
        assert (config.inner, config.beta1, config.tasks) == ("adam", 0.0, 5)
        assert (config.epsilon, config.epsilon_final) == (1.0, 0.0)
        scoring = unit.record.scoring
        assert (scoring.tasks, scoring.steps, scoring.batch) == (10_000, 50, evaluation_batch)


def test_a_run_is_the_same_alone_and_in_a_stack():
    """Shown with SGD: Adam's first steps have the size of α wherever a gradient is not exactly zero, even
    where all of it is roundoff, as before batch normalization."""
    family = in_double(reptile_family(small_pool(), 5))
    configs = [replace(config, inner="sgd") for config in reptile_configs(5, 3, seeds=(0, 1))]
    scoring = Scoring(4, steps=3, shots=(1,), classes=("test",))
    stacked, single = train(family, configs), train(family, configs[1:])
    start = family.initialize(1)
    moved, expected = subtract(stacked.runs(1, 2).phi, start), subtract(single.phi, start)
    assert float(norm(subtract(moved, expected)) / norm(expected)) < ROUNDOFF
    table = score(family, stacked, scoring)
    pd.testing.assert_frame_equal(
        table[table.seed == 1].reset_index(drop=True), score(family, single, scoring)
    )


def test_reptile_learns_to_classify_new_classes():
    family, configs = reptile_family(small_pool(), 5), reptile_configs(5, 20, seeds=(0,))
    scoring = Scoring(25, steps=5, batch=0, shots=(1,), classes=("test",))
    untrained = train(family, [replace(configs[0], iterations=1)])
    trained = train(family, configs)
    before, after = (
        score(family, t, scoring).set_index("mode").accuracy["inductive"] for t in (untrained, trained)
    )
    assert after > before + 10.0
    assert after > 60.0


def cells(**columns) -> pd.DataFrame:
    """A table of accuracies that are easy to check in the head: three seeds, one unit apart."""
    base = {
        "algorithm": "reptile", "unit": "u", "seed": [0, 1, 2], "ways": 5, "shots": 1, "classes": "test",
        "mode": "transductive", "accuracy": [90.0, 91.0, 92.0], "standard_error": 0.5,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def test_transduction_is_compared_with_the_papers_difference():
    table = pd.concat([cells(mode="difference", accuracy=[2.0, 3.0, 4.0]), cells()])
    (row,) = table2.transduction(table).itertuples()
    assert (row.ways, row.shots, row.mean) == (5, 1, 3.0)
    assert row.paper == pytest.approx(97.68 - 95.39)


def test_the_gap_between_classes_is_paired_by_seed():
    table = pd.concat([cells(), cells(classes="train", accuracy=[92.0, 93.0, 94.0])])
    (row,) = table2.class_gap(table).itertuples()
    assert (row.mean, row.low, row.high) == pytest.approx((2.0, 2.0, 2.0))


@pytest.mark.parametrize(
    ("experiment", "units", "ways"),
    [
        (table2.FIVE_WAYS_GLYPHS, table2._units_of_five_ways, 5),
        (table2.TWENTY_WAYS_GLYPHS, table2._units_of_twenty_ways, 20),
    ],
)
def test_run_by_run_they_are_trained_and_scored_as_in_the_whole_table(
    result, tmp_path, experiment, units, ways
):
    experiment = replace(
        experiment,
        budgets={"smoke": FewShotBudget(2, 3, 1, 2).for_ways(ways)},
        units=lambda budget, seeds: units(small_pool, budget, seeds),
    )
    alone = runner.run(experiment, "smoke", seeds=(0,), results=tmp_path)
    both = [table.drop(columns="unit") for table in (alone.tables["accuracy"], result.tables["accuracy"])]
    of_table = both[1][both[1].ways == ways].reset_index(drop=True)
    pd.testing.assert_frame_equal(both[0], of_table, rtol=FLOAT32)
    for name, value in alone.arrays.items():
        stacked = result.arrays[name.replace("-way-seed-0", "-way")]
        np.testing.assert_allclose(value, stacked, rtol=FLOAT32, atol=FLOAT32)
