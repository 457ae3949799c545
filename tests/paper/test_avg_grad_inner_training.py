"""Section 5.1 beyond small steps: the gradient inner product, training, the reach of the series, kinks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from companion.avg_grad_inner.claims import leads, risen
from companion.avg_grad_inner.training import (
    FAMILY,
    K,
    Probe,
    composition,
    displaced_start,
    snapshots,
    steps_and_inner_product,
    through_training,
)
from companion.expansion.problems import omniglot_problem, sine_problem
from companion.expansion.regime import kinks, local_order, remainder_map, training_settings
from companion.results import load_result
from metalib.derivatives import gradient, hvp
from metalib.params import add_scaled, norm, subtract
from tests.tolerances import ROUNDOFF, SLOPE

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def kept():
    return snapshots(displaced_start(0.0), (0, 3, 100, 300))


@pytest.fixture(scope="module")
def probe():
    return Probe.sample(permutations=4)


def relative(a, b):
    return (norm(subtract(a, b)) / norm(b)).item()


def test_probe_is_an_exact_quadrature_over_tasks():
    """Three phases and two amplitudes give AvgGrad and AvgGradInner exactly; more change nothing."""
    phi = displaced_start(0.0)
    few, many = (Probe.sample(2, phases, amplitudes) for phases, amplitudes in ((3, 2), (9, 4)))
    assert relative(few.avg_grad(phi), many.avg_grad(phi)) < ROUNDOFF
    assert relative(few.avg_grad_inner(phi), many.avg_grad_inner(phi)) < ROUNDOFF
    coarse = Probe.sample(2, 2, 1)
    assert relative(coarse.avg_grad_inner(phi), many.avg_grad_inner(phi)) > 0.01


def test_probe_takes_the_term_over_all_ordered_pairs(probe):
    phi = displaced_start(0.0)
    start = probe.start(phi)
    g_bar = [gradient(loss, start) for loss in probe.losses]
    pairs = [probe.mean(hvp(probe.losses[b], start, g_bar[a])) for a in range(K) for b in range(K) if a != b]
    oracle = {name: torch.stack([pair[name] for pair in pairs]).mean(0) for name in phi}
    assert relative(probe.avg_grad_inner(phi), oracle) < ROUNDOFF


def test_gradient_of_the_inner_product_is_plus_two_avg_grad_inner(probe):
    """Finite differences, which know nothing of Hessians: the sign is plus."""
    phi = displaced_start(0.0)
    inner = probe.avg_grad_inner(phi)
    h = 1e-5
    up, down = (probe.inner_products(add_scaled(phi, inner, s * h))[0] for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx(2 * norm(inner).item() ** 2, rel=1e-4)


def test_step_along_plus_avg_grad_inner_raises_the_inner_product_and_minus_lowers_it(kept, probe):
    """The paper calls −AvgGradInner the direction that increases the inner product: the sign is a slip."""
    for phi in kept["reptile"].values():
        table = steps_and_inner_product(phi, probe, length=1e-3).set_index("direction")
        up, down = table.loc["+AvgGradInner", "change"], table.loc["−AvgGradInner", "change"]
        random = table[table.index.str.startswith("random")]["change"].abs().max()
        assert up > 0 > down
        assert min(up, -down) > 5 * random
        assert up == pytest.approx(table.loc["+AvgGradInner", "first order"], rel=0.1)


def test_reptile_raises_the_inner_product_and_joint_training_does_not(kept, probe):
    reptile, joint = (through_training(kept[name], probe)["inner product"] for name in ("reptile", "joint"))
    assert reptile.iloc[-1] > 3 * reptile.iloc[0]
    assert joint.iloc[-1] < 0.5 * reptile.iloc[-1]


def test_update_heads_for_the_joint_minimum_first_and_for_the_inner_product_later(kept, probe):
    table = through_training(kept["reptile"], probe).set_index("iteration")
    assert table.loc[0, "cos avg_grad"] > 0.8
    assert table.loc[0, "cos inner"] < 0.0
    assert table.loc[100, "cos inner"] > 0.7
    assert table.loc[100, "cos avg_grad"] < 0.6


@pytest.fixture(scope="module")
def course():
    return load_result(RESULTS / "inner-product" / "laptop").tables["course"]


def test_in_five_stored_seeds_each_method_ends_with_a_larger_inner_product(course):
    found = risen(course)
    assert set(found) == {"reptile", "fomaml", "maml"}
    assert course.seed.nunique() == 5
    assert all(difference.low > 0 for both in found.values() for difference in both)


def test_whether_avg_grad_inner_leads_at_every_later_look_is_not_decided(course):
    start, *later = leads(course).values()
    assert start.low > 0
    assert len(later) == 10
    assert all(lead.mean < 0 for lead in later)
    assert sum(lead.high < 0 for lead in later) == 6


def test_update_is_the_prediction_when_alpha_is_small(probe):
    phi = displaced_start(0.0)
    assert composition(phi, probe, alpha=1e-5)["cos prediction"] > 0.999999
    assert composition(phi, probe, alpha=0.02)["cos prediction"] < 0.99


def test_snapshots_start_together_and_diverge(kept):
    assert all(torch.equal(kept["reptile"][0][n], kept["joint"][0][n]) for n in kept["joint"][0])
    assert relative(kept["reptile"][3], kept["joint"][3]) > 0


def test_loss_of_the_probe_is_the_loss_of_the_tasks():
    phi = {name: torch.zeros_like(value) for name, value in FAMILY.initialize(0).items()}
    found = composition(phi, Probe.sample(1))["loss"]
    assert found == pytest.approx(4.2517, abs=0.01)


def test_paper_s_own_step_sizes_lie_outside_the_region_of_small_remainders():
    settings = training_settings()
    sine = settings[settings["task"] == "sine"].iloc[0]
    table = remainder_map(
        sine_problem(tasks=5),
        torch.tensor([1e-4, sine["alpha"]], dtype=torch.float64),
        [sine["k"]],
        "Reptile",
    )
    small, trained = table.groupby("alpha")["against_term"].median()
    assert small < 0.01
    assert trained > 0.1
    section_6 = remainder_map(omniglot_problem(), torch.tensor([0.003], dtype=torch.float64), [2], "Reptile")
    assert section_6["relative"].item() > 1.0


def test_remainder_map_matches_single_runs():
    problem = sine_problem(tasks=2)
    alphas = torch.tensor([1e-4, 1e-3], dtype=torch.float64)
    table = remainder_map(problem, alphas, [2], "FOMAML").set_index(["task", "alpha"])
    one, two = problem.losses(2)
    g_bar = gradient(one, problem.phi)
    g = gradient(two, add_scaled(problem.phi, g_bar, -1e-3))
    line = add_scaled(gradient(two, problem.phi), hvp(two, problem.phi, g_bar), -1e-3)
    assert table.loc[(0, 1e-3), "relative"] == pytest.approx(norm(subtract(g, line)).item() / norm(g).item())


ALPHAS = [2.0**-n for n in range(7, 13)]


def test_smooth_network_has_slope_2_and_its_mean_remainder_vanishes():
    table = kinks("tanh", ALPHAS, draws=200)
    assert np.mean(local_order(table, "median relative")) == pytest.approx(2.0, abs=SLOPE)
    assert table["mean against term"].iloc[-1] < 0.05


def test_relu_kinks_break_the_slope_and_leave_a_share_of_the_term_missing():
    """Where units switch, draws lose order 2; on average, autograd's Hessian misses their curvature."""
    table = kinks("relu", ALPHAS, draws=1000)
    assert np.mean(local_order(table.iloc[:4], "median relative")) < 1.2
    last = table.iloc[-2]
    assert last["mean against term"] > 0.3
    assert last["mean against term"] > 2 * last["noise"]
