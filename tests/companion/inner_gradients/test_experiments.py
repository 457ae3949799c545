"""Figure 3: the grids are those of the paper, and every run ends in the tables."""

from dataclasses import replace

import numpy as np
import pytest

from companion.inner_gradients import controls as figure3_controls
from companion.inner_gradients import figure3
from companion.inner_gradients import weights as figure3_weights
from companion.inner_gradients.settings import EPSILON
from companion.running import runner
from companion.running.experiment import Budget, Experiment
from metalib.data.classes import ClassPool
from metalib.theory.taylor import predicted_coefficients, predicted_maml_coefficients
from tests.tolerances import EXACT


def small_pool() -> ClassPool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (16, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


def smallest(experiment: Experiment, module, budget: Budget) -> Experiment:
    return replace(
        experiment,
        budgets={"smoke": budget},
        units=lambda budget, seeds: module._units(small_pool, budget, seeds),
    )


def units(module, budget: Budget, seeds=(0,)):
    return {unit.name: unit for unit in module._units(small_pool, budget, seeds)}


TINY = Budget(1, 2)


@pytest.mark.parametrize(
    ("experiment", "module", "budget"),
    [
        (figure3.FIGURE_3, figure3, TINY),
        (figure3_weights.WEIGHTS, figure3_weights, TINY),
        (figure3_controls.CONTROLS, figure3_controls, TINY),
    ],
)
def test_every_run_is_trained_watched_and_scored(tmp_path, experiment, module, budget):
    result = runner.run(smallest(experiment, module, budget), "smoke", seeds=(0,), results=tmp_path)
    accuracy, history = result.tables["accuracy"], result.tables["history"]
    expected = set(units(module, budget))
    assert set(accuracy.unit) == set(history.unit) == expected
    assert (accuracy.groupby("unit").size() == 3).all(), "transductive, inductive, and their difference"
    assert {"iteration", "loss_before", "loss_after", "transductive", "inductive"} <= set(history)
    assert history.inductive.between(0, 100).all()
    facts = {unit.name: unit.facts for unit in units(module, budget).values()}
    for table in (accuracy, history):
        for row in table.to_dict("records"):
            assert facts[row["unit"]].items() <= row.items()


def test_figure_3_has_the_ten_curves_of_the_paper():
    runs = units(figure3, TINY)
    assert len(runs) == 10
    for unit in runs.values():
        (run,) = unit.configs
        assert (run.alpha, run.epsilon, run.epsilon_final, run.tasks) == (0.003, 0.25, 0.0, 1)
        assert (run.inner, run.outer, unit.family.batch, unit.family.reduction) == (
            "sgd",
            "interpolate",
            25,
            "sum",
        )
        assert unit.family.shots == 5 * run.k
    assert runs["4-sum-seed-0"].configs[0].weights == (1.0, 1.0, 1.0, 1.0)
    assert runs["4-average-seed-0"].configs[0].weights == (0.25, 0.25, 0.25, 0.25)
    assert runs["4-last-seed-0"].configs[0].weights == (0.0, 0.0, 0.0, 1.0)
    assert runs["1-first-seed-0"].configs[0].weights == (1.0,)


def test_the_minibatches_of_figure_3_share_no_image():
    family = units(figure3, TINY)["4-sum-seed-0"].family
    images = family.sample(seed=0, block=0, tasks=1, steps=4)["image"].reshape(100, -1)
    assert all(len(set(task)) == 100 for task in images.tolist())


def test_runs_of_one_seed_and_k_see_the_same_tasks():
    runs = units(figure3, TINY)
    sampled = [runs[f"3-{name}-seed-0"].family.sample(0, 5, 1, 3)["image"] for name in ("sum", "last")]
    np.testing.assert_array_equal(*sampled)


def test_the_dial_changes_avg_grad_inner_alone():
    runs = units(figure3_weights, TINY)
    for value in figure3_weights.DIAL:
        (run,) = runs[f"dial{value:g}-seed-0"].configs
        predicted = predicted_coefficients(run.weights, run.alpha)
        assert predicted.avg_grad == pytest.approx(1.0, abs=EXACT)
        assert predicted.avg_grad_inner == pytest.approx(-value * run.alpha, abs=EXACT)


@pytest.mark.parametrize(("name", "k"), [("dial2", 2), ("4-like-maml", 4)])
def test_the_weights_like_maml_have_its_ratio(name, k):
    (run,) = units(figure3_weights, TINY)[f"{name}-seed-0"].configs
    ours, maml = predicted_coefficients(run.weights, run.alpha), predicted_maml_coefficients(k, run.alpha)
    assert ours.avg_grad == pytest.approx(maml.avg_grad, abs=EXACT)
    assert ours.avg_grad_inner == pytest.approx(maml.avg_grad_inner, abs=EXACT)


def controls_by_name(iterations: int):
    """The configuration of every control of seed 0."""
    return {one.facts["curve"]: one.run for one in figure3_controls.runs(iterations, 0)}


def test_the_data_control_shows_100_images_in_every_outer_step():
    runs = [unit for name, unit in units(figure3_controls, TINY).items() if name.startswith("data-")]
    assert len(runs) == 8
    assert {u.configs[0].k * u.configs[0].tasks * u.family.batch for u in runs} == {100}
    far = controls_by_name(1)["data-1-far"]
    assert far.epsilon * sum(far.weights) == 0.25 * 4


def test_minibatches_of_the_pool_control_are_the_first_of_four():
    runs = units(figure3_controls, TINY)
    one, two = (
        runs[f"pool-{name}-seed-0"].family.sample(0, 3, 1, k)["image"]
        for name, k in (("1-first", 1), ("2-sum", 2))
    )
    four = runs["data-4-sum-seed-0"].family.sample(0, 3, 1, 4)["image"]
    np.testing.assert_array_equal(one, four[:, :, :1])
    np.testing.assert_array_equal(two, four[:, :, :2])


def test_the_step_control_matches_the_leading_coefficient_of_sum_and_last():
    runs = controls_by_name(1)
    for epsilon in figure3_controls.STEPS:
        total, last = runs[f"step-{epsilon:g}-sum"], runs[f"step-{epsilon:g}-last"]
        assert sum(total.weights) * total.epsilon == sum(last.weights) * last.epsilon


def test_the_noise_control_gathers_as_much_noise_at_the_ends_of_the_dial_as_lambda_1_at_full_step():
    runs = controls_by_name(10)
    for value in (-1, 2):
        run = runs[f"noise-dial{value}"]
        assert run.epsilon * sum(c**2 for c in run.weights) == pytest.approx(EPSILON)
        assert predicted_coefficients(run.weights, 0.01).avg_grad == 1.0
