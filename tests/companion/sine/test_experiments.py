"""The experiments on sine waves: names and budgets."""

from dataclasses import replace

import pytest

from companion.sine.experiments import FIGURE_1, custom
from companion.sine.new_seeds import NEW_SEEDS
from companion.sine.scores import RecordAdaptation
from metalib.errors import InputError
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train


def test_settings_of_ones_own_do_not_share_a_folder():
    names = {
        custom(TrainingConfig(alpha=alpha), activation, points, 10).name
        for alpha in (0.01, 0.02) for activation in ("tanh", "relu") for points in (5, 10)
    }  # fmt: skip
    assert len(names) == 8


def test_the_paper_budget_of_figure_1_is_12_runs_of_30_000_iterations_per_unit():
    units = FIGURE_1.units(FIGURE_1.budgets["paper"], (0, 1, 2))
    assert {len(unit.configs) for unit in units} == {12}
    assert {config.iterations for unit in units for config in unit.configs} == {30_000}


def test_the_new_seeds_are_trained_as_those_of_figure_1_are():
    figure_1 = FIGURE_1.units(FIGURE_1.budgets["paper"], (3,))[0]
    again = NEW_SEEDS.units(NEW_SEEDS.budgets["paper"], (3,))[0]
    assert (again.family, again.configs, again.record) == (figure_1.family, figure_1.configs, figure_1.record)
    assert set(NEW_SEEDS.seeds).isdisjoint(FIGURE_1.seeds)


def test_runs_of_different_step_sizes_are_not_scored_with_the_step_size_of_one_of_them():
    trained = train(Sine(), [TrainingConfig(iterations=1, seed=seed) for seed in (0, 1)])
    mixed = replace(trained, configs=(trained.configs[0], replace(trained.configs[1], alpha=0.5)))
    with pytest.raises(InputError, match=r"alpha is \[0.02, 0.5\]"):
        RecordAdaptation(2)(Sine(), mixed)
