"""Stored results are those that today's code would make, whole, and say what they are made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from companion.budgets import BUDGETS
from companion.catalogue import EXPERIMENTS
from companion.remaking import recipe
from companion.results import load_provenance, load_result
from companion.revisions import other_code, without_revisions
from companion.running.experiment import FORMAT, Experiment
from metalib.data.classes import ClassPool, Split
from metalib.data.miniimagenet import miniimagenet

RESULTS = Path(__file__).parents[2] / "results"
STORED = sorted(
    path.parent for path in RESULTS.glob("*/*/provenance.json") if not path.parts[-3].startswith(".")
)
EACH = pytest.mark.parametrize("folder", STORED, ids=lambda folder: f"{folder.parent.name}-{folder.name}")


class StandIn(ClassPool):
    """A pool that says it is the stored Omniglot or Mini-ImageNet, without its images."""

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "digest": DIGESTS[self.name]}


SEEDS = {
    "table1/laptop": 1,
    "table1-equal-work/laptop": 1,
    "table2-5-way/paper": 1,
    "table2-20-way/laptop": 1,
}
"""How many seeds a result needs, if not three. These runs take hours; their page says that each is one."""
DIGESTS = {
    "Omniglot": "4d18c6a843ec284e",
    "Mini-ImageNet": "5e68f5cd64bde472",
}


def stand_in(experiment: Experiment) -> ClassPool:
    """The pool of an experiment, by what makes it."""
    if experiment.units.args == (miniimagenet,):
        images = np.zeros((100, 20, 84, 84, 3), np.uint8)
        fixed = Split(np.arange(64), np.arange(80, 100))
        return StandIn("Mini-ImageNet", images, maximum=255, fixed=fixed, rotate_train=False)
    return StandIn("Omniglot", np.zeros((1623, 20, 28, 28, 1), np.uint8), train_classes=1200)


def of_today(folder: Path) -> Experiment:
    """The experiment of a stored result; one on other pools than glyphs makes its runs with a stand-in."""
    experiment = EXPERIMENTS[folder.parent.name]
    if not hasattr(experiment.units, "func"):
        return experiment
    pool = stand_in(experiment)
    make = experiment.units.func
    return Experiment(
        experiment.name,
        experiment.title,
        experiment.budgets,
        lambda budget, seeds: make(lambda: pool, budget, seeds),
    )


def test_results_are_stored():
    assert len(STORED) >= 14
    names = {folder.parent.name for folder in STORED}
    assert names <= set(BUDGETS) == {name for name in EXPERIMENTS if not name.endswith("-glyphs")}


def test_every_stored_provenance_is_sealed():
    assert all(
        '"sha256": "' in (folder / "provenance.json").read_text().splitlines()[-2] for folder in STORED
    )


@EACH
def test_a_stored_result_is_the_one_that_the_code_would_make_today(folder):
    config = load_result(folder).provenance["config"]
    today = of_today(folder).identity(folder.name, config["seeds"])
    assert without_revisions(config) == without_revisions(today)
    assert other_code(config) == ""
    assert config["format"] == FORMAT
    assert len(config["seeds"]) >= SEEDS.get(f"{folder.parent.name}/{folder.name}", 3)


@EACH
def test_the_tables_of_a_stored_result_say_what_its_configuration_says(folder):
    stored = load_result(folder)
    units = {unit["name"]: unit for unit in stored.provenance["config"]["units"]}
    for what, table in stored.tables.items():
        # Runs of a seed start alike: a record may leave the `start` to one of them, and says so.
        silent = {name for name, unit in units.items() if what == "start" and not unit["record"][what]}
        assert set(table.unit) == set(units) - silent
        for name, rows in table.groupby("unit"):
            for fact, value in units[name]["facts"].items():
                assert set(rows[fact]) == {value}
            scored = units[name]["record"].get("scoring", {}).get("tasks")
            if scored and "tasks" in rows:
                assert set(rows.tasks) == {scored}


@EACH
def test_a_stored_result_says_all_that_making_it_again_needs(folder):
    config = load_provenance(folder / "provenance.json")[0]["config"]
    made = recipe(config, of_today(folder))
    assert without_revisions(config) == without_revisions(made.experiment.identity(made.budget, made.seeds))


def test_20_way_runs_say_that_they_were_scored_on_fewer_tasks():
    units = load_result(RESULTS / "table2" / "laptop").provenance["config"]["units"]
    tasks = {unit["family"]["ways"]: unit["record"]["scoring"]["tasks"] for unit in units}
    assert tasks == {5: 1_000, 20: 400}
