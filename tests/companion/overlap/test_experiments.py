"""Figure 4: the grids are those of the paper, and every run ends in the tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from companion.overlap import (
    figure4a,
    figure4b,
    figure4c,
    late_gradients,
)
from companion.overlap import (
    sensitivity as figure4_sensitivity,
)
from companion.overlap.settings import METHODS, SweepBudget, family
from companion.overlap.summaries import as_text, summary
from companion.running import runner
from companion.running.experiment import Budget, Experiment
from metalib.data.classes import ClassPool
from metalib.derivatives import value_and_gradient
from metalib.params import cosine, norm
from metalib.tasks.fewshot import FewShot


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
        (figure4a.FIGURE_4A, figure4a, SweepBudget(1, 2, (2, 5))),
        (figure4b.FIGURE_4B, figure4b, SweepBudget(1, 2, (10, 100))),
        (figure4c.FIGURE_4C, figure4c, SweepBudget(1, 2, (0.5, 1.0))),
        (figure4_sensitivity.SENSITIVITY, figure4_sensitivity, TINY),
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


def test_cycling_overlaps_from_the_fifth_minibatch_of_25_and_above_a_batch_of_25():
    for k, batch, overlaps in ((4, 25, False), (5, 25, True), (4, 26, True), (4, 10, False)):
        tasks = family_of("shared-cycling", batch)
        images = tasks.sample(seed=0, block=0, tasks=1, steps=k)["image"].reshape(100, k, batch)
        shared = [len(set(task[-1]) & set(task[:-1].ravel())) for task in images]
        assert (min(shared) > 0) == (max(shared) > 0) == overlaps


def test_a_separate_tail_shares_no_image_with_the_rest_and_holds_25():
    for k, batch in ((2, 25), (10, 25), (4, 100)):
        tasks = family_of("separate", batch)
        for task in tasks.sample(seed=0, block=0, tasks=1, steps=k)["image"].reshape(100, k, -1):
            tail = set(task[-1][task[-1] >= 0])
            assert len(tail) == 25
            assert not tail & set(task[:-1].ravel())


def family_of(method: str, batch: int):
    return family(small_pool(), next(m for m in METHODS if m.name == method), batch)


def test_the_sweeps_of_figure_4_hold_the_papers_settings():
    by_k = units(figure4a, SweepBudget(7, 2, (2, 5)))
    assert {(u.configs[0].k, u.configs[0].epsilon, u.family.batch) for u in by_k.values()} == {
        (2, 1.0, 25),
        (5, 1.0, 25),
    }
    by_batch = units(figure4b, SweepBudget(7, 2, (10, 50)))
    assert {(u.configs[0].k, u.configs[0].epsilon, u.family.batch) for u in by_batch.values()} == {
        (4, 1.0, 10),
        (4, 1.0, 50),
    }
    by_epsilon = units(figure4c, SweepBudget(7, 2, (0.1, 1.0)))
    assert {(u.configs[0].k, u.configs[0].epsilon, u.family.batch) for u in by_epsilon.values()} == {
        (4, 0.1, 100),
        (4, 1.0, 100),
    }
    (longer,) = units(figure4c, SweepBudget(7, 2, (4.0,))).values()
    assert (longer.name, longer.configs[0].epsilon) == ("shared-cycling-4-seed-0", 1.0)
    assert longer.configs[0].weights == (0.0, 0.0, 0.0, 4.0)
    everything = [*by_k.values(), *by_batch.values(), *by_epsilon.values()]
    assert {unit.configs[0].alpha for unit in everything} == {0.003}
    assert len(everything) == 6 * len(METHODS) - 2, "at a batch of 100, replacement and cycling are one"


def test_seen_and_fresh_images_agree_in_the_first_three_steps(tmp_path):
    experiment = smallest(late_gradients.LATE_GRADIENTS, late_gradients, Budget(1, 3))
    table = runner.run(experiment, "smoke", seeds=(0,), results=tmp_path).tables["gradients"]
    assert set(table.initialization) == {"random", "reptile", "shared-tail"}
    assert (table.groupby(["initialization", "images", "step"]).size() == 1).all()
    difference = table[table.images == "difference"]
    for measured in late_gradients.MEASURES:
        assert (difference[difference.step <= 3][measured] == 0).all()
        assert (difference[difference.step > 3][measured] != 0).all()


def test_what_a_gradient_is_worth_is_measured_as_written_out():
    family = FewShot(small_pool(), 5, shots=20, batch=25)
    phi = family.initialize(0)
    sampled = late_gradients.sample(family.pool, seed=0, tasks=12)
    order = (0, 1, 0)
    found = late_gradients.measure(family, phi, sampled, order)
    task = 11

    def loss(places, shots):
        label = torch.arange(5).repeat_interleave(shots)[None]
        return family.loss({"image": torch.from_numpy(places)[None], "label": label})

    unseen = loss(sampled.held_out[task], 5)
    for step, i in enumerate(order):
        _, g = value_and_gradient(loss(sampled.image[task, i], 2), phi)
        before, direction = value_and_gradient(unseen, phi)
        phi = {name: phi[name] - 0.0075 * g[name] for name in phi}
        after = unseen(phi)
        assert found["decrease"][task, step] == pytest.approx(float(before - after) / 25, rel=1e-3)
        assert found["length"][task, step] == pytest.approx(float(norm(g)), rel=1e-3)
        assert found["cosine"][task, step] == pytest.approx(float(cosine(g, direction)), abs=1e-3)


def test_held_out_images_of_late_gradients_are_in_no_minibatch():
    sampled = late_gradients.sample(small_pool(), seed=0, tasks=50)
    for image, held_out in zip(sampled.image, sampled.held_out, strict=True):
        assert len(set(held_out)) == 25
        assert len(set(image.ravel())) == 60
        assert not set(held_out) & set(image.ravel())


def test_a_sweep_is_summed_up_by_method_and_value():
    table = pd.DataFrame(
        {"method": method.name, "value": value, "seed": seed, "mode": "inductive", "accuracy": 90.0 + seed}
        for method in METHODS for value in (0.1, 10.0) for seed in (0, 1, 2)
    )  # fmt: skip
    points = summary(table)
    assert set(points.method) == {method.name for method in METHODS}
    assert set(points.value) == {0.1, 10.0}
    assert (points["mean"] == 91.0).all()
    text = as_text(points, "epsilon")
    assert text.splitlines()[0].split() == ["epsilon", "0.1", "10"]
    assert text.splitlines()[1].startswith("Reptile, cycling")
    assert "91.0 ± 2.5" in text


def test_fresh_images_are_six_minibatches_and_seen_ones_the_first_three_again_in_their_order():
    assert late_gradients.ORDERS == {"fresh": (0, 1, 2, 3, 4, 5), "seen": (0, 1, 2, 0, 1, 2)}
    units = late_gradients._units(small_pool, Budget(1, 2), (0,))
    for unit in units:
        orders = unit.as_dict()["record"]["orders"]
        assert len(set(orders["fresh"])) == late_gradients.MINIBATCHES
        assert orders["seen"][3:] == orders["seen"][:3] == orders["fresh"][:3]
