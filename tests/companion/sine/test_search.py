"""Reptile's settings on sine waves: there and back in log space, searched, scored on unseen tasks."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from companion.budgets import SearchBudget
from companion.results import load_result
from companion.running import runner, stacks
from companion.running.estimates import plan
from companion.running.request import requested
from companion.sine import search
from companion.sine.one_at_a_time import CHANGES, ONE_AT_A_TIME, UNCHANGED, changed
from companion.sine.search import FRESH, LONGER, SEARCH, fresh_seeds
from companion.sine.settings import DEMO, NAMES, SPACE, Range, Settings, from_cube, run, to_cube, work_of
from metalib.errors import InputError, StoreError
from tests.tolerances import EXACT

TINY = replace(SEARCH, budgets={"tiny": SearchBudget(2, 3, generations=3, population=4)})


@pytest.mark.parametrize(
    "settings",
    [DEMO, Settings(0.001, 1.0, 20, 10, 2), Settings(0.2, 0.02, 1, 1, 50), Settings(0.05, 0.3, 7, 3, 33)],
)
def test_settings_go_to_the_cube_and_come_back(settings):
    point = to_cube(settings)
    assert ((point >= 0) & (point <= 1)).all()
    back = from_cube(point)
    assert (back.k, back.tasks, back.batch) == (settings.k, settings.tasks, settings.batch)
    assert back.alpha == pytest.approx(settings.alpha, rel=EXACT)
    assert back.epsilon == pytest.approx(settings.epsilon, rel=EXACT)


def test_equal_ratios_are_equally_far_apart():
    alphas = [to_cube(replace(DEMO, alpha=alpha))[0] for alpha in (0.005, 0.01, 0.02)]
    assert alphas[1] - alphas[0] == pytest.approx(alphas[2] - alphas[1], rel=EXACT)


@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_the_corners_of_the_cube_are_the_ends_of_the_ranges(corner):
    found = from_cube(np.full(len(NAMES), corner))
    for name in NAMES:
        end = SPACE[name].high if corner else SPACE[name].low
        assert getattr(found, name) == pytest.approx(end, rel=EXACT)
        assert SPACE[name].low <= getattr(found, name) <= SPACE[name].high


def test_what_lies_outside_is_refused_in_one_line():
    for act, said in (
        (lambda: to_cube(replace(DEMO, alpha=0.5)), "value is 0.5; the range goes from 0.001 to 0.2"),
        (lambda: from_cube(np.full(5, 1.5)), r"place is 1.5; it must lie in \[0, 1\]"),
        (lambda: Range(1.0, 0.1), "low is 1.0 and high 0.1; a range needs 0 < low < high"),
        (lambda: Range(0.0, 1.0), "low is 0.0 and high 1.0; a range needs 0 < low < high"),
    ):
        with pytest.raises(InputError, match=f"^{said}$"):
            act()


def test_every_run_takes_about_as_many_inner_steps_as_the_demo():
    work = work_of(3_000)
    assert run(DEMO, work, 0).iterations == 3_000
    for point in np.random.default_rng(0).uniform(size=(50, 5)):
        config = run(from_cube(point), work, 0)
        assert config.iterations * config.k * config.tasks == pytest.approx(work, rel=0.01)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Two tiny searches, one after the other."""
    return runner.run(TINY, "tiny", seeds=(0, 1), results=tmp_path_factory.mktemp("whole"))


def test_the_best_candidate_is_what_is_trained_again_from_fresh_seeds_and_beside_the_demo(stored):
    for one, tried in stored.tables["candidates"].groupby("search"):
        assert list(tried.generation) == [0] + [1] * 4 + [2] * 4 + [3] * 4
        best = tried[tried.generation > 0].sort_values("error", kind="stable").iloc[0]
        test = stored.tables["test"][stored.tables["test"].search == one]
        assert len(test) == 2 * 2 * FRESH
        for name in ("alpha", "epsilon", "k", "batch", "per_step"):
            assert set(test[test.settings == "found"][name]) == {best[name]}
            own = DEMO.tasks if name == "per_step" else getattr(DEMO, name)
            assert set(test[test.settings == "demo"][name]) == {own}
        assert set(test.longer) == {1, LONGER}
        assert set(test.seed) == set(fresh_seeds(int(one)))


def test_the_best_is_never_scored_on_tasks_that_a_search_saw_nor_trained_from_its_seed(monkeypatch, tmp_path):
    drawn, trained = [], []
    sample, train = search.sample_support, search.train
    monkeypatch.setattr(search, "sample_support", lambda *given: drawn.append(sample(*given)) or drawn[-1])
    monkeypatch.setattr(
        search,
        "train",
        lambda family, configs, **more: trained.extend(configs) or train(family, configs, **more),
    )
    runner.run(TINY, "tiny", seeds=(0, 1), results=tmp_path)
    seen = [set(support.tasks.amplitude) for support in drawn]
    validation, test = [seen[i] for i in (0, 1 + 4 * FRESH)], seen[1 : 1 + 4 * FRESH] + seen[2 + 4 * FRESH :]
    assert len(seen) == 2 + 8 * FRESH
    assert not set.union(*validation) & set.union(*test)
    assert not validation[0] & validation[1]
    fresh = {*fresh_seeds(0), *fresh_seeds(1)}
    assert len(set.union(*test)) == len(fresh) * 3  # 3 tasks per seed, and others for every seed
    assert {config.seed for config in trained} == {0, 1} | fresh
    assert not {0, 1} & fresh


def test_a_search_that_is_interrupted_between_generations_ends_bit_for_bit_the_same(
    stored, monkeypatch, tmp_path
):
    side_by_side = search.trained_side_by_side
    calls = []

    def stopped(*given):
        calls.append(given)
        if len(calls) in (2, 6):  # within the first search, and within the second
            raise KeyboardInterrupt
        return side_by_side(*given)

    monkeypatch.setattr(search, "trained_side_by_side", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            runner.run(TINY, "tiny", seeds=(0, 1), results=tmp_path)
        assert list(tmp_path.rglob("*.record.npz"))
    result = runner.run(TINY, "tiny", seeds=(0, 1), results=tmp_path)
    for name, table in stored.tables.items():
        pd.testing.assert_frame_equal(result.tables[name], table, check_exact=True)
    assert not (tmp_path / ".unfinished").exists()


def test_unfinished_work_of_another_search_is_begun_anew_when_asked_for(stored, monkeypatch, tmp_path):
    def stop(*given):
        raise KeyboardInterrupt

    other = replace(TINY, budgets={"tiny": SearchBudget(2, 3, generations=2, population=4)})
    with monkeypatch.context() as patch:
        patch.setattr(search.RecordSearch, "_tested", stop)
        with pytest.raises(KeyboardInterrupt):
            runner.run(other, "tiny", seeds=(0, 1), results=tmp_path)
    with pytest.raises(StoreError, match="belongs to another search"):
        runner.run(TINY, "tiny", seeds=(0, 1), results=tmp_path)
    result = runner.run(TINY, "tiny", seeds=(0, 1), results=tmp_path, again=True)
    pd.testing.assert_frame_equal(result.tables["test"], stored.tables["test"], check_exact=True)


def test_the_work_of_a_search_counts_in_bar_and_estimate(tmp_path):
    asked = requested(TINY, "tiny", (0,), "cpu", tmp_path)
    (unit,) = asked.units
    assert unit.training_steps == work_of(2)
    assert unit.inner_steps == work_of(2) * (1 + 3 * 4 + 2 * FRESH * (1 + LONGER))
    assert f"{unit.inner_steps:,} inner steps" in plan(asked, 1, False)
    reached = []
    list(stacks.finish(asked.stacks[0], "cpu", tmp_path / "search-0.npz", callback=reached.append))
    assert reached[0] == 0
    assert reached == sorted(reached)
    assert reached[-1] == unit.inner_steps


def test_the_runs_in_the_end_count_in_the_time_that_is_stored(monkeypatch, tmp_path):
    clock = iter((0.0, 1_000.0))
    monkeypatch.setattr(search, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    result = runner.run(TINY, "tiny", seeds=(0,), results=tmp_path)
    assert result.provenance["training_seconds"]["search-0"] > 1_000


def test_candidates_that_diverge_are_kept_as_infinitely_bad(monkeypatch, tmp_path):
    explosive = {**SPACE, "alpha": Range(1e10, 1e12)}
    monkeypatch.setattr("companion.sine.settings.SPACE", explosive)
    result = runner.run(TINY, "tiny", seeds=(0,), results=tmp_path)
    tried = result.tables["candidates"]
    assert (tried[tried.generation > 0].error == math.inf).all()
    assert load_result(tmp_path / "sine-search" / "tiny").tables["candidates"].error.iloc[-1] == math.inf


def test_a_budget_that_searches_nothing_is_refused_in_one_line(tmp_path):
    nothing = replace(TINY, budgets={"tiny": SearchBudget(2, 3, generations=0, population=4)})
    with pytest.raises(InputError, match=r"^generations is 0; search at least one$"):
        runner.run(nothing, "tiny", seeds=(0,), results=tmp_path)


def test_changes_leave_all_other_settings_and_the_work_as_they_are():
    units = ONE_AT_A_TIME.units(ONE_AT_A_TIME.budgets["smoke"], (0, 1))
    assert [unit.facts["changed"] for unit in units].count(UNCHANGED) == 1
    for name, values in CHANGES.items():
        for value in values:
            assert [
                field for field in NAMES if getattr(changed(name, value), field) != getattr(DEMO, field)
            ] == [name]
            assert 0.4 < value / getattr(DEMO, name) < 2.1
    assert {unit.training_steps for unit in units} <= set(range(190, 211))
