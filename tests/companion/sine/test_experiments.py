"""The experiments on sine waves: names and budgets."""

from companion.sine.experiments import FIGURE_1, custom
from metalib.training import TrainingConfig


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
