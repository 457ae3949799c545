"""The other rows of Table 2 and the fidelity ablation, on a small pool, from units to tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from companion.budgets import TABLE_2_METHODS, Budget, MethodsBudget
from companion.fewshot import fidelity
from companion.fewshot import methods as table2_methods
from companion.fewshot.methods import maml_unit
from companion.fewshot.pretraining import with_new_head
from companion.running import runner
from companion.running.experiment import Experiment
from metalib.data.classes import ClassPool
from metalib.inner import inner_loop
from metalib.meta_gradients import maml
from metalib.optimizers import SGD
from metalib.training.loop import train
from tests.oracles import relative_error, unrolled_maml
from tests.tolerances import FLOAT32


def small_pool() -> ClassPool:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (16, 20, 28, 28, 1)).astype(np.uint8)
    return ClassPool("noise", images, train_classes=8)


def smallest(experiment: Experiment, budget: Budget, module) -> Experiment:
    return replace(
        experiment,
        budgets={"smoke": budget},
        units=lambda budget, seeds: module._units(small_pool, budget, seeds),
    )


def test_every_method_of_table_2_is_trained_and_scored(tmp_path):
    experiment = smallest(table2_methods.METHODS, MethodsBudget(1, 2, iterations_maml=1), table2_methods)
    result = runner.run(experiment, "smoke", seeds=(0,), results=tmp_path)
    accuracy = result.tables["accuracy"]
    assert set(accuracy.unit) == {"maml", "fomaml", "joint", "pretraining"}
    assert (accuracy.unit == accuracy.method).all()
    rows = accuracy.fillna({"fine_tuned": "all"}).groupby(["unit", "fine_tuned", "shots", "classes", "mode"])
    assert (rows.size() == 1).all()
    assert set(accuracy[accuracy.unit == "pretraining"].fine_tuned) == {"all", "head", "nothing"}
    assert "pretraining/phi/conv_3" in result.arrays, "features are kept, to fine-tune them in other ways"
    assert "pretraining/phi/dense" not in result.arrays


def test_every_variant_of_the_fidelity_ablation_is_trained_and_scored(tmp_path):
    experiment = smallest(fidelity.FIDELITY, Budget(1, 2), fidelity)
    result = runner.run(experiment, "smoke", seeds=(0,), results=tmp_path)
    accuracy = result.tables["accuracy"]
    assert set(accuracy.variant) == set(fidelity.VARIANTS)
    assert set(accuracy.classes) == {"test"}


def test_each_variant_departs_from_the_reference_in_one_thing():
    units = {unit.name: unit for unit in fidelity._units(small_pool, Budget(7, 2), (0, 1))}
    reference = units.pop("reference")
    for name, unit in units.items():
        differences = [
            (ours, theirs)
            for mine, other in (
                (vars(unit.family.pool), vars(reference.family.pool)),
                (vars(unit.family), vars(reference.family)),
                (vars(unit.configs[1]), vars(reference.configs[1])),
            )
            for ours, theirs in zip(mine.values(), other.values(), strict=True)
            if not isinstance(ours, np.ndarray | ClassPool) and ours != theirs
        ]
        assert len(differences) == 1, name


def test_maml_settings_are_those_finn_released():
    unit = maml_unit("maml", small_pool(), TABLE_2_METHODS["paper"], (0,))
    config, family = unit.configs[0], unit.family
    assert (config.alpha, config.tasks, config.outer, config.inner) == (0.4, 32, "adam", "sgd")
    assert config.epsilon == config.epsilon_final == 0.001
    sampled = family.sample(seed=0, block=0, tasks=1, steps=config.k)
    support, query = sampled["image"][0, 0]
    assert len(support) == len(query) == 5, "one support and one query image of each of 5 classes"
    assert not set(support) & set(query)
    assert sorted(sampled["label"][0, 0, 0]) == sorted(sampled["label"][0, 0, 1]) == [0, 1, 2, 3, 4]


def test_maml_is_evaluated_with_ten_steps_on_all_support_images_as_finn_did():
    for algorithm in ("maml", "fomaml"):
        scoring = maml_unit(algorithm, small_pool(), MethodsBudget(1, 7, 1), (0,)).record.scoring
        assert (scoring.steps, scoring.batch, scoring.tasks) == (10, 0, 7), "a batch of 0 is all of them"


def test_maml_differentiates_the_query_loss_through_the_step_on_the_support():
    family = maml_unit("maml", small_pool(), MethodsBudget(1, 1, 1), (0,)).family
    sampled = family.sample(seed=0, block=0, tasks=1, steps=2)
    losses = [
        family.loss({name: torch.from_numpy(array[:1, 0, j]) for name, array in sampled.items()})
        for j in range(2)
    ]
    phi = family.initialize(0)
    trajectory = inner_loop(losses, phi, SGD(0.4))
    expected = unrolled_maml(losses, phi, 0.4)
    assert relative_error(maml(trajectory), expected) < 10 * FLOAT32
    assert relative_error(trajectory.g[-1], expected) > 0.1, "the first-order gradient is another"


def test_fine_tuning_keeps_the_features_and_starts_a_new_head():
    units = {
        unit.name: unit
        for unit in table2_methods._units(small_pool, MethodsBudget(2, 2, iterations_maml=1), (0, 1))
    }
    trained = train(units["pretraining"].family, units["pretraining"].configs)
    phi = with_new_head(trained.phi, units["joint"].family, [0, 1])
    assert torch.equal(phi["conv_3"], trained.phi["conv_3"])
    assert torch.equal(phi["dense"][1], units["joint"].family.initialize(1)["dense"][0])


def cells(unit: str, accuracy: list[float], **columns) -> pd.DataFrame:
    base = {
        "algorithm": "joint", "method": unit, "variant": unit, "seed": [0, 1, 2], "ways": 5, "shots": 1,
        "classes": "test", "mode": "transductive", "accuracy": accuracy,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def test_methods_are_told_apart_and_5_way_tasks_alone_count():
    reptile = pd.concat(
        [
            cells("reptile-5-way", [90.0, 91.0, 92.0], algorithm="reptile"),
            cells("reptile-20-way", [80.0, 81.0, 82.0], algorithm="reptile", ways=20),
        ]
    )
    others = pd.concat([cells("joint", [70.0, 71.0, 72.0]), cells("pretraining", [60.0, 61.0, 62.0])])
    found = table2_methods.by_method(reptile, others).set_index("algorithm")["mean"]
    assert dict(found) == {"reptile": 91.0, "joint": 71.0, "pretraining": 61.0}


def test_what_follows_pretraining_makes_methods_of_their_own():
    both = pd.concat(
        [
            cells("pretraining", [60.0, 61.0, 62.0], fine_tuned="all"),
            cells("pretraining", [70.0, 71.0, 72.0], fine_tuned="head"),
            cells("pretraining", [80.0, 81.0, 82.0], fine_tuned="nothing"),
        ],
        ignore_index=True,
    )
    found = table2_methods.by_method(cells("reptile-5-way", [90.0, 91.0, 92.0], algorithm="reptile"), both)
    assert dict(found.set_index("algorithm")["mean"]) == {
        "reptile": 91.0,
        "pretraining": 61.0,
        "pretraining-head": 71.0,
        "pretraining-nearest": 81.0,
    }


def test_what_a_detail_is_worth_is_paired_by_seed():
    table = pd.concat([cells("reference", [90.0, 92.0, 94.0]), cells("mean-loss", [89.0, 91.0, 93.0])])
    (row,) = fidelity.worth(table).itertuples()
    assert (row.shots, row.variant) == (1, "mean-loss")
    assert (row.mean, row.low, row.high) == pytest.approx((-1.0, -1.0, -1.0))
