"""The command line: what it prints, and how it fails."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

import metalib
from companion import __main__ as command_line
from companion.__main__ import main
from companion.catalogue import EXPERIMENTS
from companion.results import Result
from companion.running.experiment import SEEDS


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def companion(monkeypatch, capsys):
    """Call the command line in this process: importing torch anew for every line would take minutes."""

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["companion", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        return Outcome(int(stopped.value.code or 0), *capsys.readouterr())

    return call


def test_python_m_companion_lists_every_experiment_with_its_budgets():
    done = subprocess.run(
        [sys.executable, "-m", "companion", "list"], capture_output=True, text=True, check=True
    )
    for experiment in EXPERIMENTS.values():
        budgets = [f"    {name:6}  {budget}" for name, budget in experiment.budgets.items()]
        lines = "\n".join([experiment.name, f"    {experiment.title}", *budgets])
        assert f"{lines}\n" in done.stdout
    for expected in (
        "smoke   10 outer iterations, 4 evaluation tasks, at 2, 5",
        "paper   5-way 100,000 outer iterations, 10,000 evaluation tasks; 20-way 200,000",
        "laptop  10,000 outer iterations, 250 evaluation tasks; MAML and FOMAML 1,500",
    ):
        assert expected in done.stdout


def test_what_run_is_given_reaches_the_runner(monkeypatch, companion, tmp_path):
    given = {}
    monkeypatch.setattr(
        command_line.runner,
        "run",
        lambda experiment, budget, **others: (
            given.update(others, experiment=experiment, budget=budget) or Result({})
        ),
    )
    asked = ["run", "sine-new-seeds", *["--budget", "smoke", "--again", "--jobs", "3", "--compile", "auto"]]
    asked += ["--results", str(tmp_path)]
    done = companion(*asked)
    assert done.code == 0, done.stderr
    experiment = given["experiment"]
    assert (experiment.name, experiment.compile, given["budget"]) == ("sine-new-seeds", "auto", "smoke")
    assert (given["again"], given["jobs"], given["results"]) == (True, 3, tmp_path)
    assert given["seeds"] == EXPERIMENTS["sine-new-seeds"].seeds != SEEDS, "its own, where none are named"
    assert companion(*asked, "--seeds", "4,2").code == 0
    assert list(given["seeds"]) == [4, 2]


def test_version_is_that_of_the_library(companion):
    assert companion("version").stdout == f"{metalib.__version__}\n"


def test_train_writes_a_result_and_prints_its_errors(companion, tmp_path):
    done = companion(
        "train", "--algorithm", "combination", "--weights", "0,1", "--k", "2", "--iterations", "10",
        "--evaluation-tasks", "5", "--results", str(tmp_path),
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert "mean squared error after gradient steps" in done.stdout
    assert len(list(tmp_path.glob("sine-combination-*/custom/adaptation.csv"))) == 1
    assert "100%" in done.stderr, "long work shows a progress bar"


def test_as_many_runs_side_by_side_as_cores_where_nothing_else_was_asked_for(monkeypatch):
    monkeypatch.setattr(command_line, "cores", lambda: 8)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    side_by_side = command_line._side_by_side
    assert [side_by_side(0, "cpu"), side_by_side(3, "cpu")] == [8, 3]
    assert [side_by_side(0, "cuda"), side_by_side(0, "cpu", threads=2)] == [1, 1]
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of torchrun")
    assert side_by_side(0, "cpu") == 1, "ranks share the tasks of one run"


def test_again_and_threads_reach_what_they_are_for(monkeypatch, companion, tmp_path):
    given, threads = {}, []
    monkeypatch.setattr(command_line, "cores", lambda: 4)
    monkeypatch.setattr(command_line.runner, "run", lambda *_, **options: given.update(options) or Result({}))
    monkeypatch.setattr("torch.set_num_threads", threads.append)
    assert companion("train", "--again", "--threads", "2", "--results", str(tmp_path)).code == 0
    assert (given["again"], threads) == (True, [2])
    assert companion("train", "--results", str(tmp_path)).code == 0
    assert given["again"] is False


def test_a_mean_over_a_seed_that_diverged_is_no_number(monkeypatch, companion, tmp_path):
    shared = {"unit": "reptile", "algorithm": "reptile", "steps": 5, "epsilon": 0.1, "points": "whole"}
    rows = [
        shared | {"step": step, "mse": mse} for step, mse in ((1, 2.0), (1, 4.0), (10, 1.0), (10, np.nan))
    ]
    monkeypatch.setattr(
        command_line.runner, "run", lambda *_, **__: Result({"adaptation": pd.DataFrame(rows)})
    )
    printed = companion("train", "--results", str(tmp_path)).stdout
    assert printed.splitlines()[-1].split()[-2:] == ["3.0", "diverged"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--algorithm", "anil"], "algorithm is 'anil'; choose one of reptile, fomaml"),
        (["train", "--k", "0"], "k is 0; it must be a whole number of at least 1"),
        (["train", "--epsilon", "1.5"], "epsilon is 1.5; the outer step size must lie in [0, 1]"),
        (["train", "--points", "51"], "points is 51; the learner may see 1 to 50 points"),
        (["train", "--device", "cuda:99"], "device is 'cuda:99'; this machine has"),
        (["train", "--alpha", "50", "--iterations", "200"], "with alpha = 50.0"),
        (["train", "--seeds", "0,x"], "seeds is '0,x'; write whole numbers separated by commas"),
        (["train", "--seeds", "-1"], "seed is -1; seeds are whole numbers from 0 to"),
        (["train", "--seeds", "1" + 20 * "0"], "seeds are whole numbers from 0 to"),
        (["train", "--seeds", "0.5"], "seeds is '0.5'; write whole numbers separated by commas"),
        (["train", "--threads", "0"], "threads is 0; at least 1 has to do the work"),
        (["train", "--alpha", "inf"], "alpha is inf; the inner step size must be a number greater than 0"),
        (
            ["train", "--algorithm", "combination", "--k", "2", "--weights", "1,nan"],
            "give finite numbers, such as 1,1,0",
        ),
        (["run", "figure-9"], "there is no experiment 'figure-9'; choose one of sine-figure-1"),
        (["run", "sine-figure-1", "--budget", "huge"], "budget is 'huge'; sine-figure-1 has smoke, quick"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(companion, arguments, message, tmp_path):
    failed = companion(*arguments, "--results", str(tmp_path / "r"))
    assert failed.code == 2
    lines = failed.stderr.replace("\r", "\n").splitlines()
    (complaint,) = [line for line in lines if line.strip() and "inner steps" not in line]  # the progress bar
    assert complaint.startswith("companion: ")
    assert message in complaint
    assert not list(tmp_path.glob("r/*/*/provenance.json")), "nothing half-written"


def test_a_folder_that_cannot_be_written_is_named(companion, tmp_path):
    (tmp_path / "file").write_text("in the way")
    failed = companion("train", "--results", str(tmp_path / "file"))
    assert failed.code == 2
    assert "cannot write to" in failed.stderr
