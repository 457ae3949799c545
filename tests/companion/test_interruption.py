"""What an interruption leaves: a log, no lock, and a run that says where it stands and goes on."""

import itertools
import os
import time
from dataclasses import dataclass

import pytest
from filelock import FileLock

from companion.__main__ import main
from companion.budgets import Budget
from companion.endings import Terminated
from companion.running import estimates, runner, unfinished
from companion.running.experiment import Experiment, Unit
from companion.running.request import requested
from companion.running.unfinished import Log, alone, how_far
from metalib.errors import WorkerError
from metalib.tasks.sine import Sine
from metalib.training import TrainingConfig
from tests.companion.running.sweep import SWEEP, RecordLoss

WORK = ".unfinished/sweep-smoke"


def run(folder, **keywords):
    return runner.run(SWEEP, "smoke", seeds=(0,), results=folder, **keywords)


@pytest.fixture
def stop(monkeypatch):
    """Have the second unit that is recorded raise an error."""

    def raising(error):
        count = itertools.count(1)
        record = RecordLoss.__call__

        def call(self, family, trained):
            if next(count) == 2:
                raise error
            return record(self, family, trained)

        monkeypatch.setattr(RecordLoss, "__call__", call)

    return raising


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyboardInterrupt(), "  interrupted\n"),
        (Terminated(), "  terminated\n"),
        (WorkerError("a worker was lost"), "  ended: a worker was lost\n"),
        (ZeroDivisionError("of our own"), "ZeroDivisionError: of our own\n"),
    ],
)
def test_a_log_beside_unfinished_work_says_how_far_it_came_and_how_it_ended(stop, tmp_path, error, said):
    stop(error)
    with pytest.raises(type(error)):
        run(tmp_path)
    log = (tmp_path / WORK / "log.txt").read_text()
    assert "sweep, budget smoke, seeds 0, on cpu; metalib " in log
    assert "; 0 of 6 units finished" in log
    assert "  unit k2-alpha0.01-seed0 is finished\n" in log
    assert log.endswith(said)
    assert how_far(tmp_path / WORK).startswith("26.7 % on ")
    assert not list(tmp_path.glob(".unfinished/*.lock"))


def test_a_run_that_goes_on_says_at_once_where_it_stands_and_leaves_nothing(stop, tmp_path, capsys):
    stop(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    run(tmp_path, progress=True)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("going on: 1 of 6 units finished, at 26.7 % on ")
    assert first.endswith("log.txt")
    assert not (tmp_path / ".unfinished").exists()


def test_a_clock_that_was_set_back_between_two_sessions_changes_nothing(stop, tmp_path, monkeypatch):
    undisturbed = run(tmp_path / "undisturbed").tables["rows"]
    stop(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    ahead = time.time() + 10 * 365 * 86_400
    for path in tmp_path.rglob("*"):
        os.utime(path, (ahead, ahead))
    monkeypatch.setattr(time, "time", lambda: 86_400.0)
    assert run(tmp_path).tables["rows"].equals(undisturbed)


def test_one_process_at_a_time_holds_the_lock_and_its_file_goes_with_it(tmp_path):
    work = tmp_path / ".unfinished" / "x"

    def busy():
        raise WorkerError("another process is at work")

    with alone(work):
        assert work.with_name("x.lock").exists()
        with pytest.raises(WorkerError), alone(work, busy):
            pytest.fail("two at a time")
    assert not work.parent.exists()


def test_a_lock_that_a_killed_process_left_is_taken_over(tmp_path):
    work = tmp_path / ".unfinished" / "x"
    work.parent.mkdir()
    lock = FileLock(work.with_name("x.lock"))
    lock.acquire()
    lock.release()
    with alone(work):
        pass
    assert not work.with_name("x.lock").exists()


def test_a_full_disk_for_the_log_does_not_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished, "LOG", "a/b/c")
    assert len(run(tmp_path).tables["rows"]) == 6
    Log(tmp_path).write("nothing")


def test_a_dry_run_says_what_is_left_and_how_long_it_takes_and_writes_nothing(tmp_path, monkeypatch, capsys):
    given = "run sine-meta-batch --budget smoke --seeds 0 --jobs 1 --dry-run --results"
    monkeypatch.setattr("sys.argv", ["companion", *given.split(), str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    title, work, duration = capsys.readouterr().out.splitlines()
    assert not stopped.value.code
    assert title == "sine-meta-batch, budget smoke: 200 outer iterations, 50 evaluation tasks"
    assert work == "3 of 3 units, 3 runs, 7,000 inner steps"
    assert duration.startswith("about ")
    assert not list(tmp_path.iterdir())


def test_the_duration_of_a_dry_run_is_that_of_its_units_shared_among_jobs(tmp_path, monkeypatch):
    """Six units of a minute each; no unit is shared."""
    monkeypatch.setattr(estimates, "_measured", lambda asked, unit: 60.0)
    asked = requested(SWEEP, "smoke", (0,), "cpu", tmp_path)
    assert [estimates.seconds(asked, asked.units, jobs) for jobs in (1, 3, 100)] == [360.0, 120.0, 60.0]


@dataclass(frozen=True)
class ScoredForHours:
    """Takes a twentieth of a second for a task, of a million inner steps as it says."""

    tasks: int

    @property
    def inner_steps(self):
        return self.tasks * 10**6

    def as_dict(self):
        return {"kind": "ScoredForHours", "tasks": self.tasks}

    def __call__(self, family, trained, checkpoint=None, callback=None):
        time.sleep(0.05 * self.tasks)


def test_a_dry_run_times_scoring_by_itself_and_not_by_steps_of_training(tmp_path):
    def units(budget, seeds):
        record = ScoredForHours(budget.evaluation_tasks)
        return (Unit("one", Sine(), (TrainingConfig(iterations=1, tasks=1, k=1),), record),)

    scored = Experiment("scored", "a test", {"smoke": Budget(1, 1_000)}, units)
    asked = requested(scored, "smoke", (0,), "cpu", tmp_path)
    assert 50 <= estimates.seconds(asked, asked.units, 1) < 500


def test_a_dry_run_where_the_result_is_there_says_so(tmp_path):
    run(tmp_path)
    asked = requested(SWEEP, "smoke", (0,), "cpu", tmp_path)
    assert estimates.plan(asked, 1, again=False).splitlines()[1].startswith("nothing: the result is in ")
    assert estimates.plan(asked, 1, again=True).splitlines()[1] == "6 of 6 units, 6 runs, 1,500 inner steps"
