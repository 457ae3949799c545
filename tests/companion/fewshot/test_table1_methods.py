"""The other rows of Table 1 on a small made-up pool."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from companion.budgets import Budget
from companion.fewshot import table1, table1_methods
from companion.fewshot.methods import PRODUCT
from companion.fewshot.table1_methods import ROWS, SETTINGS, as_text, compare, matched, work_of_reptile
from companion.running import runner
from metalib.data.classes import ClassPool, Split
from tests.companion.fewshot.test_table1 import TEST, TRAIN


def small_pool() -> ClassPool:
    """As that of Table 1, but with the 20 images of a class that MAML's tasks need, and of 28 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (17, 20, 28, 28, 1), np.uint8)
    return ClassPool("made up", images, maximum=255, fixed=Split(TRAIN, TEST), rotate_train=False)


def units(budget=table1_methods.BUDGETS["laptop"], seeds=(0, 1)):
    return {unit.name: unit for unit in table1_methods.units(small_pool, budget, seeds)}


def quick_units(pool, budget, seeds):
    """The units, with few images in a minibatch of pre-training, and scored after one step."""
    few = []
    for unit in table1_methods.units(pool, budget, seeds):
        record, family = unit.record, unit.family
        if hasattr(record, "scorings"):
            record = replace(record, scorings=tuple(replace(one, steps=1) for one in record.scorings))
            family = replace(family, batch=8)
        else:
            record = replace(record, scoring=replace(record.scoring, steps=1))
        few.append(replace(unit, family=family, record=record))
    return tuple(few)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    experiment = replace(
        table1_methods.TABLE_1_METHODS,
        budgets={"smoke": Budget(1, 2)},
        units=lambda budget, seeds: quick_units(small_pool, budget, seeds),
    )
    return runner.run(experiment, "smoke", seeds=(0,), results=tmp_path_factory.mktemp("runs"))


def test_every_method_is_trained_and_scored_for_both_shots(result):
    rows = compare(None, result.tables["accuracy"]).set_index(["algorithm", "shots", "mode"])
    assert (rows.loc["reptile"].seeds == 0).all()
    for name in ROWS[1:]:
        assert (rows.loc[name].seeds == 1).all()
        assert rows.loc[name].ours.between(0, 100).all()
    assert result.arrays["maml-5-shot-seed-0/phi/dense"].shape == (1, 256, 5)
    assert "pretraining-seed-0/phi/conv_3" in result.arrays


def test_each_run_is_a_unit_of_its_own():
    assert len(units()) == 2 * (2 * 2 + 1)
    assert all(len(unit.configs) == 1 for unit in units().values())


@pytest.mark.parametrize(("shots", "tasks"), [(1, 4), (5, 2)])
@pytest.mark.parametrize("algorithm", ["maml", "fomaml"])
def test_settings_are_those_of_finn(algorithm, shots, tasks):
    unit = units()[f"{algorithm}-{shots}-shot-seed-1"]
    (config,), family = unit.configs, unit.family
    assert (config.algorithm, config.seed, config.alpha, config.tasks) == (algorithm, 1, 0.01, tasks)
    assert (config.inner, config.outer, config.epsilon, config.epsilon_final) == ("sgd", "adam", 0.001, 0.001)
    assert family.reduction == "mean"
    sampled = family.sample(0, 0, tasks=1, steps=config.k)["image"][0, 0]
    support, query = set(sampled[:-1, : 5 * shots].ravel()), set(sampled[-1])
    assert len(sampled) == 5 + 1, "five inner steps and the query"
    assert all(set(step[: 5 * shots]) == support for step in sampled[:-1]), "each on the whole support"
    assert (len(support), len(query)) == (5 * shots, 75)
    assert not support & query
    scoring = unit.record.scoring
    assert (scoring.shots, scoring.steps, scoring.batch) == ((shots,), 10, 0), "a batch of 0 is all of them"


def test_every_method_does_the_work_of_reptile():
    reptile = 10_000 * work_of_reptile()
    assert work_of_reptile() == 5 * 8 * 10
    for name, unit in units().items():
        (config,) = unit.configs
        if name.startswith("pretraining"):
            cost = unit.family.batch
        else:
            cost = SETTINGS[unit.record.scoring.shots[0]].work(config.algorithm)
            # Counted on what is sampled: unused places hold −1.
            sampled = unit.family.sample(0, 0, config.tasks, config.k)["label"][0]
            images = int((sampled >= 0).sum())
            products = int((sampled[:, :-1] >= 0).sum()) if config.algorithm == "maml" else 0
            assert cost == images + PRODUCT * products
        assert reptile - cost < config.iterations * cost <= reptile
    assert matched(1, 10**6) == 1


def test_no_method_runs_longer_than_finn_did():
    found = units(table1_methods.BUDGETS["paper"])
    assert found["fomaml-1-shot-seed-0"].configs[0].iterations == 60_000
    assert found["maml-5-shot-seed-0"].configs[0].iterations < 60_000
    assert found["pretraining-seed-0"].configs[0].iterations == 160_000


def test_pretraining_is_scored_like_reptile():
    record = units()["pretraining-seed-0"].record
    assert record.tasks == table1.family(small_pool())
    assert {one.shots: (one.batch, one.steps) for one in record.scorings} == {(1,): (5, 50), (5,): (15, 50)}


def rows(algorithm: str, seeds: int, **columns) -> pd.DataFrame:
    base = {
        "algorithm": algorithm, "seed": range(seeds), "ways": 5, "shots": 1, "classes": "test",
        "mode": "transductive", "accuracy": [50.0, 51.0, 52.0][:seeds], "standard_error": 0.5,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def test_what_has_not_run_is_said_to_have_not_run():
    nothing = compare(None, None)
    assert len(nothing) == len(ROWS) * 2 * 2
    assert (nothing.seeds == 0).all()
    assert nothing.ours.isna().all()
    text = as_text(nothing)
    assert (text[["1-shot, ours (%)", "5-shot, ours (%)"]] == "not run").all(axis=None)
    papers = text.set_index(["method", "mode"])
    assert papers.loc[("Reptile", "inductive"), "5-shot, paper (%)"] == "62.74 ± 0.37"
    assert papers.loc[("MAML", "transductive"), "1-shot, paper (%)"] == "48.70 ± 1.84"
    assert papers.loc[("MAML", "inductive"), "1-shot, paper (%)"] == "none"


def test_one_seed_has_no_interval_over_seeds_and_three_have():
    others = pd.concat(
        [
            rows("maml", 3, method="maml"),
            rows("joint", 1, method="pretraining", fine_tuned="nothing"),
            rows("maml", 3, method="maml", classes="train", accuracy=90.0),
        ]
    )
    text = as_text(compare(rows("reptile", 1), others)).set_index(["method", "mode"])["1-shot, ours (%)"]
    assert text["Reptile", "transductive"] == "50.0 (one seed; tasks ± 1.0)"
    assert text["MAML", "transductive"] == "51.0 ± 2.5"
    assert text["pre-training, nearest mean", "transductive"] == "50.0 (one seed; tasks ± 1.0)"
    assert text["FOMAML", "transductive"] == "not run"
