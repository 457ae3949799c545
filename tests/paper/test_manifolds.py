"""Section 5.2, Eqs. 42–47 and Fig. 2: Reptile as SGD on the squared distance to the solution manifolds."""

import numpy as np
import pytest
import torch

from companion.manifolds.distance import (
    closest_to_all,
    distance_gradient,
    half_squared_distance,
    iterate,
    mean_half_squared_distance,
)
from companion.manifolds.examples import dimension_of, example_manifolds, three_lines, two_curves
from companion.manifolds.limits import (
    alternating_limits,
    descent_and_projection,
    gradient_check,
    inner_steps_on_the_distance,
    partial_solves,
    where_training_ends,
)
from companion.manifolds.shapes import Sphere
from metalib.rng import generator
from tests.tolerances import EXACT, ROUNDOFF

FINITE_DIFFERENCE = 1e-8
"""Absolute: central differences with h = 1e-5 in float64 can do no better."""

STARTS = torch.tensor([[-2.5, 2.5], [2.5, 1.0], [0.0, -3.5]], dtype=torch.float64)


def random_points(manifold, seed=1):
    return torch.from_numpy(generator(seed, "points").uniform(-2, 2, size=(20, dimension_of(manifold))))


def test_eq_42_objective_is_the_mean_over_tasks():
    curves = two_curves()
    singles = torch.stack([half_squared_distance(curve, STARTS) for curve in curves])
    torch.testing.assert_close(mean_half_squared_distance(curves, STARTS), singles.mean(0))
    feet = [curve.project(STARTS) for curve in curves]
    literal = sum((STARTS - foot).norm(dim=1) ** 2 / 2 for foot in feet) / 2
    torch.testing.assert_close(mean_half_squared_distance(curves, STARTS), literal)


def test_eq_43_44_gradient_of_half_squared_distance_is_phi_minus_projection():
    table = gradient_check()
    assert len(table) == len(example_manifolds()) == 5
    assert table["largest difference"].max() < FINITE_DIFFERENCE


def test_eq_43_gradient_of_the_mean_is_the_mean_of_the_gradients():
    curves, h = two_curves(), 1e-5
    for axis in torch.eye(2, dtype=torch.float64):
        up, down = (mean_half_squared_distance(curves, STARTS + s * h * axis) for s in (1, -1))
        mean = torch.stack([distance_gradient(curve, STARTS) for curve in curves]).mean(0) @ axis
        assert ((up - down) / (2 * h) - mean).abs().max() < FINITE_DIFFERENCE


def test_eq_43_fails_where_the_closest_point_is_not_unique():
    """At a circle's center ½ D² has a peak: the paper's "almost all points" is needed."""
    circle = Sphere(torch.zeros(2).double(), 1.0)
    h = 1e-4
    either_side = half_squared_distance(circle, torch.tensor([[h, 0.0], [-h, 0.0]]).double())
    slopes = (either_side - 0.5) / h
    assert slopes.tolist() == pytest.approx([-1.0, -1.0], abs=1e-3)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0])
def test_eq_45_46_47_are_the_same_step(epsilon):
    for manifold in example_manifolds().values():
        phi = random_points(manifold)
        eq45 = phi - epsilon * distance_gradient(manifold, phi)
        eq46 = phi - epsilon * (phi - manifold.project(phi))
        path = iterate(phi, [manifold.project], [0], [epsilon])
        for other in (eq45, eq46):
            torch.testing.assert_close(path[-1], other, rtol=EXACT, atol=EXACT)


def test_move_with_epsilon_one_lands_on_the_manifold():
    for manifold in example_manifolds().values():
        phi = random_points(manifold)
        path = iterate(phi, [manifold.project], [0], [1.0])
        assert half_squared_distance(manifold, path[-1]).max() < ROUNDOFF


def test_fig_2_annealed_alternating_moves_end_at_the_least_mean_squared_distance():
    table = alternating_limits(STARTS, [1.0, 0.5]).set_index(["schedule", "epsilon"])
    for epsilon in (1.0, 0.5):
        assert table.loc[("annealed", epsilon), "last"] < 2e-3


@pytest.mark.parametrize("epsilon", [1.0, 0.5])
def test_constant_steps_end_in_a_two_cycle_around_it_of_predicted_size(epsilon):
    table = alternating_limits(STARTS, [epsilon]).set_index("schedule")
    row = table.loc["constant"]
    assert row["last"] == pytest.approx(row["predicted"], rel=1e-6)
    assert row["mean of last two"] < 1e-6
    assert row["last"] > 100 * table.loc["annealed", "last"]


def test_limit_is_the_least_mean_squared_distance_from_every_start():
    curves = two_curves()
    best = closest_to_all(curves, STARTS)
    assert (best - best[0]).norm(dim=1).max() < ROUNDOFF
    around = best[:1] + torch.from_numpy(generator(0, "around").normal(size=(500, 2)))
    assert (mean_half_squared_distance(curves, around) > mean_half_squared_distance(curves, best[:1])).all()
    gradient = torch.stack([distance_gradient(curve, best) for curve in curves]).mean(0)
    assert gradient.abs().max() < ROUNDOFF


def test_one_or_many_inner_steps_on_the_squared_distance_end_at_the_same_point():
    """k gradient steps on ½ D² are one exact move of length 1 − (1 − α)^k."""
    table = inner_steps_on_the_distance(STARTS, 0.3, [1, 5, 20])
    assert table["difference from shorter exact moves"].max() < EXACT
    assert table["limit"].max() < 2e-3
    assert table["share"].tolist() == pytest.approx([1 - 0.7**k for k in (1, 5, 20)])


def test_minimizer_of_the_expected_loss_is_a_line_but_that_of_the_distance_is_a_point():
    starts = torch.tensor([[-1.5, 0.5], [0.3, 1.8], [1.2, -1.0], [2.0, 1.0]], dtype=torch.float64)
    table = where_training_ends(starts).set_index("method")
    joint = table.loc["joint training"]
    assert np.ptp(joint["end 1"]) > 3.0
    assert np.ptp(joint["expected loss"]) < EXACT
    for method in ("Reptile, exact projection", "Reptile, 50 gradient steps"):
        ends = table.loc[method]
        assert ends[["end 1", "end 2"]].abs().to_numpy().max() < ROUNDOFF
        assert np.ptp(np.r_[ends["expected loss"], joint["expected loss"]]) < EXACT
        assert ends["mean half squared distance"].max() < joint["mean half squared distance"].min()


def test_gradient_descent_on_the_loss_does_not_go_to_the_closest_solution():
    starts = torch.tensor([[-1.5, 0.5], [1.2, -1.0]], dtype=torch.float64)
    table = descent_and_projection(starts)
    assert table["loss left"].max() < EXACT
    assert (table["distance gone"] > 1.005 * table["distance to W"]).all()


def test_k_gradient_steps_on_the_loss_end_at_a_point_that_depends_on_k():
    table = partial_solves(0.2, [1, 2, 5, 20]).set_index("k")
    assert table["distance from theory"].max() < 1e-4
    assert table["mean half squared distance"].is_monotonic_decreasing
    assert table["expected loss"].is_monotonic_increasing
    assert (
        table.loc["1", "mean half squared distance"] > 1.5 * table.loc["exact", "mean half squared distance"]
    )


def test_one_gradient_step_ends_at_the_joint_minimum_and_projections_at_the_distance_minimum():
    lines = three_lines()
    table = partial_solves(0.2, [1]).set_index("k")
    matrix, target = torch.cat([line.matrix for line in lines]), torch.cat([line.target for line in lines])
    joint = torch.linalg.lstsq(matrix, target[:, None]).solution.flatten()
    nearest = closest_to_all(lines, torch.zeros(1, 2).double())[0]
    assert table.loc["1", ["end 1", "end 2"]].tolist() == pytest.approx(joint.tolist(), abs=1e-4)
    assert table.loc["exact", ["end 1", "end 2"]].tolist() == pytest.approx(nearest.tolist(), abs=1e-8)
    assert (joint - nearest).norm() > 0.5
