"""Conjugate gradients against dense solves."""

import pytest
import torch

from companion.implicit.linear_systems import CurvatureError, conjugate_gradients
from metalib.errors import DivergenceError, InputError
from metalib.params import select
from tests.tolerances import EXACT, ROUNDOFF

TIGHT = 1e-13


def symmetric(eigenvalues, seed=0):
    """A symmetric matrix of the given eigenvalues, its eigenvectors drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    size = len(eigenvalues)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ q.mT


def right_side(runs, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(runs, size, generator=generator, dtype=torch.float64)}


def by(matrices):
    return lambda v: {"w": torch.einsum("rab,rb->ra", matrices, v["w"])}


def error(x, expected):
    return float(((x["w"] - expected).norm(dim=1) / expected.norm(dim=1)).max())


def test_the_solution_is_that_of_a_dense_solve_in_every_run():
    matrices = torch.stack([symmetric([0.5, 1.0, 2.0, 3.0, 7.0, 9.0], seed) for seed in range(3)])
    b = right_side(3, 6)
    found = conjugate_gradients(by(matrices), b, tolerance=TIGHT)
    assert error(found.x, torch.linalg.solve(matrices, b["w"])) < ROUNDOFF
    assert found.residual.max() < 10 * TIGHT


def test_a_run_takes_as_many_steps_as_it_has_distinct_eigenvalues():
    matrices = torch.stack(
        [symmetric([2.0] * 6), symmetric([1.0, 1.0, 2.0, 2.0, 5.0, 5.0]), symmetric([1, 2, 3, 4, 5, 6])]
    )
    found = conjugate_gradients(by(matrices), right_side(3, 6), tolerance=ROUNDOFF)
    assert found.steps.tolist() == [1, 3, 6]


def test_a_run_that_has_converged_is_left_alone_by_the_others():
    matrices = torch.stack([symmetric([2.0] * 6), symmetric([1, 2, 3, 4, 5, 6])])
    b = right_side(2, 6)
    both = conjugate_gradients(by(matrices), b, tolerance=TIGHT)
    for r in range(2):
        row = slice(r, r + 1)
        alone = conjugate_gradients(by(matrices[row]), select(b, row), tolerance=TIGHT)
        assert error(select(both.x, row), alone.x["w"]) < EXACT
        assert both.steps[r] == alone.steps[0]


def test_a_right_side_of_zero_is_solved_by_zero_without_a_step():
    b = right_side(2, 3)
    b["w"][0] = 0
    found = conjugate_gradients(by(torch.stack([symmetric([1.0, 2.0, 3.0])] * 2)), b, tolerance=TIGHT)
    assert found.steps.tolist() == [0, 3]
    assert not found.x["w"][0].any()
    assert found.residual[0] == 0


def test_at_the_limit_the_residual_says_how_far_it_got():
    matrices, b = symmetric([0.1, 1, 2, 3, 4, 50])[None], right_side(1, 6)
    residuals = []
    for limit in (1, 3, 6):
        found = conjugate_gradients(by(matrices), b, limit, tolerance=TIGHT)
        true = (b["w"] - matrices[0] @ found.x["w"][0]).norm() / b["w"].norm()
        torch.testing.assert_close(found.residual[0], true, rtol=EXACT, atol=EXACT)
        assert found.steps.tolist() == [limit]
        residuals.append(float(found.residual))
    assert residuals[0] > 1e-2 > residuals[-1]


def test_the_residual_is_not_below_what_single_precision_can_reach():
    matrices = symmetric([0.01, 1, 2, 3, 4, 50]).float()[None]
    found = conjugate_gradients(by(matrices), {"w": right_side(1, 6)["w"].float()}, tolerance=0.0)
    assert 1e-9 < found.residual < 1e-3


@pytest.mark.parametrize("eigenvalues", [(1.0, 2.0, -3.0), (1.0, 2.0, 0.0)])
def test_a_matrix_that_is_not_positive_definite_is_a_clear_error(eigenvalues):
    matrices = torch.stack([symmetric([1.0, 2.0, 3.0]), torch.diag(torch.tensor(eigenvalues).double())])
    b = right_side(2, 3)
    b["w"][1] = torch.tensor([0.0, 0.0, 1.0])
    with pytest.raises(
        CurvatureError,
        match=rf"run 1 has curvature {eigenvalues[2]:.0f} .* damping above {abs(eigenvalues[2]):.0f}",
    ):
        conjugate_gradients(by(matrices), b)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_an_error_on_either_side(value):
    bad = torch.full((1, 3, 3), value).double()
    for matrices, b in ((bad, right_side(1, 3)), (torch.eye(3).double()[None], {"w": bad[0, :1]})):
        with pytest.raises(DivergenceError, match="run 0: its right-hand side or matrix is not finite"):
            conjugate_gradients(by(matrices), b)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_where_runs_are_truncated_one_that_is_not_finite_leaves_the_others_alone(value):
    matrices, b = torch.stack([symmetric([1.0, 2.0, 3.0])] * 3), right_side(3, 3)
    alone = conjugate_gradients(by(matrices), b, truncate=True).x["w"]
    b["w"][1] = value
    matrices[2] = value
    found = conjugate_gradients(by(matrices), b, truncate=True)
    torch.testing.assert_close(found.x["w"][0], alone[0])
    assert found.x["w"][1:].isnan().all()
    assert found.residual.isnan().tolist() == [False, True, True]


def test_damping_is_added_to_every_eigenvalue():
    matrices, b = symmetric([1.0, 2.0, -3.0])[None], right_side(1, 3)
    found = conjugate_gradients(by(matrices), b, tolerance=TIGHT, damping=3.5)
    damped = matrices + 3.5 * torch.eye(3, dtype=torch.float64)
    assert error(found.x, torch.linalg.solve(damped, b["w"])) < ROUNDOFF
    assert found.residual.max() < 10 * TIGHT


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"limit": 0}, "limit is 0; .* at least 1 step"),
        ({"tolerance": -1.0}, "tolerance is -1.0"),
        ({"damping": -1.0}, "damping is -1.0; it must be at least 0"),
        ({"b": {"w": torch.ones(3)}}, "give a stack"),
        ({"b": {"w": torch.ones(2, 3), "v": torch.ones(1, 3)}}, "the same leading axis of runs"),
    ],
)
def test_bad_input_is_a_clear_error(changed, message):
    with pytest.raises(InputError, match=message):
        conjugate_gradients(lambda v: v, **{"b": right_side(1, 3), **changed})
