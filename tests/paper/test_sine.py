"""Section 4: Eq. 8 and the claims about sine waves, judged on the stored runs of the paper's budget."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.intervals import NORMAL, over_seeds
from companion.results import load_result
from companion.sine import claims
from companion.sine import experiments as sine
from companion.sine.scores import median_of_zero_function
from companion.sine.summaries import excess, one
from metalib.evaluation.regression import adaptation_errors
from metalib.tasks.sine import GRID_POINTS, Sine, SineTasks, SupportSet, grid, zero_function_error

RESULTS = Path(__file__).parents[2] / "results"


def stored(name: str) -> pd.DataFrame:
    return load_result(RESULTS / name / "paper").tables["adaptation"]


@pytest.fixture(scope="module")
def figure_1() -> pd.DataFrame:
    return stored("sine-figure-1")


def summary(table: pd.DataFrame, unit: str, points: str, value: str = "mse") -> pd.DataFrame:
    chosen = table[(table.unit == unit) & (table.points == points)]
    return over_seeds(chosen, ["algorithm", "step"], value).set_index(["algorithm", "step"])


def test_eq_8_the_mean_over_the_grid_is_the_integral_over_the_interval_divided_by_its_length():
    """For f ≡ 0 the integral has a closed form; 50 points come within two percent of it."""
    waves = SineTasks(np.array([1.0, 3.0]), np.array([0.0, 1.2]))
    nothing = {name: value * 0.0 for name, value in Sine(dtype="float64").initialize(0).items()}
    support = SupportSet(waves, np.zeros((2, 1)), np.zeros((2, 1)))
    ours = adaptation_errors(Sine(dtype="float64").model, nothing, support, 0.02, 0)[0, :, 0]
    a, b = waves.amplitude, waves.phase
    integral = a**2 * (5 - (np.sin(10 + 2 * b) + np.sin(10 - 2 * b)) / 4)
    np.testing.assert_allclose(10 * ours, integral, rtol=0.02)
    assert len(grid()) == GRID_POINTS == 50


def test_the_stored_runs_are_those_of_the_papers_budget():
    for experiment in (sine.FIGURE_1, sine.INNER_STEPS, sine.META_BATCH):
        config = load_result(RESULTS / experiment.name / "paper").provenance["config"]
        assert config["budget"]["iterations"] == 30_000
        assert config["seeds"] == [0, 1, 2]
        assert config["budget"]["evaluation_tasks"] >= 1_000


def test_reptile_reaches_the_reference_error_after_10_steps(figure_1):
    runs = figure_1[
        (figure_1.unit == "tanh-interpolate") & (figure_1.points == "whole") & (figure_1.step == 10)
    ]
    assert (runs[runs.algorithm == "reptile"].mse <= 0.13).all()


@pytest.mark.parametrize("algorithm", ["reptile", "joint"])
def test_before_adapting_the_error_is_that_of_the_zero_function(figure_1, algorithm):
    """s4-zero, fig-1: within the sampling error of the floor E[a²]/2 = 4.2517 over the evaluation tasks."""
    runs = figure_1[(figure_1.unit == "tanh-interpolate") & (figure_1.points == "whole")]
    runs = runs[(runs.algorithm == algorithm) & (runs.step == 0)]
    assert (np.abs(runs.mse - zero_function_error()) < NORMAL * runs.mse_standard_error).all()
    assert (runs.excess.abs() < 0.02 * zero_function_error()).all(), "on the very same tasks, two percent"


@pytest.mark.parametrize("algorithm", ["reptile", "joint"])
def test_before_adapting_the_median_is_that_of_the_zero_function(figure_1, algorithm):
    """Figure `fig-sine-half` draws medians, and beside them that of the zero function, not its mean."""
    runs = figure_1[(figure_1.unit == "tanh-interpolate") & (figure_1.points == "half")]
    medians = runs[(runs.algorithm == algorithm) & (runs.step == 0)]["median"]
    zero = median_of_zero_function(1_000)
    assert (np.abs(medians - zero) < 0.02 * zero).all()
    assert zero < 0.9 * zero_function_error()


@pytest.mark.parametrize("unit", ["tanh-interpolate", "tanh-adam", "relu-interpolate", "relu-adam"])
def test_before_adapting_maml_predicts_about_zero(figure_1, unit):
    before = summary(figure_1, unit, "whole", "excess")
    assert abs(before.loc[("maml", 0), "mean"]) < 0.02 * zero_function_error()


def test_on_seeds_that_set_no_margin_initializations_and_one_step_reptile_err_as_the_zero_function_does():
    """s4-zero, fig-1/start, eq-6-7: the margins are older than these runs."""
    again = load_result(RESULTS / "sine-new-seeds" / "paper")
    assert set(again.provenance["config"]["seeds"]).isdisjoint((0, 1, 2))
    margin = claims.JOINT * zero_function_error()
    before = {name: excess(one(again, 0, algorithm=name)) for name in ("joint", "reptile", "maml")}
    after = excess(one(again, 10, algorithm="combination", steps=1))
    assert all(-claims.NEAR_ZERO < found.low <= found.high < claims.NEAR_ZERO for found in before.values())
    assert -margin < after.low <= after.high < margin


def test_joint_training_stays_near_the_floor_and_reptile_does_not(figure_1):
    after = summary(figure_1, "tanh-interpolate", "whole")
    assert after.loc[("joint", 10), "low"] > 10 * after.loc[("reptile", 10), "high"]


@pytest.mark.parametrize("points", ["whole", "half"])
@pytest.mark.parametrize("outer", ["interpolate", "adam"])
@pytest.mark.parametrize("algorithm", ["reptile", "fomaml", "maml"])
def test_meta_learned_tanh_networks_fit_the_sine_and_random_ones_do_not(figure_1, algorithm, outer, points):
    """fig-1: also on the half of the interval where no point was seen."""
    after = summary(figure_1, f"tanh-{outer}", points)
    assert after.loc[(algorithm, 32), "high"] < after.loc[("random", 32), "low"]


def test_with_an_adam_outer_step_maml_and_fomaml_are_as_good_as_reptile(figure_1):
    after = summary(figure_1, "tanh-adam", "whole")
    assert after.loc[("maml", 32), "mean"] < 1.1 * after.loc[("reptile", 32), "mean"]
    assert after.loc[("fomaml", 32), "mean"] < 1.5 * after.loc[("reptile", 32), "mean"]


def test_relu_lets_a_fomaml_initialization_leave_the_floor_and_reptile_not(figure_1):
    before = summary(figure_1, "relu-adam", "whole", "excess")
    assert abs(before.loc[("reptile", 0), "mean"]) < 0.02 * zero_function_error()
    assert before.loc[("fomaml", 0), "mean"] > 10 * zero_function_error()
    assert summary(figure_1, "relu-interpolate", "whole").loc[("fomaml", 0), "diverged"] == 3


def test_one_inner_step_sinks_to_joint_training_and_further_ones_help_while_there_are_new_points():
    table = stored("sine-inner-steps")
    chosen = table[(table.points == "whole") & (table.step == 10) & (table.algorithm == "combination")]
    matched = chosen[np.isclose(chosen.epsilon * chosen.steps, 0.5)]
    by_k = over_seeds(matched, ["steps"]).set_index("steps")
    assert by_k.loc[1, "mean"] > 0.95 * zero_function_error()
    assert by_k.loc[2, "high"] < by_k.loc[1, "low"]
    new_points = by_k["mean"].loc[[1, 2, 3, 5]]
    assert list(new_points) == sorted(new_points, reverse=True)
    assert by_k.loc[10, "mean"] > by_k.loc[5, "mean"], "ten minibatches of 10 visit each of 50 points twice"


def test_batched_reptile_learns_as_serial_reptile_does():
    table = stored("sine-meta-batch")
    chosen = table[(table.points == "whole") & (table.step == 10) & (table.algorithm == "reptile")]
    means = over_seeds(chosen, ["schedule"]).set_index("schedule")["mean"]
    assert means["batched-same-steps"] < 1.25 * means["serial"]
    assert means["batched-same-tasks"] < 1.5 * means["serial"]
