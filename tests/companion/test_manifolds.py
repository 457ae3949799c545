"""Manifolds: projections against definitions, and what is refused."""

import numpy as np
import pytest
import torch

from companion.manifolds.distance import (
    batched,
    closest_to_all,
    iterate,
    mean_half_squared_distance,
)
from companion.manifolds.limits import descend, dimension_of, example_manifolds
from companion.manifolds.shapes import Affine, Sphere, parabola, sine_curve
from metalib.errors import InputError
from metalib.rng import generator
from tests.tolerances import EXACT, ROUNDOFF

MANIFOLDS = example_manifolds()


def points(manifold, count=40, seed=1):
    return torch.from_numpy(generator(seed, "points").uniform(-2, 2, size=(count, dimension_of(manifold))))


@pytest.fixture(params=MANIFOLDS)
def manifold(request):
    return MANIFOLDS[request.param]


def test_projecting_twice_changes_nothing(manifold):
    once = manifold.project(points(manifold))
    torch.testing.assert_close(manifold.project(once), once, rtol=ROUNDOFF, atol=ROUNDOFF)


def test_no_point_of_the_manifold_is_closer(manifold):
    """Projections of other points lie on the manifold too: none may be closer to φ than P(φ)."""
    phi = points(manifold)
    candidates = manifold.project(points(manifold, count=2000, seed=2))
    found = (phi - manifold.project(phi)).norm(dim=1)
    assert (found <= torch.cdist(phi, candidates).min(dim=1).values + ROUNDOFF).all()


def test_affine_projection_solves_the_regression_and_matches_the_pseudoinverse():
    manifold = MANIFOLDS["affine, 4 of 7 dimensions"]
    phi = points(manifold)
    assert manifold.loss(manifold.project(phi)).max() < EXACT
    assert manifold.loss(phi).min() > 0
    oracle = phi - (phi @ manifold.matrix.T - manifold.target) @ torch.linalg.pinv(manifold.matrix).T
    torch.testing.assert_close(manifold.project(phi), oracle, rtol=ROUNDOFF, atol=ROUNDOFF)


@pytest.mark.parametrize("curve", [parabola(0.7, 0.2), parabola(-1.0, -1.0), sine_curve(0.5)])
def test_projection_onto_a_graph_lies_on_it_and_is_perpendicular(curve):
    phi = points(Sphere(torch.zeros(2), 1.0))
    foot = curve.project(phi)
    torch.testing.assert_close(curve.f(foot[:, 0]), foot[:, 1], rtol=EXACT, atol=EXACT)
    tangent = torch.stack([torch.ones(len(foot)).double(), curve.slope(foot[:, 0])], 1)
    assert ((phi - foot) * tangent).sum(1).abs().max() < ROUNDOFF


def test_projection_onto_a_parabola_matches_the_cubic_equation():
    """For y = c x², the foot solves 2c² x³ + (1 − 2c φ_2) x − φ_1 = 0; numpy finds all its roots."""
    c, curve = 0.7, parabola(0.7)
    phi = points(Sphere(torch.zeros(2), 1.0))
    for (a, b), foot in zip(phi.tolist(), curve.project(phi).tolist(), strict=True):
        roots = np.roots([2 * c**2, 0.0, 1 - 2 * c * b, -a])
        real = roots[abs(roots.imag) < 1e-9].real
        best = min(real, key=lambda x: (x - a) ** 2 + (c * x**2 - b) ** 2)
        assert foot[0] == pytest.approx(best, abs=1e-9)


def test_batched_update_is_the_mean():
    one, two = (lambda phi: phi + 1.0), (lambda phi: phi * 0.0)
    assert batched([one, two])(torch.tensor([[3.0]])).item() == 2.0


def test_iterate_keeps_the_start_and_every_step():
    path = iterate(
        torch.zeros(1, 1), [lambda phi: phi + 4.0, lambda phi: phi - 8.0], [0, 1, 0], [0.5, 0.25, 1.0]
    )
    assert path.flatten().tolist() == [0.0, 2.0, 0.0, 4.0]


def test_descend_takes_k_gradient_steps():
    end = descend(torch.tensor([[1.0], [2.0]]).double(), lambda phi: phi.square().sum(1) / 2, 0.1, 3)
    assert end.flatten().tolist() == pytest.approx([0.9**3, 2 * 0.9**3])


def test_closest_to_all_of_affine_manifolds_solves_the_normal_equations():
    rng = generator(3, "affine")
    tasks = [
        Affine(torch.from_numpy(rng.normal(size=(2, 4))), torch.from_numpy(rng.normal(size=2)))
        for _ in range(5)
    ]
    found = closest_to_all(tasks, torch.zeros(1, 4).double())[0]
    projectors = [torch.linalg.pinv(task.matrix) @ task.matrix for task in tasks]
    feet = [task.project(torch.zeros(1, 4).double())[0] for task in tasks]
    oracle = torch.linalg.solve(sum(projectors), sum(p @ f for p, f in zip(projectors, feet, strict=True)))
    torch.testing.assert_close(found, oracle, rtol=1e-8, atol=1e-8)
    nearby = found + 0.1 * torch.from_numpy(rng.normal(size=(100, 4)))
    best = mean_half_squared_distance(tasks, found[None])
    assert (mean_half_squared_distance(tasks, nearby) > best).all()


def test_iteration_that_never_settles_is_reported():
    """Two parabolas that touch: the way there is slow, and three steps are not enough."""
    meeting = [parabola(1.0), parabola(-1.0)]
    with pytest.raises(InputError, match="no least mean squared distance found within 3 steps"):
        closest_to_all(meeting, torch.tensor([[1.0, 1.0]]).double(), limit=3)


def test_rank_deficient_task_is_refused():
    with pytest.raises(InputError, match="rank 1 and 2 rows"):
        Affine(torch.ones(2, 3), torch.ones(2))


def test_unequal_numbers_of_tasks_and_step_sizes_are_refused():
    with pytest.raises(InputError, match="2 tasks and 1 step sizes"):
        iterate(torch.zeros(1, 1), [lambda phi: phi], [0, 0], [1.0])


def test_projection_onto_a_sphere_lies_at_its_radius_in_the_direction_of_the_point():
    sphere = Sphere(torch.tensor([1.0, -2.0, 0.5]).double(), 2.5)
    phi = torch.from_numpy(generator(0, "points").normal(size=(10, 3)))
    out, ray = sphere.project(phi) - sphere.center, phi - sphere.center
    torch.testing.assert_close(out.norm(dim=1), torch.full((10,), 2.5).double())
    torch.testing.assert_close(out / 2.5, ray / ray.norm(dim=1, keepdim=True))
