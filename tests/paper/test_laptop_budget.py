"""What the runs of the budget "laptop" leave open: true of these runs alone, and of no larger ones."""

from pathlib import Path

import pytest

from companion.fewshot import claims as of_fewshot
from companion.fewshot import fidelity, table1, table1_equal_work
from companion.inner_gradients import claims as of_gradients
from companion.inner_gradients import figure3
from companion.inner_gradients.summaries import contrast
from companion.intervals import over_seeds
from companion.overlap import claims as of_overlap
from companion.results import load_result
from companion.verdicts import HOLDS, OPEN

RESULTS = Path(__file__).parents[2] / "results"
BUDGET = "laptop"


@pytest.fixture(scope="module")
def evidence():
    return of_gradients.Evidence.load(RESULTS, BUDGET).of_shorter_runs


@pytest.fixture(scope="module")
def accuracy(evidence):
    return evidence.accuracy


@pytest.fixture(scope="module")
def controls(evidence):
    return evidence.controls


def test_with_two_inner_steps_whether_the_shared_tail_is_level_with_the_separate_one_is_not_decided():
    evidence = of_overlap.Evidence.load(RESULTS, BUDGET)
    behind = of_overlap.behind_separate(evidence, (2, 3, 4))
    assert [found.high < of_overlap.MARGIN for found in behind.values()] == [False, True, True]
    assert behind[2].low < 0


def test_without_transduction_half_the_momentum_with_five_shots_is_not_decided():
    """In the other seven cells momentum loses."""
    accuracy = load_result(RESULTS / "fidelity" / BUDGET).tables["accuracy"]
    found = {}
    for mode in ("transductive", "inductive"):
        worth = fidelity.worth(accuracy, mode)
        momentum = worth[worth.variant.isin(of_fewshot.MOMENTUM)]
        found |= {(row.variant, row.shots, mode): row.high for row in momentum.itertuples()}
    assert len(found) == 8
    assert [cell for cell, high in found.items() if high >= 0] == [("beta1-0.5", 5, "inductive")]


@pytest.fixture(scope="module")
def gradients():
    late = of_overlap.Evidence.load(RESULTS, BUDGET).late.tables["gradients"]
    return late[late.step > 3]


def test_last_gradients_do_not_measurably_improve_with_more_minibatches(accuracy):
    """The paper says they do: undecided, for up to three points."""
    gain = contrast(accuracy, {"4-last": 1, "2-last": -1})
    assert gain.low < 0 < gain.high < 3


def test_at_equal_length_of_step_the_greater_gain_is_not_decided(evidence):
    gain = of_gradients.gains_more(evidence, "average")
    assert gain.low < 0 < gain.mean
    assert gain.high > 5


@pytest.mark.parametrize("lower", ["4-average", "2-last"])
def test_at_equal_step_a_larger_share_of_avg_grad_inner_is_not_better(accuracy, lower):
    """g4 has share 3, its average 1.5, g2 share 1 and the same noise."""
    shares = {
        curve.name: sum(i * c for i, c in enumerate(curve.weights)) / sum(curve.weights)
        for curve in figure3.CURVES
    }
    assert shares["4-last"] >= 2 * shares[lower]
    found = contrast(accuracy, {"4-last": 1, lower: -1})
    assert found.low < 0
    assert found.high < 3


def test_at_equal_step_two_step_reptile_is_below_two_step_fomaml_at_two_of_three_step_sizes(controls):
    ahead = [
        contrast(controls.tables["accuracy"], {f"step-{epsilon}-last": 1, f"step-{epsilon}-sum": -1})
        for epsilon in ("0.125", "0.25", "0.5")
    ]
    assert [found.low > 0 for found in ahead] == [False, True, True]


def test_at_single_steps_they_do_so_in_six_of_nine_cases_and_the_contrary_in_one(gradients):
    chosen = gradients[gradients.images == "difference"]
    worth = over_seeds(chosen, ["initialization", "step"], "decrease")
    assert ((worth.low > 0).sum(), (worth.high < 0).sum(), len(worth)) == (6, 1, 9)


def test_without_avg_grad_inner_training_is_not_seen_to_gain(evidence):
    assert contrast(evidence.weights.tables["accuracy"], {"dial0": 1, "start": -1}).low < 0


def test_at_equal_data_two_more_steps_are_not_seen_to_help_the_last_gradient(controls):
    gain = contrast(controls.tables["accuracy"], {"data-4-last": 1, "data-2-last": -1})
    assert gain.low < 0
    assert gain.high < 2


@pytest.mark.parametrize("name", of_overlap.NO_OVERLAP)
def test_no_fall_of_what_does_not_overlap_is_seen_from_four_to_eight_iterations(name):
    overlap = of_overlap.Evidence.load(RESULTS, BUDGET)
    assert overlap.along_steps({f"{name}-4": 1, f"{name}-8": -1}).low < 0
    assert overlap.along_batch({f"{name}-25": 1, f"{name}-50": -1}).mean > 0, "a few points, though"


def test_on_photographs_transduction_helps_and_a_short_run_ends_below_the_paper():
    """Of one network, by intervals over its test tasks."""
    run = load_result(RESULTS / "table1" / BUDGET)
    assert run.provenance["config"]["budget"] == {
        "name": BUDGET,
        "iterations": 10_000,
        "evaluation_tasks": 1_000,
    }
    assert list(table1.expected(run.tables["accuracy"]).verdict) == [HOLDS, HOLDS, OPEN]


def test_what_these_runs_do_not_decide(evidence):
    fewshot = of_fewshot.Evidence.load(RESULTS, BUDGET)
    assert of_gradients.the_last_gradient_improves(evidence).verdict == OPEN
    assert of_fewshot.table_1_is_reproduced(fewshot).verdict == OPEN
    assert of_fewshot.table_2_is_reproduced(fewshot).verdict == OPEN


def test_after_little_work_on_photographs_one_seed_decides_no_lead_and_all_end_below_the_paper():
    accuracy = load_result(RESULTS / "table1-equal-work" / BUDGET).tables["accuracy"]
    said = table1_equal_work.expected(accuracy, of_fewshot.SIMILAR)
    assert list(said.verdict) == [OPEN, OPEN, OPEN, HOLDS]
    of_reptile = table1_equal_work.ahead(accuracy, "reptile", "fomaml")
    assert all(lead.mean > 2 for lead in of_reptile.values()), "the opposite of what was expected"
