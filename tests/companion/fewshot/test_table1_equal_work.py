"""Table 1 after equal work: the same runs, shorter; and what was said of them, true and false."""

import pandas as pd
import pytest

from companion.budgets import BUDGETS
from companion.fewshot import table1_equal_work
from companion.fewshot.claims import SIMILAR
from companion.fewshot.table1_methods import SETTINGS, work_of_reptile
from companion.verdicts import FAILS, HOLDS, OPEN
from tests.companion.fewshot.test_table1_methods import small_pool

FORESEEN = {"reptile": 30.0, "fomaml": 36.0, "maml": 34.0, "pretraining": 38.0, "pretraining-nearest": 40.0}


def units(seeds=(0, 1)):
    return table1_equal_work.units(small_pool, BUDGETS["table1-equal-work"]["laptop"], seeds)


def test_every_method_is_trained_with_equal_work_and_scored_on_test_classes_alone():
    reptile, *others, pretrained = units((0,))
    work = reptile.configs[0].iterations * work_of_reptile()
    assert work == 1_000 * 400
    for unit in others:
        (config,), scoring = unit.configs, unit.record.scoring
        cost = SETTINGS[scoring.shots[0]].work(config.algorithm)
        assert work - cost < config.iterations * cost <= work
        assert scoring.classes == ("test",)
    assert pretrained.configs[0].iterations * pretrained.family.batch == work
    for unit in (reptile, pretrained):
        assert {scoring.classes for scoring in unit.record.scorings} == {("test",)}


def test_the_runs_of_one_seed_come_before_those_of_the_next():
    names = [unit.name for unit in units()]
    assert len(set(names)) == len(names) == 2 * 6
    assert [name.endswith("seed-0") for name in names] == [True] * 6 + [False] * 6


def made_up(ends: dict[str, float], seeds: int = 3, spread: float = 0.02) -> pd.DataFrame:
    """The accuracies of some seeds, each method as far apart from seed to seed as the one before, twice."""
    rows = [
        {"algorithm": name.split("-")[0].replace("pretraining", "joint"), "method": name.split("-")[0],
         "fine_tuned": {"pretraining": "all", "pretraining-nearest": "nothing"}.get(name), "seed": seed,
         "ways": 5, "shots": shots, "classes": "test", "mode": mode, "standard_error": 0.5,
         "accuracy": end + 10 * (shots == 5) + (seed - (seeds - 1) / 2) * spread * 2**number}
        for number, (name, end) in enumerate(ends.items())
        for shots in (1, 5)
        for mode in ("transductive", "inductive")
        for seed in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def verdicts(**otherwise: float) -> list[str]:
    """The verdicts if some methods end otherwise than foreseen."""
    ends = {**FORESEEN, **{name.replace("_", "-"): value for name, value in otherwise.items()}}
    return list(table1_equal_work.expected(made_up(ends), SIMILAR).verdict)


def test_all_sentences_hold_where_the_methods_end_as_foreseen():
    assert verdicts() == [HOLDS] * 4


@pytest.mark.parametrize(
    ("sentence", "otherwise"),
    [(0, {"maml": 31.0}), (1, {"fomaml": 33.0}), (2, {"pretraining_nearest": 35.0}), (3, {"reptile": 55.0})],
)
def test_one_method_that_ends_otherwise_refutes_a_sentence(sentence, otherwise):
    assert verdicts(**otherwise)[sentence] == FAILS


def test_one_seed_decides_no_lead_but_says_which_networks_end_below_the_paper():
    said = table1_equal_work.expected(made_up(FORESEEN, seeds=1), SIMILAR)
    assert list(said.verdict) == [OPEN, OPEN, OPEN, HOLDS]
    assert said["measured (points)"][1] == "1-shot +2.0 (one seed), 5-shot +2.0 (one seed)"
    assert said["measured (points)"][3] == "closest: FOMAML 1-shot transductive -12.1 ± 2.0"


def test_the_table_has_all_methods_and_leaves_out_none_that_ran():
    compared = table1_equal_work.compare(made_up(FORESEEN))
    ran = compared[compared.seeds > 0]
    assert set(ran.algorithm) == set(FORESEEN)
    assert (ran.seeds == 3).all()


def test_what_the_networks_reach_has_an_interval_over_tasks_even_from_one_seed():
    reached = table1_equal_work.test_accuracy(made_up(FORESEEN, seeds=1))
    assert len(reached) == len(FORESEEN) * 2 * 2
    of_maml = reached.query("algorithm == 'maml' and shots == 5 and mode == 'inductive'").iloc[0]
    assert of_maml["mean"] == FORESEEN["maml"] + 10
    assert of_maml.high - of_maml["mean"] == pytest.approx(1.96 * 0.5, rel=1e-3)
    assert of_maml["mean"] - of_maml.low == pytest.approx(1.96 * 0.5, rel=1e-3)
