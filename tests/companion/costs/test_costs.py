"""What is measured on costs is what it is called, and the verdicts rest on intervals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from companion.costs import claims, figures
from companion.costs.coefficients import shares
from companion.costs.experiment import COSTS, FreshSine
from companion.costs.summaries import Evidence, gradients_per_step, slope
from companion.costs.tables import characters_table, growth_table, noise_table, pulls_table
from companion.costs.variance import meta_gradients, summarize
from companion.costs.ways import (
    FOMAML,
    IMPLICIT,
    PRODUCTS,
    REPTILE,
    SOLVER_STEPS,
    UNROLLED,
    WAYS,
    operations,
    peak_bytes,
    ways,
)
from companion.expansion.problems import sine_problem
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.errors import InputError, MetalibError, StoreError
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.optimizers import SGD
from metalib.params import norm, subtract
from metalib.tasks.sine import Sine
from tests.tolerances import ROUNDOFF

ROOT = Path(__file__).parents[3]
ALPHA = 1e-3


def calls(k, strength=12.5):
    problem = sine_problem(minibatches=5)
    losses = [problem.losses(5)[i % 5] for i in range(k)]
    return losses, problem.phi, ways(losses, problem.phi, ALPHA, strength)


def test_both_ways_to_mamls_gradient_are_that_of_a_recorded_trajectory():
    losses, phi, found = calls(6)
    expected = maml(inner_loop(losses, phi, SGD(ALPHA)))
    for name in (UNROLLED, PRODUCTS):
        assert (norm(subtract(found[name](), expected)) / norm(expected)).item() < ROUNDOFF


def test_the_solver_takes_all_of_its_steps_or_says_so():
    assert int(calls(3)[2][IMPLICIT]().steps) == SOLVER_STEPS
    with pytest.raises(MetalibError, match=r"the solver took \d of 5 steps; choose another λ"):
        calls(3, 1e12)[2][IMPLICIT]()


def test_peak_memory_counts_what_is_held_at_once():
    def both():
        kept = torch.ones(1_000)
        return kept, kept + 1

    def in_turn():
        torch.ones(1_000)
        return torch.ones(1_000)

    assert (peak_bytes(both), peak_bytes(in_turn)) == pytest.approx((8_000, 4_000), abs=64)


def test_memory_by_products_grows_by_the_weights_per_step_and_that_of_reptile_not_at_all():
    size = sum(value.nbytes for value in calls(1)[1].values())
    held = {k: {name: peak_bytes(call) for name, call in calls(k)[2].items()} for k in (4, 12)}
    per_step = {name: (held[12][name] - held[4][name]) / 8 / size for name in WAYS}
    assert per_step[PRODUCTS] == pytest.approx(1.0, abs=0.05)
    assert per_step[UNROLLED] > 1.0
    assert max(abs(per_step[name]) for name in (FOMAML, REPTILE, IMPLICIT)) < 0.02


def test_operations_of_a_product_are_two_per_multiplication():
    assert operations(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5
    counted = gradients_per_step()
    assert (counted[FOMAML], counted[REPTILE]) == (5.0, 5.0)
    assert 5.0 < counted[PRODUCTS] < counted[IMPLICIT]


def test_noise_is_recovered_where_it_is_known():
    rng = torch.Generator().manual_seed(0)
    tasks, weights = 400, 50
    mean = torch.full((weights,), 0.3, dtype=torch.float64)
    of_task = torch.randn(tasks, 1, weights, generator=rng, dtype=torch.float64)
    of_draw = 2.0 * torch.randn(tasks, 2, weights, generator=rng, dtype=torch.float64)
    found = summarize(mean + of_task + of_draw)
    truth = 5.0 / 0.3**2
    assert found.low < truth < found.high
    assert found.tasks_needed == pytest.approx(truth, rel=0.2)
    assert found.within == pytest.approx(0.8, abs=0.03)
    with pytest.raises(InputError, match="needs at least 3"):
        summarize(of_draw[:2])


def test_without_a_signal_the_tasks_needed_are_not_a_number():
    g = torch.tensor(
        [[[1.0], [1.0]], [[-1.0], [-1.0]], [[1.0], [1.0]], [[-1.0], [-1.0]]], dtype=torch.float64
    )
    assert np.isnan(summarize(g).tasks_needed)


def test_with_one_step_every_method_has_the_same_gradient_and_the_draws_of_a_task_differ():
    found = meta_gradients(Sine(dtype="float64"), Sine(dtype="float64").initialize(0), 1, 4, 0)
    assert set(found) == {PRODUCTS, FOMAML, REPTILE, IMPLICIT}
    for g in found.values():
        torch.testing.assert_close(g, found[REPTILE])
    assert (found[REPTILE][:, 0] != found[REPTILE][:, 1]).any()


def test_no_point_returns_in_fresh_minibatches_and_every_point_in_others():
    fresh, returning = (family.sample(0, 0, 1, 10)["x"][0, 0].ravel() for family in (FreshSine(), Sine()))
    assert (len(set(fresh)), len(set(returning))) == (100, 50)
    assert not np.array_equal(fresh, FreshSine().sample(1, 0, 1, 10)["x"][0, 0].ravel())
    assert FreshSine().as_dict()["kind"] != Sine().as_dict()["kind"]


def test_coefficients_of_all_four_methods_are_recovered_within_one_percent():
    table = shares((2, 3))
    np.testing.assert_allclose(table.measured, table.derived, rtol=0.01)
    of = table.set_index(["method", "k"]).derived
    assert of["FOMAML", 3] < of["implicit MAML", 3] < of["MAML", 3]


def test_a_slope_has_an_interval_that_needs_three_points():
    exact = slope(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0]))
    assert exact == pytest.approx((2.0, 2.0, 2.0))
    assert slope(np.array([1.0, 2.0, 4.0]), np.ones(3)) == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    with pytest.raises(InputError, match="needs at least 3"):
        slope(np.array([1.0, 2.0]), np.array([1.0, 2.0]))


def evidence(time=1.0, memory=1.0, noise=-1.0, error=0.0):
    """Evidence with MAML's exponent in time, memory per step, change of noise and excess error as asked."""
    ks, rng = (1, 2, 4, 8, 16, 32, 64), np.random.default_rng(0)
    rows = [
        {
            "network": network, "k": k, "method": method,
            "seconds": (k**time if method == PRODUCTS else k) * (1 + 0.002 * rng.normal()),
            "megabytes": 5 + (memory * k if method in (UNROLLED, PRODUCTS) else 0) + 1e-3 * rng.normal(),
            "megaflop": 2.0 * k, "weights": 1.0,
        }
        for network in claims.NETWORKS for k in ks for method in WAYS
    ]  # fmt: skip
    rows += [{"network": "training", "k": 5, "method": m, "seconds": 0.01} for m in WAYS]
    noisy = [
        {
            "phi": place, "seed": seed, "minibatches": "fresh", "k": k, "method": method,
            "tasks_needed": 20 * (k / 4) ** (noise / np.log(16)) * (1 + 0.01 * rng.normal()),
        }
        for place in claims.PLACES for seed in range(3) for k in ks for method in WAYS[1:]
    ]  # fmt: skip
    errors = {("fresh", 5): 1.0, ("fresh", 10): 1.0, ("fresh", 20): 1.0 + error}
    errors |= {("returning", 5): 1.0, ("returning", 10): 1.5, ("returning", 20): 2.0 + error}
    adaptation = [
        {
            "algorithm": name, "minibatches": minibatches, "k": k, "seed": seed, "points": "whole",
            "step": 10, "mse": value + 0.001 * rng.normal(), "mse_standard_error": 0.001,
        }
        for name in ("maml", "reptile", "imaml")
        for (minibatches, k), value in errors.items() for seed in range(3)
    ]  # fmt: skip
    history = [
        {
            "algorithm": name, "minibatches": "returning", "k": 5, "seed": seed,
            "iteration": i, "mse": 1 / i + 0.001 * rng.normal(), "solver_steps": 5, "solver_residual": 1,
            "bent": 0.5,
        }
        for name in ("maml", "fomaml", "reptile", "imaml") for seed in range(3) for i in (100, 200, 300)
    ]  # fmt: skip
    config = {"budget": {"iterations": 300}, "seeds": [0, 1, 2]}
    tables = {"adaptation": pd.DataFrame(adaptation), "history": pd.DataFrame(history)}
    solver = {"solver_steps": 5.0, "solver_residual": 0.1, "bent": 0.5}
    stronger = {
        name: pd.concat(
            table[(table.algorithm == "maml") & (table.k == 5) & (table.minibatches == "returning")]
            .drop(columns=["k", "minibatches"])
            .assign(algorithm="imaml", pull=pull, **solver)
            for pull in (25.0, 50.0)
        )
        for name, table in tables.items()
    }
    rows += [{"network": "training, characters", "k": 3, "method": m, "seconds": 0.1} for m in WAYS]
    return Evidence(
        pd.DataFrame(rows),
        pd.DataFrame(noisy),
        Result(tables, provenance={"config": config}),
        Result(stronger),
    )


@pytest.mark.parametrize(
    ("made", "predicted", "verdicts"),
    [
        ({}, (HOLDS, HOLDS, HOLDS, HOLDS), (HOLDS, FAILS, FAILS, FAILS)),
        ({"time": 2.0}, (FAILS, HOLDS, HOLDS, HOLDS), (HOLDS, HOLDS, FAILS, FAILS)),
        ({"memory": 0.0}, (HOLDS, FAILS, HOLDS, HOLDS), (OPEN, FAILS, FAILS, FAILS)),
        ({"noise": 1.0}, (HOLDS, HOLDS, FAILS, HOLDS), (HOLDS, FAILS, HOLDS, FAILS)),
        ({"noise": float("nan")}, (HOLDS, HOLDS, OPEN, HOLDS), (HOLDS, FAILS, OPEN, FAILS)),
        ({"error": 0.5}, (HOLDS, HOLDS, HOLDS, FAILS), (HOLDS, FAILS, FAILS, HOLDS)),
    ],
)
def test_predictions_and_claims_are_decided_by_their_intervals(made, predicted, verdicts):
    given = evidence(**made)
    assert tuple(one.verdict for one in claims.predictions(given)) == predicted
    assert tuple(one.verdict for one in claims.ledger(given)) == verdicts


def test_what_a_price_buys_is_read_where_the_first_method_is_done():
    given = evidence()
    for price, expected in (("iteration", 300.0), ("seconds", 3.0), ("gradients", 1_500.0)):
        limit, found = given.bought(price)
        assert limit == pytest.approx(expected)
        assert found[FOMAML].mean == pytest.approx(1 / 300, abs=0.003)
    assert given.bought("gradients")[1][IMPLICIT].mean > given.bought("gradients")[1][FOMAML].mean


def test_tables_and_figures_of_the_evidence_name_every_method():
    given = evidence()
    assert list(growth_table(given, "sine", WAYS)["one more step"]) == list(WAYS)
    assert list(noise_table(given, "random", "fresh", (4, 64)).method) == ["MAML", *WAYS[2:]]
    pulls = pulls_table(given)
    assert list(pulls["λ"]) == ["12.5", "25", "50"]
    assert list(pulls["AvgGradInner, in α"]) == ["6.7", "3.9", "2.0"]
    assert len(figures.growth(given, "sine", "random").axes) == 3
    assert len(figures.bought(given.curves()).axes) == 2
    assert len(figures.steps(given).axes[0].lines) >= 4
    characters = pd.DataFrame(
        {"method": m, "mode": "transductive", "seed": s, "accuracy": 80.0 + s}
        for m in ("maml", "fomaml", "reptile", "imaml")
        for s in range(3)
    )
    bought = characters_table(given, Result({"accuracy": characters}, provenance=given.runs.provenance))
    assert list(bought["seconds in all"]) == ["30"] * 4
    assert bought["accuracy (%)"][0] == "81.0 ± 2.5"


def test_missing_measurements_say_how_to_make_them(tmp_path):
    with pytest.raises(StoreError, match=r"costs.csv is missing; run python benchmarks/costs.py --costs"):
        Evidence.load(ROOT / "results", "laptop", tmp_path / "costs.csv", tmp_path / "variance.csv")


def test_while_implicit_maml_trains_its_error_and_its_solver_are_watched():
    units = {unit.name: unit for unit in COSTS.units(COSTS.budgets["smoke"], (0, 1))}
    assert {unit.facts["minibatches"] for unit in units.values()} == {"fresh", "returning"}
    watch = units["common-imaml"].monitor
    phi = Sine().initialize(0)
    numbers = watch(Sine(), units["common-imaml"].configs[:1], phi, None, 0)
    assert numbers.shape == (1, len(watch.columns))
    assert np.isfinite(numbers).all()


def test_claims_about_measured_costs_come_to_their_verdicts():
    """Those that are open may be decided by more seeds or repeats; then this list is to be read anew."""
    stored = Evidence.load(
        ROOT / "results", "laptop", ROOT / "benchmarks" / "costs.csv", ROOT / "benchmarks" / "variance.csv"
    )
    assert [claim.verdict for claim in claims.ledger(stored)] == [HOLDS, OPEN, OPEN, OPEN]
    assert [claim.verdict for claim in claims.predictions(stored)] == [OPEN, HOLDS, OPEN, OPEN]
