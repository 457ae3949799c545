"""Learning curves: what is watched in training, and that watching changes nothing."""

import numpy as np
import pandas as pd
import pytest
import torch

from companion.fewshot.scores import LearningCurve, inner_optimizer, score
from companion.inner_gradients.settings import config, scoring
from metalib.data.classes import ClassPool
from metalib.evaluation.classification import accuracies
from metalib.optimizers import SGD, State
from metalib.rng import generator
from metalib.tasks.episodes import sample_episodes
from metalib.tasks.fewshot import FewShot
from metalib.training import loop as training
from metalib.training.loop import Trained, train
from tests.tolerances import EXACT

TASKS = 4


def noisy_pool() -> ClassPool:
    """Classes that a few gradient steps separate, but not perfectly."""
    rng = np.random.default_rng(0)
    mixed = 0.35 * rng.random((16, 1, 28, 28, 1)) + 0.65 * rng.random((16, 20, 28, 28, 1))
    return ClassPool("noise", (mixed > 0.5).astype(np.uint8), train_classes=8)


FAMILY = FewShot(noisy_pool(), 5, shots=2, batch=5, scheme="disjoint")
CURVE = LearningCurve(scoring(TASKS))
RUNS = [config((1.0, 1.0), 3, seed) for seed in (0, 1)]


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """One outer iteration per block, so that a short training has several."""
    monkeypatch.setattr(training, "BLOCK", 1)
    monkeypatch.setattr("metalib.tasks.fewshot.BLOCK", 1)
    monkeypatch.setattr("metalib.training.checkpoints.BLOCK", 1)


def test_a_point_of_the_curve_is_the_accuracy_on_fresh_tasks_of_its_block():
    trained = train(FAMILY, RUNS[:1], monitor=CURVE)
    assert list(trained.history.iteration) == [1, 2, 3]
    rng = generator(0, "watchtest", 2)
    tasks = sample_episodes(FAMILY.pool, 0, TASKS, shots=5, steps=5, batch=25, rng=rng)
    (scored,) = accuracies(FAMILY, trained.phi, [tasks], SGD(0.003))
    last = trained.history.iloc[-1]
    assert last.inductive == pytest.approx(100 * scored.inductive.mean(), rel=EXACT)
    assert last.transductive == pytest.approx(100 * scored.transductive.mean(), rel=EXACT)


def test_watching_changes_neither_weights_nor_losses():
    watched, alone = train(FAMILY, RUNS, monitor=CURVE), train(FAMILY, RUNS)
    assert all(torch.equal(watched.phi[name], alone.phi[name]) for name in alone.phi)
    pd.testing.assert_frame_equal(watched.history[alone.history.columns], alone.history)


def test_runs_are_watched_on_the_same_tasks_alone_and_in_a_stack():
    together = train(FAMILY, RUNS, monitor=CURVE).history
    alone = train(FAMILY, RUNS[1:], monitor=CURVE).history
    second = together[together.run == 1].reset_index(drop=True)
    assert list(second.inductive) == pytest.approx(list(alone.inductive), abs=100 / (5 * TASKS))


def test_a_watched_run_goes_on_from_its_checkpoint_bit_for_bit(tmp_path, monkeypatch):
    whole = train(FAMILY, RUNS, monitor=CURVE)
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)

    def interrupt(iteration: int) -> None:
        if iteration == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(FAMILY, RUNS, monitor=CURVE, checkpoint=tmp_path / "c.npz", callback=interrupt)
    resumed = train(FAMILY, RUNS, monitor=CURVE, checkpoint=tmp_path / "c.npz")
    pd.testing.assert_frame_equal(resumed.history, whole.history)
    assert all(torch.equal(resumed.phi[name], whole.phi[name]) for name in whole.phi)


def test_weights_that_are_not_finite_have_no_accuracy():
    phi = {name: torch.full_like(value, torch.nan) for name, value in FAMILY.initialize(0).items()}
    both = {name: torch.cat([FAMILY.initialize(0)[name], phi[name]]) for name in phi}
    points = CURVE(FAMILY, RUNS, both, State(), block=0)
    assert np.isfinite(points[0]).all()
    assert np.isnan(points[1]).all()


@pytest.mark.parametrize("optimizer", [inner_optimizer, None])
def test_weights_that_are_not_finite_have_no_score(optimizer):
    phi = FAMILY.initialize(0)
    both = {name: torch.cat([value, torch.full_like(value, torch.nan)]) for name, value in phi.items()}
    scored = score(
        FAMILY, Trained(tuple(RUNS), both, State(), pd.DataFrame(), 0.0), scoring(TASKS), optimizer
    )
    assert np.isfinite(scored[scored.seed == 0].accuracy).all()
    assert scored[scored.seed == 1].accuracy.isna().all()
