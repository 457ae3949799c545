"""A search with CMA-ES: finds the least of a known function, stays in its box, goes on where it stopped."""

import math
from dataclasses import replace

import numpy as np
import pytest

from companion.running import search
from companion.running.experiment import Checkpoint
from companion.running.search import Plan, minimize
from metalib import errors
from metalib.errors import InputError, StoreError
from metalib.store import load_arrays, save_arrays
from tests.tolerances import EXACT

LEAST = np.array([0.3, 0.8, 0.55])
STIFFNESS = np.array([1.0, 10.0, 100.0])
PLAN = Plan(dimensions=3, generations=40, population=8, seed=0)


def quadratic(points):
    return ((points - LEAST) ** 2 * STIFFNESS).sum(1)


class StoppedError(Exception):
    """Stands for an interruption."""


def stopping(generations):
    """The quadratic, until a number of generations is scored."""
    left = iter(range(generations))

    def score(points):
        if next(left, None) is None:
            raise StoppedError
        return quadratic(points)

    return score


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_search_finds_the_least_of_a_quadratic_that_is_a_hundred_times_as_steep_one_way_as_another(seed):
    found = minimize(quadratic, replace(PLAN, seed=seed))
    assert found.best == pytest.approx(LEAST, abs=0.01)
    assert found.values.shape == (40, 8)
    assert quadratic(found.best[None]) == pytest.approx(found.values.min(), rel=EXACT)


def test_no_point_leaves_the_box_though_the_least_lies_outside():
    found = minimize(lambda points: points.sum(1), PLAN)
    assert found.points.min() >= 0
    assert found.points.max() <= 1
    assert found.best == pytest.approx(np.zeros(3), abs=0.05)


def test_seeds_begin_elsewhere_and_a_seed_always_at_the_same_place():
    plan = replace(PLAN, generations=1)
    first, again, other = (minimize(quadratic, replace(plan, seed=seed)).points for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


@pytest.mark.parametrize("stopped", [1, 4, 9])
def test_a_search_that_was_interrupted_ends_bit_for_bit_where_another_ends(tmp_path, stopped):
    plan, place = replace(PLAN, generations=10), Checkpoint(tmp_path / "search.npz", "a")
    whole = minimize(quadratic, plan)
    with pytest.raises(StoppedError):
        minimize(stopping(stopped), plan, place)
    reached = []
    found = minimize(stopping(10 - stopped), plan, place, reached.append)  # no generation is scored twice
    assert reached == list(range(stopped, 11))
    np.testing.assert_array_equal(found.points, whole.points)
    np.testing.assert_array_equal(found.values, whole.values)


def test_what_is_no_number_counts_as_the_worst():
    def score(points):
        values = quadratic(points)
        values[0] = math.nan
        return values

    found = minimize(score, replace(PLAN, generations=3))
    assert (found.values[:, 0] == math.inf).all()
    assert np.isfinite(found.values[:, 1:]).all()


@pytest.fixture
def begun(tmp_path):
    """Where a search of two generations has stopped after one."""
    place = Checkpoint(tmp_path / "search.npz", "a")
    with pytest.raises(StoppedError):
        minimize(stopping(1), replace(PLAN, generations=2), place)
    return place


def test_the_checkpoint_of_another_search_is_refused(begun):
    with pytest.raises(StoreError, match=r"belongs to another search or to other code; delete it"):
        minimize(quadratic, PLAN, replace(begun, identity="b"))


def test_a_checkpoint_of_other_points_is_refused_and_is_not_gone_on_with(begun):
    arrays, header = load_arrays(begun.path, sealed=True)
    save_arrays(begun.path, {**arrays, "points": arrays["points"] + 1e-9}, header)
    with pytest.raises(StoreError, match="another version of cmaes"):
        minimize(quadratic, PLAN, begun)


@pytest.mark.parametrize("change", ["points", "values", "seconds"])
def test_a_checkpoint_that_no_search_can_have_left_is_refused(begun, change):
    arrays, header = load_arrays(begun.path, sealed=True)
    if change == "seconds":
        header = {**header, "seconds": math.inf}
    else:
        arrays = {**arrays, change: arrays[change][..., :-1]}
    save_arrays(begun.path, arrays, header)
    with pytest.raises(StoreError, match="is damaged"):
        minimize(quadratic, PLAN, begun)


@pytest.mark.parametrize(
    ("field", "value"), [("dimensions", 0), ("generations", 0), ("population", 3), ("population", -3)]
)
def test_a_plan_that_searches_nothing_is_refused_in_one_line(field, value):
    with pytest.raises(InputError, match=f"^{field} is {value}; [^\n]+$"):
        replace(PLAN, **{field: value})


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(errors.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"cmaes is not installed; pip install 'metalib\[companion\]'"):
        search.minimize(quadratic, PLAN)
