"""Section 6.3 and Figure 4: verdicts from the stored runs on Omniglot."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.budgets import FIGURE_4A
from companion.inner_gradients.summaries import contrast, late_losses
from companion.intervals import over_seeds
from companion.overlap import late_gradients, tails, tails_foretold
from companion.overlap import settings as overlap
from companion.results import load_result
from metalib.data.glyphs import glyphs
from metalib.meta_gradients import fomaml_weights
from metalib.theory.taylor import predicted_coefficients

RESULTS = Path(__file__).parents[2] / "results"
BUDGET = "laptop"
UNHARMED = ("reptile", "separate")
"""What does not share its tail, or does not live from the tail alone."""


def stored(name):
    return load_result(RESULTS / name / BUDGET)


@pytest.fixture(scope="module")
def inner_iterations():
    return stored("figure4a").tables["accuracy"]


@pytest.fixture(scope="module")
def gradients():
    late = stored("late-gradients").tables["gradients"]
    return late[late.step > late_gradients.MINIBATCHES // 2]


def images_seen_before(method, k):
    """Mean number of images of the last minibatch that an earlier one held."""
    sampled = overlap.family(glyphs(), method, batch=25).sample(0, block=0, tasks=1, steps=k)["image"][:, 0]
    return np.mean([np.isin(task[-1], task[:-1]).sum() for task in sampled])


def share_of_self_pairs(method, k):
    """Mean share of the pairs (image of the last minibatch, image of an earlier one) that are one image."""
    sampled = overlap.family(glyphs(), method, batch=25).sample(0, block=0, tasks=1, steps=k)["image"][:, 0]
    return np.mean([(task[-1] == image).mean() for task in sampled for image in task[:-1].flat])


def more_than(accuracy, good, bad, name):
    """By how much the shared tail falls from one point to the next, beyond another method."""
    weights = {
        f"shared-cycling-{good}": 1,
        f"shared-cycling-{bad}": -1,
        f"{name}-{good}": -1,
        f"{name}-{bad}": 1,
    }
    return contrast(accuracy, weights)


@pytest.mark.parametrize("name", ["figure4a", "figure4b", "figure4c", "figure4-sensitivity"])
def test_every_point_has_2000_iterations_and_three_seeds(name):
    config = stored(name).provenance["config"]
    assert all(run["iterations"] >= 2_000 for unit in config["units"] for run in unit["runs"])
    assert config["seeds"] == [0, 1, 2]
    assert all(unit["family"]["pool"]["name"] == "Omniglot" for unit in config["units"])


def test_cycling_meets_an_image_again_from_the_fifth_minibatch_on_and_a_separate_tail_never():
    _, cycling, replacement, separate = overlap.METHODS
    assert [images_seen_before(cycling, k) for k in (2, 4, 5, 8)] == [0, 0, 25, 25]
    assert [images_seen_before(separate, k) for k in (2, 4, 5, 8)] == [0, 0, 0, 0]
    gradual = [images_seen_before(replacement, k) for k in (2, 4, 5, 8)]
    assert gradual == pytest.approx([25 * (1 - 0.75 ** (k - 1)) for k in (2, 4, 5, 8)], rel=0.1)


def test_to_leading_order_fomaml_weighs_avg_grad_inner_more_with_k():
    grid = FIGURE_4A[BUDGET].grid
    shares = [-predicted_coefficients(fomaml_weights(k), 1.0).avg_grad_inner for k in grid]
    assert shares == [k - 1 for k in grid]


@pytest.mark.parametrize("name", UNHARMED)
def test_shared_tail_falls_when_a_fifth_minibatch_returns_to_old_images(inner_iterations, name):
    assert more_than(inner_iterations, 4, 5, name).low > 20


def test_before_images_return_the_shared_tail_is_within_five_points_of_the_separate_one(inner_iterations):
    for k in (3, 4):
        behind = contrast(inner_iterations, {f"separate-{k}": 1, f"shared-cycling-{k}": -1})
        assert behind.low > -5
        assert behind.high < 5


def test_with_replacement_the_shared_tail_degrades_gradually(inner_iterations):
    first = contrast(inner_iterations, {"shared-replacement-4": 1, "shared-replacement-5": -1})
    then = contrast(inner_iterations, {"shared-replacement-5": 1, "shared-replacement-8": -1})
    drop = contrast(inner_iterations, {"shared-cycling-4": 1, "shared-cycling-5": -1})
    assert first.low > 0
    assert then.low > 0
    assert first.high < drop.low


@pytest.mark.parametrize("name", UNHARMED)
def test_shared_tail_falls_when_minibatches_of_more_than_25_return_to_old_images(name):
    assert more_than(stored("figure4b").tables["accuracy"], 25, 35, name).low > 10


@pytest.mark.parametrize("step", ["0.1", "0.3", "1"])
def test_at_no_outer_step_size_is_the_shared_tail_level_with_reptile(step):
    accuracy = stored("figure4c").tables["accuracy"]
    assert contrast(accuracy, {f"reptile-{step}": 1, f"shared-cycling-{step}": -1}).low > 0


def test_an_outer_step_four_times_as_long_does_not_help_the_shared_tail():
    accuracy = stored("figure4c").tables["accuracy"]
    longer = contrast(accuracy, {"shared-cycling-4": 1, "shared-cycling-1": -1})
    assert longer.high < 10
    assert contrast(accuracy, {"reptile-1": 1, "shared-cycling-4": -1}).low > 20


@pytest.mark.parametrize(("shots", "k"), [(10, 2), (15, 3)])
def test_with_fewer_images_per_class_the_drop_comes_earlier_as_foreseen(inner_iterations, shots, k):
    accuracy = stored("figure4-sensitivity").tables["accuracy"]
    good, bad = f"shared-cycling-shots-{shots}-k-{k}", f"shared-cycling-shots-{shots}-k-{k + 1}"
    assert contrast(accuracy, {good: 1, bad: -1}).low > 15
    # The smaller number of images alone costs Reptile far less, at the same place.
    both = pd.concat([accuracy, inner_iterations])
    fewer = contrast(both, {f"reptile-{k + 1}": 1, f"reptile-shots-{shots}-k-{k + 1}": -1})
    assert fewer.high < contrast(accuracy, {good: 1, bad: -1}).low


def test_what_the_leading_order_cannot_tell_apart_lies_far_apart(inner_iterations):
    """Cycling and replacement at k = 5: one pair of images in a hundred is an image with itself."""
    _, cycling, replacement, _ = overlap.METHODS
    shares = [share_of_self_pairs(method, 5) for method in (cycling, replacement)]
    assert shares == pytest.approx([0.01, 0.01], rel=0.1)
    assert contrast(inner_iterations, {"shared-replacement-5": 1, "shared-cycling-5": -1}).low > 10


@pytest.mark.parametrize("name", UNHARMED)
def test_reptile_and_a_separate_tail_stay_good_from_four_to_eight_iterations(inner_iterations, name):
    assert contrast(inner_iterations, {f"{name}-4": 1, f"{name}-8": -1}).mean < 5
    assert contrast(inner_iterations, {f"{name}-8": 1, "shared-cycling-8": -1}).low > 10


def test_in_every_seed_the_last_loss_is_lower_on_images_seen_before():
    history = stored("figure4a").tables["history"]
    for _, runs in history.groupby("seed"):
        losses = late_losses(runs).loss_after
        assert losses["shared-cycling-5"] < 0.7 * losses["separate-5"]


@pytest.mark.parametrize("initialization", ["random", "reptile", "shared-tail"])
def test_late_gradients_on_seen_images_lower_the_held_out_loss_less_in_sum(gradients, initialization):
    """A sum over steps 4 to 6 that was chosen after the single steps had been seen."""
    chosen = gradients[(gradients.images == "difference") & (gradients.initialization == initialization)]
    total = chosen.groupby(["initialization", "seed"]).decrease.sum().reset_index()
    assert over_seeds(total, ["initialization"], "decrease").low.item() > 0


def test_late_gradients_on_seen_images_are_shorter_by_more_than_they_are_turned(gradients):
    """From trained weights: less than a third as long, and at least two thirds of the cosine."""
    trained = gradients[gradients.initialization != "random"]
    means = trained.groupby(["initialization", "step", "images"])[["length", "cosine"]].mean().unstack()
    assert (means.length.seen < means.length.fresh / 3).all()
    assert (means.cosine.seen > means.cosine.fresh * 2 / 3).all()


@pytest.mark.parametrize("name", UNHARMED)
def test_at_twice_the_minibatch_they_lose_far_less_than_the_shared_tail(name):
    accuracy = stored("figure4b").tables["accuracy"]
    assert contrast(accuracy, {f"{name}-25": 1, f"{name}-50": -1}).mean < 5
    assert contrast(accuracy, {f"{name}-50": 1, "shared-cycling-50": -1}).low > 5


def test_a_tail_seen_before_fails_at_the_length_of_a_new_one_too():
    """With k and minibatch fixed; the last quarter costs, on average, more than twice the first half."""
    result = stored("figure4-tails")
    assert tails_foretold.lost(result).low > tails.MARGIN
    assert tails_foretold.made_good(result).high < 0
    first = tails_foretold.points(result, {"own-0": 1, "own-0.5": -1})
    last = tails_foretold.points(result, {"own-0.75": 1, "own-1": -1})
    assert last.mean > 2 * first.mean
