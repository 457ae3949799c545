"""Exact filters: what updates make of a direction of curvature h, when all minibatches are one quadratic."""

import numpy as np
import pandas as pd
import pytest
import torch

from companion.inner_gradients import filters as of
from companion.inner_gradients import spectra
from companion.inner_gradients.foretold import CHANCE, FAILING, foretold, left_the_plateau
from companion.inner_gradients.settings import BATCH
from companion.inner_gradients.spectra import flat, largest_curvatures, looked_at, unflat
from companion.results import Result
from companion.verdicts import FAILS, HOLDS, OPEN
from metalib.inner import inner_loop
from metalib.meta_gradients import combination
from metalib.methods import METHODS
from metalib.optimizers import SGD
from metalib.theory.taylor import predicted_coefficients, predicted_maml_coefficients
from tests.tolerances import ROUNDOFF

ALPHA = 0.1
CURVATURES = np.array([-3.0, -0.5, 0.0, 1e-6, 1.0, 4.0, 10.0, 12.5, 19.0])


def quadratic():
    """½ (φ − φ*)ᵀ H (φ − φ*) with a turned H of known curvatures, and its eigenvectors as columns."""
    rng = np.random.default_rng(0)
    turned, _ = np.linalg.qr(rng.normal(size=(len(CURVATURES), len(CURVATURES))))
    hessian = torch.from_numpy(turned @ np.diag(CURVATURES) @ turned.T)
    center = torch.from_numpy(rng.normal(size=len(CURVATURES)))

    def loss(params):
        away = params["w"][0] - center
        return (0.5 * away @ hessian @ away)[None]

    return loss, {"w": torch.from_numpy(rng.normal(size=(1, len(CURVATURES))))}, turned


def along(vectors, g):
    return vectors.T @ g["w"][0].numpy()


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_every_method_multiplies_the_first_gradient_by_its_filter(k):
    loss, phi, vectors = quadratic()
    trajectory = inner_loop([loss] * k, phi, SGD(ALPHA))
    first, x = along(vectors, trajectory.g[0]), ALPHA * CURVATURES
    expected = {
        "fomaml": of.fomaml_filter(k, x),
        "maml": of.maml_filter(k, x),
        "reptile": of.reptile_filter(k, x),
        "joint": np.ones_like(x),
    }
    for name, curve in expected.items():
        found = along(vectors, METHODS[name].gradient(trajectory))
        assert found == pytest.approx(curve * first, rel=ROUNDOFF, abs=ROUNDOFF), name
    weights = np.random.default_rng(k).normal(size=k)
    found = along(vectors, combination(trajectory, tuple(weights)))
    assert found == pytest.approx(of.combination_filter(weights, x) * first, rel=ROUNDOFF, abs=ROUNDOFF)


def test_reptile_s_filter_is_the_closed_form_of_the_sum():
    x = np.array([-0.7, 0.1, 1.0, 1.9, 2.5])
    for k in (1, 2, 5, 8):
        assert of.reptile_filter(k, x) == pytest.approx((1 - (1 - x) ** k) / x, rel=ROUNDOFF)
        assert of.reptile_filter(k, np.array(0.0)) == k


def test_the_first_order_of_a_filter_is_what_the_paper_says_of_avg_grad_and_avg_grad_inner():
    step = 1e-6
    for k in range(1, 7):
        for curve, told in (
            (lambda x, k=k: of.maml_filter(k, x), predicted_maml_coefficients(k, 1.0)),
            (lambda x, k=k: of.fomaml_filter(k, x), predicted_coefficients((0.0,) * (k - 1) + (1.0,), 1.0)),
            (lambda x, k=k: of.reptile_filter(k, x), predicted_coefficients((1.0,) * k, 1.0)),
        ):
            assert curve(np.array(0.0)) == pytest.approx(told.avg_grad)
            slope = (curve(np.array(step)) - curve(np.array(-step))) / (2 * step)
            assert slope == pytest.approx(told.avg_grad_inner, abs=1e-6)


def test_where_updates_begin_to_climb():
    found = {name: of.first_uphill(curve) for name, curve in of.filters().items() if name[:4] != "diff"}
    assert found["dial0"] == found["dial-1"] == found["maml"] == np.inf
    assert (found["dial2"], found["dial1"], found["4-last"]) == (0.5, 1.0, 1.0)
    assert found["4-like-maml"] == pytest.approx(1 - 0.5 ** (1 / 3), abs=1e-6)
    assert found["2-sum"] == found["dial0.5"] == np.inf, "from 2 on, where the inner loop diverges"
    assert (of.combination_filter((-1.0, 1.0), np.linspace(0.01, 2, 9)) < 0).all(), (
        "g2 - g1 climbs everywhere"
    )


def test_lanczos_finds_the_steepest_directions_and_the_slopes_along_them():
    loss, phi, vectors = quadratic()
    values, found = largest_curvatures(loss, phi, 3, tolerance=1e-12)
    assert values == pytest.approx([19.0, 12.5, 10.0], rel=ROUNDOFF)
    assert abs(found @ vectors[:, ::-1][:, :3]) == pytest.approx(np.eye(3), abs=1e-6)
    assert torch.equal(flat(unflat(flat(phi), phi)), flat(phi))
    looked = looked_at([loss, loss], phi, ALPHA)
    assert looked[0:6:3] == pytest.approx([1.9, 1.25], rel=1e-2)
    assert looked[2:6:3] == pytest.approx([-0.9, -0.25], abs=2e-2)
    assert looked[-1] == 0


def test_a_loss_that_is_lost_is_counted_and_has_no_numbers():
    _, phi, _ = quadratic()
    looked = looked_at([lambda params: params["w"].sum()[None] * float("nan")], phi, ALPHA)
    assert looked[-1] == 1
    assert np.isnan(looked[:-1]).all()


def made_up(start, later, slope):
    """Three seeds whose αh_1 is `start` at random weights, and `later[curve]` after 100 and 200."""
    curves = (*spectra.FOLLOWED, "maml")
    rows = [
        {"curve": curve, "seed": seed, "iteration": i, "alpha_h_1": later.get(curve, 0.4) + 0.01 * seed}
        for curve in curves
        for seed in range(3)
        for i in (100, 200)
    ]
    begun = [
        {
            "curve": "dial0",
            "seed": seed,
            "iteration": 0,
            "alpha_h_1": start + 0.01 * seed,
            "slope_1": slope + 0.01 * seed,
        }
        for seed in range(3)
    ]
    return Result({"history": pd.DataFrame(rows), "start": pd.DataFrame(begun)})


def test_what_was_foretold_of_curvature_is_judged_by_intervals():
    climbing = dict.fromkeys(FAILING, 1.5)
    as_said = made_up(0.9, climbing, 0.1)
    assert list(foretold(as_said).it) == [HOLDS] * 4
    steep = foretold(made_up(6.0, climbing, 0.1))
    assert list(steep.it) == [FAILS, FAILS, HOLDS, HOLDS]
    level = foretold(made_up(0.9, {}, 0.1))
    assert list(level.it) == [HOLDS, HOLDS, OPEN, FAILS], "λ = 2 goes downhill at 0.4"
    lost = foretold(made_up(0.9, {"dial2": np.nan, "difference": 1.5, "4-like-maml": 1.5}, 0.1))
    assert list(lost.it) == [HOLDS, HOLDS, OPEN, OPEN]


def test_a_run_has_left_the_plateau_if_its_last_loss_is_below_chance_over_the_whole_interval():
    def one(curve, seed, iteration):
        of_last = {"dial0": CHANCE - 0.02 + 0.1 * (seed - 1), "dial2": 20.0 + seed}.get(
            curve, 1.0 + 0.1 * seed
        )
        loss = of_last if iteration == 200 else 100.0
        return {"curve": curve, "seed": seed, "iteration": iteration, "loss_after": BATCH * loss}

    curves = (*spectra.FOLLOWED, "maml")
    history = pd.DataFrame([one(c, seed, i) for c in curves for seed in range(3) for i in (100, 200)])
    left = left_the_plateau(Result({"history": history})).set_index("update")
    verdicts = left[f"below {CHANCE:.2f}"]
    assert (verdicts["λ = 0"], verdicts["λ = 2"], verdicts["MAML"]) == (OPEN, FAILS, HOLDS)
    assert left.loc["MAML", "loss (nats per image)"].startswith("1.10 ± ")
    assert len(left) == len(curves)
