"""The stored runs of the image experiments are those that today's code would make."""

import re
from pathlib import Path

import numpy as np
import pytest

from companion.catalogue import EXPERIMENTS
from companion.results import load_result
from companion.running.experiment import Unit
from metalib.data.classes import ClassPool

RESULTS = Path(__file__).parents[2] / "results"
STORED = sorted(
    path.parent
    for path in RESULTS.glob("*/*/provenance.json")
    if "Omniglot" in path.read_text() and not path.parts[-3].startswith(".")
)


def stand_in(digest: str) -> ClassPool:
    """A pool that is written as the real Omniglot is, without its images."""
    pool = ClassPool("Omniglot", np.zeros((1623, 20, 28, 28, 1), np.uint8), train_classes=1200)
    return replace_digest(pool, digest)


def replace_digest(pool: ClassPool, digest: str) -> ClassPool:
    object.__setattr__(pool, "digest", digest)
    return pool


def as_stored(unit: Unit, digest: str) -> dict:
    """What the unit would be stored as, whatever a variant does to the stand-in."""
    replace_digest(unit.family.pool, digest)
    return unit.as_dict()


@pytest.mark.parametrize("folder", STORED, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_stored_runs_are_those_that_the_code_would_make_today(folder):
    experiment, budget = EXPERIMENTS[folder.parent.name], folder.name
    config = load_result(folder).provenance["config"]
    (digest,) = set(re.findall(r"digest='(\w+)'", str(config["units"])))
    make = experiment.units.func
    units = make(lambda: stand_in(digest), experiment.budgets[budget], tuple(config["seeds"]))
    assert [as_stored(unit, digest) for unit in units] == config["units"]
    assert config["evaluation_tasks"] == experiment.budgets[budget].evaluation_tasks
    assert len(config["seeds"]) >= 3
