"""Figure 4: the grids are those of the paper, and every run ends in the tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from companion.overlap import (
    figure4a,
    figure4b,
    figure4c,
)
from companion.overlap import (
    sensitivity as figure4_sensitivity,
)
from companion.overlap.settings import METHODS, SweepBudget, family
from companion.overlap.summaries import as_table, summary
from companion.running import runner
from companion.running.experiment import Budget, Experiment
from metalib.data.classes import ClassPool


def small_pool() -> ClassPool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (16, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


def smallest(experiment: Experiment, module, budget: Budget) -> Experiment:
    return replace(
        experiment,
        budgets={"smoke": budget},
        units=lambda budget, seeds: module._units(small_pool, budget, seeds),
    )


def units(module, budget: Budget, seeds=(0,)):
    return {unit.name: unit for unit in module._units(small_pool, budget, seeds)}


TINY = Budget(1, 2)


@pytest.mark.parametrize(
    ("experiment", "module", "budget"),
    [
        (figure4a.FIGURE_4A, figure4a, SweepBudget(1, 2, (2, 5))),
        (figure4b.FIGURE_4B, figure4b, SweepBudget(1, 2, (10, 100))),
        (figure4c.FIGURE_4C, figure4c, SweepBudget(1, 2, (0.5, 1.0))),
        (figure4_sensitivity.SENSITIVITY, figure4_sensitivity, TINY),
    ],
)
def test_every_run_is_trained_watched_and_scored(tmp_path, experiment, module, budget):
    result = runner.run(smallest(experiment, module, budget), "smoke", seeds=(0,), results=tmp_path)
    accuracy, history = result.tables["accuracy"], result.tables["history"]
    expected = set(units(module, budget))
    assert set(accuracy.unit) == set(history.unit) == expected
    assert (accuracy.groupby("unit").size() == 3).all(), "transductive, inductive, and their difference"
    assert {"iteration", "loss_before", "loss_after", "transductive", "inductive"} <= set(history)
    assert history.inductive.between(0, 100).all()
    facts = {unit.name: unit.facts for unit in units(module, budget).values()}
    for table in (accuracy, history):
        for row in table.to_dict("records"):
            assert facts[row["unit"]].items() <= row.items()


def test_cycling_overlaps_from_the_fifth_minibatch_of_25_and_above_a_batch_of_25():
    for k, batch, overlaps in ((4, 25, False), (5, 25, True), (4, 26, True), (4, 10, False)):
        tasks = family_of("shared-cycling", batch)
        images = tasks.sample(seed=0, block=0, tasks=1, steps=k)["image"].reshape(100, k, batch)
        shared = [len(set(task[-1]) & set(task[:-1].ravel())) for task in images]
        assert (min(shared) > 0) == (max(shared) > 0) == overlaps


def test_a_separate_tail_shares_no_image_with_the_rest_and_holds_25():
    for k, batch in ((2, 25), (10, 25), (4, 100)):
        tasks = family_of("separate", batch)
        for task in tasks.sample(seed=0, block=0, tasks=1, steps=k)["image"].reshape(100, k, -1):
            tail = set(task[-1][task[-1] >= 0])
            assert len(tail) == 25
            assert not tail & set(task[:-1].ravel())


def family_of(method: str, batch: int):
    return family(small_pool(), next(m for m in METHODS if m.name == method), batch)


def test_the_sweeps_of_figure_4_hold_the_papers_settings():
    by_k = units(figure4a, SweepBudget(7, 2, (2, 5)))
    assert {(u.configs[0].k, u.configs[0].epsilon, u.family.batch) for u in by_k.values()} == {
        (2, 1.0, 25),
        (5, 1.0, 25),
    }
    by_batch = units(figure4b, SweepBudget(7, 2, (10, 50)))
    assert {(u.configs[0].k, u.configs[0].epsilon, u.family.batch) for u in by_batch.values()} == {
        (4, 1.0, 10),
        (4, 1.0, 50),
    }
    by_epsilon = units(figure4c, SweepBudget(7, 2, (0.1, 1.0)))
    assert {(u.configs[0].k, u.configs[0].epsilon, u.family.batch) for u in by_epsilon.values()} == {
        (4, 0.1, 100),
        (4, 1.0, 100),
    }
    (longer,) = units(figure4c, SweepBudget(7, 2, (4.0,))).values()
    assert (longer.name, longer.configs[0].epsilon) == ("shared-cycling-4-seed-0", 1.0)
    assert longer.configs[0].weights == (0.0, 0.0, 0.0, 4.0)
    everything = [*by_k.values(), *by_batch.values(), *by_epsilon.values()]
    assert {unit.configs[0].alpha for unit in everything} == {0.003}
    assert len(everything) == 6 * len(METHODS) - 2, "at a batch of 100, replacement and cycling are one"


def test_a_sweep_is_summed_up_by_method_and_value():
    table = pd.DataFrame(
        {"method": method.name, "value": value, "seed": seed, "mode": "inductive", "accuracy": 90.0 + seed}
        for method in METHODS for value in (0.1, 10.0) for seed in (0, 1, 2)
    )  # fmt: skip
    points = summary(table)
    assert set(points.method) == {method.name for method in METHODS}
    assert set(points.value) == {0.1, 10.0}
    assert (points["mean"] == 91.0).all()
    table = as_table(points, "epsilon")
    assert list(table.columns) == ["accuracy (%)", "epsilon = 0.1", "epsilon = 10"]
    assert list(table.iloc[0]) == ["Reptile, cycling", "91.0 ± 2.5", "91.0 ± 2.5"]
