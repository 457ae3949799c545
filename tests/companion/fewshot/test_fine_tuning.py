"""Fine-tuning of pre-trained features: from what it starts, what is tried, and on which classes."""

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from companion.fewshot import fine_tuning
from companion.fewshot.fine_tuning import GRID, Pretrained
from companion.fewshot.pretraining import HEAD
from companion.results import load_result
from metalib.data.glyphs import glyphs
from metalib.optimizers import SGD, Adam, Masked
from metalib.training import TrainingConfig


@pytest.mark.parametrize("seed", [0, 2])
def test_it_starts_from_the_stored_features_of_the_seed_under_a_new_last_layer(seed):
    family = Pretrained(glyphs())
    phi = family.initialize(seed)
    stored = load_result(fine_tuning.STORED).arrays
    for name, value in phi.items():
        if name in HEAD:
            assert torch.equal(value, family.net.initialize(seed)[name])
        else:
            assert np.array_equal(value[0].numpy(), stored[f"pretraining/phi/{name}"][seed])


def test_the_grid_has_both_optimizers_with_all_weights_and_with_the_head_alone():
    run = TrainingConfig("joint", k=1)
    assert len(set(GRID)) == len(GRID) == 36
    for way in GRID:
        learner = way.learner(run)
        inner = learner.optimizer if isinstance(learner, Masked) else learner
        assert isinstance(learner, Masked) == (way.tuned == "head")
        assert isinstance(inner, SGD if way.optimizer == "sgd" else Adam)
        assert inner.alpha == way.alpha


def test_the_best_way_is_chosen_on_classes_that_it_is_not_scored_on(monkeypatch):
    """Accuracy is made to be the step size, so that the best way is the one with the largest."""
    seen = {"validation": set(), "test": set()}

    def scored(family, trained, way, tasks, classes):
        seen[classes].update(family.pool.split(0).test.tolist())
        row = {"mode": ["transductive"], "accuracy": [way.alpha], "classes": [classes]}
        return pd.DataFrame(row).assign(**asdict(way))

    monkeypatch.setattr(fine_tuning, "_scored", scored)
    trained = SimpleNamespace(configs=(TrainingConfig("joint", k=1),))
    table = fine_tuning.RecordGrid(3)(Pretrained(glyphs()), trained).tables["accuracy"]
    assert seen["validation"].isdisjoint(seen["test"])
    assert seen["validation"] | seen["test"] == set(glyphs().split(0).test.tolist())
    chosen = table[table.classes == "test"]
    assert list(zip(chosen.tuned, chosen.alpha, strict=True)) == [("all", 0.1), ("head", 0.1)]


def test_without_the_stored_features_it_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(fine_tuning, "STORED", tmp_path)
    with pytest.raises(ValueError, match=r"no weights at .*needs a checkout with its results"):
        fine_tuning.FINE_TUNING_GLYPHS.identity("smoke", (0,))
