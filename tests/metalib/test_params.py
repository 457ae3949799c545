"""Algebra on weights."""

import torch

from metalib import params as P
from tests.oracles import flatten, unflatten
from tests.tolerances import EXACT


def example(seed: int, runs: int = 3) -> P.Params:
    g = torch.Generator().manual_seed(seed)
    return {
        "w": torch.randn(runs, 4, 2, generator=g, dtype=torch.float64),
        "b": torch.randn(runs, 1, 2, generator=g, dtype=torch.float64),
    }


def close(a: P.Params, b: P.Params) -> bool:
    return float(P.norm(P.subtract(a, b))) <= EXACT * max(float(P.norm(b)), 1.0)


def test_a_factor_per_run_scales_every_run_by_its_own_number():
    a, b, factor = example(0), example(1), torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    scaled, moved = P.scale(a, factor), P.add_scaled(a, b, factor)
    for r in range(3):
        assert close(
            P.select(scaled, slice(r, r + 1)), P.scale(P.select(a, slice(r, r + 1)), float(factor[r]))
        )
        one = P.add_scaled(P.select(a, slice(r, r + 1)), P.select(b, slice(r, r + 1)), float(factor[r]))
        assert close(P.select(moved, slice(r, r + 1)), one)


def test_unflatten_undoes_flatten():
    a = example(0)
    assert close(unflatten(flatten(a), a), a)


def test_the_mean_of_groups_undoes_repeat_and_averages_neighbors():
    a = example(0)
    assert close(P.mean_of_groups(P.repeat(a, 4), 4), a)
    one, two = example(1, 1), example(2, 1)
    pairs = {name: torch.cat([one[name], two[name]]) for name in one}
    assert close(P.mean_of_groups(pairs, 2), P.mean([example(1, 1), example(2, 1)]))


def test_dot_sums_over_runs_and_matches_the_flat_vectors():
    a, b = example(0), example(1)
    torch.testing.assert_close(P.dot(a, b), flatten(a) @ flatten(b), rtol=EXACT, atol=EXACT)
    torch.testing.assert_close(P.dot_per_run(a, b).sum(), P.dot(a, b), rtol=EXACT, atol=EXACT)
    one = P.dot(P.select(a, slice(1, 2)), P.select(b, slice(1, 2)))
    torch.testing.assert_close(P.dot_per_run(a, b)[1], one, rtol=EXACT, atol=EXACT)


def test_cosine_of_a_vector_with_itself_is_one_and_with_its_opposite_minus_one():
    a = example(0)
    assert abs(float(P.cosine(a, P.scale(a, 3.0))) - 1.0) < EXACT
    assert abs(float(P.cosine(a, P.scale(a, -3.0))) + 1.0) < EXACT


def test_nothing_modifies_its_arguments():
    a, b = example(0), example(1)
    before = flatten(a).clone(), flatten(b).clone()
    per_run = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    for factor in (2.0, per_run):
        P.add_scaled(a, b, factor), P.scale(a, factor)
    P.add(a, b), P.subtract(a, b), P.mean([a, b]), P.total([a, b, a])
    P.repeat(a, 2), P.mean_of_groups(a, 3), P.zeros_like(a)
    assert torch.equal(flatten(a), before[0])
    assert torch.equal(flatten(b), before[1])
