"""Sweeps in worker processes: equal to serial ones, whoever is killed."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest

from companion.running import runner
from companion.running.request import requested
from companion.running.workers import engine, side_by_side
from metalib.errors import InputError, WorkerError
from tests.companion.running.sweep import SWEEP, RecordLoss, units

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "SWEEP_CHECKPOINT_SECONDS": "0.05",
}  # fmt: skip
KILLS = 20


class KilledWhenRecorded(RecordLoss):
    """Kills the process that records the last unit."""

    def __call__(self, family, trained):
        if self.name == "k3-alpha0.03-seed0":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(family, trained)


def start(
    results: Path, jobs: int, scheduler: str = "", stderr: int = subprocess.DEVNULL, **environment: str
) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", "from tests.companion.running.sweep import main; main()",
         str(results), str(jobs), *([scheduler] if scheduler else [])],
        cwd=ROOT, env=ENVIRONMENT | environment, stdout=subprocess.DEVNULL, stderr=stderr, text=True,
    )  # fmt: skip


def checkpoints(results: Path) -> dict[str, int]:
    """When each checkpoint was last written."""
    found = {}
    for path in results.glob(".unfinished/*/*.npz"):
        with suppress(FileNotFoundError):
            found[path.name] = path.stat().st_mtime_ns
    return found


def content(results: Path, budget: str) -> dict[str, bytes]:
    """Everything in the result but the provenance, which holds wall times."""
    folder = results / "sweep" / budget
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    results = tmp_path_factory.mktemp("serial")
    for budget in ("smoke", "quick"):
        runner.run(SWEEP, budget, seeds=(0,), results=results)
    return results


def test_two_workers_give_byte_for_byte_what_one_process_does(serial, tmp_path):
    runner.run(SWEEP, "smoke", seeds=(0,), results=tmp_path, jobs=2)
    assert content(tmp_path, "smoke") == content(serial, "smoke")
    assert not list(tmp_path.glob(".unfinished/*/*")), "what is finished leaves no unfinished work behind"


def test_a_sweep_killed_twenty_times_ends_byte_for_byte_where_an_undisturbed_one_does(serial, tmp_path):
    pause = random.Random(0)
    kills = attempt = finished = met_workers = 0
    while kills < KILLS or not finished:
        results = tmp_path / str(finished)
        before = checkpoints(results)
        process = start(results, jobs=1 + attempt % 2)
        attempt += 1
        if kills < KILLS:
            # Only a process that has begun to work has work to lose.
            while checkpoints(results) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(pause.uniform(0.0, 0.6))
        if kills < KILLS and process.poll() is None:
            workers = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            kills += 1
            met_workers += bool(workers)
            _, alive = psutil.wait_procs(workers, timeout=60)
            assert not alive, "workers stop when whoever asked them for work was killed"
        if process.wait() == 0:
            assert content(results, "quick") == content(serial, "quick")
            finished += 1
    assert met_workers >= KILLS // 4, "a good part of the kills met worker processes"


@pytest.fixture
def scheduling():
    """A Dask scheduler, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = ""
    while not address:
        line = process.stderr.readline()
        assert line, "the scheduler ended without saying where it is"
        found = re.search(r"Scheduler at:\s+(tcp://\S+)", line)
        address = found.group(1) if found else ""
    yield process, address
    process.kill()
    process.communicate()


@pytest.fixture
def scheduler(scheduling):
    """The address of a Dask scheduler."""
    return scheduling[1]


@pytest.fixture
def workers(scheduler, tmp_path):
    """Two Dask workers, which are processes of their own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", "worker", scheduler, "--nthreads", "1", "--no-nanny",
             "--no-dashboard", "--local-directory", str(tmp_path / "dask")],
            env=ENVIRONMENT | {"SWEEP_LOG": str(tmp_path / "log")}, cwd=ROOT, stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_dask_cluster_finishes_the_sweep_although_a_worker_is_killed(serial, scheduler, workers, tmp_path):
    results, log = tmp_path / "results", tmp_path / "log"
    client = start(results, 1, scheduler)
    kept = "*/sweep-quick/*/provenance.json"
    while not list(results.glob(kept)) and client.poll() is None:
        time.sleep(0.02)
    assert client.poll() is None, "the worker is to be killed in mid-sweep"
    workers[0].kill()
    assert client.wait(timeout=300) == 0
    assert content(results, "quick") == content(serial, "quick")
    recorded = log.read_text().split()
    stored = pd.read_csv(results / "sweep" / "quick" / "rows.csv").unit
    assert sorted(set(recorded)) == sorted(stored)
    assert len(stored) == 6
    # The killed worker may have lost at most the one unit that it had at hand.
    assert len(recorded) <= 6 + 1


def test_a_scheduler_that_is_killed_is_one_clear_error_and_nothing_is_lost(
    serial, scheduling, workers, tmp_path
):
    results = tmp_path / "results"
    client = start(results, 1, scheduling[1], stderr=subprocess.PIPE)
    while not list(results.glob("*/sweep-quick/*/provenance.json")) and client.poll() is None:
        time.sleep(0.02)
    scheduling[0].kill()
    printed = client.communicate(timeout=300)[1].strip().splitlines()
    assert client.returncode == 1
    assert re.search(r"WorkerError: the connection to the Dask scheduler at tcp://\S+ is lost; ", printed[-1])
    assert not [line for line in printed if " - distributed." in line], "Dask does not fill the screen"
    kept = {path.parent.name for path in results.glob("*/sweep-quick/*/provenance.json")}
    assert kept
    runner.run(SWEEP, "quick", seeds=(0,), results=results)
    assert content(results, "quick") == content(serial, "quick")


def test_a_scheduler_that_does_not_answer_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("companion.running.workers.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'; start one with"):
        runner.run(SWEEP, "smoke", results=tmp_path, scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_without_workers_is_a_clear_error(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr("companion.running.workers.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"has no workers; start some with `dask worker tcp://"):
        runner.run(SWEEP, "smoke", results=tmp_path, scheduler=scheduler)


def test_a_worker_that_kills_itself_is_a_clear_error_and_nothing_is_lost(serial, tmp_path, monkeypatch):
    def deadly(budget, seeds):
        return tuple(replace(unit, record=KilledWhenRecorded(unit.name)) for unit in units(budget, seeds))

    with pytest.raises(WorkerError, match="a worker process was killed, perhaps because memory ran out"):
        runner.run(replace(SWEEP, units=deadly), "smoke", seeds=(0,), results=tmp_path, jobs=2)
    runner.run(SWEEP, "smoke", seeds=(0,), results=tmp_path, jobs=2)
    assert content(tmp_path, "smoke") == content(serial, "smoke")


def test_no_jobs_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match="jobs is 0; at least 1 process has to do the work"):
        runner.run(SWEEP, "smoke", results=tmp_path, jobs=0)


def test_workers_note_how_far_they_have_come(tmp_path):
    stacks = requested(SWEEP, "smoke", (0,), "cpu", tmp_path).stacks
    steps, reached = [stack.inner_steps for stack in stacks], []
    with engine(2):
        list(side_by_side(stacks, "cpu", tmp_path, callback=reached.append))
    assert [int((tmp_path / f"{stack.name}.progress").read_text()) for stack in stacks] == steps
    assert reached[-1] == sum(steps)
