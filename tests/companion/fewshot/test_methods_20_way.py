"""MAML and FOMAML with twenty ways: settings, work, and what was said of them before they ran."""

import pandas as pd
import pytest

from companion.budgets import BUDGETS, Budget
from companion.fewshot import methods_20_way
from companion.verdicts import FAILS, HOLDS, OPEN
from tests.companion.fewshot.test_table2 import small_pool
from tests.tolerances import FLOAT32


@pytest.fixture(scope="module")
def units():
    return methods_20_way._units(small_pool, BUDGETS["table2-methods-20-way"]["laptop"], (0, 1))


def test_settings_are_those_finn_released(units):
    assert [unit.name for unit in units] == [
        f"{algorithm}-20-way-seed-{seed}" for algorithm in ("fomaml", "maml") for seed in (0, 1)
    ]
    for unit in units:
        (config,), family, scoring = unit.configs, unit.family, unit.record.scoring
        assert (config.alpha, config.tasks, config.k) == (0.1, 16, 6), "five inner steps and the query"
        assert (config.outer, config.inner) == ("adam", "sgd")
        assert config.epsilon == config.epsilon_final == 0.001
        assert (family.ways, family.reduction) == (20, "mean")
        assert (scoring.steps, scoring.batch, scoring.shots, scoring.tasks) == (10, 0, (1,), 400)


def test_every_inner_step_sees_the_whole_support_and_the_last_loss_is_on_other_images(units):
    config, family = units[0].configs[0], units[0].family
    *support, query = family.sample(seed=0, block=0, tasks=1, steps=config.k)["image"][0, 0]
    assert all(set(step) == set(support[0]) for step in support)
    assert len(set(support[0])) == len(set(query)) == 20
    assert not set(support[0]) & set(query)


def test_all_do_as_much_work_as_reptile(units):
    reptile = 3_000 * methods_20_way.work_of_reptile()
    for unit in units:
        (config,) = unit.configs
        per_step = config.tasks * unit.family.ways
        products = 3 * 5 * (config.algorithm == "maml")
        cost = per_step * (config.k + products)
        assert reptile - cost < config.iterations * cost <= reptile


def test_nobody_gets_more_than_finn_ran():
    long = methods_20_way._units(small_pool, Budget(10**9, 1), (0,))
    assert {unit.configs[0].iterations for unit in long} == {60_000}


def cells(*, maml: float, fomaml: float, spread: float = 0.1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three made-up seeds, Reptile at 60 %; what the others lead by, with noise that adds up to nothing."""
    base = {"seed": [0, 1, 2], "ways": 20, "shots": 1, "classes": "test", "mode": "transductive"}
    reptile = pd.DataFrame({**base, "algorithm": "reptile", "accuracy": [58.0, 60.0, 62.0]})
    leads = {"maml": (maml, 1.0), "fomaml": (fomaml, -2.0)}
    others = [
        pd.DataFrame(base).assign(
            algorithm=name, accuracy=reptile.accuracy + lead + [sign * spread, 0, -sign * spread]
        )
        for name, (lead, sign) in leads.items()
    ]
    return reptile, pd.concat(others)


@pytest.mark.parametrize(
    ("leads", "verdicts"),
    [
        ({"maml": 9.0, "fomaml": 5.0}, [HOLDS, HOLDS]),
        ({"maml": 9.0, "fomaml": 1.0}, [FAILS, HOLDS]),
        ({"maml": 4.0, "fomaml": 8.0}, [HOLDS, FAILS]),
        ({"maml": 2.0, "fomaml": 2.0}, [OPEN, OPEN]),
        ({"maml": 9.0, "fomaml": 5.0, "spread": 9.0}, [OPEN, OPEN]),
    ],
)
def test_what_was_expected_is_judged_by_intervals_over_seeds(leads, verdicts):
    assert list(methods_20_way.expected(*cells(**leads), similar=2.0).verdict) == verdicts


def test_a_lead_is_paired_by_seed_on_20_way_1_shot_test_tasks():
    reptile, others = cells(maml=9.0, fomaml=5.0, spread=0.0)
    strange = [
        reptile.assign(accuracy=0.0, **{column: value})
        for column, value in (("ways", 5), ("shots", 5), ("classes", "train"), ("mode", "difference"))
    ]
    lead = methods_20_way.ahead(pd.concat([reptile, *strange]), others, "maml")
    assert tuple(lead) == pytest.approx((9.0, 9.0, 9.0), rel=FLOAT32), "seeds differ by four points"
    rows = methods_20_way.by_method(pd.concat([reptile, *strange]), others)
    assert list(rows.algorithm) == ["reptile", "maml", "fomaml"]
    assert list(rows["mean"]) == pytest.approx([60.0, 69.0, 65.0], rel=FLOAT32)
