"""Sweeps in worker processes: equal to serial ones, whoever is killed."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from metalib.errors import InputError
from metalib.experiments import runner
from tests.library.experiments.sweep import SWEEP

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
KILLS = 20


def start(results: Path, jobs: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.library.experiments.sweep", str(results), str(jobs)],
        cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


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
    kills = attempt = finished = 0
    while kills < KILLS or not finished:
        results = tmp_path / str(finished)
        # Starting workers takes a while; enough of the kills shall meet them at work.
        process = start(results, jobs=2 if attempt % 4 == 3 else 1)
        attempt += 1
        deadline = time.monotonic() + pause.uniform(1.0, 4.0)
        while kills < KILLS and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if kills < KILLS and process.poll() is None:
            workers = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGKILL)
            kills += 1
            _, alive = psutil.wait_procs(workers, timeout=60)
            assert not alive, "workers stop when whoever asked them for work was killed"
        if process.wait() == 0:
            assert content(results, "quick") == content(serial, "quick")
            finished += 1


@pytest.fixture
def scheduler():
    """The address of a Dask scheduler."""
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
    yield address
    process.kill()
    process.communicate()


@pytest.fixture
def workers(scheduler, tmp_path):
    """Two Dask workers, which are processes of their own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", "worker", scheduler, "--nthreads", "1", "--no-nanny",
             "--no-dashboard", "--local-directory", str(tmp_path / "dask")],
            env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def test_a_dask_cluster_finishes_the_sweep_although_a_worker_is_killed(serial, scheduler, workers, tmp_path):
    results = tmp_path / "results"
    client = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from pathlib import Path; from metalib.experiments import runner\n"
         "from tests.library.experiments.sweep import SWEEP\n"
         "runner.run(SWEEP, 'quick', seeds=(0,), results=Path(sys.argv[1]), scheduler=sys.argv[2])",
         str(results), scheduler],
        env=ENVIRONMENT, cwd=ROOT,
    )  # fmt: skip
    finished = "*/sweep-quick/*/provenance.json"
    while not list(results.glob(finished)) and client.poll() is None:
        time.sleep(0.05)
    assert client.poll() is None, "the worker is to be killed in mid-sweep"
    workers[0].kill()
    assert client.wait(timeout=300) == 0
    assert content(results, "quick") == content(serial, "quick")
    units = pd.read_csv(results / "sweep" / "quick" / "rows.csv").unit
    assert len(units) == 6
    assert units.is_unique


def test_a_scheduler_that_does_not_answer_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr("metalib.experiments.workers.CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'; start one with"):
        runner.run(SWEEP, "smoke", results=tmp_path, scheduler="tcp://127.0.0.1:9")


def test_no_jobs_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match="jobs is 0; at least 1 process has to do the work"):
        runner.run(SWEEP, "smoke", results=tmp_path, jobs=0)
