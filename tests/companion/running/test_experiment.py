"""Experiments say what they are: everything that decides their numbers, scoring included."""

import json
from dataclasses import replace

import pytest

from companion.catalogue import EXPERIMENTS
from companion.running.experiment import FORMAT

SEEDS = (0, 1, 2)
AT_HAND = [name for name in EXPERIMENTS if name.startswith("sine") or name.endswith("-glyphs")]
"""Experiments that need no download."""


def with_budget(name: str, **changes: int):
    experiment = EXPERIMENTS[name]
    budget = replace(experiment.budgets["smoke"], **changes)
    return replace(experiment, budgets={"smoke": budget})


@pytest.mark.parametrize("name", AT_HAND)
def test_the_identity_of_an_experiment_can_be_written_and_names_every_unit_once(name):
    identity = EXPERIMENTS[name].identity("smoke", SEEDS)
    assert json.loads(json.dumps(identity)) == identity
    assert (identity["format"], identity["experiment"], identity["seeds"]) == (FORMAT, name, list(SEEDS))
    names = [unit["name"] for unit in identity["units"]]
    assert len(names) == len(set(names)) > 0
    assert {run["seed"] for unit in identity["units"] for run in unit["runs"]} == set(SEEDS)


@pytest.mark.parametrize("name", AT_HAND)
def test_another_number_of_evaluation_tasks_is_another_identity_of_every_unit_it_scores(name):
    before, after = (
        with_budget(name, evaluation_tasks=tasks).identity("smoke", SEEDS)["units"] for tasks in (40, 41)
    )
    changed = [old["record"] != new["record"] for old, new in zip(before, after, strict=True)]
    # The 20-way runs of Table 2 have a number of evaluation tasks of their own.
    own = [unit["family"].get("ways") == 20 for unit in before]
    assert [c or o for c, o in zip(changed, own, strict=True)] == [True] * len(before)


@pytest.mark.parametrize("name", AT_HAND)
def test_another_number_of_iterations_is_another_identity(name):
    ids = [with_budget(name, iterations=n).identity("smoke", SEEDS)["units"] for n in (50, 55)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize("name", AT_HAND)
def test_facts_tell_units_apart_and_collide_with_no_column_of_the_tables(name):
    units = EXPERIMENTS[name].units(EXPERIMENTS[name].budgets["smoke"], SEEDS)
    recorded = {
        "seed", "ways", "shots", "classes", "mode", "tasks", "accuracy", "standard_error", "iteration",
        "loss_before", "loss_after", "run", "step", "mse", "steps", "images",
    }  # fmt: skip
    for unit in units:
        assert not recorded & set(unit.facts)
    told = [
        (tuple(unit.facts.items()), tuple(run.seed for run in unit.configs)) for unit in units if unit.facts
    ]
    assert len(told) == len(set(told))


def test_twins_differ_in_nothing_but_the_pool():
    for name in (name for name in EXPERIMENTS if f"{name}-glyphs" in EXPERIMENTS):
        one, twin = EXPERIMENTS[name], EXPERIMENTS[f"{name}-glyphs"]
        assert replace(twin, name=one.name, title=one.title, units=one.units) == one
        assert one.units.func is twin.units.func
        assert (one.units.args[1:], one.units.keywords) == (twin.units.args[1:], twin.units.keywords)
