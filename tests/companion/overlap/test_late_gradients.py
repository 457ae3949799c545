"""Late gradients: which images they meet, and what is measured of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.overlap import late_gradients
from companion.running import runner
from companion.running.experiment import Budget
from metalib.data.classes import ClassPool
from metalib.derivatives import value_and_gradient
from metalib.params import cosine, norm
from metalib.tasks.fewshot import FewShot


def small_pool() -> ClassPool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (16, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


def test_seen_and_fresh_images_agree_in_the_first_three_steps(tmp_path):
    experiment = replace(
        late_gradients.LATE_GRADIENTS,
        budgets={"smoke": Budget(1, 3)},
        units=lambda budget, seeds: late_gradients._units(small_pool, budget, seeds),
    )
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


def test_fresh_images_are_six_minibatches_and_seen_ones_the_first_three_again_in_their_order():
    assert late_gradients.ORDERS == {"fresh": (0, 1, 2, 3, 4, 5), "seen": (0, 1, 2, 0, 1, 2)}
    units = late_gradients._units(small_pool, Budget(1, 2), (0,))
    for unit in units:
        orders = unit.as_dict()["record"]["orders"]
        assert len(set(orders["fresh"])) == late_gradients.MINIBATCHES
        assert orders["seen"][3:] == orders["seen"][:3] == orders["fresh"][:3]
