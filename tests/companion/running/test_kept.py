"""More seeds beside those of a result: what it holds is not trained again, and nothing of it is lost."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from companion.budgets import Budget
from companion.results import Result, load_result
from companion.running import request, runner, stacks
from companion.running.assembly import merged
from companion.running.estimates import plan
from companion.running.experiment import Experiment, Unit
from companion.running.kept import part
from companion.running.request import requested
from metalib.errors import StoreError
from metalib.store import sha256
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig, train


class Recorded:
    """Keeps the last loss and the weights, and notes which seeds it has seen; may be interrupted."""

    def __init__(self, interrupted_at: int = -1):
        self.seeds, self.interrupted_at = [], interrupted_at

    def as_dict(self):
        return {"kind": "Recorded"}

    def __call__(self, family, trained):
        (seed,) = {config.seed for config in trained.configs}
        if seed == self.interrupted_at:
            raise KeyboardInterrupt
        self.seeds.append(seed)
        rows = pd.DataFrame({"loss": trained.history.loss_before / 3.0})
        return Result({"rows": rows}, {name: w.numpy() for name, w in trained.phi.items()})


def experiment(record: Recorded, smoke: Budget = Budget(3, 2)) -> Experiment:  # noqa: B008
    def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
        return tuple(
            Unit(
                f"{activation}-{seed}",
                Sine(activation=activation),
                (TrainingConfig(seed=seed, iterations=budget.iterations),),
                record,
                facts={"activation": activation} if activation == "tanh" else {},
            )
            for activation in ("tanh", "relu")
            for seed in seeds
        )

    return Experiment("small", "a test", {"smoke": smoke, "quick": Budget(4, 2)}, units)


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """Three seeds that were trained together."""
    results = tmp_path_factory.mktemp("at-once")
    runner.run(experiment(Recorded()), "smoke", results=results)
    return results / "small" / "smoke"


def test_more_seeds_are_trained_beside_those_that_are_stored_and_the_files_are_those_of_all_at_once(
    at_once, tmp_path
):
    runner.run(experiment(Recorded()), "smoke", seeds=(1,), results=tmp_path)
    record = Recorded()
    result = runner.run(experiment(record), "smoke", results=tmp_path)
    assert record.seeds == [0, 2, 0, 2]
    assert sorted(set(result.tables["rows"].unit)) == sorted(
        f"{a}-{s}" for a in ("tanh", "relu") for s in range(3)
    )
    for name in ("rows.csv", "arrays.npz"):
        assert sha256(tmp_path / "small" / "smoke" / name) == sha256(at_once / name)
    assert not (tmp_path / ".unfinished").exists()


def test_until_the_others_are_trained_the_stored_result_stays(tmp_path):
    runner.run(experiment(Recorded()), "smoke", seeds=(0,), results=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment(Recorded(interrupted_at=2)), "smoke", results=tmp_path)
    assert load_result(tmp_path / "small" / "smoke").provenance["config"]["seeds"] == [0]
    record = Recorded()
    runner.run(experiment(record), "smoke", results=tmp_path)
    assert record.seeds == [2, 1, 2], "the first stack had finished seed 1"


@pytest.mark.parametrize(
    ("seeds", "budget"),
    [((1, 2), None), ((0,), None), ((0, 1, 2), Budget(5, 2))],
    ids=["another seed", "fewer seeds", "longer runs"],
)
def test_a_result_that_holds_anything_else_is_refused_and_stays(tmp_path, seeds, budget):
    runner.run(experiment(Recorded()), "smoke", seeds=(0, 1), results=tmp_path)
    other = experiment(Recorded(), budget or Budget(3, 2))
    with pytest.raises(StoreError, match="another configuration"):
        runner.run(other, "smoke", seeds=seeds, results=tmp_path)
    assert load_result(tmp_path / "small" / "smoke").provenance["config"]["seeds"] == [0, 1]
    assert not (tmp_path / ".unfinished").exists()


def test_again_trains_the_stored_seeds_too(tmp_path):
    runner.run(experiment(Recorded()), "smoke", seeds=(0,), results=tmp_path)
    record = Recorded()
    runner.run(experiment(record), "smoke", seeds=(0, 1), results=tmp_path, again=True)
    assert record.seeds == [0, 1, 0, 1]


def test_again_trains_the_stored_seeds_too_after_more_seeds_were_interrupted(tmp_path):
    runner.run(experiment(Recorded()), "smoke", seeds=(0,), results=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment(Recorded(interrupted_at=1)), "smoke", seeds=(0, 1), results=tmp_path)
    record = Recorded()
    runner.run(experiment(record), "smoke", seeds=(0,), results=tmp_path, again=True)
    assert record.seeds == [0, 0]


def test_where_seeds_would_be_trained_side_by_side_only_the_new_ones_are(tmp_path, monkeypatch):
    """As on a GPU, whose stacks hold many runs; interrupted work is gone on with, and removed in the end."""
    monkeypatch.setattr(request, "widest", lambda units, device: 100)
    runner.run(experiment(Recorded()), "smoke", seeds=(0,), results=tmp_path)
    trained = []

    def train_and_note(family, configs, **options):
        trained.append([config.seed for config in configs])
        return train(family, configs, **options)

    monkeypatch.setattr(stacks, "train", train_and_note)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment(Recorded(interrupted_at=2)), "smoke", results=tmp_path)
    runner.run(experiment(Recorded()), "smoke", results=tmp_path)
    assert trained == [[1, 2]] * 3, "one stack of tanh, which was recorded in part, and one of ReLU"
    assert not (tmp_path / ".unfinished").exists()
    assert load_result(tmp_path / "small" / "smoke").provenance["config"]["seeds"] == [0, 1, 2]


def as_one(interrupted_by: str = "") -> Experiment:
    """All seeds in one unit, whose name says none of them; one of both units may be interrupted."""

    class Kept(Recorded):
        def __call__(self, family, trained):
            if family.activation == interrupted_by:
                raise KeyboardInterrupt
            rows = pd.DataFrame({"loss": trained.history.loss_before})
            return Result({"rows": rows})

    def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
        configs = tuple(TrainingConfig(seed=seed, iterations=budget.iterations) for seed in seeds)
        return tuple(Unit(name, Sine(activation=name), configs, Kept()) for name in ("tanh", "relu"))

    return replace(experiment(Recorded()), units=units)


def test_asking_for_a_result_that_is_there_keeps_the_work_on_other_seeds_of_the_same_units(tmp_path):
    runner.run(as_one(), "smoke", seeds=(0,), results=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        runner.run(as_one("relu"), "smoke", seeds=(5,), results=tmp_path, again=True)
    unfinished = tmp_path / ".unfinished" / "small-smoke"
    before = sorted(path.name for path in unfinished.iterdir())
    assert {"tanh", "relu.npz"} <= set(before)
    runner.run(as_one(), "smoke", seeds=(0,), results=tmp_path)
    assert sorted(path.name for path in unfinished.iterdir()) == before
    runner.run(as_one(), "smoke", seeds=(5,), results=tmp_path, again=True)
    assert not unfinished.exists()


def test_a_dry_run_says_that_a_damaged_result_cannot_be_added_to(tmp_path):
    runner.run(experiment(Recorded()), "smoke", seeds=(0,), results=tmp_path)
    (tmp_path / "small" / "smoke" / "rows.csv").write_text("unit,loss\n")
    asked = requested(experiment(Recorded()), "smoke", (0, 1), "cpu", tmp_path)
    with pytest.raises(StoreError, match=r"rows\.csv"):
        plan(asked, jobs=1, again=False)


def test_a_dry_run_counts_the_seeds_that_are_left_and_writes_nothing(tmp_path):
    runner.run(experiment(Recorded()), "smoke", seeds=(0,), results=tmp_path)
    asked = requested(experiment(Recorded()), "smoke", (0, 1, 2), "cpu", tmp_path)
    assert "4 of 6 units, 4 runs" in plan(asked, jobs=1, again=False)
    assert "6 of 6 units, 6 runs" in plan(asked, jobs=1, again=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


@pytest.mark.parametrize("odd", ["tanh-0", "relu-1"])
def test_a_table_that_one_unit_alone_has_is_told_and_not_dropped(tmp_path, odd):
    asked = requested(experiment(Recorded()), "smoke", (0, 1), "cpu", tmp_path)
    rows, made = pd.DataFrame({"loss": [1.0]}), {"environment": {}, "training_seconds": 1.0}
    parts = {unit.name: Result({"rows": rows}, provenance=made) for unit in asked.units}
    parts[odd] = replace(parts[odd], tables={"rows": rows, "extra": rows})
    with pytest.raises(StoreError, match="has no 'extra'; remove that folder to begin anew"):
        merged(asked, parts)


def test_a_part_of_a_result_is_what_was_put_into_it(at_once):
    result = load_result(at_once)
    units = experiment(Recorded()).units(Budget(3, 2), (0, 1, 2))
    found = part(result, units[1])
    assert list(found.tables["rows"].columns) == ["loss"]
    assert list(found.tables["rows"].loss) == list(result.tables["rows"].query("unit == 'tanh-1'").loss)
    assert found.provenance["environment"] == result.provenance["environment"]
    assert found.provenance["training_seconds"] == result.provenance["training_seconds"]["tanh-1"]
    assert found.arrays
    assert {f"tanh-1/{name}" for name in found.arrays} == {
        n for n in result.arrays if n.startswith("tanh-1/")
    }
    for name, array in found.arrays.items():
        np.testing.assert_array_equal(array, result.arrays[f"tanh-1/{name}"])


def test_a_part_made_elsewhere_keeps_its_own_environment(at_once):
    result = load_result(at_once)
    (unit, *_) = experiment(Recorded()).units(Budget(3, 2), (0, 1, 2))
    each = {name: {"device": name} for name in result.provenance["training_seconds"]}
    mixed = replace(result, provenance={**result.provenance, "environment": each})
    assert part(mixed, unit).provenance["environment"] == {"device": unit.name}


def test_what_a_killed_process_was_writing_of_the_result_is_removed(tmp_path):
    half = tmp_path / "small" / ".smoke.1a2b3c" / "smoke"
    half.mkdir(parents=True)
    runner.run(experiment(Recorded()), "smoke", results=tmp_path)
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["smoke"]
