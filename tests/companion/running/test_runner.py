"""Experiments: finished once, resumed after a kill, not corrupted by two processes."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from companion.results import Result
from companion.running import runner
from companion.running.experiment import Budget, Experiment, Unit
from companion.running.stacks import gather
from metalib.errors import InputError, StoreError
from metalib.tasks.sine import Sine
from metalib.training import loop as training
from metalib.training.config import TrainingConfig
from metalib.training.shares import Share

COMMAND = [
    sys.executable, "-c",
    "from metalib.training import loop; loop.CHECKPOINT_SECONDS = 0.05\n"
    "from companion.__main__ import main; main()",
    "train", "--iterations", "3000", "--evaluation-tasks", "20", "--seeds", "0,1", "--results",
]  # fmt: skip


def start(results: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, str(results)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def written(results: Path) -> dict[str, int]:
    """When each checkpoint was last written."""
    found = {}
    for path in results.glob(".unfinished/*/*.npz"):
        with suppress(FileNotFoundError):  # it is just being replaced
            found[path.name] = path.stat().st_mtime_ns
    return found


def content(results: Path) -> dict[str, bytes]:
    """Everything in the one result but the provenance, which holds wall times."""
    (folder,) = results.glob("sine-*/custom")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    results = tmp_path_factory.mktemp("undisturbed")
    process = start(results)
    process.communicate()
    assert process.returncode == 0
    return content(results)


def test_a_run_killed_again_and_again_ends_bit_for_bit_where_an_undisturbed_one_does(undisturbed, tmp_path):
    pause = random.Random(0)
    kills = 0
    while True:
        before, process = written(tmp_path), start(tmp_path)
        if kills < 4:
            # Each process trains some way beyond the one before, and none to the end.
            while written(tmp_path) == before and process.poll() is None:
                time.sleep(0.02)
            time.sleep(pause.uniform(0.0, 0.05))
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        process.stderr.close()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills == 4
    assert content(tmp_path) == undisturbed
    assert not list(tmp_path.glob(".unfinished/*/*")), "what is finished leaves no unfinished work behind"


def test_two_processes_asked_for_the_same_result_do_not_corrupt_it(undisturbed, tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    errors = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert any("another process is at work" in text for text in errors)
    assert content(tmp_path) == undisturbed


def rows(name, trained):
    return Result({"rows": pd.DataFrame({"run": range(len(trained.configs))})})


@dataclass(frozen=True)
class Record:
    """Records a unit by calling a function with its name."""

    name: str
    call: Callable

    def as_dict(self):
        return {"kind": "Record"}

    def __call__(self, family, trained):
        return self.call(self.name, trained)


def small(record=rows) -> Experiment:
    def units(budget: Budget, seeds: tuple[int, ...]) -> tuple[Unit, ...]:
        configs = tuple(TrainingConfig(seed=seed, iterations=budget.iterations) for seed in seeds)
        families = {"a": Sine(), "b": Sine(activation="relu")}
        return tuple(Unit(name, family, configs, Record(name, record)) for name, family in families.items())

    return Experiment("small", "a test", {"smoke": Budget(2, 2)}, units)


def test_a_finished_result_is_returned_and_not_computed_again(tmp_path):
    first = runner.run(small(), "smoke", results=tmp_path)

    def refuse(*_arguments):
        raise AssertionError("computed again")

    again = runner.run(small(refuse), "smoke", results=tmp_path)
    pd.testing.assert_frame_equal(first.tables["rows"], again.tables["rows"])
    assert list(first.tables["rows"].unit) == ["a", "a", "a", "b", "b", "b"]


def test_a_finished_unit_is_not_trained_again_after_an_interruption(tmp_path):
    recorded = []

    def record(name, trained):
        recorded.append(name)
        if recorded == ["a", "b"]:
            raise KeyboardInterrupt
        return Result({"rows": pd.DataFrame({"run": [0]})})

    with pytest.raises(KeyboardInterrupt):
        runner.run(small(record), "smoke", results=tmp_path)
    runner.run(small(record), "smoke", results=tmp_path)
    assert recorded == ["a", "b", "b"]


def test_a_checkpoint_of_a_gpu_goes_when_the_processor_has_finished(tmp_path):
    """A GPU trains units in one stack, under a name of its own."""

    def by_seed(budget, seeds):
        runs = [TrainingConfig(seed=seed, iterations=budget.iterations) for seed in seeds]
        return tuple(Unit(f"seed-{run.seed}", Sine(), (run,), Record("", rows)) for run in runs)

    experiment = replace(small(), units=by_seed)
    (stack,) = gather(by_seed(experiment.budgets["smoke"], (0, 1)), most=2)
    left = tmp_path / ".unfinished" / "small-smoke" / f"{stack.name}.npz"
    left.parent.mkdir(parents=True)
    left.touch()
    runner.run(experiment, "smoke", seeds=(0, 1), results=tmp_path)
    assert not left.parent.exists()


def test_work_on_other_seeds_is_not_thrown_away(tmp_path):
    recorded = []

    def record(name, trained):
        recorded.append(name)
        if len(recorded) == 2:
            raise KeyboardInterrupt
        return Result({"rows": pd.DataFrame({"run": [0]})})

    def by_seed(budget, seeds):
        return tuple(
            Unit(
                f"seed-{seed}",
                Sine(),
                (TrainingConfig(seed=seed, iterations=budget.iterations),),
                Record(f"seed-{seed}", record),
            )
            for seed in seeds
        )

    experiment = replace(small(), units=by_seed)
    with pytest.raises(KeyboardInterrupt):
        runner.run(experiment, "smoke", results=tmp_path, seeds=(0, 1))
    runner.run(experiment, "smoke", results=tmp_path, seeds=(1,))
    assert (tmp_path / ".unfinished" / "small-smoke" / "seed-0").is_dir()


def test_a_kept_unit_of_another_configuration_is_noticed_before_anything_is_trained(tmp_path, monkeypatch):
    def interrupt(*_given):
        raise KeyboardInterrupt

    finished = []

    def record(name, trained):
        finished.append(name)
        if name == "b":
            raise KeyboardInterrupt
        return Result({"rows": pd.DataFrame({"run": [0]})})

    with pytest.raises(KeyboardInterrupt):
        runner.run(small(record), "smoke", results=tmp_path)
    monkeypatch.setattr(training, "_train_block", interrupt)
    with pytest.raises(StoreError, match="another configuration"):
        runner.run(small(record), "smoke", results=tmp_path, seeds=(5,))


def test_kept_units_stay_where_another_result_is_in_the_way(tmp_path):
    def record(name, trained):
        if name == "b":
            raise KeyboardInterrupt
        return Result({"rows": pd.DataFrame({"run": [0]})})

    with pytest.raises(KeyboardInterrupt):
        runner.run(small(record), "smoke", results=tmp_path, seeds=(1,))
    folder = tmp_path / "small" / "smoke"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("not a result")
    for problem in (r"provenance.json is missing; delete", "another configuration"):
        with pytest.raises(StoreError, match=problem):
            runner.run(small(), "smoke", results=tmp_path, seeds=(1,))
        assert (tmp_path / ".unfinished" / "small-smoke" / "a").is_dir()
        shutil.rmtree(folder)
        runner.run(small(), "smoke", results=tmp_path / "elsewhere", seeds=(0,))
        shutil.copytree(tmp_path / "elsewhere" / "small" / "smoke", folder)


def test_an_empty_folder_is_no_result(tmp_path):
    (tmp_path / "small" / "smoke").mkdir(parents=True)
    assert len(runner.run(small(), "smoke", results=tmp_path).tables["rows"]) == 6


def test_a_result_says_where_it_came_from(tmp_path):
    provenance = runner.run(small(), "smoke", results=tmp_path, seeds=(3, 4)).provenance
    assert provenance["config"]["seeds"] == [3, 4]
    assert provenance["config"]["units"][0]["runs"][0]["alpha"] == 0.02
    assert {"torch", "numpy", "python", "metalib", "device"} <= set(provenance["environment"])
    assert set(provenance["training_seconds"]) == {"a", "b"}


def test_a_result_with_other_seeds_is_not_silently_used(tmp_path):
    runner.run(small(), "smoke", results=tmp_path, seeds=(0,))
    with pytest.raises(StoreError, match=r"another configuration; delete .*, or name another folder"):
        runner.run(small(), "smoke", results=tmp_path, seeds=(1,))


def test_what_ranks_cannot_share_is_refused_before_anything_is_trained(tmp_path):
    """Also where the first unit could be shared, and only the second one cannot."""

    def units(budget, seeds):
        runs = (TrainingConfig("maml", tasks=2), TrainingConfig(inner="adam", tasks=2))
        return tuple(Unit(run.algorithm, Sine(), (run,), Record("", rows)) for run in runs)

    with pytest.raises(InputError, match="2 ranks cannot take tasks side by side"):
        runner.run(replace(small(), units=units), "smoke", results=tmp_path, ranks=Share(0, 2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": "huge"}, "budget is 'huge'; small has smoke"),
        ({"seeds": ()}, "seeds is empty"),
        ({"seeds": (1, 1)}, r"seeds \[1, 1\] repeat themselves"),
        ({"device": "cuda:99"}, "device is 'cuda:99'; this machine has cpu"),
        ({"jobs": 2, "ranks": Share(0, 2)}, "jobs and scheduler spread many runs, ranks the tasks of one"),
        ({"device": "cuda:", "scheduler": "tcp://127.0.0.1:1"}, "device is 'cuda:'; it can be cpu, cuda or"),
    ],
)
def test_bad_requests_fail_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        runner.run(small(), **{"budget": "smoke", "results": tmp_path / "r", **arguments})
    assert not (tmp_path / "r").exists()
