"""Section 6.2 and Figure 3: verdicts from the stored runs on Omniglot, and the theory of other weights."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from companion.inner_gradients import figure3
from companion.inner_gradients import settings as combinations
from companion.inner_gradients.summaries import (
    contrast,
    differences,
    final_accuracies,
    late_losses,
    learning_curves,
    stated_budget,
)
from companion.inner_gradients.two_steps import MARGIN
from companion.intervals import counted
from companion.results import load_result
from metalib.data.glyphs import glyphs
from metalib.inner import inner_loop
from metalib.meta_gradients import combination, maml
from metalib.optimizers import SGD
from metalib.training.loop import train
from tests.tolerances import EXACT

RESULTS = Path(__file__).parents[2] / "results"
BUDGET = "laptop"
ITERATIONS = {"laptop": 10_000, "paper": 40_000}
CHANCE = 20.0


@pytest.fixture(scope="module")
def shorter():
    return load_result(RESULTS / "figure3" / BUDGET)


@pytest.fixture(scope="module")
def accuracy():
    return load_result(RESULTS / "figure3" / "paper").tables["accuracy"]


@pytest.fixture(scope="module")
def final(accuracy):
    return final_accuracies(accuracy).set_index("curve")


@pytest.fixture(scope="module")
def weights():
    return load_result(RESULTS / "figure3-weights" / BUDGET)


@pytest.fixture(scope="module")
def turned(weights):
    return final_accuracies(weights.tables["accuracy"]).set_index("curve")


@pytest.fixture(scope="module")
def controls():
    return load_result(RESULTS / "figure3-controls" / BUDGET)


def relative_losses(stored):
    """Losses of every curve at the end of training, in units of the loss of guessing."""
    return late_losses(stored.tables["history"]) / math.log(5)


@pytest.mark.parametrize(
    ("budget", "seeds", "tasks"), [("laptop", (0, 1, 2), 500), ("paper", (0, 1, 2), 2_000)]
)
def test_figure_3_has_its_ten_curves_with_the_papers_settings_and_a_stated_budget(budget, seeds, tasks):
    stored = load_result(RESULTS / "figure3" / budget)
    config = stored.provenance["config"]
    curves = [curve.weights for curve in figure3.CURVES]
    assert len(curves) == len(set(curves)) == 10
    ran = sorted((tuple(run["weights"]), run["seed"]) for unit in config["units"] for run in unit["runs"])
    assert ran == sorted((weights, seed) for weights in curves for seed in seeds)
    for unit in config["units"]:
        (run,) = unit["runs"]
        assert (run["alpha"], run["inner"], run["tasks"]) == (0.003, "sgd", 1)
        assert (run["epsilon"], run["epsilon_final"]) == (0.25, 0.0)
        assert run["iterations"] == ITERATIONS[budget]
        family = unit["family"]
        assert (family["batch"], family["scheme"], family["shots"]) == (25, "disjoint", 5 * run["k"])
        assert unit["record"]["scoring"]["tasks"] == tasks
    said = f"{ITERATIONS[budget]:,} outer iterations (paper: 40,000), {counted(seeds)}; "
    assert stated_budget(stored).startswith(f"{said}scored on {tasks:,} tasks")


def test_after_2000_iterations_the_extremes_are_more_than_20_points_apart(shorter):
    curves = learning_curves(shorter.tables["history"]).set_index(["curve", "iteration"])["mean"]
    assert curves["4-sum", 2_000] - curves["1-first", 2_000] > 20


def test_the_first_gradient_alone_is_poor(final):
    assert final.loc["1-first", "high"] < final.drop("1-first").low.min() - 20


def test_the_first_gradient_alone_unlearns_what_random_weights_can_do(final, turned):
    assert final.loc["1-first", "high"] < turned.loc["start", "low"]


def test_on_ten_new_seeds_two_step_reptile_is_below_two_step_fomaml_by_more_than_the_margin():
    """fig-3/two-shorter: the margin was set before these runs."""
    result = load_result(RESULTS / "figure3-two-steps" / BUDGET)
    assert result.provenance["config"]["seeds"] == list(range(3, 13))
    assert contrast(result.tables["accuracy"], {"2-last": 1, "2-sum": -1}).low > MARGIN


def test_after_a_quarter_of_the_training_two_step_reptile_is_below_two_step_fomaml(shorter):
    assert contrast(shorter.tables["accuracy"], {"2-last": 1, "2-sum": -1}).low > 0


def test_after_all_of_the_training_two_step_reptile_is_not_below_two_step_fomaml(accuracy):
    """fig-3/two: against the paper, and against the shorter runs."""
    found = contrast(accuracy, {"2-last": 1, "2-sum": -1})
    assert found.high < MARGIN


@pytest.mark.parametrize("kind", ["sum", "average"])
def test_sums_and_averages_improve_with_more_minibatches(accuracy, kind):
    assert contrast(accuracy, {f"4-{kind}": 1, f"2-{kind}": -1}).low > 0


def test_the_sum_gains_more_from_minibatches_than_the_last_gradient_does(accuracy):
    gain = contrast(accuracy, {"4-sum": 1, "2-sum": -1, "4-last": -1, "2-last": 1})
    assert gain.low > 0


def test_the_last_gradient_alone_gains_from_more_minibatches(accuracy):
    """fig-3/last: less than two points. After a quarter of the training it is not seen."""
    gain = contrast(accuracy, {"4-last": 1, "2-last": -1})
    assert 0 < gain.low < gain.high < 2


def test_whether_the_average_gains_more_than_the_last_gradient_is_not_decided(accuracy):
    """Both go as far per outer step."""
    gain = contrast(accuracy, {"4-average": 1, "2-average": -1, "4-last": -1, "2-last": 1})
    assert gain.low < 0 < gain.mean


def test_a_larger_share_of_avg_grad_inner_is_ahead_once_and_behind_once(accuracy):
    """fig-3/share: g4 has share 3, its average 1.5, g2 share 1; all three go as far per outer step."""
    assert contrast(accuracy, {"4-last": 1, "2-last": -1}).low > 0
    assert contrast(accuracy, {"4-last": 1, "4-average": -1}).high < 0


def test_what_was_foreseen_of_the_dial_came_true_but_for_avg_grad_inner_alone(weights):
    foreseen = [("dial2", "dial-1"), ("dial1", "dial0"), ("dial0", "dial-1"), ("maml", "dial2")]
    found = differences(weights.tables["accuracy"], [*foreseen, ("difference", "start")])
    assert list(found.low > 0) == [True, True, True, True, False]


def test_against_avg_grad_inner_training_unlearns_and_with_it_learns(turned):
    assert turned.loc["dial-1", "high"] < turned.loc["start", "low"]
    for value in ("0.5", "1"):
        assert turned.loc[f"dial{value}", "low"] > turned.loc["start", "high"]


def test_avg_grad_inner_alone_unlearns(turned):
    """Against what was predicted."""
    assert turned.loc["difference", "high"] < turned.loc["start", "low"]


def test_twice_fomamls_share_fails_in_the_first_order_form_and_not_in_mamls(turned):
    assert turned.loc["dial2", "high"] < CHANCE + 10
    assert turned.loc["maml", "low"] > turned.loc["dial1", "high"]


def test_a_run_that_scores_20_percent_without_spread_has_one_in_five_right_in_every_task(weights):
    """As where all five test images fall into one class; guessing would scatter."""
    table = weights.tables["accuracy"]
    alike = table[(table.curve == "4-like-maml") & (table["mode"] == "inductive")]
    assert alike.accuracy.to_numpy() == pytest.approx([CHANCE] * 3)
    assert (alike.standard_error == 0).all()


def test_first_order_forms_of_a_large_share_run_away_in_the_loss_before_adaptation(weights):
    before = relative_losses(weights).loss_before
    for curve in ("dial2", "difference", "difference-4", "4-like-maml"):
        assert before[curve] > 1e9
    for curve in ("dial1", "4-last"):
        assert 2 < before[curve] < 6
    for curve in ("dial-1", "dial0", "dial0.5", "maml", "start"):
        assert before[curve] < 1.3


def test_with_a_smaller_alpha_and_the_same_outer_step_nothing_runs_away():
    """On glyphs, 150 iterations: α a tenth and the weights ten times as large."""
    family = combinations.disjoint_family(glyphs(), 2)

    def last_loss(shrink):
        run = combinations.config((-shrink, 2 * shrink), 150, seed=0)
        trained = train(family, [replace(run, alpha=run.alpha / shrink)], on_divergence="record")
        return trained.history.loss_before.iloc[-1] / combinations.BATCH

    assert last_loss(1) > 10 * math.log(5) > last_loss(10)


def test_with_less_noise_the_far_end_of_the_dial_still_runs_away(weights, controls):
    """Noise was one of two reasons it could have; the other was said before the runs were made."""
    accuracy = pd.concat([weights.tables["accuracy"], controls.tables["accuracy"]])
    for joint in ("dial0", "noise-dial0"):  # of equal noise, and of equal ε
        assert contrast(accuracy, {"noise-dial2": 1, joint: -1}).high < -10
    assert relative_losses(controls).loss_before["noise-dial2"] > 1e3


def test_at_equal_distance_a_fifth_of_the_noise_makes_the_loss_no_smaller(weights, controls):
    """ε summed over all of a run at ε / 5 is ε summed over 211 of 2,000 iterations at ε."""
    ended = controls.tables["history"].query("curve == 'noise-dial2' and iteration == 2000").loss_before
    passed = weights.tables["history"].query("curve == 'dial2' and iteration == 200").loss_before
    assert ended.min() > passed.max()


def test_at_equal_noise_one_share_of_avg_grad_inner_is_better_than_none(controls):
    found = contrast(controls.tables["accuracy"], {"noise-dial1": 1, "noise-dial0": -1})
    assert found.low > 0


def test_at_equal_data_a_second_step_helps_and_two_more_help_the_sum(controls):
    accuracy = controls.tables["accuracy"]
    for kind in ("sum", "average", "last"):
        assert contrast(accuracy, {f"data-2-{kind}": 1, "data-1-first": -1}).low > 10
    assert contrast(accuracy, {"data-4-sum": 1, "data-2-sum": -1}).low > 0


@pytest.mark.parametrize("kind", ["sum", "last"])
def test_momentum_costs_more_than_10_points_and_leaves_the_last_training_loss_near_guessing(controls, kind):
    names = {f"momentum-0-{kind}": 1, f"momentum-0.9-{kind}": -1}
    assert contrast(controls.tables["accuracy"], names).low > 10
    losses = relative_losses(controls).loss_after
    assert losses[f"momentum-0.9-{kind}"] > 0.85
    assert losses[f"momentum-0-{kind}"] < 0.4


@pytest.mark.parametrize("alpha_h", [0.1, 0.4, 0.6, 0.9])
@pytest.mark.parametrize("dial", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_on_a_quadratic_the_dial_goes_uphill_where_lambda_alpha_h_exceeds_1_and_maml_never_does(
    alpha_h, dial
):
    """L = h φ² / 2: (1 − λ) g1 + λ g2 = (1 − λαh) g1, and MAML's gradient is (1 − αh)² g1."""
    alpha, phi = 0.1, {"w": torch.tensor([[1.5]], dtype=torch.float64)}
    h = alpha_h / alpha
    trajectory = inner_loop([lambda p: 0.5 * h * (p["w"] ** 2).sum(1)] * 2, phi, SGD(alpha))
    first = trajectory.g[0]["w"].item()
    dialled = combination(trajectory, (1.0 - dial, dial))["w"].item()
    assert dialled / first == pytest.approx(1.0 - dial * alpha_h, rel=EXACT, abs=EXACT)
    assert (dialled / first < 0) == (dial * alpha_h > 1)
    assert maml(trajectory)["w"].item() / first == pytest.approx((1.0 - alpha_h) ** 2, rel=EXACT)


@pytest.mark.parametrize("alpha_h", [0.20, 0.21])
def test_on_a_quadratic_2_g4_minus_g1_turns_uphill_between_0_20_and_0_21(alpha_h):
    alpha, phi = 0.1, {"w": torch.tensor([[1.5]], dtype=torch.float64)}
    h = alpha_h / alpha
    trajectory = inner_loop([lambda p: 0.5 * h * (p["w"] ** 2).sum(1)] * 4, phi, SGD(alpha))
    factor = combination(trajectory, (-1.0, 0.0, 0.0, 2.0))["w"].item() / trajectory.g[0]["w"].item()
    assert factor == pytest.approx(2 * (1 - alpha_h) ** 3 - 1, rel=EXACT, abs=EXACT)
    assert (factor < 0) == (alpha_h > 0.205)
