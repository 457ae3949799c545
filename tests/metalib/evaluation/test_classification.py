"""Few-shot evaluation, batched over tasks, against one task at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.fewshot.nearest_mean import nearest_mean_accuracies
from metalib.data.classes import ClassPool
from metalib.derivatives import value_and_gradient
from metalib.errors import InputError
from metalib.evaluation import classification
from metalib.evaluation.classification import accuracies
from metalib.memory import WORKING_SET
from metalib.optimizers import SGD, Adam, State
from metalib.params import Params
from metalib.tasks.episodes import Episodes, sample_episodes
from metalib.tasks.fewshot import FewShot
from tests.tolerances import EXACT


def noisy_pool() -> ClassPool:
    """Ten classes that a few gradient steps separate well, but not perfectly."""
    rng = np.random.default_rng(0)
    centers = rng.random((10, 1, 28, 28, 1))
    noise = rng.random((10, 20, 28, 28, 1))
    images = (0.3 * centers + 0.7 * noise > 0.5).astype(np.uint8)
    return ClassPool("noise", images, train_classes=5, rotate_train=False)


FAMILY = FewShot(noisy_pool(), ways=3, shots=3, batch=4)


def episodes(tasks: int = 7) -> Episodes:
    return sample_episodes(FAMILY.pool, seed=0, tasks=tasks, ways=3, shots=2, steps=5, batch=4)


def trained_moments(phi: Params, optimizer: Adam) -> State:
    """Moments as training leaves them: of other tasks, after several steps."""
    state = optimizer.initial_state(phi)
    sampled = FAMILY.sample(seed=0, block=0, tasks=1, steps=3)
    for step in range(3):
        loss = FAMILY.loss({name: torch.from_numpy(array[:1, 0, step]) for name, array in sampled.items()})
        _, g = value_and_gradient(loss, phi)
        _, state = optimizer.direction(g, state)
    return state


def one_at_a_time(phi: Params, task: Episodes, optimizer, state) -> tuple[float, float]:
    """Adapt to a single task, then classify: all held-out images together, and each beside the support."""
    for image, label in zip(task.image[0], task.label[0], strict=True):
        loss = FAMILY.loss({"image": torch.from_numpy(image)[None], "label": torch.from_numpy(label)[None]})
        _, g = value_and_gradient(loss, phi)
        phi, state = optimizer.step(phi, g, state)
    query, support = torch.from_numpy(task.query), torch.from_numpy(task.support)
    together = FAMILY.net(phi, FAMILY.pool.gather(query))[0].argmax(-1)
    alone = []
    for i in range(3):
        batch = FAMILY.pool.gather(torch.cat([support[0], query[0, i : i + 1]])[None])
        alone.append(int(FAMILY.net(phi, batch)[0, -1].argmax()))
    right = [int(label) == i for i, label in enumerate(together)]
    return sum(right) / 3, sum(label == i for i, label in enumerate(alone)) / 3


@pytest.mark.parametrize("width", [1, 3, 100])
def test_tasks_side_by_side_score_as_one_at_a_time(width, monkeypatch):
    monkeypatch.setitem(WORKING_SET, "cpu", width * FAMILY.net.footprint(4))
    phi, tasks, optimizer = FAMILY.initialize(0), episodes(), Adam(0.01)
    state = trained_moments(phi, optimizer)
    (scored,) = accuracies(FAMILY, phi, [tasks], optimizer, state)
    expected = [one_at_a_time(phi, tasks.tasks(t, t + 1), optimizer, state) for t in range(7)]
    np.testing.assert_allclose(scored.transductive, [e[0] for e in expected], rtol=EXACT)
    np.testing.assert_allclose(scored.inductive, [e[1] for e in expected], rtol=EXACT)
    assert 1 / 3 < scored.transductive.mean() < 1.0, "the tasks are neither hopeless nor trivial"


@pytest.mark.parametrize("width", [1, 3, 100])
def test_runs_of_a_stack_score_as_they_do_alone(width, monkeypatch):
    monkeypatch.setitem(WORKING_SET, "cpu", 2 * width * FAMILY.net.footprint(4))
    runs, optimizer = [FAMILY.initialize(0), FAMILY.initialize(1)], Adam(0.01)
    sampled = [sample_episodes(FAMILY.pool, seed, 7, ways=3, shots=2, steps=5, batch=4) for seed in (0, 1)]
    states = [trained_moments(run, optimizer) for run in runs]
    phi, first, second = (
        {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        for parts in (runs, *([state.moments[name] for state in states] for name in ("first", "second")))
    )
    state = State(states[0].steps, {"first": first, "second": second})
    together = accuracies(FAMILY, phi, sampled, optimizer, state)
    for r, run in enumerate(runs):
        (alone,) = accuracies(FAMILY, run, [sampled[r]], optimizer, states[r])
        np.testing.assert_allclose(together[r].transductive, alone.transductive, rtol=EXACT)
        np.testing.assert_allclose(together[r].inductive, alone.inductive, rtol=EXACT)


@pytest.mark.parametrize("width", [1, 100])
def test_evaluation_leaves_weights_and_moments_as_training_left_them(width, monkeypatch):
    monkeypatch.setitem(WORKING_SET, "cpu", 2 * width * FAMILY.net.footprint(4))
    phi, optimizer = FAMILY.initialize(0), Adam(0.01)
    state = trained_moments(phi, optimizer)
    parts = {"phi": phi, **state.moments}
    before = {part: {name: value.clone() for name, value in parts[part].items()} for part in parts}
    accuracies(FAMILY, phi, [episodes()], optimizer, state)
    assert set(before) == {"phi", "first", "second"}
    for part, values in before.items():
        assert all(torch.equal(value, parts[part][name]) for name, value in values.items()), part
    assert state.steps == 3


def test_evaluation_starts_from_the_moments_of_training():
    phi, optimizer = FAMILY.initialize(0), Adam(0.01)
    state = trained_moments(phi, optimizer)
    huge = {n: torch.full_like(v, 1e12) for n, v in state.moments["second"].items()}
    large = State(10_000, {**state.moments, "second": huge})
    (still,) = accuracies(FAMILY, phi, [episodes(40)], optimizer, large)
    (moving,) = accuracies(FAMILY, phi, [episodes(40)], optimizer, state)
    assert moving.inductive.mean() > still.inductive.mean() + 0.2, "huge moments leave the weights in place"


def test_an_inductive_prediction_does_not_see_the_other_held_out_images():
    phi, tasks = FAMILY.initialize(0), episodes(20)
    swapped = replace(tasks, query=tasks.query.copy())
    swapped.query[:, :2] = tasks.support[:, :2]
    original, changed = (
        classification._predictions(FAMILY, phi, sampled, SGD(0.01), None) for sampled in (tasks, swapped)
    )
    assert torch.equal(original[1][:, 2], changed[1][:, 2])
    assert not torch.equal(original[0][:, 2], changed[0][:, 2]), "a transductive prediction does"


def nearest_one_at_a_time(phi: Params, task: Episodes) -> tuple[float, float]:
    """The class whose mean embedding of length-1 vectors is closest, written out with loops."""
    right = {"together": 0, "alone": 0}
    support, query = task.support[0], task.query[0]
    for mode in right:
        for i in range(3):
            beside = query if mode == "together" else query[i : i + 1]
            images = FAMILY.pool.gather(torch.from_numpy(np.concatenate([support, beside]))[None])
            vectors = FAMILY.net.embed(phi, images)[0]
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
            asked = vectors[6 + i] if mode == "together" else vectors[6]
            distances = [(asked - (vectors[2 * c] + vectors[2 * c + 1]) / 2).norm() for c in range(3)]
            right[mode] += int(np.argmin(distances) == i)
    return right["together"] / 3, right["alone"] / 3


@pytest.mark.parametrize("width", [1, 100])
def test_the_nearest_class_mean_side_by_side_is_that_of_one_task_at_a_time(width, monkeypatch):
    monkeypatch.setitem(WORKING_SET, "cpu", width * FAMILY.net.footprint(4))
    runs = [FAMILY.initialize(seed) for seed in (0, 1)]
    phi = {name: torch.cat([run[name] for run in runs]) for name in runs[0]}
    tasks = [episodes(), episodes()]
    scored = nearest_mean_accuracies(FAMILY, phi, tasks)
    for run, accuracy in zip(runs, scored, strict=True):
        expected = [nearest_one_at_a_time(run, tasks[0].tasks(t, t + 1)) for t in range(7)]
        np.testing.assert_allclose(accuracy.transductive, [e[0] for e in expected], rtol=EXACT)
        np.testing.assert_allclose(accuracy.inductive, [e[1] for e in expected], rtol=EXACT)
    assert not np.array_equal(scored[0].inductive, scored[1].inductive)


def test_every_run_needs_its_own_tasks_and_as_many():
    """Else tasks would be learned from the initialization of another run."""
    runs = [FAMILY.initialize(0), FAMILY.initialize(1)]
    phi = {name: torch.cat([run[name] for run in runs]) for name in runs[0]}
    for sets in ([episodes(4)], [episodes(4), episodes(2)]):
        with pytest.raises(InputError, match=r"2 runs need a set of tasks each, of one size; got"):
            accuracies(FAMILY, phi, sets, Adam(0.01))
